"""A difference as Markdown, for a comment on a change: a table of each kind, with the rules behind each connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from auditor.model.printable import printable
from auditor.policy.differences import Change, ChangeKind
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
from auditor.report.documents import write_text

SPECIAL = {ord(character): f"\\{character}" for character in "\\`*_[]<>|#~&@!"}
"""What could become markup: names and labels come from files that anybody may have written."""


def render(compared: ComparedClusters, stream: TextIO) -> None:
    """Write ``compared`` to ``stream``."""
    write_text("\n".join(_lines(compared)), stream)


def _lines(compared: ComparedClusters) -> Iterator[str]:
    yield f"**{compared.conclusion.value.upper()}** {_text(headline(compared))}"
    for kind in ChangeKind:
        changes = compared.of_kind(kind)
        if changes:
            yield from ("", f"### {_text(TITLES[kind])}", "", "| from | to | ports | why |", "|---|---|---|---|")
        yield from map(_row, changes[:MOST_LINES])
        if more := left_out(compared, kind):
            yield from ("", _text(more))
    more_lines = others(compared)
    if more_lines:
        yield ""
    yield from (f"- {_text(line)}" for line in more_lines)


def _row(change: Change) -> str:
    why = "<br>".join(map(_text, reasons(change)))
    cells = (_text(listed(change.sources)), _text(listed(change.destinations)), _text(ports_in_words(change)), why)
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    return printable(text).translate(SPECIAL)
