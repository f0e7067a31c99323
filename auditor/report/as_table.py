"""The report for a person: the verdict first, then the matrix, then what is wrong, then everything else
worth knowing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from auditor.model.report import CellResult, Finding, Report
from auditor.model.verdict import Result
from auditor.model.words import in_brief, pluralize
from auditor.report.cause import coverage_lines, labelled_lines, lint_lines, opening_lines, untested_lines
from auditor.report.conclusion import CONCLUSION_STYLES, conclude
from auditor.report.console import can_write, open_console, print_line, print_paragraph
from auditor.report.grouping import Traffic, by_reason, cell_order, in_words, ports_text, traffic
from auditor.report.headline import headline, origin
from auditor.report.intent_as_table import print_findings
from auditor.report.marks import EVERY_SYMBOL, Mark, Symbols, mark
from auditor.report.matrix import Grid, grid_lines, legend_lines
from auditor.report.standing import comparison_lines

MOST_ENDPOINTS = 30
MOST_FINDINGS = 5
"""How many findings are shown in full: the gravest with most cells come first, and the matrix above must stay on the
screen.
"""
MOST_FINDINGS_IN_BRIEF = 20
MOST_LINES_OF_A_FINDING = 12
MOST_REASONS = 8
MOST_NAMES = 8
SHORTEST_PHASE = 0.05
FINDING_ORDER = tuple(Result)


def render(report: Report, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    _Table(report, open_console(stream), Symbols(plain=not can_write(stream, EVERY_SYMBOL))).tell()


class _Table:
    """One report on its way to one console."""

    def __init__(self, report: Report, console: Console, symbols: Symbols) -> None:
        self._report = report
        self._console = console
        self._symbols = symbols
        positions = {endpoint.name: number for number, endpoint in enumerate(report.endpoints)}
        self._position: Callable[[str], int] = lambda name: positions.get(name, len(positions))
        self._families = len({each.cell.family for each in report.cells}) > 1

    def tell(self) -> None:
        self._write_headline()
        self._write_cause()
        if self._report.comparison is not None:
            self._write_section(comparison_lines(self._report.comparison))
        self._write_section(untested_lines(self._report.policies))
        self._write_matrix()
        findings = sorted(self._report.findings, key=lambda finding: FINDING_ORDER.index(finding.kind))
        for number, finding in enumerate(findings[:MOST_FINDINGS], 1):
            self._write_finding(finding, f"{number}/{len(findings)}")
        self._write_briefly(findings[MOST_FINDINGS:])
        self._write_without_verdict(Result.INCONCLUSIVE)
        self._write_without_verdict(Result.SKIPPED)
        self._write_intent()
        self._write_section(lint_lines(self._report.lint))
        self._write_section(coverage_lines(self._report.unexercised))
        self._write_facts()

    def _line(self, text: str | Text = "", indent: int = 0, hang: int | None = None) -> None:
        """Print one paragraph inside its indentation; ``hang`` is the indentation of the lines after the first."""
        print_paragraph(self._console, text, indent, hang)

    def _write_headline(self) -> None:
        conclusion = conclude(self._report)
        self._line(
            Text.assemble((conclusion.value.upper(), CONCLUSION_STYLES[conclusion]), f"  {headline(self._report)}")
        )
        for line in opening_lines(self._report):
            self._line(Text(line, style="dim"))

    def _write_cause(self) -> None:
        lines = labelled_lines(self._report)
        if lines:
            self._line()
        for label, text in lines:
            self._labelled(label, text)

    def _write_intent(self) -> None:
        if self._report.intent:
            self._line()
            self._line(Text("The policies don't say what was meant, whatever enforces them:", style="bold"))
            print_findings(self._console, self._report.intent)

    def _write_section(self, lines: Iterable[str]) -> None:
        """A bold heading, the first of ``lines``, and the others below it, as far in as they begin; nothing at all
        without any.
        """
        for number, line in enumerate(lines):
            if number == 0:
                self._line()
                self._line(Text(line, style="bold"))
            else:
                text = line.lstrip()
                indent = 2 + len(line) - len(text)
                self._line(text, indent, indent + 2)

    def _write_matrix(self) -> None:
        names, label, remark = self._matrix_scope()
        if remark:
            self._line()
            self._line(remark)
        if not names:
            return
        position = {name: number for number, name in enumerate(names)}
        pairs: defaultdict[tuple[int, int], list[CellResult]] = defaultdict(list)
        for each in self._report.cells:
            row, column = position.get(label(each.cell.source)), position.get(label(each.cell.destination))
            if row is not None and column is not None:
                pairs[row, column].append(each)
        marks = {pair: mark(cells) for pair, cells in pairs.items()}
        grid = Grid(names, lambda row, column: marks.get((row, column), Mark.NONE))
        self._line()
        self._line("Observed, from rows to columns:")
        for line in grid_lines(grid, self._symbols, self._console.width):
            print_line(self._console, line)
        self._line()
        for line in legend_lines(grid.marks(), self._symbols, self._console.width):
            self._line(line)
        self._line(f"Ports: {ports_text([each.cell for each in self._report.cells], families=False)}")

    def _matrix_scope(self) -> tuple[list[str], Callable[[str], str], str]:
        """What the matrix shows: its names, the name under which an endpoint counts, and a remark on what that leaves
        out.
        """
        involved = {name for each in self._report.cells for name in (each.cell.source, each.cell.destination)}
        names = sorted(involved, key=lambda name: (self._position(name), name))
        if len(names) <= MOST_ENDPOINTS:
            return names, str, ""
        telling = [each.cell for each in self._report.cells if mark([each]).is_finding]
        if telling:
            counts = Counter(name for cell in telling for name in (cell.source, cell.destination))
            shown = sorted(counts, key=lambda name: (-counts[name], self._position(name)))[:MOST_ENDPOINTS]
            left = len(counts) - len(shown)
            remark = f"Only the {len(shown)} of {len(names)} endpoints that findings touch" + (
                f" most ({left} more)." if left else "."
            )
            return sorted(shown, key=self._position), str, remark
        groups = list(dict.fromkeys(namespace_of(name) for name in names))
        if len(groups) <= MOST_ENDPOINTS:
            return groups, namespace_of, f"{len(names)} endpoints, by namespace."
        return (
            [],
            str,
            f"{len(names)} endpoints in {len(groups)} namespaces: too many for a matrix; -o json has every connection.",
        )

    def _write_finding(self, finding: Finding, number: str) -> None:
        style = mark(finding.cells).value.style
        self._line()
        self._line(Text.assemble((f" {finding.kind.upper()} ", style), f" {number}  {finding.title}"))
        gathered = traffic(finding.cells, self._position, families=self._families)
        for each in gathered[:MOST_LINES_OF_A_FINDING]:
            self._write_traffic(each)
        if len(gathered) > MOST_LINES_OF_A_FINDING:
            self._line(
                f"{self._symbols.ellipsis} and {len(gathered) - MOST_LINES_OF_A_FINDING} more such lines; -o json "
                "has every connection",
                2,
            )
        for heading, lines in (
            ("expected by", finding.expected_by),
            ("advice", [finding.advice] if finding.advice else []),
        ):
            for position, line in enumerate(lines):
                self._labelled(heading if position == 0 else "", line)
        if finding.reproduce:
            self._line(Text("reproduce with", style="bold"), 2)
            print_line(self._console, finding.reproduce)

    def _write_briefly(self, findings: Sequence[Finding]) -> None:
        if not findings:
            return
        self._line()
        self._line(Text(f"And {pluralize(len(findings), 'more finding')}; -o json has each in full:", style="bold"))
        for finding in findings[:MOST_FINDINGS_IN_BRIEF]:
            self._line(f"{finding.kind.upper()}  {finding.title}: {pluralize(len(finding.cells), 'connection')}", 2, 6)
        if len(findings) > MOST_FINDINGS_IN_BRIEF:
            self._line(f"and {len(findings) - MOST_FINDINGS_IN_BRIEF} more", 2)

    def _write_traffic(self, each: Traffic) -> None:
        self._line(
            f"{self._names(each.sources)} {self._symbols.arrow} {self._names(each.destinations)}  {each.ports}", 2, 6
        )
        self._line(f"expected {each.expected}, observed {each.observed}", 6, 8)

    def _labelled(self, label: str, text: str) -> None:
        self._line(Text.assemble((f"{label:<13}", "bold"), text), 2, 15)

    def _names(self, names: Sequence[str]) -> str:
        return in_brief(names, MOST_NAMES)

    def _write_without_verdict(self, result: Result) -> None:
        cells = sorted(
            (each for each in self._report.cells if each.result is result),
            key=lambda each: cell_order(each.cell, self._position),
        )
        if not cells:
            return
        self._line()
        self._line(Text(f"{result.value.capitalize()}: {pluralize(len(cells), 'connection')}", style="bold"))
        reasons = by_reason(cells)
        for reason, group in list(reasons.items())[:MOST_REASONS]:
            pairs = list(dict.fromkeys((each.cell.source, each.cell.destination) for each in group))
            first = f"{pairs[0][0]} {self._symbols.arrow} {pairs[0][1]}"
            where = f"{first} and {pluralize(len(pairs) - 1, 'more pair')}" if len(pairs) > 1 else first
            self._line(f"{len(group)}  {in_words(reason)} ({where})", 2, 4)
        if len(reasons) > MOST_REASONS:
            rest = sum(map(len, list(reasons.values())[MOST_REASONS:]))
            more = pluralize(len(reasons) - MOST_REASONS, "more reason")
            self._line(f"and {pluralize(rest, 'connection')} for {more}; -o json has each", 2)

    def _write_facts(self) -> None:
        self._line()
        for fact in self._report.facts:
            self._line(fact)
        self._line(Text(timing(self._report), style="dim"))
        self._line(Text(origin(self._report.run_id, self._report.began), style="dim"))


def namespace_of(name: str) -> str:
    """The namespace in an endpoint's name, with a hint that it stands for all inside: ``prod/*``."""
    return f"{name.partition('/')[0]}/*"


def timing(report: Report) -> str:
    """How long the run took, as a whole and by phase, and how many attempts it made."""
    return (
        f"{pluralize(report.attempts, 'attempt')} in {sum(report.seconds.values()):.1f} s"
        + _phases(report.seconds.items())
        + _api(report)
    )


def _api(report: Report) -> str:
    if not report.api:
        return ""
    received, sent = (f"{report.api[name] / 1000:,.0f} kB" for name in ("received", "sent"))
    return f"; {report.api['calls']:,} API requests, {received} received, {sent} sent"


def _phases(seconds: Iterable[tuple[str, float]]) -> str:
    phases = ", ".join(f"{name} {duration:.1f}" for name, duration in seconds if duration >= SHORTEST_PHASE)
    return f" ({phases})" if phases else ""
