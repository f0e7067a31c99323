"""What policies demand of a lookup by the cluster's DNS: the pods behind the address of its Service are what counts.

Where the address is not a Service's, or NodeLocal DNSCache answers in its place on the pods' own nodes, it is up to the
CNI which address policies see. Nothing is demanded then of pods whose egress is isolated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import ip_address

from auditor.model.dns_seen import LookupCell, LookupExpectation
from auditor.model.policy import Direction
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Endpoint, Service, Snapshot
from auditor.model.verdict import Cell, Note, Verdict
from auditor.model.words import in_brief
from auditor.policy.decision_places import places_of
from auditor.policy.doubt import doubtful_cells
from auditor.policy.evaluator import evaluate
from auditor.policy.explain import Decision, decide
from auditor.policy.matrix import ExpectedMatrix
from auditor.policy.service_ways import NOTE_WORDS, SOMEBODY, with_somebody_at
from auditor.policy.services import ServiceRoute, translate

NODE_CACHE = ("k8s-app", "node-local-dns")
"""The label of NodeLocal DNSCache's pods."""
MOST_NAMED = 3
MOST_BEHIND = 2
"""Pods of the DNS that are asked by their own addresses, too."""


@dataclass(frozen=True)
class DnsReading:
    """What the policies of ``audited`` demand of lookups, in the cluster that has the pods of ``workloads``."""

    audited: Snapshot
    workloads: Snapshot

    def expectation(self, cell: LookupCell) -> LookupExpectation:
        """What is expected of ``cell``, whose source is an endpoint of ``audited``."""
        service = self._service_at(cell.address)
        if service is not None:
            return self._of_service(cell, service)
        pods = self._pods_at.get(cell.address, ())
        routes = [ServiceRoute(pod, cell.port) for pod in pods]
        return self._of_pods(cell, pods[0].name, routes) if pods else self._of_address(cell)

    def answering(self, cell: LookupCell) -> frozenset[str]:
        """The addresses of all that may answer: of the pods behind the Service, or the address itself."""
        service = self._service_at(cell.address)
        if service is None:
            return frozenset({cell.address})
        return frozenset(str(address) for route in self._routes(cell, service) for address in route.backend.addresses)

    def _service_at(self, address: str) -> Service | None:
        there = ip_address(address)
        return next((each for each in self.audited.services if there in each.cluster_ips), None)

    def _routes(self, cell: LookupCell, service: Service) -> list[ServiceRoute]:
        key = cell._replace(source="", name="")
        if key not in self._known_routes:
            self._known_routes[key] = [
                route
                for route in translate(self.workloads, service, PortRequest(cell.protocol, number=cell.port))
                if route.backend.address(cell.family)
            ]
        return self._known_routes[key]

    @cached_property
    def _known_routes(self) -> dict[LookupCell, list[ServiceRoute]]:
        return {}

    @cached_property
    def _pods_at(self) -> dict[str, list[Endpoint]]:
        found = defaultdict[str, list[Endpoint]](list)
        for pod in self.workloads.endpoints:
            for address in pod.addresses if pod.selectable else ():
                found[str(address)].append(pod)
        return found

    @cached_property
    def _caches(self) -> bool:
        key, value = NODE_CACHE
        return any(pod.labels.get(key) == value for pod in self.workloads.endpoints)

    def _of_service(self, cell: LookupCell, service: Service) -> LookupExpectation:
        server = service.place
        routes = self._routes(cell, service)
        if service.internal_local:
            why = "internalTrafficPolicy is Local: which pods are asked hangs on the node"
            return LookupExpectation(Verdict.DENIED, server, left_open=why)
        if not routes:
            return LookupExpectation(Verdict.DENIED, server, left_open=f"no pod is known behind {service.full_name}")
        behind = tuple((str(route.backend.address(cell.family)), route.number) for route in routes[:MOST_BEHIND])
        return self._of_pods(cell, server, routes, behind)

    def _of_pods(
        self, cell: LookupCell, server: str, routes: Sequence[ServiceRoute], behind: tuple[tuple[str, int], ...] = ()
    ) -> LookupExpectation:
        matrix, cells = self._matrix(cell, routes)
        decisions = [decide(matrix.snapshot, each) for each in cells]
        verdicts = {each.verdict for each in decisions}
        verdict = Verdict.ALLOWED if verdicts == {Verdict.ALLOWED} else Verdict.DENIED
        denied = next((each for each in decisions if each.verdict is Verdict.DENIED), None)
        return LookupExpectation(
            verdict,
            server,
            "" if denied is None else why_denied(denied, server),
            self._left_open(matrix, cells, decisions, cell),
            behind,
            len(routes),
            () if denied is None else places_of(denied),
        )

    def _matrix(self, cell: LookupCell, routes: Sequence[ServiceRoute]) -> tuple[ExpectedMatrix, list[Cell]]:
        """The matrix of the cluster with the pods of the DNS, and the connections to them."""
        backends = {route.backend.name: route.backend for route in routes}
        cells = [
            Cell(cell.source, f"{BEHIND}{route.backend.name}", cell.protocol, route.number, cell.family)
            for route in routes
        ]
        key = tuple(sorted(backends))
        if key not in self._matrices:
            self._matrices[key] = evaluate(with_pods(self.audited, backends.values()))
        return self._matrices[key], cells

    @cached_property
    def _matrices(self) -> dict[tuple[str, ...], ExpectedMatrix]:
        return {}

    def _left_open(
        self, matrix: ExpectedMatrix, cells: Sequence[Cell], decisions: Sequence[Decision], cell: LookupCell
    ) -> str:
        """Why nothing is demanded; empty where something is."""
        doubts = doubtful_cells(matrix.snapshot, matrix.snapshot.unknown, cells) if matrix.snapshot.unknown else {}
        for each in cells:
            for note in matrix.notes(*each):
                if note in OPEN_NOTES:
                    return OPEN_NOTES[note]
            if each in doubts:
                return doubts[each]
        if len({each.verdict for each in decisions}) > 1:
            return f"policies let it through to some pods {'of the DNS' if not cell.service else 'behind it'} alone"
        isolated = decisions[0].deciding(Direction.EGRESS) is not None
        if self._caches and isolated and not cell.service:
            return "NodeLocal DNSCache answers on the pod's own node: which address policies see is up to the CNI"
        by_ingress = not decisions[0].allowed(Direction.INGRESS)
        if decisions[0].verdict is Verdict.DENIED and not by_ingress and self._by_address(cell):
            return f"an ipBlock covers the Service's address {cell.address}: up to the CNI"
        return ""

    def _by_address(self, cell: LookupCell) -> bool:
        there, seen = self._somebody_at(cell)
        return decide(there, seen).allowed(Direction.EGRESS)

    def _somebody_at(self, cell: LookupCell) -> tuple[Snapshot, Cell]:
        """The cluster with somebody unknown at the address that is asked, and the connection there."""
        there = with_somebody_at(self.audited, [cell.address])
        return there, Cell(cell.source, f"{SOMEBODY}{cell.address}", cell.protocol, cell.port, cell.family)

    def _of_address(self, cell: LookupCell) -> LookupExpectation:
        (there, seen), address = self._somebody_at(cell), ip_address(cell.address)
        decision = decide(there, seen)
        near = address.is_link_local or address.is_loopback or address in self.workloads.node_addresses
        isolated = decision.deciding(Direction.EGRESS) is not None
        doubts = doubtful_cells(there, there.unknown, [seen]) if there.unknown else {}
        return LookupExpectation(
            decision.verdict,
            cell.address,
            why_denied(decision, cell.address) if decision.verdict is Verdict.DENIED else "",
            f"{cell.address} is an address of the pod's own node: whether policies apply is up to the CNI"
            if near and isolated
            else doubts.get(seen, ""),
            places=places_of(decision) if decision.verdict is Verdict.DENIED else (),
        )


