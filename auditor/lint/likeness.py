"""Which of many words are written much like a given one, in about the time that it takes to compare with a few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

ALIKE = 0.75
"""From this share of common letters on (difflib's ratio) two words are one with a slip of the pen."""
WIDTH = 64
"""Bits for each letter; longer words are compared letter by letter at once."""
MOST_LOOKED_AT = 3_000_000
MOST_COMPARED = 20_000
"""How much is done in one life; what comes later is like nothing."""


class Likeness:
    """Words for which others are held against them."""

    def __init__(self, words: Iterable[str]) -> None:
        self._letters: dict[str, int] = {}
        self._words = [(word, len(word), self._letters_of(word)) for word in words]
        self._found: dict[str, Sequence[str]] = {}
        self._looked_at = self._compared = 0

    def like(self, word: str) -> Sequence[str]:
        """The words that are written much like ``word``, and not ``word`` itself."""
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
            if matcher.ratio() >= ALIKE:
                found.append(other)
        return found

    def _letters_of(self, word: str) -> int:
        """How often each letter is there, as so many ones in its place."""
        mask = 0
        for letter, number in Counter(word).items():
            place = self._letters.setdefault(letter, len(self._letters)) * WIDTH
            mask |= ((1 << min(number, WIDTH)) - 1) << place
        return mask
