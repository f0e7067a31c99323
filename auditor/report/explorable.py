"""A matrix that a page lets people explore: its endpoints in an order that shows blocks, and what is known of each
pair.

Rows and columns have one order: by namespace and, within it and among namespaces, each beside the one that is most
like it (a nearest-neighbour chain over rows and columns as bitsets; Behrisch et al., "Matrix Reordering Methods for
Table and Network Visualization", 2016). What many pairs have in common is written once: few pairs differ in more than
their names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditor.model.printable import printable
from auditor.model.snapshot import Endpoint
from auditor.report.marks import Mark

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
"""The digits of a number in a row: none of them means anything to HTML, to JSON or to a CI system."""


@dataclass(frozen=True, slots=True)
class Square:
    """What is known of one pair: its mark, and lines that say it in full."""

    mark: Mark
    lines: tuple[str, ...]


EMPTY = Square(Mark.NONE, ())


@dataclass(frozen=True, slots=True)
class Explorable:
    """``squares`` has the pairs of ``endpoints`` by their numbers; those that are not in it are EMPTY. ``words`` are
    what the marks mean.
    """

    endpoints: tuple[Endpoint, ...]
    squares: Mapping[tuple[int, int], Square]
    words: Mapping[Mark, str]

    def data(self) -> dict[str, Any]:
        """It as a value for JSON, as ``page/report.js`` reads it.

        ``ends`` are in the order in which they are shown, with the number of their row in ``rows``; a row has a number
        of a square for each end, ``width`` digits each.
        """
        order = in_blocks(self.endpoints, self.squares)
        numbers: dict[Square, int] = {EMPTY: 0}
        by_row: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        places = {number: place for place, number in enumerate(order)}
        for (row, column), square in self.squares.items():
            by_row[row].append((places[column], numbers.setdefault(square, len(numbers))))
        width = 1
        while len(ALPHABET) ** width < len(numbers):
            width += 1
        digits = [_digits(number, width) for number in range(len(numbers))]
        texts: dict[str, int] = {}
        row_of = []
        for row in order:
            line = [digits[0]] * len(order)
            for place, number in by_row[row]:
                line[place] = digits[number]
            row_of.append(texts.setdefault("".join(line), len(texts)))
        return {
            "ends": [_end(self.endpoints[number], row) for number, row in zip(order, row_of, strict=True)],
            "rows": list(texts),
            "width": width,
            "alphabet": ALPHABET,
            "marks": [
                {"name": mark.name.lower(), "symbol": mark.value.symbol, "words": words, "finding": mark.is_finding}
                for mark, words in self.words.items()
            ],
            "squares": [
                [
                    list(self.words).index(square.mark) if square.mark in self.words else -1,
                    *map(printable, square.lines),
                ]
                for square in numbers
            ],
        }


def _end(endpoint: Endpoint, row: int) -> list[object]:
    """Name, namespace (or kind), workload, node, and the number of the row."""
    group = endpoint.namespace or f"({endpoint.kind}s)"
    workload = endpoint.workload.rpartition("/")[2] if endpoint.workload else ""
    return [*map(printable, (endpoint.name, group, workload, endpoint.node)), row]


def _digits(number: int, width: int) -> str:
    text = ""
    for _ in range(width):
        number, digit = divmod(number, len(ALPHABET))
        text = ALPHABET[digit] + text
    return text


def in_blocks(endpoints: Sequence[Endpoint], squares: Mapping[tuple[int, int], Square]) -> list[int]:
    """The numbers of ``endpoints`` in the order in which those that are alike are neighbours, by namespace."""
    vectors = _vectors(len(endpoints), squares)
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for number, endpoint in enumerate(endpoints):
        groups[endpoint.namespace].append(number)
    together = dict.fromkeys(groups, 0)
    for name, members in groups.items():
        for member in members:
            together[name] |= vectors[member]
    inside = [name for name in groups if name]
    names = [*_chain(sorted(inside), together), *(name for name in groups if not name)]
    return [member for name in names for member in _chain(groups[name], dict(enumerate(vectors)))]


def _vectors(size: int, squares: Mapping[tuple[int, int], Square]) -> list[int]:
    """For each endpoint, which squares of its row and its column are open, or call for a look, as a set of bits."""
    vectors = [0] * size
    for (row, column), square in squares.items():
        if square.mark not in (Mark.DENIED, Mark.NONE, Mark.SKIPPED):
            vectors[row] |= 1 << column
            vectors[column] |= 1 << size + row
    return vectors


def _chain(keys: Sequence[Hashable], vectors: Mapping[Any, int]) -> list[Any]:
    """``keys``, the first of them first, then always the one that differs least from the one before it."""
    left = dict.fromkeys(keys)
    if not left:
        return []
    chain = [next(iter(left))]
    del left[chain[0]]
    while left:
        last = vectors[chain[-1]]
        nearest = min(left, key=lambda key: (vectors[key] ^ last).bit_count())
        chain.append(nearest)
        del left[nearest]
    return chain


def words_of(marks: Iterable[Mark], words: Mapping[Mark, str]) -> dict[Mark, str]:
    """What each of ``marks`` means, the worst first: ``words`` where they have it, else what every legend says."""
    found = set(marks)
    return {mark: words.get(mark, mark.value.meaning) for mark in Mark if mark in found and mark is not Mark.NONE}
