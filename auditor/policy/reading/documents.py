"""YAML and JSON texts as plain Python values, with the line of every part at hand.

PyYAML's loaders accept a key twice and keep no lines, so the nodes that its C parser composes are turned into values here. JSON is read as
the part of YAML that it is, but for large files, which are decoded by the json module and composed only if something is wrong with them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from auditor.model.errors import Problem
from auditor.policy.reading.source import Source

Step: TypeAlias = str | int
Path: TypeAlias = tuple[Step, ...]
Lines: TypeAlias = Callable[[Path], int]
"""The line of the part at a path; of the nearest part above where there is none."""

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SCALARS = yaml.constructor.SafeConstructor()
CONSTRUCTED: dict[str, Callable[[yaml.ScalarNode], Any]] = {
    "null": lambda _: None,
    "bool": _SCALARS.construct_yaml_bool,
    "int": _SCALARS.construct_yaml_int,
    "float": _SCALARS.construct_yaml_float,
}
AS_WRITTEN = ("str", "timestamp", "value", "binary")
"""Tags of scalars whose text is the value: a Kubernetes timestamp is text too."""
LARGE_JSON = 1 << 20
DEEPEST = 200
DEEP_TEXT = re.compile(rb"(?:[\[{]\s*){%d}|(?:- ){%d}|^ {%d}" % (DEEPEST, DEEPEST, 4 * DEEPEST), re.MULTILINE)
PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
YAML_TAG = "tag:yaml.org,2002:"


def show_path(path: Path) -> str:
    """A path in kubectl's notation: ``spec.ingress[0].from``; keys that are no plain words in brackets."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif PLAIN_KEY.match(step):
            text += f".{step}" if text else step
        else:
            text += f"[{step}]"
    return text


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a source: its value, and where its parts stand."""

    source: str
    value: Any
    lines: Lines = field(compare=False)

    def problem(self, path: Path, message: str) -> Problem:
        """A problem with the part at ``path``."""
        return Problem(message, self.source, self.lines(path), show_path(path))


def read_documents(source: Source) -> tuple[list[Document], list[Problem]]:
    """The documents of ``source`` in order, empty ones left out, and what is wrong with its text."""
    text = source.data.removeprefix(b"\xef\xbb\xbf")
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        return [], [Problem(f"byte {error.start} is not UTF-8: save the file as UTF-8", source.name, line)]
    if b"\0" in text:
        return [], [Problem("a NUL byte: this is no text file", source.name, text.count(b"\n", 0, text.index(b"\0")) + 1)]
    if _too_deep(text):
        return [], [Problem(f"nested more than {DEEPEST} levels deep: no Kubernetes object is", source.name)]
    if len(text) > LARGE_JSON and text.lstrip()[:1] == b"{":
        large = _read_large_json(source.name, text)
        if large is not None:
            return large, []
    return _read_yaml(source.name, text)


def _too_deep(text: bytes) -> bool:
    if DEEP_TEXT.search(text):
        return True
    if text.count(b"[") + text.count(b"{") <= DEEPEST:
        return False
    depth = 0
    for bracket in re.finditer(rb'"(?:[^"\\\n]|\\.)*"|[\[\]{}]', text):
        kind = bracket.group()
        depth = depth + 1 if kind in b"[{" else max(depth - 1, 0) if kind in b"]}" else depth
        if depth > DEEPEST:
            return True
    return False


def _read_large_json(name: str, text: bytes) -> list[Document] | None:
    """The one JSON document of ``text``; None when it must be read with lines: it is no JSON, or has a key twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(pairs)
        if len(mapping) != len(pairs):
            raise ValueError("a key twice")
        return mapping

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        return None
    composed: list[Document] = []

    def lines(path: Path) -> int:
        if not composed:
            composed.extend(_read_yaml(name, text)[0])
        return composed[0].lines(path) if composed else 0

    return [Document(name, value, lines)]


