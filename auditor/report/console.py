"""Where text for people goes: its width, whether it may have colour, and which characters it can carry.

Names in a report come from a cluster and are not trusted: nothing in them may reach a terminal as markup or as a
control sequence, or a CI system as a command. So nobody prints on a console but the functions here, which see to that.

Lint may have 20,000 findings to report, and rich takes a millisecond for each line: what goes by these functions is
written without it.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TextIO

from rich.cells import cell_len
from rich.console import COLOR_SYSTEMS, Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from auditor.model.printable import dangers, escape, printable

DEFAULT_WIDTH = 80
DEFAULT_HEIGHT = 25
MIN_WIDTH = 40
WORD = re.compile(r"\S+")


class _PlainConsole(Console):
    """A console that leaves it to its caller what a closed pipe means; rich would exit with the code for findings.

    It has no text but printable text, whatever prints: what goes by the functions of this module is printable before,
    and wrapped.
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
    """A console on ``stream``: coloured only on a terminal (and never with NO_COLOR), 80 columns wide elsewhere unless
    COLUMNS is set.

    What the stream's encoding lacks is written as a backslash escape.
    """
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    # Rich looks for the terminal's size again each time it is asked for either, unless it has been told both.
    width, height = (None, None) if stream.isatty() else (_columns(), DEFAULT_HEIGHT)
    return _PlainConsole(file=stream, width=width, height=height, highlight=False, markup=False, emoji=False)


def _columns() -> int:
    text = os.environ.get("COLUMNS", "")
    return max(MIN_WIDTH, int(text)) if text.isascii() and text.isdigit() else DEFAULT_WIDTH


@contextmanager
def held_back(console: Console) -> Iterator[Callable[[], bool]]:
    """What is printed meanwhile is written at the end. Yields what tells whether it has filled the terminal by now, if
    there is one.
    """
    stream, rows = console.file, console.height if console.is_terminal else None
    console.file = text = io.StringIO()
    try:
        yield lambda: rows is not None and text.getvalue().count("\n") >= rows
    finally:
        console.file = stream
    stream.write(text.getvalue())


def print_paragraph(
    console: Console, text: str | Text = "", indent: int = 0, hang: int | None = None, *, first_word: str = ""
) -> None:
    """Print ``text`` wrapped to the console's width: the first line indented by ``indent`` columns, the others by
    ``hang``. ``first_word`` is the style of the first word of a ``text`` without styles of its own.

    A word that is longer than a line stays whole, so that it can be copied. What can't be seen in ``text``, line ends
    too, is escaped.
    """
    hang = indent if hang is None else hang
    width = console.width
    widths = width - indent, width - hang
    lines: Iterable[str | Text]
    if isinstance(text, str) or console.color_system is None:
        plain = printable(text if isinstance(text, str) else text.plain)
        lines = [plain[begin:end].rstrip() for begin, end in pairwise((0, *_breaks(plain, *widths), len(plain)))]
    else:
        styled = _printable(text)
        lines = pieces = styled.divide(_breaks(styled.plain, *widths))
        for piece in pieces:
            piece.rstrip()
    margin = indent
    for line in lines:
        if isinstance(line, str) and not first_word:
            # A line may begin with what is a command only there.
            console.file.write(f"{' ' * margin if line else ''}{printable(line)}\n")
        else:
            print_line(console, line, margin if line else 0, first_word=first_word)
        margin, first_word = hang, ""


def print_section(console: Console, lines: Iterable[str]) -> None:
    """Print a bold heading, the first of ``lines``, and the others below it, as far in as they begin; nothing at all
    without any.
    """
    for number, line in enumerate(lines):
        if number == 0:
            print_paragraph(console)
            print_paragraph(console, Text(line, style="bold"))
        else:
            text = line.lstrip()
            indent = 2 + len(line) - len(text)
            print_paragraph(console, text, indent, indent + 2)


def print_line(console: Console, line: str | Text, margin: int = 0, *, style: str = "", first_word: str = "") -> None:
    """Print ``line`` behind ``margin`` columns as it is, however long, with what can't be seen in it escaped.

    ``first_word`` is the style of the first word of a ``line`` without styles of its own, and ``style`` that of the
    rest.
    """
    if isinstance(line, str) or console.color_system is None:
        plain = printable(line if isinstance(line, str) else line.plain)
        end = len(plain.partition(" ")[0]) if first_word else 0
        shown = _in_style(console, plain[:end], first_word) + _in_style(console, plain[end:], style)
    else:
        shown = _coloured(console, _printable(line))
    console.file.write(f"{' ' * margin}{shown}\n")


def _in_style(console: Console, text: str, style: str) -> str:
    """``text``, which is printable, with what makes ``console`` show it in ``style``."""
    if not style or console.color_system is None:
        return text
    found = console.get_style(style)
    return (found.without_color if console.no_color else found).render(
        text, color_system=COLOR_SYSTEMS[console.color_system]
    )


def print_above(console: Console, line: Text) -> None:
    """Print ``line`` above what rich keeps at the bottom of a terminal, such as a progress bar."""
    console.print(_printable(line), soft_wrap=True)


def _coloured(console: Console, line: Text) -> str:
    """``line`` with what makes ``console`` show its styles."""
    segments: Iterable[Segment] = (
        Text.assemble(line).render(console) if line.spans else [Segment(line.plain, console.get_style(line.style))]
    )
    if console.no_color:
        segments = Segment.remove_color(segments)
    system = COLOR_SYSTEMS[console.color_system or "standard"]
    shown = ((printable(text), style) for text, style, _ in segments)
    return "".join(style.render(text, color_system=system) if style else text for text, style in shown)


def _printable(text: Text) -> Text:
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
    if text.isascii():
        yield from _breaks_of_ascii(text, first_width, width)
        return
    begin, room = 0, first_width
    for word in WORD.finditer(text):
        start, end = word.span()
        if start > begin and cell_len(text[begin:end]) > room:
            begin, room = start, width
            yield begin


def _breaks_of_ascii(text: str, first_width: int, width: int) -> Iterator[int]:
    """The same for printable ``text`` of as many columns as characters: of each line only its end is looked at."""
    begin, room = 0, first_width
    while begin + room < len(text):
        at = max(begin + room, begin)
        start = text.rfind(" ", begin, at + 1) + 1
        if start <= begin or text[at] == " ":  # one word is all of this line, or no word reaches past its end
            gap = text.find(" ", at)
            word = WORD.search(text, gap) if gap >= 0 else None
            if word is None:
                return
            start = word.start()
        begin, room = start, width
        yield begin


def can_write(stream: TextIO, text: str) -> bool:
    """Whether the encoding of ``stream`` has every character of ``text``. A stream without an encoding
    takes anything.
    """
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
