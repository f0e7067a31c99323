"""What is kept of one run, so that later ones can be held against it: who was looked at from where, what came of it,
and what the cluster was like.

Ends are workloads and not pods, whose names change from night to night: each end names the workloads that one probe
pod stands for, and the node that it was on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from auditor.model.draw import Place
from auditor.model.labels import Labels

NOT_PLANNED, ALLOWED, DENIED, NO_VERDICT = range(4)
"""States of a connection: nobody tried it; as expected; no verdict."""
NETWORK_AGENT = "DaemonSet "
"""What the name of a version begins with that is the images of a DaemonSet of the cluster's network."""
FIRST_FINDING = 4
"""The state of a connection that is part of the finding 0; the next finding's is one more."""


class Port(NamedTuple):
    """A port of one protocol over one address family, such as ``("TCP", 5432, "IPv4")``."""

    protocol: str
    number: int
    family: str

    def __str__(self) -> str:
        return f"{self.protocol}/{self.number} {self.family}"


class Connection(NamedTuple):
    """What survives the night of a connection: ``source`` and ``destination`` are workloads, ``NAMESPACE/NAME``."""

    source: str
    destination: str
    port: Port

    def __str__(self) -> str:
        return f"{self.source} -> {self.destination} {self.port}"


class Nodes(NamedTuple):
    """The nodes at the two ends of a connection; empty where they are not known."""

    source: str
    destination: str


@dataclass(frozen=True)
class End:
    """The ``workloads`` that one probe pod stands for, and the ``node`` that it is on; empty where that isn't known."""

    workloads: tuple[str, ...]
    node: str = ""


@dataclass(frozen=True)
class NightFinding:
    """A finding as it is reported again on other nights.

    ``reason`` is what decided, without file and line. ``evidence`` is there where a finding isn't made of connections
    that were probed: those of the intent have the connections that it speaks of.
    """

    kind: str
    reason: tuple[str, ...]
    title: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Surroundings:
    """What the cluster was like: a digest of each policy's spec by its name, the labels of namespaces and of workloads
    (what controllers put there for single pods left out), nodes, and versions by what they are of.

    ``intent`` has the findings of the intent, None where there was none.
    """

    policies: Mapping[str, str] = field(default_factory=dict)
    namespaces: Mapping[str, Labels] = field(default_factory=dict)
    labels: Mapping[str, Labels] = field(default_factory=dict)
    nodes: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    intent: tuple[NightFinding, ...] | None = None


@dataclass(frozen=True)
class Head:
    """What history has of a run as a whole.

    ``seconds`` is how long it took, ``counts`` are of connections, by result; ``coverage`` is a share, 0 to 1.
    """

    run: str
    version: str
    began: str
    subject: str
    conclusion: str
    coverage: float
    seconds: float
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Night(Head):
    """One run as history has it.

    ``rows`` has, for each end as the source, the number of a pattern for each end as the destination; a pattern holds
    the number of a port and the state there, for port after port. ``seed``: the number of its draw, where pods took
    turns, and the places that were ``tried`` in it.
    """

    ends: tuple[End, ...]
    ports: tuple[Port, ...]
    patterns: tuple[tuple[int, ...], ...]
    rows: tuple[tuple[int, ...], ...]
    findings: tuple[NightFinding, ...]
    surroundings: Surroundings | None = None
    seed: int | None = None
    tried: tuple[Place, ...] = ()

    @cached_property
    def places(self) -> Mapping[str, tuple[int, ...]]:
        """For each workload the numbers of the ends that stand for it."""
        found: dict[str, list[int]] = {}
        for number, end in enumerate(self.ends):
            for workload in end.workloads:
                found.setdefault(workload, []).append(number)
        return {workload: tuple(numbers) for workload, numbers in found.items()}

    @cached_property
    def states(self) -> tuple[Mapping[int, int], ...]:
        """The patterns, each as the state by the number of a port."""
        return tuple(dict(zip(pattern[::2], pattern[1::2], strict=True)) for pattern in self.patterns)

    @cached_property
    def port_numbers(self) -> Mapping[Port, int]:
        """The number of each port."""
        return {port: number for number, port in enumerate(self.ports)}

    def look(self, connection: Connection) -> Mapping[Nodes, int]:
        """The state of ``connection`` by the nodes at its ends, the gravest where pods differ; empty where nobody
        planned to look.
        """
        number = self.port_numbers.get(connection.port)
        if number is None:
            return {}
        seen: dict[Nodes, int] = {}
        for source in self.places.get(connection.source, ()):
            for destination in self.places.get(connection.destination, ()):
                state = self.states[self.rows[source][destination]].get(number, NOT_PLANNED)
                nodes = Nodes(self.ends[source].node, self.ends[destination].node)
                if state != NOT_PLANNED:
                    seen[nodes] = graver(state, seen.get(nodes, NOT_PLANNED))
        return seen

    def kind(self, state: int) -> str:
        """The kind of the finding whose state is ``state``; empty for one that is as expected, or without a verdict."""
        return self.findings[state - FIRST_FINDING].kind if state >= FIRST_FINDING else ""


def graver(one: int, other: int) -> int:
    """The graver of two states: findings in their order, then no verdict, then denied."""
    return min(one, other, key=lambda state: (state < FIRST_FINDING, state if state >= FIRST_FINDING else -state))
