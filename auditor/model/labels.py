"""Labels and the selectors that match them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

Labels: TypeAlias = Mapping[str, str]

NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"
"""The label that the API server keeps on every namespace with the namespace's own name as its value."""


class Operator(StrEnum):
    """The set-based operators of a LabelSelectorRequirement (meta/v1)."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. ``values`` is empty for Exists and DoesNotExist, sorted otherwise."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.operator is Operator.EXISTS:
            return self.key
        if self.operator is Operator.DOES_NOT_EXIST:
            return f"!{self.key}"
        word = "in" if self.operator is Operator.IN else "notin"
        return f"{self.key} {word} ({','.join(self.values)})"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """A conjunction of matchLabels and matchExpressions; with neither it matches everything (meta/v1 LabelSelector).

    ``match_labels`` is a tuple of (key, value) pairs sorted by key.
    """

    match_labels: tuple[tuple[str, str], ...] = ()
    match_expressions: tuple[Requirement, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.match_labels and not self.match_expressions

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all labels that it looks at."""
        return frozenset(
            (*(key for key, _ in self.match_labels), *(requirement.key for requirement in self.match_expressions))
        )

    def __str__(self) -> str:
        """The notation of ``kubectl --selector``; ``{}`` for the empty selector."""
        parts = [f"{key}={value}" for key, value in self.match_labels]
        parts += [str(requirement) for requirement in self.match_expressions]
        return ",".join(parts) or "{}"
