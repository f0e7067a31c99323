"""The report of a run as Markdown, for the summary of a CI job or a comment: the conclusion, the cause, the findings,
and what changed since earlier runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TextIO

from auditor.model.report import Finding, Report
from auditor.report.beside import sections_beside
from auditor.report.cause import labelled_lines, lint_lines, opening_lines, untested_lines
from auditor.report.conclusion import conclude
from auditor.report.headline import headline, origin
from auditor.report.intent_as_markdown import finding_lines
from auditor.report.lines import headed
from auditor.report.markdown import heading, section, table, text, write_markdown
from auditor.report.standing import comparison_lines

COLUMNS = ("finding", "what", "connections", "expected by", "reproduce with")


def render(report: Report, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    write_markdown(_lines(report), stream)


def _lines(report: Report) -> Iterator[str]:
    yield heading(conclude(report), headline(report))
    yield from _paragraph(opening_lines(report))
    told = labelled_lines(report)
    if told:
        yield ""
    yield from (f"- {f'**{text(label)}** ' if label else ''}{text(line)}" for label, line in told)
    if report.comparison is not None:
        yield from section(*headed(comparison_lines(report.comparison)))
    if report.findings:
        yield from ("", "### Findings")
        yield from table(COLUMNS, [_row(finding) for finding in report.findings])
    for lines in sections_beside(report):
        yield from section(*headed(lines))
    if report.intent:
        yield from ("", "### The policies don't say what was meant, whatever enforces them")
    for finding in report.intent:
        yield from finding_lines(finding)
    yield from section(*headed(untested_lines(report.policies)))
    yield from section(*headed(lint_lines(report.lint)))
    yield from section("Facts", report.facts)
    yield from _paragraph([origin(report.run_id, report.began)])


def _paragraph(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield from ("", text(line))


def _row(finding: Finding) -> tuple[str, ...]:
    command = f"<code>{text(finding.reproduce)}</code>" if finding.reproduce else ""
    expected = "<br>".join(map(text, finding.expected_by))
    return text(finding.kind.upper()), text(finding.title), f"{len(finding.cells):,}", expected, command
