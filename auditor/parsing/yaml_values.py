"""YAML as plain Python values, with the line of every part.

PyYAML's loaders accept a key twice, keep no lines, and recurse over what they read, in C until the process dies of it.
So the values are built here from the parser's events, with a stack of its own: nesting is a number to check. An alias
stands for the very same value as its anchor; how large a document is with all aliases written out is counted, and
limited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeAlias

import yaml

from auditor.model.errors import Problem
from auditor.parsing.paths import DEEPEST, Doubt, Lines, Parsed, Path, Step, key_twice, show_path, too_deep
from auditor.parsing.yaml_scalars import AS_WRITTEN, CONSTRUCTED, TAG, constructed, plain_value

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
COLLECTION_TAGS = (None, "!", f"{TAG}map", f"{TAG}seq")
NO_YAML = "not valid YAML"
MOST_ALIASED = 200_000
"""How many parts the aliases of one document may stand for, in all."""

_NO_KEY: Any = object()
_BAD_KEY: Any = object()
_MERGE: Any = object()
_LOOP: Any = object()

_Table: TypeAlias = dict[Step, int]


class _Stop(Exception):  # noqa: N818 - it ends the reading of a text, and is not an error of ours
    """Reading can't go on: the problem that says why."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


def read_yaml(name: str, text: bytes, lines_before: int = 0) -> tuple[list[Parsed], list[Problem]]:
    """The documents in ``text`` that aren't empty, and why its reading stopped, if it did.

    ``lines_before`` is where in its file ``text`` begins.
    """
    documents: list[Parsed] = []
    builder = _Builder(name, lines_before)
    try:
        for value, line, tables, doubts in builder.documents(text):
            if value is not None:
                documents.append(Parsed(value, _lines(value, line, tables), doubts))
    except _Stop as stop:
        problem = Problem(stop.message, name, stop.line)
    except yaml.MarkedYAMLError as error:
        problem = _syntax_problem(name, error, lines_before)
    except yaml.reader.ReaderError as error:
        line = len((text[: error.position] + b".").splitlines()) + lines_before
        problem = Problem(
            f"{NO_YAML}: the character U+{int(error.character):04X} may not stand in it: remove it", name, line
        )
    except yaml.YAMLError as error:
        problem = Problem(f"{NO_YAML}: {' '.join(str(error).split())}", name)
    else:
        return documents, []
    return documents, [*(doubt.problem for doubt in builder.doubts), problem]


def _syntax_problem(name: str, error: yaml.MarkedYAMLError, lines_before: int) -> Problem:
    mark, start = error.problem_mark or error.context_mark, error.context_mark
    said = " ".join(part for part in (error.problem, error.context) if part)
    if mark is not None and start is not None and start.line != mark.line:
        said += f" that starts on line {start.line + lines_before + 1}"
    return Problem(f"{NO_YAML}: {said}", name, mark.line + lines_before + 1 if mark else 0)


def _lines(value: Any, line: int, tables: dict[int, _Table]) -> Lines:
    def line_at(path: Path) -> int:
        found, part = line, value
        for step in path:
            table = tables.get(id(part), {})
            if step not in table:
                return found
            found, part = table[step], part[step]
        return found

    return line_at


class _Open:
    """A mapping or sequence whose end has not come yet. ``size`` counts its parts with all aliases written out."""

    __slots__ = ("anchor", "before_merge", "is_mapping", "key", "key_line", "line", "merged", "size", "table", "value")

    def __init__(self, value: Any, line: int, anchor: str | None) -> None:
        self.value = value
        self.is_mapping = isinstance(value, dict)
        self.line = line
        self.anchor = anchor
        self.table: _Table = {}
        self.key: Any = _NO_KEY
        self.key_line = 0
        self.merged: list[Any] = []
        self.before_merge = 0
        self.size = 1


