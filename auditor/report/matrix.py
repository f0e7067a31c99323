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
    """Marks for rows and columns of one list of ``names``: ``mark_of(row, column)`` for positions in it.

    ``rows`` and ``columns`` are the positions that are shown, all of them when None. ``beside`` has a remark on each
    name, such as its node, shown between name and marks where the width allows it.
    """

    names: Sequence[str]
    mark_of: Callable[[int, int], Mark]
    rows: Sequence[int] | None = None
    columns: Sequence[int] | None = None
    beside: Sequence[str] = ()

    @property
    def shown_rows(self) -> Sequence[int]:
        """The positions of the names down the side."""
        return range(len(self.names)) if self.rows is None else self.rows

    @property
    def shown_columns(self) -> Sequence[int]:
        """The positions of the names along the top."""
        return range(len(self.names)) if self.columns is None else self.columns

    def marks(self) -> set[Mark]:
        """Every mark that occurs."""
        return {self.mark_of(row, column) for row in self.shown_rows for column in self.shown_columns}


@dataclass(frozen=True, slots=True)
class Matrix:
    """What a report shows as a matrix. ``grid`` is None where there is nothing to show, or too much; ``remark``, if not
    empty, says what is left out.
    """

    grid: Grid | None
    remark: str = ""


def namespace_of(name: str) -> str:
    """The namespace in an endpoint's name, with a hint that it stands for all inside: ``prod/*``."""
    return f"{name.partition('/')[0]}/*"


def grid_lines(grid: Grid, symbols: Symbols, width: int) -> list[Text]:
    """``grid`` as lines of at most ``width`` columns where that is possible, numbers along the top."""
    digits = len(str(len(grid.names)))
    columns = grid.shown_columns
    labels, places = _layout(grid, symbols, width - digits - 3)
    margin = " " * (digits + len(labels[0]) + 3) if labels else ""
    numbers = [str(column + 1).rjust(digits) for column in columns]
    tops = [_spread([number[digit] for number in numbers], places) for digit in range(digits)]
    lines = [Text(margin + top) for top in tops if top]
    for row, label in zip(grid.shown_rows, labels, strict=True):
        line = Text(f"{row + 1:>{digits}} {label}  ")
        cursor = 0
        for column, place in zip(columns, places, strict=True):
            shown = grid.mark_of(row, column)
            line.append(" " * (place - cursor))
            line.append(symbols.of(shown), style=shown.value.style)
            cursor = place + 1
        line.rstrip()
        lines.append(line)
    return lines


def _layout(grid: Grid, symbols: Symbols, room: int) -> tuple[list[str], list[int]]:
    """What stands before the marks of each row, all of one width, and the place of each column behind that."""
    names = [printable(grid.names[row]) for row in grid.shown_rows]
    longest = max(map(len, names), default=0)
    count = len(grid.shown_columns)
    places = [2 * column if 2 * count + longest <= room else column + column // GROUP for column in range(count)]
    taken = places[-1] + 1 if places else 0
    width = min(longest, max(SHORTEST_NAME, room - taken))
    labels = [f"{_shorten(name, width, symbols.ellipsis):<{width}}" for name in names]
    beside = [printable(grid.beside[row]) for row in grid.shown_rows] if grid.beside else []
    widest = max(map(len, beside), default=0)
    if widest and longest + 2 + widest + taken <= room:
        labels = [f"{label}  {remark:<{widest}}" for label, remark in zip(labels, beside, strict=True)]
    return labels, places


def legend_lines(grid: Grid, symbols: Symbols, width: int) -> list[Text]:
    """What stands below ``grid``: the columns that are no row, each with its number, then what each mark that occurs
    means, as many as fit on a line of ``width`` columns.
    """
    lines: list[Text] = []
    occurring = grid.marks()
    for shown in Mark:
        if shown not in occurring or shown is Mark.NONE:
            continue
        entry = Text.assemble((symbols.of(shown), shown.value.style), f" {shown.value.meaning}")
        if lines and len(lines[-1]) + 3 + len(entry) <= width:
            lines[-1].append("   ").append_text(entry)
        else:
            lines.append(entry)
    return [*_other_columns(grid), *lines]


def _other_columns(grid: Grid) -> list[Text]:
    rows = set(grid.shown_rows)
    others = [f"{column + 1}={grid.names[column]}" for column in grid.shown_columns if column not in rows]
    return [Text(f"Columns: {', '.join(others)}")] if others else []


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
