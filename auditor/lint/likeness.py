"""Which of many words are a given one but for a slip of the pen, in about the time of a few comparisons."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

ALIKE = 0.75
"""Below this share of common letters (difflib's ratio) nothing is looked at more closely."""
WIDTH = 64
"""Bits for each letter; longer words are compared letter by letter at once."""
MOST_LOOKED_AT = 3_000_000
MOST_COMPARED = 20_000
"""How much is done in one life; what comes later is like nothing."""
SEPARATORS = re.compile(r"[-_.]")
SHORTEST = 4
"""In shorter parts of a word every letter tells things apart: ``api`` and ``app``, ``mon`` and ``mgr``."""


def is_slip(one: str, other: str) -> bool:
    """Whether the two are one word but for its separators and case, or for one letter in one of its parts: added, left
    out, another, or changed places with the next. ``cart-db`` and ``carts-db``, not ``ceph-mon`` and ``ceph-mgr``.
    """
    parts, others = SEPARATORS.split(one.lower()), SEPARATORS.split(other.lower())
    if "".join(parts) == "".join(others):
        return True
    differing = [pair for pair in zip(parts, others, strict=False) if pair[0] != pair[1]]
    return len(parts) == len(others) and len(differing) == 1 and _one_letter_apart(*differing[0])


def _one_letter_apart(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    if len(short) < SHORTEST or len(long) > len(short) + 1:
        return False
    first = next((place for place, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    rest, other_rest = short[first:], long[first:]
    if len(short) < len(long):
        return rest == other_rest[1:]
    return rest[1:] == other_rest[1:] or (rest[:2] == other_rest[1::-1] and rest[2:] == other_rest[2:])


class Likeness:
    """Words for which others are held against them."""

    def __init__(self, words: Iterable[str]) -> None:
        self._letters: dict[str, int] = {}
        self._words = [(word, len(word), self._letters_of(word)) for word in words]
        self._found: dict[str, Sequence[str]] = {}
        self._looked_at = self._compared = 0

    def like(self, word: str) -> Sequence[str]:
        """The words that are ``word`` but for a slip of the pen, and not ``word`` itself."""
        if word not in self._found:
            self._found[word] = self._find(word)
        return self._found[word]

    def _find(self, word: str) -> Sequence[str]:
        if self._looked_at >= MOST_LOOKED_AT:
            return ()
        self._looked_at += len(self._words)
        letters, length = self._letters_of(word), len(word)
        found = []
        matcher: SequenceMatcher[str] = SequenceMatcher(autojunk=False)
        matcher.set_seq2(word)
        for other, size, of_other in self._words:
            least = ALIKE * (length + size) / 2
            if (
                min(length, size) < least
                or (size <= WIDTH and (letters & of_other).bit_count() < least)
                or other == word
            ):
                continue
            if self._compared >= MOST_COMPARED:
                break
            self._compared += 1
            matcher.set_seq1(other)
            if matcher.ratio() >= ALIKE and is_slip(word, other):
                found.append(other)
        return found

    def _letters_of(self, word: str) -> int:
        """How often each letter is there, as that many ones in its place."""
        mask = 0
        for letter, number in Counter(word).items():
            place = self._letters.setdefault(letter, len(self._letters)) * WIDTH
            mask |= ((1 << min(number, WIDTH)) - 1) << place
        return mask
