"""Policies that are there, and can't be read: what they may decide is in doubt."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from auditor.model.errors import Problem
from auditor.model.labels import LabelSelector
from auditor.model.policy import UnknownPolicy
from auditor.parsing.fields import Fields
from auditor.parsing.labels import read_selector

SOMEWHERE = "?"
"""The name of a policy of which nothing is known but that it may exist."""


def unreadable_policy(fields: Fields, namespace: str, name: str, problems: Sequence[Problem]) -> UnknownPolicy:
    """The policy that ``fields`` are, which has ``problems``; with the pods that it selects where it says which."""
    why = f"can't be read: {problems[0]}"
    return UnknownPolicy(namespace, name or SOMEWHERE, selected_by(fields), why)


def selected_by(fields: Fields) -> LabelSelector | None:
    """What selects the pods of the policy that ``fields`` are; None where that can't be read for certain."""
    found: list[Problem] = []
    spec = Fields(fields.document, found, fields.path, fields.value).map("spec")
    selector = spec.map("podSelector") if spec else None
    read = read_selector(selector) if selector else None
    doubtful = any(doubt.path[: len(fields.path)] == fields.path for doubt in fields.document.doubts)
    return None if found or doubtful else read


def may_be_in(files: Iterable[str], namespaces: Collection[str]) -> Iterator[UnknownPolicy]:
    """What ``files``, which can't be read, may hold: policies in any of ``namespaces``."""
    for file in dict.fromkeys(files):
        for name in namespaces:
            yield UnknownPolicy(name, SOMEWHERE, None, f"may be in {file}, which can't be read")