class _Builder:
    """Turns events into values, and notes what must not be: keys given twice, keys that are not text, loops."""

    def __init__(self, name: str, lines_before: int) -> None:
        self._name = name
        self._first = lines_before + 1
        self._plain: dict[str, Any] = {}
        self._start_document()

    def _start_document(self) -> None:
        self.doubts: list[Doubt] = []
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._tables: dict[int, _Table] = {}
        self._root: Any = None
        self._root_line = 0
        self._aliased = 0

    def documents(self, text: bytes) -> Iterator[tuple[Any, int, dict[int, _Table], list[Doubt]]]:
        """Each document's value, its line, the lines of the parts of each mapping and sequence, by the ``id`` of that,
        and what is doubtful in it.
        """
        loader = LOADER(text)
        handlers: dict[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: lambda event: self._begin(event, {}),
            yaml.SequenceStartEvent: lambda event: self._begin(event, []),
            yaml.MappingEndEvent: lambda _: self._end(),
            yaml.SequenceEndEvent: lambda _: self._end(),
            yaml.AliasEvent: self._alias,
        }
        get_event = loader.get_event
        try:
            while (event := get_event()) is not None:
                kind = type(event)
                if kind in handlers:
                    handlers[kind](event)
                elif kind is yaml.DocumentEndEvent:
                    yield self._root, self._root_line, self._tables, self.doubts
                    self._start_document()
        finally:
            loader.dispose()

    def _note(self, message: str, line: int, *steps: Step) -> None:
        path: list[Step] = []
        for part in self._stack:
            if not part.is_mapping:
                path.append(len(part.value))
            elif isinstance(part.key, str):
                path.append(part.key)
        whole = (*path, *steps)
        self.doubts.append(Doubt(whole, Problem(message, self._name, line, show_path(whole))))

    def _scalar(self, event: Any) -> None:
        line, text = event.start_mark.line + self._first, event.value
        plain = event.tag is None and event.implicit[0]
        if not plain:
            value = self._tagged(event, line)
        elif text in self._plain:
            value = self._plain[text]
        else:
            value = self._plain[text] = plain_value(text)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1)
        at = self._stack[-1] if self._stack else None
        if at is None or not at.is_mapping or at.key is not _NO_KEY:
            self._put(value, line)
        elif plain and text == "<<":
            self._take_merge(at, line)
        else:
            self._take_key(at, value, text, line)

    def _tagged(self, event: Any, line: int) -> Any:
        tag, text = event.tag, event.value
        if tag in (None, "!") or tag in AS_WRITTEN:
            return text
        if tag in CONSTRUCTED:
            return constructed(tag, text)
        self._note(f"the tag {tag.replace(TAG, '!!')} means nothing here: remove it", line)
        return text

    def _take_key(self, at: _Open, key: Any, text: str, line: int) -> None:
        if not isinstance(key, str):
            kind = {bool: "a boolean", type(None): "null"}.get(type(key), "a number")
            self._note(f"the key {text!r} reads as {kind} in YAML: quote it", line)
            key = _BAD_KEY
        elif key in at.table:
            self._note(key_twice(key, at.table[key]), line, key)
        at.key, at.key_line = key, line

    def _take_merge(self, at: _Open, line: int) -> None:
        if at.merged:
            self._note("the key '<<' is given twice: merge a list of mappings, as in <<: [*a, *b]", line)
        at.key, at.key_line, at.before_merge = _MERGE, line, len(at.value)

    def _begin(self, event: Any, value: Any) -> None:
        line = event.start_mark.line + self._first
        if len(self._stack) >= DEEPEST:
            raise _Stop(too_deep(), line)
        if event.tag not in COLLECTION_TAGS:
            self._note(f"the tag {event.tag.replace(TAG, '!!')} means nothing here: remove it", line)
        if event.anchor is not None:
            self._anchors[event.anchor] = (_LOOP, 0)
        opened = _Open(value, line, event.anchor)
        self._tables[id(value)] = opened.table
        self._stack.append(opened)

    def _end(self) -> None:
        ended = self._stack.pop()
        if ended.merged:
            self._merge(ended)
        ended.size += len(ended.value)
        if ended.anchor is not None:
            self._anchors[ended.anchor] = (ended.value, ended.size)
        if self._stack:
            self._stack[-1].size += ended.size
        self._put(ended.value, ended.line)

    def _merge(self, ended: _Open) -> None:
        overridden = set(islice(ended.value, ended.before_merge))
        parts = [part for merged in ended.merged for part in (merged if isinstance(merged, list) else [merged])]
        for part in parts:
            if not isinstance(part, dict):
                self._note("<< needs a mapping, or a list of mappings, to merge", ended.line)
                continue
            for key, value in part.items():
                if key not in ended.value:
                    ended.value[key] = value
                    ended.table[key] = self._tables[id(part)][key]
                elif key in overridden and ended.value[key] != value:
                    self._note(
                        f"kubectl lets a merge that comes after the key {key!r} override it: put << first",
                        ended.table[key],
                    )

    def _alias(self, event: Any) -> None:
        line, name = event.start_mark.line + self._first, event.anchor
        if name not in self._anchors:
            self._note(f"the alias *{name} refers to nothing: no anchor &{name} comes before it", line)
        value, size = self._anchors.get(name, (None, 1))
        if value is _LOOP:
            self._note(f"the alias *{name} is inside what it refers to: write that out", line)
            value = None
        self._aliased += size
        if self._aliased > MOST_ALIASED:
            raise _Stop(
                f"the aliases of this document expand to more than {MOST_ALIASED} parts: write out what you mean", line
            )
        if self._stack:
            self._stack[-1].size += size
        self._put(value, line)

    def _put(self, value: Any, line: int) -> None:
        """Set ``value`` where the innermost open mapping or sequence waits for one."""
        if not self._stack:
            self._root, self._root_line = value, line
            return
        at = self._stack[-1]
        if not at.is_mapping:
            at.table[len(at.value)] = line
            at.value.append(value)
            return
        key = at.key
        if key is _NO_KEY:
            self._take_key(at, value, value, line) if isinstance(value, str) else self._refuse_key(at, line)
            return
        if key is _MERGE:
            at.merged.append(value)
        elif key is not _BAD_KEY and key not in at.table:
            at.value[key] = value
            at.table[key] = at.key_line
        at.key = _NO_KEY

    def _refuse_key(self, at: _Open, line: int) -> None:
        self._note("a key must be text, not a mapping or a list", line)
        at.key = _BAD_KEY
