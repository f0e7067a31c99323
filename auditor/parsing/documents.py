"""The documents of a source, YAML or JSON, as plain Python values with the line of every part at hand."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from json import JSONDecodeError
from typing import Any

from auditor.model.errors import InputError, Problem
from auditor.parsing.json_values import looks_like_json, read_json
from auditor.parsing.paths import Doubt, Lines, Parsed, Path, show_path
from auditor.parsing.source import Source
from auditor.parsing.yaml_values import read_yaml

TEMPLATE_HINT = "this looks like a template: render it first, as 'helm template' does"
UTF_8_MARK = b"\xef\xbb\xbf"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a source: its value, where its parts stand, and what is doubtful in it.

    ``found`` as in ``Source``.
    """

    source: str
    value: Any
    lines: Lines = field(compare=False)
    doubts: Sequence[Doubt] = field(default=(), compare=False)
    found: bool = False

    def problem(self, path: Path, message: str) -> Problem:
        """A problem with the part at ``path``."""
        return Problem(message, self.source, self.lines(path), show_path(path))


def read_documents(source: Source) -> tuple[list[Document], list[Problem]]:
    """The documents of ``source`` in order, empty ones left out, and what is wrong with its text."""
    documents, problems = parse_documents(source)
    doubts = [doubt.problem for document in documents for doubt in document.doubts]
    return documents, sorted([*doubts, *problems], key=lambda problem: problem.line)


def parse_documents(source: Source) -> tuple[list[Document], list[Problem]]:
    """As ``read_documents``, but what is doubtful in a document is left to it, and a problem only where it matters."""
    data = utf_8(source.data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return [], [Problem(f"byte {error.start} is not UTF-8: save the file as UTF-8", source.name, line)]
    if (nul := text.find("\0")) >= 0:
        return [], [
            Problem(
                "a NUL byte, so this is not UTF-8 text: save the file as UTF-8",
                source.name,
                text.count("\n", 0, nul) + 1,
            )
        ]
    parsed, problems = _read_values(source.name, text, data)
    return as_documents(source, text, parsed, problems)


def as_documents(
    source: Source, text: str, parsed: Sequence[Parsed], problems: Sequence[Problem], lines_before: int = 0
) -> tuple[list[Document], list[Problem]]:
    """What was ``parsed`` of ``text``, which begins after ``lines_before`` lines of ``source``; problems with hints."""
    hint = _Hints(text, lines_before)
    documents = [
        Document(
            source.name,
            each.value,
            each.lines,
            [replace(doubt, problem=hint(doubt.problem)) for doubt in each.doubts],
            source.found,
        )
        for each in parsed
        if each.value is not None
    ]
    return documents, [hint(problem) for problem in problems]


def utf_8(data: bytes) -> bytes:
    """``data`` without its byte order mark, as UTF-8 where the mark says that it is UTF-16, as kubectl reads it."""
    if data.startswith(UTF_16_MARKS):
        with suppress(UnicodeDecodeError):
            return data.decode("utf-16").encode()
    return data.removeprefix(UTF_8_MARK)


class _Hints:
    """Adds to a problem what most likely is the matter on its line."""

    def __init__(self, text: str, lines_before: int) -> None:
        self._text = text
        self._before = lines_before

    @cached_property
    def _lines(self) -> list[str]:
        return self._text.splitlines()

    def __call__(self, problem: Problem) -> Problem:
        number = problem.line - self._before
        return _hinted(problem, self._lines[number - 1]) if 0 < number <= len(self._lines) else problem


def _hinted(problem: Problem, line: str) -> Problem:
    """``problem``, which stands on ``line``, with what most likely is the matter there."""
    hint = ""
    if "{{" in line:
        hint = TEMPLATE_HINT
    elif "\t" in line[: len(line) - len(line.lstrip())]:
        hint = "a tab: indent with spaces"
    return replace(problem, message=f"{problem.message}: {hint}") if hint else problem


def refuse_other_kinds(documents: Sequence[Document], schema: str, kind: str, hint: str = "") -> None:
    """Raise InputError, with one line instead of many, when ``documents`` are of another kind than ``kind``, which has
    ``schema``.
    """
    for document in documents[:1]:
        given = document.value.get("schema") if isinstance(document.value, dict) else None
        if (
            isinstance(given, str)
            and given.startswith("audit.")
            and given.partition("/")[0] != schema.partition("/")[0]
        ):
            what = f"this is {given}"
        elif given is None and isinstance(document.value, dict) and {"apiVersion", "kind"} <= document.value.keys():
            what = "these are Kubernetes objects"
        else:
            return
        raise InputError([document.problem((), f"{what}, and no {kind} with schema: {schema}{hint}")])


def _read_values(name: str, text: str, data: bytes) -> tuple[list[Parsed], list[Problem]]:
    if not looks_like_json(text):
        return read_yaml(name, data)
    try:
        return read_json(name, text)
    except JSONDecodeError as error:
        values, problems = read_yaml(name, data)
        if problems and name.endswith(".json"):
            problems = [Problem(f"not valid JSON: {error.msg}", name, error.lineno)]
        return values, problems
    except ValueError:
        # A number with more digits than Python turns into an int.
        return read_yaml(name, data)
