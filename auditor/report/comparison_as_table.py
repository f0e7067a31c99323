"""A comparison for people: what it comes to, then each finding, then what else is different."""

from __future__ import annotations

from typing import TextIO

from rich.text import Text

from auditor.model.standing import Age, ComparedRuns
from auditor.model.words import pluralize
from auditor.report.conclusion import CONCLUSION_STYLES
from auditor.report.console import open_console, print_paragraph
from auditor.report.standing import comparison_lines


def render(runs: ComparedRuns, stream: TextIO) -> None:
    """Write ``runs`` to ``stream``."""
    console, conclusion = open_console(stream), runs.conclusion
    print_paragraph(
        console, Text.assemble((conclusion.value.upper(), CONCLUSION_STYLES[conclusion]), f"  {headline(runs)}")
    )
    for line in comparison_lines(runs.comparison):
        text = line.lstrip()
        indent = len(line) - len(text)
        print_paragraph(console, text, indent, indent + 2)
    if runs.comparison.changes:
        print_paragraph(console, "What else is different:")
    for line in runs.comparison.changes:
        print_paragraph(console, line, 2, 4)


def headline(runs: ComparedRuns) -> str:
    """The comparison in one sentence."""
    count = runs.comparison.of_age
    new = count(Age.NEW) + count(Age.EXPIRED)
    gone = sum(each.age is Age.GONE for each in runs.comparison.departed)
    parts = [f"{pluralize(new, 'finding')} new, {count(Age.KNOWN):,} known, {gone:,} gone"]
    if accepted := count(Age.ACCEPTED):
        parts.append(f"{accepted:,} accepted")
    if incomparable := count(Age.INCOMPARABLE):
        parts.append(f"{incomparable:,} not looked at in one of both")
    return "; ".join(parts)
