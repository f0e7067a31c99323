"""The findings of an intent as Markdown: what was meant, what decides, and the change that mends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from auditor.model.intent import IntentFinding, IntentReport
from auditor.report.intent_as_table import MOST_GROUPS, group_in_words, headline
from auditor.report.markdown import code, heading, text, write_markdown


def render(report: IntentReport, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    write_markdown(_lines(report), stream)


def _lines(report: IntentReport) -> Iterator[str]:
    yield heading(report.conclusion.value, headline(report))
    yield ""
    yield from (f"- in doubt: policy {text(name)} is not evaluated" for name in report.unknown)
    yield from (f"- in doubt: {text(doubt)}" for doubt in report.doubts)
    yield from (f"- not checked: {text(str(each))}" for each in report.not_checked)
    for finding in report.findings:
        yield from finding_lines(finding)


def finding_lines(finding: IntentFinding) -> Iterator[str]:
    """One finding, with the change that mends it."""
    yield from ("", f"#### {text(f'{finding.kind}: {finding.title}')}", "")
    yield from (f"- {text(group_in_words(group))}" for group in finding.groups[:MOST_GROUPS])
    if len(finding.groups) > MOST_GROUPS:
        yield f"- {text(f'and {len(finding.groups) - MOST_GROUPS:,} more such groups; -o json has them all')}"
    yield from (f"- {text(line)}" for line in finding.because)
    if finding.change is not None:
        yield from ("", text(finding.change.title))
        if finding.change.yaml:
            yield from code(finding.change.yaml, "yaml")