def _read_yaml(name: str, text: bytes) -> tuple[list[Document], list[Problem]]:
    documents: list[Document] = []
    problems: list[Problem] = []
    try:
        for node in _compose(text):
            builder = _Builder(name)
            value = builder.value(node, ())
            problems += builder.problems
            if value is not None:
                documents.append(Document(name, value, lambda path, node=node: _line_of(node, path)))  # type: ignore[misc]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.problem, error.context) if part)
        problems.append(Problem(f"not valid YAML: {said}", name, mark.line + 1 if mark else 0))
    except (yaml.YAMLError, ValueError) as error:
        problems.append(Problem(f"not valid YAML: {' '.join(str(error).split())}", name))
    return documents, problems


def _compose(text: bytes) -> Iterator[yaml.Node]:
    loader = LOADER(text)
    try:
        while loader.check_node():
            yield loader.get_node()
    finally:
        loader.dispose()


class _Builder:
    """Turns composed nodes into values, and notes what must not be: keys given twice, keys that are no text, loops."""

    def __init__(self, name: str) -> None:
        self.problems: list[Problem] = []
        self._name = name
        self._known: dict[int, Any] = {}
        self._open: set[int] = set()

    def value(self, node: yaml.Node, path: Path) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._known:
            return self._known[id(node)]
        if id(node) in self._open:
            self._note(node, path, "an alias inside the very thing that it stands for")
            return None
        self._open.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            value: Any = [self.value(item, (*path, number)) for number, item in enumerate(node.value)]
        else:
            value = self._mapping(node, path)
        self._open.discard(id(node))
        self._known[id(node)] = value
        return value

    def _note(self, node: yaml.Node, path: Path, message: str) -> None:
        self.problems.append(Problem(message, self._name, node.start_mark.line + 1, show_path(path)))

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        first_lines: dict[str, int] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == YAML_TAG + "merge":
                merged = self._merge(value_node, path) | merged
                continue
            key = self._key(key_node, path)
            if key is None:
                continue
            if key in mapping:
                self._note(key_node, (*path, key), f"the key {key!r} is given twice; it stands on line {first_lines[key]} already")
                self.value(value_node, (*path, key))
                continue
            first_lines[key] = key_node.start_mark.line + 1
            mapping[key] = self.value(value_node, (*path, key))
        return merged | mapping

    def _merge(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        value = self.value(node, path)
        parts = value if isinstance(value, list) else [value]
        merged: dict[str, Any] = {}
        for part in parts:
            if not isinstance(part, dict):
                self._note(node, path, "<< needs a mapping, or a list of mappings, to merge")
            else:
                merged = part | merged
        return merged

    def _key(self, node: yaml.Node, path: Path) -> str | None:
        if isinstance(node, yaml.ScalarNode):
            key = self._scalar(node, path)
            if isinstance(key, str):
                return key
            kind = {bool: "a boolean", type(None): "null", int: "a number", float: "a number"}.get(type(key), "no text")
            self._note(node, path, f"the key {node.value!r} reads as {kind} in YAML: quote it")
        else:
            self._note(node, path, "a key must be text")
        return None

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        kind = node.tag.removeprefix(YAML_TAG)
        if kind in AS_WRITTEN:
            return node.value
        if kind not in CONSTRUCTED:
            self._note(node, path, f"the tag {node.tag!r} means nothing here")
            return None
        try:
            return CONSTRUCTED[kind](node)
        except ValueError:
            return node.value


def _line_of(node: yaml.Node, path: Path) -> int:
    line: int = node.start_mark.line + 1
    for step in path:
        if isinstance(step, int) and isinstance(node, yaml.SequenceNode) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
            continue
        found = next(((key, value) for key, value in node.value if key.value == step), None) if isinstance(node, yaml.MappingNode) else None
        if found is None:
            return line
        line, node = found[0].start_mark.line + 1, found[1]
    return line
