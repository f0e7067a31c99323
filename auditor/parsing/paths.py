"""Where a part of a document stands: its path in kubectl's notation, and the lookup of its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from auditor.model.errors import Problem

Step: TypeAlias = str | int
Path: TypeAlias = tuple[Step, ...]
Lines: TypeAlias = Callable[[Path], int]
"""The line of the part at a path, counted from 1; of the nearest part above where there is none."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What can't be read with certainty at ``path``, such as a key given twice: a problem where anybody reads it."""

    path: Path
    problem: Problem


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document's value, the lines of its parts, and what is doubtful in it."""

    value: Any
    lines: Lines
    doubts: Sequence[Doubt] = ()


DEEPEST = 200
"""More levels than any Kubernetes object has; deeper text is refused, which keeps every walk over it bounded."""
PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


def show_path(path: Path) -> str:
    """A path in kubectl's notation: ``spec.ingress[0].from``; keys that are not plain words in brackets."""
    text = ""
    for step in path:
        if isinstance(step, int) or not PLAIN_KEY.match(step):
            text += f"[{step}]" if str(step).isprintable() else f"[{step!r}]"
        else:
            text += f".{step}" if text else step
    return text


def key_twice(key: str, first_line: int) -> str:
    """What is said of a key that a mapping has twice."""
    return f"the key {key!r} is given twice; it stands on line {first_line} already"


def too_deep() -> str:
    """What is said of text that is nested too deep."""
    return f"nested more than {DEEPEST} levels deep: no Kubernetes object is"
