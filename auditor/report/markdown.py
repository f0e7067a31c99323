"""Markdown as code hosts render it: texts from outside carry no markup, and tables and lists are cut where nobody would
read on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from auditor.model.printable import printable
from auditor.report.documents import write_text

MOST_ROWS = 50
MOST_BYTES = 900_000
"""GitHub shows a step's summary up to 1 MiB and refuses a longer one whole (docs.github.com, "Workflow commands")."""
MOST_BYTES_OF_COMMENT = 60_000
"""It refuses a comment of more than 65,536 characters."""
SPECIAL = {ord(character): f"\\{character}" for character in "\\`*_[]<>|#~&@!"}
"""What could become markup: names and labels come from files that anybody may have written."""
FENCES = re.compile(r"^\s*(`{3,})", re.MULTILINE)


def text(line: str) -> str:
    """``line`` as it is, whatever is in it."""
    return printable(line).translate(SPECIAL)


def heading(conclusion: str, headline: str) -> str:
    """The first line of a document."""
    return f"**{conclusion.upper()}** {text(headline)}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, most: int = MOST_ROWS) -> Iterator[str]:
    """A table of texts that are Markdown already, and how many rows are left out of it."""
    yield from ("", f"| {' | '.join(columns)} |", "|" + "---|" * len(columns))
    yield from (f"| {' | '.join(row)} |" for row in rows[:most])
    if len(rows) > most:
        yield from ("", text(f"and {len(rows) - most:,} more; -o json has them all"))


def section(title: str, lines: Sequence[str], *, most: int = MOST_ROWS) -> Iterator[str]:
    """A heading and a list of ``lines``, which are no Markdown; nothing without any."""
    if not lines:
        return
    yield from ("", f"### {text(title)}", "")
    yield from (f"- {text(line.strip())}" for line in lines[:most])
    if len(lines) > most:
        yield f"- {text(f'and {len(lines) - most:,} more; -o json has them all')}"


def code(lines: str, language: str = "") -> Iterator[str]:
    """``lines`` as a block, which nothing in them can end."""
    longest = max((len(fence) for fence in FENCES.findall(lines)), default=2)
    fence = "`" * (longest + 1)
    yield from ("", f"{fence}{language}", *map(printable, lines.rstrip("\n").split("\n")), fence)


def write_markdown(lines: Iterable[str], stream: TextIO, *, most_bytes: int = MOST_BYTES) -> None:
    """Write the document that ``lines`` make up, as much of it as a code host shows."""
    kept: list[str] = []
    size = 0
    for line in lines:
        size += len(line.encode(errors="backslashreplace")) + 1
        if size > most_bytes:
            kept += ["", text("The rest is left out here; -o json has everything.")]
            break
        kept.append(line)
    write_text("\n".join(kept), stream)
