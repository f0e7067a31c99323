"""The matrix of a report or of an expectation as lines of text: names down the side, their numbers along the top.

Thirty endpoints fit into 80 columns: columns carry numbers only, written downwards, and close up when there are many. A
caller with more endpoints groups them or leaves out the dull ones first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text

from auditor.model.printable import printable
from auditor.report.marks import Mark, Symbols

GROUP = 5
"""Columns that stand close together are set apart in groups of this many."""
SHORTEST_NAME = 12


@dataclass(frozen=True, slots=True)
class Grid:
    """A square of marks: ``mark_of(row, column)`` for the positions of ``names``."""

    names: Sequence[str]
    mark_of: Callable[[int, int], Mark]

    def marks(self) -> set[Mark]:
        """Every mark that occurs."""
        return {self.mark_of(row, column) for row in range(len(self.names)) for column in range(len(self.names))}


def grid_lines(grid: Grid, symbols: Symbols, width: int) -> list[Text]:
    """``grid`` as lines of at most ``width`` columns where that is possible, with a legend of the marks that occur."""
    count = len(grid.names)
    digits = len(str(count))
    names = [printable(name) for name in grid.names]
    longest = max(map(len, names), default=0)
    room = width - digits - 3
    wide = 2 * count + longest <= room
    places = [2 * column if wide else column + column // GROUP for column in range(count)]
    name_width = min(longest, max(SHORTEST_NAME, room - (places[-1] + 1 if places else 0)))
    margin = " " * (digits + name_width + 3)
    lines = [
        Text(margin + _spread([str(column + 1).rjust(digits)[digit] for column in range(count)], places))
        for digit in range(digits)
    ]
    for row, name in enumerate(names):
        line = Text(f"{row + 1:>{digits}} {_shorten(name, name_width, symbols.ellipsis):<{name_width}}  ")
        cursor = 0
        for column, place in enumerate(places):
            shown = grid.mark_of(row, column)
            line.append(" " * (place - cursor))
            line.append(symbols.of(shown), style=shown.value.style)
            cursor = place + 1
        line.rstrip()
        lines.append(line)
    return lines


def legend_lines(marks: set[Mark], symbols: Symbols, width: int) -> list[Text]:
    """What each of ``marks`` means, as many as fit on a line of ``width`` columns."""
    lines: list[Text] = []
    for shown in Mark:
        if shown not in marks or shown is Mark.NONE:
            continue
        entry = Text.assemble((symbols.of(shown), shown.value.style), f" {shown.value.meaning}")
        if lines and len(lines[-1]) + 3 + len(entry) <= width:
            lines[-1].append("   ").append_text(entry)
        else:
            lines.append(entry)
    return lines


def _spread(characters: Sequence[str], places: Sequence[int]) -> str:
    line = ""
    for character, place in zip(characters, places, strict=True):
        line = line.ljust(place) + character
    return line.rstrip()


def _shorten(name: str, width: int, ellipsis: str) -> str:
    """``name`` in at most ``width`` columns: its middle gives way, since both namespace and ordinal tell
    names apart.
    """
    if len(name) <= width:
        return name
    kept = width - len(ellipsis)
    return name[: kept // 2] + ellipsis + name[len(name) - (kept - kept // 2) :]
