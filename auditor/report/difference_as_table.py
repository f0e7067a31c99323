"""A difference for people: what it comes to, then each connection that changes with the rule behind it."""

from __future__ import annotations

from typing import TextIO

from rich.text import Text

from auditor.policy.differences import ChangeKind
from auditor.report.conclusion import CONCLUSION_STYLES
from auditor.report.console import can_write, open_console, print_paragraph
from auditor.report.difference import (
    MOST_LINES,
    TITLES,
    ComparedClusters,
    headline,
    left_out,
    listed,
    others,
    ports_in_words,
    reasons,
)
from auditor.report.marks import EVERY_SYMBOL, Symbols


def render(compared: ComparedClusters, stream: TextIO) -> None:
    """Write ``compared`` to ``stream``."""
    console, conclusion = open_console(stream), compared.conclusion
    symbols = Symbols(plain=not can_write(stream, EVERY_SYMBOL))
    title = Text.assemble((conclusion.value.upper(), CONCLUSION_STYLES[conclusion]), f"  {headline(compared)}")
    print_paragraph(console, title, 0, 4)
    for kind in ChangeKind:
        changes = compared.of_kind(kind)
        if changes:
            print_paragraph(console, f"{TITLES[kind]}:")
        for change in changes[:MOST_LINES]:
            ends = f"{listed(change.sources)} {symbols.arrow} {listed(change.destinations)}"
            print_paragraph(console, f"{ends}  {ports_in_words(change)}", 2, 4)
            for line in reasons(change):
                print_paragraph(console, line, 6, 8)
        if more := left_out(compared, kind):
            print_paragraph(console, more, 2, 4)
    for line in others(compared):
        print_paragraph(console, line, 0, 4)
