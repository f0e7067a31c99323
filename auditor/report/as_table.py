"""The report for a person: the verdict first, then the matrix, then what is wrong, then everything else
worth knowing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from auditor.model.report import Finding, Report
from auditor.model.verdict import Result
from auditor.model.words import in_brief, pluralize
from auditor.report.beside import sections_beside
from auditor.report.cause import coverage_lines, labelled_lines, lint_lines, opening_lines, untested_lines
from auditor.report.closing import closing_lines
from auditor.report.conclusion import CONCLUSION_STYLES, conclude
from auditor.report.console import can_write, held_back, open_console, print_line, print_paragraph, print_section
from auditor.report.grouping import Traffic, by_reason, cell_order, in_words, ports_text, traffic
from auditor.report.headline import headline, origin
from auditor.report.intent_as_table import print_findings
from auditor.report.marks import EVERY_SYMBOL, Symbols, mark
from auditor.report.matrix import grid_lines, legend_lines
from auditor.report.run_matrix import matrix_of
from auditor.report.standing import comparison_lines

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
    _render(report, stream, wide=False)


def render_wide(report: Report, stream: TextIO) -> None:
    """Write ``report`` to ``stream`` with everything listed that it otherwise counts only."""
    _render(report, stream, wide=True)


def _render(report: Report, stream: TextIO, *, wide: bool) -> None:
    console = open_console(stream)
    table = _Table(report, console, Symbols(plain=not can_write(stream, EVERY_SYMBOL)), wide=wide)
    with held_back(console) as fills_the_terminal:
        table.tell()
        if fills_the_terminal():
            table.close()


class _Table:
    """One report on its way to one console."""

    def __init__(self, report: Report, console: Console, symbols: Symbols, *, wide: bool) -> None:
        self._report = report
        self._console = console
        self._symbols = symbols
        self._wide = wide
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
        in_full = self._most(MOST_FINDINGS)
        for number, finding in enumerate(findings[:in_full], 1):
            self._write_finding(finding, f"{number}/{len(findings)}")
        self._write_briefly(findings[in_full:] if in_full else [])
        for lines in sections_beside(self._report):
            self._write_section(lines)
        self._write_without_verdict(Result.INCONCLUSIVE)
        self._write_without_verdict(Result.SKIPPED)
        self._write_intent()
        self._write_section(lint_lines(self._report.lint))
        self._write_coverage()
        self._write_facts()

    def close(self) -> None:
        """Repeat in three lines what stands at the top, which has left the screen."""
        self._line()
        for label, text in closing_lines(self._report, self._console.width, self._symbols.ellipsis):
            style = CONCLUSION_STYLES[conclude(self._report)] if label.isupper() else "bold"
            print_line(self._console, Text.assemble((label, style), f"  {text}"))

    def _most(self, number: int) -> int | None:
        """How many of something are listed: ``number``, or all of them."""
        return None if self._wide else number

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
        print_section(self._console, lines)

    def _write_coverage(self) -> None:
        parts = self._report.unexercised
        if self._wide:
            self._write_section(coverage_lines(parts, most=None))
        elif parts:
            self._line()
            self._line(f"{next(coverage_lines(parts))}; -v lists them")

    def _write_matrix(self) -> None:
        shown = matrix_of(self._report)
        if shown.remark:
            self._line()
            self._line(shown.remark)
        if shown.grid is None:
            return
        self._line()
        self._line("Observed, from rows to columns:")
        for line in grid_lines(shown.grid, self._symbols, self._console.width):
            print_line(self._console, line)
        self._line()
        for line in legend_lines(shown.grid, self._symbols, self._console.width):
            self._line(line)
        self._line(f"Ports: {ports_text([each.cell for each in self._report.cells], families=False)}")

    def _write_finding(self, finding: Finding, number: str) -> None:
        style = mark(finding.cells).value.style
        self._line()
        self._line(Text.assemble((f" {finding.kind.upper()} ", style), f" {number}  {finding.title}"))
        gathered = traffic(finding.cells, self._position, families=self._families)
        most = self._most(MOST_LINES_OF_A_FINDING)
        for each in gathered[:most]:
            self._write_traffic(each)
        if most and len(gathered) > most:
            self._line(f"{self._symbols.ellipsis} and {len(gathered) - most} more such lines; -v lists them", 2)
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
        self._line(Text(f"And {pluralize(len(findings), 'more finding')}; -v shows each in full:", style="bold"))
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
        most = self._most(MOST_REASONS)
        for reason, group in list(reasons.items())[:most]:
            pairs = list(dict.fromkeys((each.cell.source, each.cell.destination) for each in group))
            first = f"{pairs[0][0]} {self._symbols.arrow} {pairs[0][1]}"
            where = f"{first} and {pluralize(len(pairs) - 1, 'more pair')}" if len(pairs) > 1 else first
            self._line(f"{len(group)}  {in_words(reason)} ({where})", 2, 4)
        if most and len(reasons) > most:
            rest = sum(map(len, list(reasons.values())[most:]))
            more = pluralize(len(reasons) - most, "more reason")
            self._line(f"and {pluralize(rest, 'connection')} for {more}; -v lists them", 2)

    def _write_facts(self) -> None:
        self._line()
        for fact in self._report.facts:
            self._line(fact)
        self._line(Text(timing(self._report), style="dim"))
        self._line(Text(origin(self._report.run_id, self._report.began), style="dim"))


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
