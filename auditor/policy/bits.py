"""Sets of small numbers held in Python ints: bit i stands for number i."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def bits(mask: int) -> Iterator[int]:
    """The numbers in ``mask``, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def mask_of(numbers: Iterable[int]) -> int:
    """The set of ``numbers``."""
    mask = 0
    for number in numbers:
        mask |= 1 << number
    return mask


def span(first: int, last: int) -> int:
    """The set of the numbers ``first`` to ``last``, both included; empty when last < first."""
    return ((1 << (last - first + 1)) - 1) << first if last >= first else 0
