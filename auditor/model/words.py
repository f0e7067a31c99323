"""Numbers in sentences, the same in every layer."""

from __future__ import annotations


def pluralize(number: int, one: str, several: str = "") -> str:
    """``1 cell``, ``2 cells``, ``1,200 policies``; ``several`` where the plural isn't made by an s."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
