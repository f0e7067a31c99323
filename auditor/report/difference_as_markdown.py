"""A difference as Markdown, for a comment on a change: a table of each kind, with the rules behind each connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

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
from auditor.report.markdown import MOST_BYTES_OF_COMMENT, heading, table, text, write_markdown


def render(compared: ComparedClusters, stream: TextIO) -> None:
    """Write ``compared`` to ``stream``."""
    write_markdown(_lines(compared), stream, most_bytes=MOST_BYTES_OF_COMMENT)


def _lines(compared: ComparedClusters) -> Iterator[str]:
    yield heading(compared.conclusion.value, headline(compared))
    for kind in ChangeKind:
        changes = compared.of_kind(kind)
        if changes:
            yield from ("", f"### {text(TITLES[kind])}")
            yield from table(("from", "to", "ports", "why"), [_row(change) for change in changes[:MOST_LINES]])
        if more := left_out(compared, kind):
            yield from ("", text(more))
    more_lines = others(compared)
    if more_lines:
        yield ""
    yield from (f"- {text(line)}" for line in more_lines)


def _row(change: Change) -> tuple[str, ...]:
    why = "<br>".join(map(text, reasons(change)))
    return text(listed(change.sources)), text(listed(change.destinations)), text(ports_in_words(change)), why
