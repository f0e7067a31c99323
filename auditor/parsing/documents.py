"""The documents of a source, YAML or JSON, as plain Python values with the line of every part at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from json import JSONDecodeError
from typing import Any

from auditor.model.errors import InputError, Problem
from auditor.parsing.json_values import looks_like_json, read_json
from auditor.parsing.paths import Lines, Path, show_path
from auditor.parsing.source import Source
from auditor.parsing.yaml_values import read_yaml

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


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
    data = source.data.removeprefix(BYTE_ORDER_MARK)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return [], [Problem(f"byte {error.start} is not UTF-8: save the file as UTF-8", source.name, line)]
    if (nul := text.find("\0")) >= 0:
        return [], [
            Problem("a NUL byte, so no UTF-8 text: save the file as UTF-8", source.name, text.count("\n", 0, nul) + 1)
        ]
    values, problems = _read_values(source.name, text, data)
    lines = text.splitlines()
    problems = [
        _hinted(problem, lines[problem.line - 1]) if 0 < problem.line <= len(lines) else problem for problem in problems
    ]
    return [Document(source.name, value, lines) for value, lines in values if value is not None], problems


def _hinted(problem: Problem, line: str) -> Problem:
    """``problem``, which stands on ``line``, with what most likely is the matter there."""
    hint = ""
    if "{{" in line:
        hint = "this looks like a template: render it first, as 'helm template' does"
    elif "\t" in line[: len(line) - len(line.lstrip())]:
        hint = "a tab: indent with spaces"
    return replace(problem, message=f"{problem.message}: {hint}") if hint else problem


def refuse_other_kinds(documents: Sequence[Document], schema: str, kind: str, hint: str = "") -> None:
    """Raise InputError, with one line instead of many, when ``documents`` are of another kind than
    ``kind``, which has ``schema``.
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


def _read_values(name: str, text: str, data: bytes) -> tuple[list[tuple[Any, Lines]], list[Problem]]:
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
