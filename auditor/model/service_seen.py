"""What was asked and seen of connections through Services: connections of the matrix of their own kind."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from auditor.model.beside import PartSeen
from auditor.model.lint import Place
from auditor.model.path_dialect import PathDialect
from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Observation, Result, Verdict

MOST_PORTS = 3
"""Ports of each backend that are tried through Services: those that tell most sources apart."""
MOST_NODE_PORTS = 8
"""Backends with NodePorts: each port of theirs takes one of a range that the whole cluster shares."""


class Way(StrEnum):
    """How a connection gets to a Service."""

    __hash__ = str.__hash__  # a key of tables

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    """externalTrafficPolicy Cluster: the backend may see a node's address as the source."""
    NODE_PORT_LOCAL = "NodePort, externalTrafficPolicy Local"


WAY_NAMES = {
    Way.CLUSTER_IP: "cluster-ip",
    Way.NODE_PORT: "node-port",
    Way.NODE_PORT_LOCAL: "node-port-local",
}
"""Each as documents for programs have it."""


class OwnPort(NamedTuple):
    """A port of a Service of the run's own: ``number`` leads to the backend's ``target``."""

    protocol: Protocol
    number: int
    target: int


@dataclass(frozen=True, slots=True)
class OwnService:
    """A Service that a run makes for one probe pod alone: ``backend`` is the endpoint's name.

    A ``way`` by NodePort has a ClusterIP as well, which is not tried. A ``proof`` is made once all others lead
    somewhere: where it is translated, so are they.
    """

    backend: str
    ports: tuple[OwnPort, ...]
    way: Way = Way.CLUSTER_IP
    proof: bool = False


class ServiceCell(NamedTuple):
    """One question: can ``source`` reach ``backend`` on its ``port`` by way of a Service, which is asked for at
    ``address`` on ``number``? ``at`` is the bare name of the node whose NodePort this is; empty for a ClusterIP.
    """

    source: str
    backend: str
    protocol: Protocol
    port: int
    family: Family
    way: Way
    address: str
    number: int
    at: str = ""

    @property
    def direct(self) -> Cell:
        """The same connection without the Service."""
        return Cell(self.source, self.backend, self.protocol, self.port, self.family)

    def __str__(self) -> str:
        node = f" of node {self.at}" if self.at else ""
        return f"{self.source} -> {self.way}{node} -> {self.backend} {self.protocol}/{self.port} {self.family}"


@dataclass(frozen=True, slots=True)
class ServiceExpectation:
    """What is expected of a connection through a Service. ``left_open`` says in words why the specification leaves it
    open; then nothing is a fault.
    """

    verdict: Verdict
    left_open: str = ""

    @property
    def demanded(self) -> Verdict | None:
        """The verdict that is demanded; None where any will do."""
        return None if self.left_open else self.verdict


@dataclass(frozen=True, slots=True)
class ServiceResult:
    """A connection through a Service: what was expected, what was observed, and how the two compare.

    ``seen`` is the address that the backend saw as the source, where it was not the source's own. ``as_without``: the
    same connection without the Service differs in the same way, so it is not the Service's doing. ``places``, of what
    is at fault, are where the policies stand that decide.
    """

    cell: ServiceCell
    expected: Verdict
    observation: Observation
    result: Result
    left_open: str = ""
    seen: str = ""
    as_without: bool = False
    places: tuple[Place, ...] = ()

    @property
    def is_fault(self) -> bool:
        """Whether the way through the Service makes a difference that the specification forbids."""
        return self.result in FAULTS and not self.as_without


FAULTS = (Result.LEAK, Result.OUTAGE, Result.MISDELIVERED, Result.UNSTABLE)


@dataclass(frozen=True, slots=True)
class PathFault:
    """A dialect in force on the node of this bare name, or on all of them."""

    dialect: PathDialect
    node: str = ""

    def __str__(self) -> str:
        return f"{self.dialect}@{self.node}" if self.node else str(self.dialect)


@dataclass(frozen=True, slots=True)
class PathDiagnosis:
    """The single fault that explains most of what differs through Services; None where no known one does.

    ``title`` is one sentence with the numbers. ``alternatives`` explain as much. ``unexplained`` are the connections
    that the fault leaves over.
    """

    title: str
    advice: str
    fault: PathFault | None = None
    explained: tuple[ServiceCell, ...] = ()
    unexplained: tuple[ServiceCell, ...] = ()
    alternatives: tuple[PathFault, ...] = ()


@dataclass(frozen=True, slots=True)
class ServicesSeen(PartSeen[ServiceResult]):
    """All that an audit has to say about connections through Services. ``facts`` are lines worth knowing."""

    results: tuple[ServiceResult, ...] = ()
    diagnosis: PathDiagnosis | None = None
    facts: tuple[str, ...] = ()

    def count(self, *results: Result) -> int:
        """How many connections compare so."""
        return sum(each.result in results for each in self.results)
