"""Lint for a person: the counts, then each finding with its place and what to write instead."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.text import Text

from auditor.model.lint import LintFinding, LintReport, Severity, Sorted
from auditor.model.words import pluralize
from auditor.report.conclusion import CONCLUSION_STYLES
from auditor.report.console import open_console, print_line, print_paragraph
from auditor.report.skipped import ignored_line

STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.INFO: "bold cyan"}


def render(report: LintReport, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    console = open_console(stream)
    console.size = console.size  # asked for once, not for each of what may be 100,000 lines
    conclusion = report.conclusion
    print_paragraph(
        console, Text.assemble((conclusion.value.upper(), CONCLUSION_STYLES[conclusion]), f"  {_headline(report)}")
    )
    for doubt in report.doubts:
        print_paragraph(console, f"in doubt: {doubt}", 0, 4)
    print_paragraph(console)
    for finding in report.sorted.findings:
        _print_finding(console, finding)
    _print_suppressions(console, report.sorted)
    if report.sorted.findings:
        ids = dict.fromkeys(finding.check for finding in report.sorted.findings)
        print_paragraph(console, f"'audit lint --explain ID' says why each matters: {', '.join(ids)}")


def _print_finding(console: Console, finding: LintFinding) -> None:
    headline = f"{finding.severity} {finding.check}  {finding.place}"
    print_paragraph(console, headline, 0, 2, first_word=STYLES[finding.severity])
    print_paragraph(console, finding.message, 2, 4)
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


def _headline(report: LintReport) -> str:
    counts = [pluralize(number, severity.value) for severity in Severity if (number := report.count(severity))]
    counts = [text.replace("infos", "info") for text in counts]
    suppressed = len(report.sorted.suppressed)
    return (
        f"{pluralize(report.policies, 'policy', 'policies')} of {report.subject}: "
        + (", ".join(counts) or "no finding")
        + (f"; {suppressed} suppressed" if suppressed else "")
        + (f"; ignored: {ignored}" if (ignored := ignored_line(report.left_out)) else "")
    )
