"""What a hypothesis predicts: which cells get through when given dialects are in force within given scopes.

A pod's egress is filtered on the pod's own node, and so is ingress to it. A scope therefore marks, for each direction,
the cells whose filter is concerned; where several faults concern the same filter, their misreadings are chained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from auditor.diagnosis.cells import Cells
from auditor.diagnosis.dialects import SPECS, Timing
from auditor.diagnosis.filters import Chain, Filters
from auditor.model.diagnosis import Fault, Hypothesis, Scope, ScopeKind
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.ports import Protocol

EPHEMERAL_PORTS = (32768, 50000, 60999)
"""Ports that clients connect from, by the edges and the middle of Linux's net.ipv4.ip_local_port_range: a stateless
enforcer judges replies by them."""

FILTERS_OF_NODE: Mapping[ScopeKind, tuple[Direction, ...]] = {
    ScopeKind.NODE: tuple(Direction),
    ScopeKind.SOURCE_NODE: (Direction.EGRESS,),
    ScopeKind.DESTINATION_NODE: (Direction.INGRESS,),
}
"""Which of a node's filters a scope means."""

OF_PACKETS = (ScopeKind.FAMILY, ScopeKind.PROTOCOL, ScopeKind.PATH)
WITHOUT_REGION = (ScopeKind.CLUSTER, ScopeKind.POLICY)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Cells as bitsets: those that get through, and those whose verdict depends on the moment or on the
    client's port.
    """

    allowed: int
    varying: int = 0


class Predictor:
    """Predictions for ``cells``. ``previous_policies`` are those before the last change, where they are known."""

    def __init__(self, cells: Cells, previous_policies: Sequence[NetworkPolicy] | None = None) -> None:
        self.cells = cells
        self._previous = previous_policies
        self.filters = Filters(cells, previous_policies or ())
        self._regions: dict[tuple[Scope, Direction], int] = {}

    @cached_property
    def parts_of_cluster(self) -> Mapping[ScopeKind, int]:
        """How many parts of each kind there are that a fault could be limited to."""
        pods = [end for end in self.cells.endpoints.values() if end.selectable]
        nodes = len({pod.node for pod in pods})
        return {
            ScopeKind.NODE: nodes,
            ScopeKind.SOURCE_NODE: nodes,
            ScopeKind.DESTINATION_NODE: nodes,
            ScopeKind.NAMESPACE: len({policy.namespace for policy in self.filters.policies}),
            ScopeKind.FAMILY: len(self.cells.families),
            ScopeKind.PROTOCOL: len(self.cells.protocols),
            ScopeKind.POLICY: len(self.filters.policies),
            ScopeKind.POD: len(pods),
            ScopeKind.PEER: len(pods),
            ScopeKind.PATH: nodes * (nodes - 1) // 2,
        }

    @cached_property
    def specification(self) -> int:
        """The cells that the specification lets through."""
        return self.predict(()).allowed

    def predict(self, faults: Hypothesis, *, timed: bool = True) -> Prediction:
        """The prediction of ``faults``, all in force together.

        Without ``timed``, nothing changes while one looks: ``slow`` has not converged yet, and ``flaky`` drops nothing.
        """
        allowed = self._passing(Direction.EGRESS, faults) & self._passing(Direction.INGRESS, faults)
        varying = self._timed(faults, allowed) if timed else 0
        if any(not SPECS[fault.dialect].tracks_connections for fault in faults):
            # Destinations log datagrams, so one that ought not to arrive is seen to do so without a reply.
            logged = self.cells.protocols.get(Protocol.UDP, 0) & ~self.specification
            answers = [reply.answered(faults) | logged for reply in self._replies]
            always, sometimes = answers[0], answers[0]
            for answer in answers[1:]:
                always &= answer
                sometimes |= answer
            return Prediction(allowed & always, varying & sometimes | allowed & sometimes & ~always)
        return Prediction(allowed, varying)

    def besides(self, faults: Hypothesis, spared: Sequence[str]) -> int:
        """The cells that get through where ``faults`` are at all filters but those of the endpoints ``spared``."""
        passing = self.cells.everything
        for direction in Direction:
            right = self.cells.filtered_at(spared, direction)
            passing &= self._passing(direction, ()) & right | self._passing(direction, faults) & ~right
        return passing

    def _timed(self, faults: Hypothesis, allowed: int) -> int:
        """The cells on which enforcers answer differently from one moment to the next."""
        varying = 0
        for fault in faults:
            timing = SPECS[fault.dialect].timing
            if timing is Timing.NOW_AND_THEN:
                filtered = self.region(fault.scope, Direction.EGRESS) | self.region(fault.scope, Direction.INGRESS)
                varying |= allowed & filtered & ~self.cells.to_itself & ~self.cells.with_own_node
            elif timing is Timing.LATE:
                varying |= allowed & ~self._without(fault, faults)
        return varying

    def _without(self, fault: Fault, faults: Hypothesis) -> int:
        """The cells that get through all the same when ``fault`` is not among ``faults``."""
        others = tuple(other for other in faults if other is not fault)
        return self._passing(Direction.EGRESS, others) & self._passing(Direction.INGRESS, others)

    def answered(self, faults: Hypothesis) -> int:
        """The cells, which are replies, that pass the stateless ones among the filters."""
        return self._passing(Direction.EGRESS, faults, stateless=True) & self._passing(
            Direction.INGRESS, faults, stateless=True
        )

    @cached_property
    def _replies(self) -> list[Predictor]:
        return [Predictor(self.cells.replies(port), self._previous) for port in self._client_ports]

    @cached_property
    def _client_ports(self) -> tuple[int, ...]:
        """One port that clients connect from, or several where some rule or pod makes a difference between them."""
        first, _, last = EPHEMERAL_PORTS
        rules = [
            rule
            for policy in (*self.filters.policies, *(self._previous or ()))
            for rule in (*policy.ingress, *policy.egress)
        ]
        ports = [port for rule in rules for port in rule.ports]
        ports += [
            port
            for policy in self.filters.admin.policies
            for rule in (*policy.ingress, *policy.egress)
            for port in rule.ports
        ]
        cuts = {cut for port in ports for cut in (port.number or 0, (port.end_port or port.number or 0) + 1)}
        cuts |= {
            declared.number + step
            for endpoint in self.cells.snapshot.endpoints
            for declared in endpoint.ports
            for step in (0, 1)
        }
        return EPHEMERAL_PORTS if any(first < cut <= last for cut in cuts) else (first,)

    def _passing(self, direction: Direction, faults: Hypothesis, *, stateless: bool = False) -> int:
        """The cells that pass the filters of ``direction``; with ``stateless`` only the filters of stateless enforcers
        count.
        """
        passing = 0
        regions = [self.region(fault.scope, direction) for fault in faults]
        for concerned in product((False, True), repeat=len(faults)):
            mask = self.cells.everything
            for region, inside in zip(regions, concerned, strict=True):
                mask &= region if inside else ~region
            if mask:
                in_force = [fault for fault, inside in zip(faults, concerned, strict=True) if inside]
                exempt = stateless and all(SPECS[fault.dialect].tracks_connections for fault in in_force)
                passing |= mask if exempt else mask & self.filters.passing(direction, chain_of(in_force))
        return passing

    def region(self, scope: Scope, direction: Direction) -> int:
        """The cells that the filters of ``direction`` in ``scope`` judge."""
        key = (scope, direction)
        if key not in self._regions:
            self._regions[key] = self._find_region(scope, direction)
        return self._regions[key]

    def _find_region(self, scope: Scope, direction: Direction) -> int:
        if scope.kind is ScopeKind.NAMESPACE:
            return self.cells.at(direction, lambda pod: pod.namespace == scope.name)
        if scope.kind in OF_PACKETS:
            return self._packets(scope)
        if scope.kind in (ScopeKind.POD, ScopeKind.PEER):
            ends = self.cells.subjects if scope.kind is ScopeKind.POD else self.cells.others
            return ends(direction).get(scope.name, 0)
        if direction not in FILTERS_OF_NODE.get(scope.kind, ()):
            return self.cells.everything if scope.kind in WITHOUT_REGION else 0
        return self.cells.at(direction, lambda pod: pod.node == scope.name)

    def _packets(self, scope: Scope) -> int:
        """The cells whose packets are in ``scope``, whichever filter they meet."""
        if scope.kind is ScopeKind.PATH:
            return self.cells.between(*scope.name.split(" and "))
        if scope.kind is ScopeKind.FAMILY:
            return sum(mask for family, mask in self.cells.families.items() if str(family) == scope.name)
        return self.cells.protocols.get(Protocol(scope.name), 0)


def chain_of(faults: Iterable[Fault]) -> Chain:
    """What an enforcer misreads that has all of ``faults``."""
    return tuple((fault.dialect, fault.scope.name if fault.scope.kind is ScopeKind.POLICY else "") for fault in faults)
