"""Typed access to the fields of a decoded object; whatever is not as it must be becomes a problem, and
reading goes on.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from auditor.model.errors import Problem
from auditor.parsing.documents import Document
from auditor.parsing.paths import Path

TYPE_NAMES: Mapping[type, str] = {
    dict: "a mapping",
    list: "a list",
    str: "text",
    bool: "a boolean",
    int: "a whole number",
    float: "a number",
    type(None): "null",
}


class Fields:
    """One mapping inside a document, at ``path``.

    Getters return None, or something empty, for what is absent, null or wrong; what is wrong is noted in ``problems``,
    which all parts of a document share.
    """

    __slots__ = ("document", "path", "problems", "value")

    def __init__(self, document: Document, problems: list[Problem], path: Path, value: Mapping[str, Any]) -> None:
        self.document = document
        self.problems = problems
        self.path = path
        self.value = value

    @property
    def line(self) -> int:
        return self.document.lines(self.path)

    def note(self, message: str, *steps: str | int) -> None:
        """Note a problem with the part at ``steps`` below."""
        self.problems.append(self.document.problem((*self.path, *steps), message))

    def _typed(self, key: str, kind: type) -> Any:
        value = self.value.get(key)
        if value is None or type(value) is kind:
            return value
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.wrong_type(value, kind, key)
            return None
        return value

    def wrong_type(self, value: object, kind: type, *steps: str | int) -> None:
        """Note that ``value`` is not of ``kind``."""
        found = TYPE_NAMES[type(value)]
        hint = ""
        if kind is str and isinstance(value, (bool, int, float)):
            hint = ": quote it"
        elif kind is int and isinstance(value, str) and value.isdigit():
            hint = ": remove the quotes"
        elif kind is int and isinstance(value, float):
            found = f"{value}"
        self.note(f"must be {TYPE_NAMES[kind]}, not {found}{hint}", *steps)

    def text(self, key: str) -> str | None:
        value: str | None = self._typed(key, str)
        return value

    def number(self, key: str) -> int | None:
        value: int | None = self._typed(key, int)
        return value

    def flag(self, key: str) -> bool:
        return bool(self._typed(key, bool))

    def map(self, key: str) -> Fields | None:
        """The mapping at ``key``; None when it is absent or null."""
        value = self._typed(key, dict)
        return None if value is None else Fields(self.document, self.problems, (*self.path, key), value)

    def section(self, key: str) -> Fields:
        """The mapping at ``key``, an empty one when it is absent or null."""
        return self.map(key) or Fields(self.document, self.problems, (*self.path, key), {})

    def items(self, key: str) -> list[Any]:
        """The list at ``key``, empty when it is absent or null."""
        return self._typed(key, list) or []

    def maps(self, key: str, *, null_is_empty: bool = False) -> Iterator[Fields]:
        """The mappings in the list at ``key``. ``null_is_empty``: a null item counts as ``{}``, as Go decodes it."""
        for number, item in enumerate(self.items(key)):
            value = {} if item is None and null_is_empty else item
            if isinstance(value, dict):
                yield Fields(self.document, self.problems, (*self.path, key, number), value)
            else:
                self.wrong_type(item, dict, key, number)

    def texts(self, key: str) -> list[str]:
        """The texts in the list at ``key``."""
        found = []
        for number, item in enumerate(self.items(key)):
            if isinstance(item, str):
                found.append(item)
            else:
                self.wrong_type(item, str, key, number)
        return found

    def refuse_unknown(
        self, known: Collection[str], hints: Mapping[str, str] | None = None, otherwise: str = ""
    ) -> None:
        """Note every field that is not among ``known``.

        ``hints`` say where a known field of another place belongs; ``otherwise`` is said of a field that resembles
        nothing known.
        """
        for key in self.value:
            if key in known:
                continue
            hint = (hints or {}).get(key)
            if hint is None:
                near = difflib.get_close_matches(key, known, 1, 0.7) or [
                    name for name in known if name.lower() == key.lower()
                ]
                hint = f"did you mean {near[0]}?" if near else otherwise or f"known here: {', '.join(sorted(known))}"
            self.note(f"unknown field {key!r}: {hint}", key)
