"""Sets of small numbers held in Python ints: bit i stands for number i."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from itertools import accumulate
from operator import and_, or_

WORD = 64
SPREAD = [bytes(octet >> place & 1 for place in range(8)) for octet in range(256)]
"""For each octet its bits, the lowest first, as octets of their own."""


def bits(mask: int) -> Iterator[int]:
    """The numbers in ``mask``, ascending.

    Goes word by word, since every step on a long int takes time in proportion to its length.
    """
    for base, word in enumerate(words_of(mask, -(-mask.bit_length() // WORD))):
        left = word
        while left:
            low = left & -left
            yield base * WORD + low.bit_length() - 1
            left ^= low


def words_of(mask: int, number: int) -> Sequence[int]:
    """``mask``, cut into ``number`` words of ``WORD`` bits, the lowest first."""
    words = memoryview(mask.to_bytes(number * WORD // 8, sys.byteorder)).cast("Q")
    return words if sys.byteorder == "little" else words[::-1]


def mask_of(numbers: Iterable[int]) -> int:
    """The set of ``numbers``."""
    mask = 0
    for number in numbers:
        mask |= 1 << number
    return mask


def union(masks: Iterable[int]) -> int:
    """What is in any of ``masks``."""
    return reduce(or_, masks, 0)


def octets_of(numbers: Iterable[int], size: int) -> int:
    """As ``mask_of``, for numbers below ``size``, in time proportional to ``size`` where there are many numbers."""
    octets = bytearray(size // 8 + 1)
    for number in numbers:
        octets[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(octets, "little")


def octet_columns(masks: Sequence[int], size: int) -> bytes:
    """For each number below ``size`` an octet that has bit i where ``masks[i]``, one of up to eight, has the number."""
    length = -(-size // 8)
    united = 0
    for place, mask in enumerate(masks):
        united |= int.from_bytes(b"".join(map(SPREAD.__getitem__, mask.to_bytes(length, "little"))), "little") << place
    return united.to_bytes(8 * length, "little")[:size]


def span(first: int, last: int) -> int:
    """The set of the numbers ``first`` to ``last``, both included; empty when last < first."""
    return ((1 << (last - first + 1)) - 1) << first if last >= first else 0


def without_each(
    masks: Sequence[int], start: int, join: Callable[[int, int], int] = and_, *, width: int = 1
) -> list[int]:
    """For each place of ``width`` neighbours among ``masks``: all other masks joined, and ``start``. Joined once, not
    once for each.
    """
    before = list(accumulate(masks, join, initial=start))
    after = list(accumulate(reversed(masks), join, initial=start))[::-1]
    return [join(before[place], after[place + width]) for place in range(len(masks) - width + 1)]


class RangeUnion:
    """Sets in a row, for the union of any neighbours among them."""

    def __init__(self, masks: Sequence[int]) -> None:
        self._size = len(masks)
        self._tree = [0] * self._size + list(masks)
        for node in reversed(range(1, self._size)):
            self._tree[node] = self._tree[2 * node] | self._tree[2 * node + 1]

    def of(self, first: int, after: int) -> int:
        """The union of those from ``first`` on, up to and without ``after``."""
        mask = 0
        first, after = first + self._size, after + self._size
        while first < after:
            if first & 1:
                mask |= self._tree[first]
                first += 1
            if after & 1:
                after -= 1
                mask |= self._tree[after]
            first, after = first >> 1, after >> 1
        return mask
