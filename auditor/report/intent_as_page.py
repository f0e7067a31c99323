"""The findings of an intent as a page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from auditor.model.intent import IntentFinding, IntentKind, IntentReport
from auditor.report.html_page import Article, Page, Section, write_page
from auditor.report.intent_as_table import MOST_GROUPS, group_in_words, headline


def render(report: IntentReport, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    doubts = [*(f"policy {name} is not evaluated" for name in report.unknown), *report.doubts]
    page = Page(
        title=f"{report.intent} against {report.subject}",
        conclusion=report.conclusion,
        headline=headline(report),
        before=[
            Section("Findings", articles=articles_of(report.findings)),
            Section("In doubt", doubts),
            Section("Not checked", list(map(str, report.not_checked))),
        ],
    )
    write_page(page, stream)


def articles_of(findings: Iterable[IntentFinding]) -> list[Article]:
    """An article for each finding, with the change that mends it."""
    return [_article(finding) for finding in findings]


def _article(finding: IntentFinding) -> Article:
    lines = [group_in_words(group) for group in finding.groups[:MOST_GROUPS]]
    if len(finding.groups) > MOST_GROUPS:
        lines.append(f"and {len(finding.groups) - MOST_GROUPS:,} more such groups; -o json has them all")
    labelled = [("because" if number == 0 else "", line) for number, line in enumerate(finding.because)]
    if finding.change is not None:
        labelled.append(("change", finding.change.title))
    code = finding.change.yaml if finding.change is not None else ""
    return Article(f"{finding.kind}: {finding.title}", lines, labelled, code, finding.kind is not IntentKind.EMPTY)