OPEN_NOTES = {
    **NOTE_WORDS,
    Note.CNI_DEPENDENT: "an ipBlock covers the address of a pod behind it: up to the CNI",
}
BEHIND = "dns/"
"""How the names of the DNS's own pods begin, beside probe pods that may be called as they are."""


def with_pods(snapshot: Snapshot, pods: Iterable[Endpoint]) -> Snapshot:
    """``snapshot`` with the DNS's own ``pods``."""
    theirs = (replace(pod, name=f"{BEHIND}{pod.name}") for pod in pods)
    return replace(snapshot, endpoints=(*snapshot.endpoints, *theirs))


def why_denied(decision: Decision, server: str) -> str:
    """Which policies deny it: ``egress to kube-system/kube-dns UDP/53 is denied by prod/default-deny``."""
    cell = decision.cell
    told = [
        f"{_what(direction)} {server} {cell.protocol}/{cell.port} is denied by {_by(decision, direction)}"
        for direction in (Direction.EGRESS, Direction.INGRESS)
        if not decision.allowed(direction)
    ]
    return "; ".join(told)


def _what(direction: Direction) -> str:
    return "egress to" if direction is Direction.EGRESS else "ingress of"


def _by(decision: Decision, direction: Direction) -> str:
    deciding = decision.deciding(direction)
    if deciding is not None and deciding.decider is not None:
        return deciding.decider.policy
    side = decision.egress if direction is Direction.EGRESS else decision.ingress
    return in_brief([policy.full_name for policy in side.isolating], MOST_NAMED) or "policies"
