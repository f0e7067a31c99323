"""Who fires and who answers a connection through a Service, and what shows that its node translates Services at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from auditor.model.ports import Protocol
from auditor.model.service_seen import OwnPort, ServiceCell, Way
from auditor.model.snapshot import Family
from auditor.model.verdict import Verdict
from auditor.probing.attempts import Listener
from auditor.probing.batches import Attempt, Target
from auditor.probing.controls import LOOPBACK
from auditor.probing.sites import ProbeSite


class Translating(NamedTuple):
    """A node's translation of Services, over one family: by its bare name. That of NodePorts is another thing: a node
    may have been told to offer none.
    """

    node: str
    family: Family
    of_node_ports: bool = False

    def __str__(self) -> str:
        what = "by a NodePort of" if self.of_node_ports else "through a Service on"
        return f"{what} node {self.node}"


@dataclass(frozen=True, slots=True)
class ServiceTry:
    """A connection through a Service that can be tried: what is demanded of it, and the sites at both ends."""

    cell: ServiceCell
    demanded: Verdict | None
    source: ProbeSite
    backend: ProbeSite

    @property
    def listener(self) -> Listener:
        """What answers it."""
        return Listener(self.backend.name, self.cell.protocol, self.cell.port, self.cell.family)

    @property
    def attempt(self) -> Attempt:
        """What its source is to try."""
        target = Target(self.cell.address, self.cell.protocol, self.cell.number, self.backend.name)
        return Attempt(self.source.name, self.backend.name, target)

    @property
    def translating(self) -> Translating:
        """The node that translates it: the source's own or, for a NodePort, the one that this is a port of."""
        return Translating(self.cell.at or self.source.node, self.cell.family, bool(self.cell.at))


class Proof(NamedTuple):
    """An attempt that is answered wherever ``translating`` works, by the ``listener``."""

    translating: Translating
    attempt: Attempt
    listener: Listener


class Proving(NamedTuple):
    """A port of a Service that is to prove something: its ``address``, or that of its backend's node, where ``number``
    leads to it.
    """

    backend: str
    port: OwnPort
    family: Family
    address: str
    number: int
    of_node_ports: bool = False

    def asked_by(self, site: ProbeSite) -> Proof:
        """What the agent at ``site`` is to try."""
        target = Target(self.address, self.port.protocol, self.number, self.backend)
        listener = Listener(self.backend, self.port.protocol, self.port.target, self.family)
        return Proof(
            Translating(site.node, self.family, self.of_node_ports), Attempt(site.name, self.backend, target), listener
        )


def control_of(listener: Listener) -> Attempt:
    """The attempt that the agent beside ``listener`` makes at it."""
    target = Target(LOOPBACK[listener.family], listener.protocol, listener.port, listener.site)
    return Attempt(listener.site, listener.site, target)


def proofs_of_nodes(sites: Iterable[ProbeSite], proving: Iterable[Proving]) -> tuple[Proof, ...]:
    """What no policy may deny on the node of a backend: that it asks for its own Service itself, and the node, where
    an agent sits there.
    """
    several = list(sites)
    by_name, at_nodes = {site.name: site for site in several}, {site.node: site for site in several if site.is_node}
    return tuple(
        each.asked_by(asking)
        for each in proving
        if each.port.protocol is Protocol.TCP
        for asking in (by_name[each.backend], at_nodes.get(by_name[each.backend].node))
        if asking is not None
    )


def proofs_of_tries(tries: Iterable[ServiceTry], proving: Iterable[str]) -> tuple[Proof, ...]:
    """What of ``tries`` should be allowed and goes to one of the addresses ``proving``."""
    wanted = frozenset(proving)
    return tuple(
        Proof(each.translating, each.attempt, each.listener)
        for each in tries
        if each.cell.address in wanted and each.cell.way is Way.CLUSTER_IP and each.demanded is Verdict.ALLOWED
    )


def taking_part(tries: Sequence[ServiceTry], proofs: Sequence[Proof], places: Sequence[ProbeSite]) -> list[ProbeSite]:
    """The sites whose agents take part, in the order of ``places``."""
    names = {name for each in tries for name in (each.source.name, each.backend.name)}
    names |= {name for proof in proofs for name in (proof.attempt.source, proof.attempt.destination)}
    return [site for site in places if site.name in names and site.agent]
