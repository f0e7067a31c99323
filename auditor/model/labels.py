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

    __hash__ = str.__hash__  # a key of large tables, and Enum's own is ten times as slow

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

    def meets(self, labels: Labels) -> bool:
        """Whether ``labels`` meet it. NotIn and DoesNotExist hold where the key is missing, In and Exists don't."""
        match self.operator:
            case Operator.IN:
                return self.key in labels and labels[self.key] in self.values
            case Operator.NOT_IN:
                return self.key not in labels or labels[self.key] not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels

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

    def matches(self, labels: Labels) -> bool:
        """Whether ``labels`` meet every condition; the empty selector matches everything."""
        return all(labels.get(key) == value for key, value in self.match_labels) and all(
            requirement.meets(labels) for requirement in self.match_expressions
        )

    def unmet(self, labels: Labels) -> list[str]:
        """What ``labels`` lack, one phrase for each condition that fails: ``has no label name``, ``has role=web``."""
        failing = [key for key, value in self.match_labels if labels.get(key) != value]
        failing += [requirement.key for requirement in self.match_expressions if not requirement.meets(labels)]
        return [
            f"has {key}={labels[key]}" if key in labels else f"has no label {key}" for key in dict.fromkeys(failing)
        ]

    def __str__(self) -> str:
        """The notation of ``kubectl --selector``; ``{}`` for the empty selector."""
        parts = [f"{key}={value}" for key, value in self.match_labels]
        parts += [str(requirement) for requirement in self.match_expressions]
        return ",".join(parts) or "{}"
