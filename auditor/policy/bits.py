"""Sets of small numbers held in Python ints: bit i stands for number i."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

WORD = 64


def bits(mask: int) -> Iterator[int]:
    """The numbers in ``mask``, ascending.

    Goes word by word, since every step on a long int takes time in proportion to its length.
    """
    words = memoryview(mask.to_bytes(-(-mask.bit_length() // WORD) * WORD // 8, sys.byteorder)).cast("Q")
    for base, word in enumerate(words if sys.byteorder == "little" else reversed(words)):
        left = word
        while left:
            low = left & -left
            yield base * WORD + low.bit_length() - 1
            left ^= low


def mask_of(numbers: Iterable[int]) -> int:
    """The set of ``numbers``."""
    mask = 0
    for number in numbers:
        mask |= 1 << number
    return mask


def span(first: int, last: int) -> int:
    """The set of the numbers ``first`` to ``last``, both included; empty when last < first."""
    return ((1 << (last - first + 1)) - 1) << first if last >= first else 0
