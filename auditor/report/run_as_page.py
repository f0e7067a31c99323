"""The report of a run as a page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from auditor.model.report import CellResult, Finding, Report
from auditor.model.verdict import Result
from auditor.report.beside import sections_beside
from auditor.report.cause import coverage_lines, labelled_lines, lint_lines, opening_lines, untested_lines
from auditor.report.conclusion import conclude
from auditor.report.explorable import Explorable, Square, words_of
from auditor.report.grouping import by_reason, expectation, in_words, observation, ports_text, traffic
from auditor.report.headline import headline, origin
from auditor.report.html_page import Article, Page, Section, write_page
from auditor.report.intent_as_page import articles_of
from auditor.report.lines import headed
from auditor.report.marks import mark
from auditor.report.standing import comparison_lines

MOST_LINES = 50
GRAVE = (Result.LEAK, Result.OUTAGE, Result.MISDELIVERED)


def render(report: Report, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    page = Page(
        title=report.subject,
        conclusion=conclude(report),
        headline=headline(report),
        remarks=opening_lines(report),
        labelled=labelled_lines(report),
        before=list(_before(report)),
        explorable=explorable(report),
        matrix_title="Observed, from rows to columns",
        after=[
            section_of(coverage_lines(report.unexercised)),
            section_of(lint_lines(report.lint)),
            Section("Facts", report.facts),
        ],
        origin=origin(report.run_id, report.began),
    )
    write_page(page, stream)


def section_of(lines: Iterable[str]) -> Section:
    """A section whose title is the first of ``lines``."""
    title, rest = headed(lines)
    return Section(title, [line.strip() for line in rest])


def _before(report: Report) -> Iterator[Section]:
    positions = {endpoint.name: number for number, endpoint in enumerate(report.endpoints)}
    families = len({each.cell.family for each in report.cells}) > 1
    articles = []
    for finding in report.findings:
        gathered = traffic(finding.cells, lambda name: positions.get(name, len(positions)), families=families)
        lines = [
            f"{', '.join(each.sources)} → {', '.join(each.destinations)} {each.ports}: expected {each.expected}, "
            f"observed {each.observed}"
            for each in gathered[:MOST_LINES]
        ]
        if len(gathered) > MOST_LINES:
            lines.append(f"and {len(gathered) - MOST_LINES:,} more such lines; the matrix below has them all")
        articles.append(_article(finding, lines))
    yield Section("Findings", articles=articles)
    yield from map(section_of, sections_beside(report))
    if report.comparison is not None:
        yield section_of(comparison_lines(report.comparison))
    yield section_of(untested_lines(report.policies))
    yield Section("The policies don't say what was meant, whatever enforces them", articles=articles_of(report.intent))
    without = [each for each in report.cells if each.result is Result.INCONCLUSIVE]
    yield Section("No verdict", [f"{len(cells):,}: {in_words(reason)}" for reason, cells in by_reason(without).items()])


def _article(finding: Finding, lines: Sequence[str]) -> Article:
    labelled = [("expected by" if number == 0 else "", line) for number, line in enumerate(finding.expected_by)]
    if finding.advice:
        labelled.append(("advice", finding.advice))
    title = f"{finding.kind.upper()}: {finding.title}"
    return Article(title, lines, labelled, finding.reproduce, finding.kind in GRAVE)


def explorable(report: Report) -> Explorable | None:
    """The matrix of what was observed; None where nothing was tried."""
    if not report.cells:
        return None
    involved = {name for each in report.cells for name in (each.cell.source, each.cell.destination)}
    endpoints = tuple(endpoint for endpoint in report.endpoints if endpoint.name in involved)
    numbers = {endpoint.name: number for number, endpoint in enumerate(endpoints)}
    families = len({each.cell.family for each in report.cells}) > 1
    pairs: defaultdict[tuple[int, int], list[CellResult]] = defaultdict(list)
    for each in report.cells:
        if each.cell.source in numbers and each.cell.destination in numbers:
            pairs[numbers[each.cell.source], numbers[each.cell.destination]].append(each)
    squares = {pair: Square(mark(cells), tuple(_lines(cells, families=families))) for pair, cells in pairs.items()}
    return Explorable(endpoints, squares, words_of((square.mark for square in squares.values()), {}))


def _lines(cells: Sequence[CellResult], *, families: bool) -> Iterator[str]:
    alike: dict[tuple[str, str], list[CellResult]] = {}
    for each in cells:
        alike.setdefault((expectation(each), observation(each.observation)), []).append(each)
    for (expected, observed), same in alike.items():
        ports = ports_text([each.cell for each in same], families=families)
        yield f"{ports}: expected {expected}, observed {observed}"
