"""Where text for people goes: its width, whether it may have colour, and which characters it can carry.

Names in a report come from a cluster and are not trusted: nothing in them may reach a terminal as markup or as a control sequence, or a CI
system as a command. So nobody prints on a console but the two functions here, which see to that.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from auditor.model.printable import dangers, escape, printable

DEFAULT_WIDTH = 80
MIN_WIDTH = 40


class _PlainConsole(Console):
    """A console that leaves it to its caller what a closed pipe means; rich would exit with the code for findings.

    It has no text but printable text, whoever prints: what goes by the functions of this module is printable before, and wrapped.
    """

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text == "\n":
                yield segment
            else:
                yield Segment("\n".join(map(printable, segment.text.split("\n"))), segment.style)


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

    A word that is longer than a line stays whole, so that it can be copied. What can't be seen in ``text``, line ends too, is escaped.
    """
    hang = indent if hang is None else hang
    if console.color_system is None:
        _write_paragraph(console, printable(text if isinstance(text, str) else text.plain), indent, hang)
        return
    styled = _printable(text)
    margin = indent
    for line in styled.divide(_breaks(styled.plain, console.width - indent, console.width - hang)):
        line.rstrip()
        print_line(console, Text(" " * margin) + line if line else "")
        margin = hang


def print_line(console: Console, line: str | Text) -> None:
    """Print ``line`` as it is, however long, with what can't be seen in it escaped."""
    if console.color_system is None:
        console.file.write(printable(line if isinstance(line, str) else line.plain) + "\n")
    else:
        console.print(_printable(line), soft_wrap=True)


def _write_paragraph(console: Console, text: str, indent: int, hang: int) -> None:
    """``print_paragraph`` without colours. Lint may have 20,000 findings to tell, for which rich takes half a minute."""
    begin, margin = 0, indent
    for end in (*_breaks(text, console.width - indent, console.width - hang), len(text)):
        line = text[begin:end].rstrip()
        console.file.write(f"{' ' * margin}{line}\n" if line else "\n")
        begin, margin = end, hang


def _printable(text: str | Text) -> Text:
    if isinstance(text, str):
        return Text(printable(text))
    places = [place for danger in dangers(text.plain) for place in danger]
    if not places:
        return text
    pieces = list(text.divide(places))
    pieces[1::2] = [_escaped(piece) for piece in pieces[1::2]]
    return Text(style=text.style).join(pieces)


def _escaped(piece: Text) -> Text:
    """The escape for the one character of ``piece``, in its style."""
    escaped = Text(escape(piece.plain), style=piece.style)
    for span in piece.spans:
        escaped.stylize(span.style)
    return escaped


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
