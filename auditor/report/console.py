"""Where text for people goes: its width, whether it may have colour, and which characters it can carry.

Names in a report come from a cluster and are not trusted: nothing in them may reach a terminal as markup or as a control sequence.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

DEFAULT_WIDTH = 80
MIN_WIDTH = 40


class _PlainConsole(Console):
    """A console that leaves it to its caller what a closed pipe means; rich would exit with the code for findings."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def open_console(stream: TextIO) -> Console:
    """A console on ``stream``: coloured only on a terminal (and never with NO_COLOR), 80 columns wide elsewhere unless COLUMNS is set.

    What the stream's encoding lacks is written as a backslash escape.
    """
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    width = None if stream.isatty() else _columns()
    return _PlainConsole(file=stream, width=width, highlight=False, markup=False, emoji=False)


def _columns() -> int:
    text = os.environ.get("COLUMNS", "")
    return max(MIN_WIDTH, int(text)) if text.isascii() and text.isdigit() else DEFAULT_WIDTH


def print_paragraph(console: Console, text: str | Text = "", indent: int = 0, hang: int | None = None) -> None:
    """Print ``text`` wrapped to the console's width: the first line indented by ``indent`` columns, the others by ``hang``.

    A word that is longer than a line stays whole, so that it can be copied.
    """
    styled = Text(text) if isinstance(text, str) else text
    hang = indent if hang is None else hang
    margin = indent
    for line in styled.divide(_breaks(styled.plain, console.width - indent, console.width - hang)):
        line.rstrip()
        console.print(Text(" " * margin) + line if line else "", soft_wrap=True)
        margin = hang


def _breaks(text: str, first_width: int, width: int) -> Iterator[int]:
    """The offsets of the words of ``text`` that begin a new line."""
    begin, room = 0, first_width
    for word in re.finditer(r"\S+", text):
        if word.start() > begin and cell_len(text[begin : word.end()]) > room:
            begin, room = word.start(), width
            yield begin


def can_write(stream: TextIO, text: str) -> bool:
    """Whether the encoding of ``stream`` has every character of ``text``. A stream without an encoding takes anything."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def printable(text: str) -> str:
    """``text`` on one line, with every character that isn't printable written as an escape."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else character.encode("unicode_escape").decode() for character in text)
