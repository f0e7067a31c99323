"""JSON as plain Python values, with the lines of those parts that somebody asks for.

The json module is fast and keeps no lines. Few parts of a large file are ever spoken of, so a part's line is found by
walking to it, and what lies beside the way is skipped by the same fast decoder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import accumulate
from json.decoder import scanstring  # type: ignore[attr-defined]
from sys import intern
from typing import Any, TypeAlias

from auditor.model.errors import Problem
from auditor.parsing.paths import DEEPEST, Doubt, Parsed, Path, Step, key_twice, show_path, too_deep

SPACE = re.compile(r"[ \t\r\n]*")
BETWEEN = re.compile(r"[ \t\r\n,:]*")
"""What may stand between the keys and values of a valid JSON text."""
SKIP_VALUE = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
CLOSING = {"{": "}", "[": "]"}
Scan: TypeAlias = Callable[[str, int], tuple[Any, int]]
"""Gives the value that stands at an offset of a text, and where it ends."""
STRETCH = 1 << 11
"""Line breaks are counted up to the end of each stretch of this many characters."""


def looks_like_json(text: str) -> bool:
    """Whether ``text`` starts as JSON objects and lists do; YAML can start so, too."""
    return text[SPACE.match(text).end() :][:1] in ("{", "[")  # type: ignore[union-attr]


def read_json(name: str, text: str) -> tuple[list[Parsed], list[Problem]]:
    """The documents in ``text``, one or several after each other, and what is wrong. Raises JSONDecodeError when it is
    no JSON.
    """
    twice = False

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        made = {intern(key): value for key, value in pairs}
        if len(made) != len(pairs):
            twice = True
            made = dict(reversed(pairs))
        return made

    decoder = json.JSONDecoder(object_pairs_hook=mapping)
    places = _Places(text)
    documents: list[Parsed] = []
    at = places.skip(0)
    while at < len(text):
        try:
            value, end = places.read(at, decoder.scan_once) or decoder.raw_decode(text, at)  # type: ignore[attr-defined]
        except RecursionError:
            return documents, [Problem(too_deep(), name, places.line(at))]
        doubts = list(places.doubtful(name, at)) if twice else []
        twice = False
        documents.append(Parsed(value, lambda path, root=at: places.find(root, path), doubts))  # type: ignore[misc]
        at = places.skip(end)
    return documents, []


def _after(text: str, wanted: str, at: int) -> int:
    """The offset after the character ``wanted``, which must stand at ``at``, else ValueError."""
    if text[at] != wanted:
        raise ValueError(at)
    return at + 1


class _Places:
    """Where the parts of a JSON text, known to be valid, stand. Offsets count characters."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._known: dict[int, dict[Step, tuple[int, int]]] = {}

    def skip(self, at: int) -> int:
        """The offset of what follows the white space at ``at``."""
        return SPACE.match(self._text, at).end()  # type: ignore[union-attr]

    def line(self, at: int) -> int:
        """The line of the character at ``at``, counted from 1."""
        stretch = at // STRETCH
        return self._breaks_before[stretch] + self._text.count("\n", stretch * STRETCH, at) + 1

    @cached_property
    def _breaks_before(self) -> list[int]:
        """How many lines end before each stretch of the text."""
        starts = range(0, len(self._text), STRETCH)
        return list(accumulate((self._text.count("\n", start, start + STRETCH) for start in starts), initial=0))

    @cached_property
    def _has_several_lines(self) -> bool:
        return "\n" in self._text

    def read(self, at: int, scan: Scan) -> tuple[dict[str, Any], int] | None:
        """The mapping at ``at`` and where it ends, by ``scan``, which reads a value. Where its members and the items of
        its lists stand is known then: a List's are asked for often. None for anything else, and for what is no JSON or
        has a key twice.
        """
        if self._text[at] != "{":
            return None

        def value(text: str, at: int) -> tuple[Any, int]:
            return self._members(at, scan) if text[at] == "[" else scan(text, at)

        try:
            read, end = self._members(at, value)
        except (ValueError, IndexError, StopIteration):
            return None
        known = self._known[at]
        if len(known) < len(read):
            return None
        return {str(key): value for key, value in zip(known, read, strict=True)}, end

    def _members(self, at: int, scan: Scan) -> tuple[list[Any], int]:
        """The values in the mapping or list at ``at``, and where that ends; remembers where they stand. Raises
        ValueError, IndexError or StopIteration where it is no JSON.
        """
        text, skip, closing = self._text, self.skip, CLOSING[self._text[at]]
        known: dict[Step, tuple[int, int]] = {}
        self._known[at] = known
        values: list[Any] = []
        at = skip(at + 1)
        while text[at] != closing or values:
            stands, key = at, len(values)
            if closing == "}":
                key, at = scanstring(text, _after(text, '"', at))
                at = skip(_after(text, ":", skip(at)))
            known[key] = (stands, at)
            value, at = scan(text, at)
            values.append(value)
            at = skip(at)
            if text[at] == closing:
                break
            at = skip(_after(text, ",", at))
        return values, at + 1

    def find(self, root: int, path: Path) -> int:
        """The line of the part at ``path`` below the value at ``root``, or of the nearest part above."""
        stands, value = root, root
        for step in path if self._has_several_lines else ():
            if value not in self._known:
                self._known[value] = {known: (stood, at) for known, stood, at in self._parts(value)}
            if step not in self._known[value]:
                break
            stands, value = self._known[value][step]
        return self.line(stands)

    def doubtful(self, name: str, root: int) -> Iterator[Doubt]:
        """A doubt for each key that a mapping below ``root`` has twice."""
        left: list[tuple[int, Path]] = [(root, ())]
        while left:
            at, path = left.pop()
            if len(path) > DEEPEST:
                yield Doubt(path, Problem(too_deep(), name, self.line(at)))
                return
            first: dict[Step, int] = {}
            for step, stands, value in self._parts(at):
                if step in first:
                    said = key_twice(str(step), self.line(first[step]))
                    whole = (*path, step)
                    yield Doubt(whole, Problem(said, name, self.line(stands), show_path(whole)))
                first.setdefault(step, stands)
                left.append((value, (*path, step)))

    def _parts(self, at: int) -> list[tuple[Step, int, int]]:
        """Of each part of the mapping or list at ``at``: its key or number, where that stands, and where the value
        does.
        """
        text, between = self._text, BETWEEN.match
        opening = text[at]
        parts: list[tuple[Step, int, int]] = []
        if opening not in "{[":
            return parts
        at = between(text, at + 1).end()  # type: ignore[union-attr]
        while text[at] not in "}]":
            stands = at
            key: Step = len(parts)
            if opening == "{":
                key, at = scanstring(text, at + 1)
                at = between(text, at).end()  # type: ignore[union-attr]
            parts.append((key, stands, at))
            at = between(text, SKIP_VALUE(text, at)[1]).end()  # type: ignore[union-attr]
        return parts
