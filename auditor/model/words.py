"""Numbers and lists in sentences, and names that are free, the same in every layer."""

from __future__ import annotations

from collections.abc import Container, Sequence


def pluralize(number: int, one: str, several: str = "") -> str:
    """``1 cell``, ``2 cells``, ``1,200 policies``; ``several`` where the plural isn't made by an s."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def in_brief(names: Sequence[object], most: int) -> str:
    """``a, b and 3 more``: the first ``most`` of ``names``, and how many there are beside them."""
    more = len(names) - most
    return ", ".join(map(str, names[:most])) + (f" and {more:,} more" if more > 0 else "")


def unused_name(wanted: str, taken: Container[str]) -> str:
    """``wanted``, with a number after it where that is ``taken``."""
    called, number = wanted, 2
    while called in taken:
        called, number = f"{wanted}-{number}", number + 1
    return called
