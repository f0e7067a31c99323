"""Lint for a person: the counts, then each finding with its place and what to write instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from auditor.lint.listing import listed
from auditor.model.lint import LintFinding, LintReport, Severity, Sorted
from auditor.model.words import pluralize
from auditor.report.conclusion import CONCLUSION_STYLES
from auditor.report.console import open_console, print_line, print_paragraph
from auditor.report.skipped import ignored_line

MANY = 20
"""From more findings than that on, a summary by check comes first, and not all are shown."""
MOST_SHOWN = 15
MOST_OF_A_CHECK = 5
STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.INFO: "bold cyan"}


def render(report: LintReport, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    console = open_console(stream)
    console.size = console.size  # asked for once, not for each of what may be 100,000 lines
    conclusion = report.conclusion
    print_paragraph(
        console, Text.assemble((conclusion.value.upper(), CONCLUSION_STYLES[conclusion]), f"  {headline(report)}")
    )
    for doubt in report.doubts:
        print_paragraph(console, f"in doubt: {doubt}", 0, 4)
    print_paragraph(console)
    shown = _print_summary(console, report) if _are_many(report) else report.sorted.findings
    for finding in shown:
        _print_finding(console, finding)
    if len(shown) < len(report.sorted.findings):
        more = len(report.sorted.findings) - len(shown)
        print_paragraph(console, f"{more:,} more: --full prints them, and -o json has them all")
    _print_suppressions(console, report.sorted)
    if report.sorted.findings:
        ids = dict.fromkeys(finding.check for finding in report.sorted.findings)
        print_paragraph(console, f"'audit lint --explain ID' says why each matters: {', '.join(ids)}")
    for line in report.not_checked:
        print_paragraph(console, f"not checked: {line}", 0, 4)


def _are_many(report: LintReport) -> bool:
    return len(report.sorted.findings) > MANY and not report.in_full


def _print_summary(console: Console, report: LintReport) -> Sequence[LintFinding]:
    """A line for each check, the gravest first. Returns the findings that are shown: some of each check, not many."""
    by_check: dict[str, list[LintFinding]] = {}
    for finding in report.sorted.findings:
        by_check.setdefault(finding.check, []).append(finding)
    width = max(map(len, by_check))
    for check, found in by_check.items():
        text = f"{found[0].severity:7}  {check:{width}}  {pluralize(len(found), 'finding')}"
        places = sum(finding.count for finding in found)
        print_line(console, text + (f" at {places:,} places" if places > len(found) else ""), 2)
    print_paragraph(console)
    each = MOST_OF_A_CHECK
    while sum(min(each, len(found)) for found in by_check.values()) > MOST_SHOWN and each > 1:
        each -= 1
    chosen = [finding for found in by_check.values() for finding in found[:each]]
    return chosen[:MOST_SHOWN]


def _print_finding(console: Console, finding: LintFinding) -> None:
    headline = f"{finding.severity} {finding.check}  {finding.place}"
    print_paragraph(console, headline, 0, 2, first_word=STYLES[finding.severity])
    print_paragraph(console, finding.message, 2, 4)
    if finding.others:
        print_paragraph(console, f"also {listed(list(map(str, finding.others)))}", 2, 4)
    for text in finding.instead.split("\n") if finding.instead else ():
        print_line(console, text, 4, style="dim")
    print_paragraph(console)


def _print_suppressions(console: Console, sorted_findings: Sorted) -> None:
    lines = [f"expired, suppresses nothing: {each}" for each in sorted_findings.expired]
    lines += [f"unused, remove it: {each}" for each in sorted_findings.unused]
    for line in lines:
        print_paragraph(console, line, 0, 4)
    if lines:
        print_paragraph(console)


def headline(report: LintReport) -> str:
    """The counts in one line."""
    counts = [pluralize(number, severity.value) for severity in Severity if (number := report.count(severity))]
    counts = [text.replace("infos", "info") for text in counts]
    suppressed = len(report.sorted.suppressed)
    return (
        f"{pluralize(report.policies, 'policy', 'policies')} of {report.subject}: "
        + (", ".join(counts) or "no finding")
        + (f"; {suppressed} suppressed" if suppressed else "")
        + (f"; ignored: {ignored}" if (ignored := ignored_line(report.left_out)) else "")
    )
