"""Many names in one sentence: the first few, and how many more there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

MOST_NAMES = 3


def listed(names: Sequence[str], most: int = MOST_NAMES) -> str:
    """``names`` in a sentence, the first of them where there are many."""
    return listed_first(names[: most + 1], len(names), most)


def listed_of(things: Sequence[T], name: Callable[[T], str]) -> str:
    """As ``listed``, for things of which only those that are listed are named."""
    return listed_first([name(each) for each in things[: MOST_NAMES + 1]], len(things))


def listed_first(names: Sequence[str], number: int, most: int = MOST_NAMES) -> str:
    """As ``listed`` for ``number`` names, of which the first ``most`` and one more are given."""
    if number <= most + 1:
        return " and ".join(filter(None, (", ".join(names[:-1]), names[-1] if names else "")))
    return f"{', '.join(names[:most])} and {number - most:,} more"
