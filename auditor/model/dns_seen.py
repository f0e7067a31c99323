"""What was asked and seen of lookups by the cluster's own DNS, from audited pods and as workloads make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from auditor.model.beside import PartSeen
from auditor.model.lint import Place
from auditor.model.ports import Protocol
from auditor.model.service_seen import FAULTS
from auditor.model.snapshot import Family, Service
from auditor.model.verdict import Observation, Observed, Result, Verdict

DNS_PORT = 53
DNS_PLACES = (
    ("kube-system", ("k8s-app", "kube-dns")),
    ("openshift-dns", ("dns.operator.openshift.io/daemonset-dns", "default")),
)
"""The namespaces in which clusters run their DNS, each with the label of its pods."""


class LookupCell(NamedTuple):
    """One question: does ``source`` get an answer from the DNS server at ``address``, over this protocol? With a
    ``service``, ``NAMESPACE/NAME``: is it that Service's address, and does a connection to its ``port`` come about?
    With a ``name``: what does the DNS server say of it?
    """

    source: str
    protocol: Protocol
    address: str
    family: Family
    port: int = DNS_PORT
    service: str = ""
    name: str = ""

    def __str__(self) -> str:
        what = f"service/{self.service}" if self.service else "DNS"
        about = f" about {self.name}" if self.name else ""
        return f"{self.source} -> {what} at {self.address} {self.protocol}/{self.port}{about}"


@dataclass(frozen=True, slots=True)
class LookupExpectation:
    """What is expected of a lookup. ``server`` says in words who is behind the address: ``kube-system/kube-dns``.

    ``why`` says which policies deny it, empty where none does. ``left_open`` says in words why nothing is demanded.
    ``behind`` are addresses and ports of the pods that answer for it, a few of ``pods`` in all. ``places`` are where
    the policies stand that deny it.
    """

    verdict: Verdict
    server: str
    why: str = ""
    left_open: str = ""
    behind: tuple[tuple[str, int], ...] = ()
    pods: int = 0
    places: tuple[Place, ...] = ()

    @property
    def demanded(self) -> Verdict | None:
        """The verdict that is demanded; None where any will do."""
        return None if self.left_open else self.verdict


@dataclass(frozen=True, slots=True)
class LookupResult:
    """A lookup: what was expected, what was observed, and how the two compare."""

    cell: LookupCell
    expectation: LookupExpectation
    observation: Observation
    result: Result

    @property
    def is_fault(self) -> bool:
        """Whether it fares otherwise than policies demand."""
        return self.result in FAULTS

    @property
    def is_cut_off(self) -> bool:
        """Whether policies deny it, and so it was seen."""
        return (
            self.result is Result.MATCH
            and self.expectation.verdict is Verdict.DENIED
            and not self.expectation.left_open
            and self.observation.verdict.is_denied
        )


@dataclass(frozen=True, slots=True)
class PairsLost:
    """Of ``pairs`` of questions that pods of ``node`` sent from one socket at once, so many lost one of the two."""

    node: str
    pairs: int
    lost: int


@dataclass(frozen=True, slots=True)
class DnsSeen(PartSeen[LookupResult]):
    """All that an audit has to say about lookups of ``name``. ``facts`` are lines worth knowing."""

    name: str
    results: tuple[LookupResult, ...] = ()
    pairs_lost: tuple[PairsLost, ...] = ()
    facts: tuple[str, ...] = ()

    @property
    def is_faulty(self) -> bool:
        """Whether anything here makes the audit fail."""
        return bool(self.faults or self.pairs_lost)

    @property
    def cut_off(self) -> tuple[LookupResult, ...]:
        """The lookups that policies deny, and so they were seen."""
        return tuple(each for each in self.results if each.is_cut_off)

    def count(self, *verdicts: Observed) -> int:
        """How many lookups were observed so."""
        return sum(each.observation.verdict in verdicts for each in self.results)


@dataclass(frozen=True, slots=True)
class ReachedSeen(PartSeen[LookupResult]):
    """All that an audit has to say about connections to the Services ``names``, which are the cluster's own, and about
    what the DNS says of these. ``named`` has the Service of each name that was looked up. ``facts`` are lines worth
    knowing.
    """

    names: tuple[str, ...]
    results: tuple[LookupResult, ...] = ()
    facts: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def connections(self) -> tuple[LookupResult, ...]:
        """Those of ``results`` that are connections."""
        return tuple(each for each in self.results if not each.cell.name)

    @property
    def lookups(self) -> tuple[LookupResult, ...]:
        """Those of ``results`` that are lookups."""
        return tuple(each for each in self.results if each.cell.name)

    @property
    def is_unheard(self) -> bool:
        """Whether something here has no verdict, or no connection could be tried."""
        return bool(self.unheard or not self.connections)


class NameService(NamedTuple):
    """How pods of a cluster look names up. ``name`` is one that its DNS has; where there are no ``servers``, these are
    in each pod's resolv.conf, and the name's domain, too. ``services`` lead there, besides those of the snapshot.
    """

    name: str = ""
    servers: Sequence[str] = ()
    services: tuple[Service, ...] = ()
