"""What was found in a directory and is not a Kubernetes object, by its cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from auditor.model.errors import Problem

MAKES_PODS = "makes pods that are not in the input"
"""What is said of an ignored kind whose objects do."""


class Cause(StrEnum):
    """Why something was skipped. What a file named by itself could not get away with."""

    TEMPLATE = "template"
    KUSTOMIZATION = "kustomization"
    PATCH = "patch"
    ASSERTION = "assertion"
    CHART = "chart"
    VALUES = "values"
    WORKFLOW = "workflow"
    COMPOSE = "compose"
    ENCRYPTED = "encrypted"
    BINARY = "binary"
    NOT_YAML = "not-yaml"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Skipped:
    """One file, or one document of it that begins on ``line`` (0: the whole file). ``kind`` is what the document says
    that it is, where it says so.
    """

    cause: Cause
    file: str
    line: int = 0
    kind: str = ""

    @property
    def place(self) -> str:
        """``FILE`` or ``FILE:LINE``."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class LeftOut:
    """All of the input that plays no part: objects by kind, what is no object, and what is wrong with objects that are
    left out because of it.
    """

    ignored: Mapping[str, int] = field(default_factory=dict, hash=False)
    skipped: tuple[Skipped, ...] = ()
    problems: tuple[Problem, ...] = ()


NOTHING_LEFT_OUT = LeftOut()
