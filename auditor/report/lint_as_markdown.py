"""Lint as Markdown: the counts, then a table of the findings, the gravest first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from auditor.model.lint import LintFinding, LintReport
from auditor.model.words import pluralize
from auditor.report.lint_as_table import headline
from auditor.report.markdown import heading, section, table, text, write_markdown


def render(report: LintReport, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    write_markdown(_lines(report), stream)


def _lines(report: LintReport) -> Iterator[str]:
    yield heading(report.conclusion.value, headline(report))
    findings = report.sorted.findings
    if findings:
        yield from table(("severity", "check", "where", "finding"), [_row(finding) for finding in findings])
    yield from section("Suppressions that no longer hold", list(map(str, report.sorted.expired)))
    yield from section("Suppressions that suppress nothing", list(map(str, report.sorted.unused)))
    yield from section("In doubt", report.doubts)
    yield from section("Not checked", report.not_checked)


def _row(finding: LintFinding) -> tuple[str, ...]:
    more = f" and {pluralize(len(finding.others), 'more place')}" if finding.others else ""
    return text(finding.severity), text(finding.check), text(f"{finding.place}{more}"), text(finding.message)
