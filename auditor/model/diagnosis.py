"""What may be wrong with an enforcer, where, and how well that explains what was observed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from auditor.model.dialect import FAULTLESS, Dialect
from auditor.model.verdict import Cell


class ScopeKind(StrEnum):
    """Where a fault is, the simplest assumption first. A pod's filters, egress and ingress, are its own node's."""

    __hash__ = str.__hash__  # a key of large tables, and Enum's own is ten times as slow

    CLUSTER = "cluster"
    NODE = "node"
    NAMESPACE = "namespace"
    FAMILY = "family"
    PROTOCOL = "protocol"
    POLICY = "policy"
    SOURCE_NODE = "source-node"
    """Only the egress filters of a node."""
    DESTINATION_NODE = "destination-node"
    """Only the ingress filters of a node."""
    POD = "pod"
    """The filters of one pod."""
    PEER = "peer"
    """The filters of all others, where this pod is at the other end."""
    PATH = "path"
    """What goes between two nodes."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The part of the cluster that a fault is limited to.

    ``name`` is a node's bare name, a namespace, ``NAMESPACE/NAME`` of a policy or pod, ``IPv6`` or ``UDP``, two
    nodes as ``NODE and NODE``; empty for the cluster.
    """

    kind: ScopeKind = ScopeKind.CLUSTER
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else str(self.kind)


@dataclass(frozen=True, slots=True)
class Fault:
    """A dialect in force within a scope, where the specification should be."""

    dialect: Dialect
    scope: Scope = Scope()

    @property
    def is_fault(self) -> bool:
        """Whether the specification forbids it."""
        return self.dialect not in FAULTLESS

    def __str__(self) -> str:
        return f"{self.dialect}@{self.scope}"


Hypothesis = tuple[Fault, ...]
"""Faults that are there together."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """A hypothesis that as few cells contradict as the one that was chosen."""

    faults: Hypothesis
    title: str


@dataclass(frozen=True, slots=True)
class Unexercised:
    """A part of a policy that could be ignored, or missing, without any observed cell noticing.

    ``place`` is the part as people find it (``prod/db ingress[0] (db.yaml:12)``), ``what`` the part in words,
    ``reason`` why no cell shows it.
    """

    policy: str
    place: str
    what: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what} not exercised: {self.reason}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The smallest hypothesis that explains the cells that differ; ``faults`` is empty where no known one does.

    ``title`` is one sentence with the numbers, ``advice`` says what to do. ``contradictions`` are cells of which the
    hypothesis says that they differ from the specification, and which were seen not to. ``alternatives`` have as little
    against them; ``discriminating`` are cells on which they would part. Where it is not ``certain``, so few pairs of
    endpoints differ that a fault which nobody knows could look the same.
    """

    title: str
    advice: str
    faults: Hypothesis = ()
    explained: tuple[Cell, ...] = ()
    contradictions: tuple[Cell, ...] = ()
    unexplained: tuple[Cell, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    discriminating: tuple[Cell, ...] = ()
    certain: bool = True

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The chosen hypothesis, then those that can't be told apart from it."""
        return (self.faults, *(alternative.faults for alternative in self.alternatives))
