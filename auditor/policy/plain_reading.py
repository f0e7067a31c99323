"""One connection held against the NetworkPolicies at one of its ends: the rule that allows it, or what each rule lacks.

This walks the policies one by one, on purpose without the bitsets of ``auditor.policy.compiled``: it is the plain
reading of the same rules, and the tests hold the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from heapq import merge
from itertools import groupby
from typing import TypeAlias

from auditor.model.labels import Labels
from auditor.model.policy import Direction, IPBlock, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import Protocol
from auditor.model.reasons import MOST_POLICIES, Grant, Miss, Side, policy_place
from auditor.model.snapshot import Endpoint, Family, Snapshot
from auditor.model.verdict import Cell
from auditor.model.words import in_brief

_NumberedRule: TypeAlias = tuple[NetworkPolicy, int, Rule]
"""A rule with its policy and its number in it."""


def explain_side(snapshot: Snapshot, cell: Cell, direction: Direction) -> Side:
    """What the policies for ``direction`` say of ``cell``. Raises KeyError when source or destination is no
    endpoint.
    """
    reading = reading_of(snapshot)
    source, destination = reading.endpoint(cell.source), reading.endpoint(cell.destination)
    return _Question(reading, source, destination, cell.protocol, cell.port, cell.family).side(direction)


def reading_of(snapshot: Snapshot) -> PlainReading:
    """What is to be known of ``snapshot`` for a plain reading; the same for the last one asked about."""
    return _reading(_Same(snapshot))


class PlainReading:
    """A snapshot's endpoints by name and policies by namespace, and which of these isolate whom, looked up once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._endpoints = {endpoint.name: endpoint for endpoint in reversed(snapshot.endpoints)}
        self._policies: dict[str, list[NetworkPolicy]] = {}
        for policy in snapshot.policies:
            self._policies.setdefault(policy.namespace, []).append(policy)
        self._isolating: dict[tuple[str, Direction], tuple[NetworkPolicy, ...]] = {}
        self._selected_by: dict[str, Sequence[NetworkPolicy]] = {}
        self._rules: dict[tuple[str, Direction], _Rules] = {}
        self._rules_of: dict[tuple[Direction, tuple[int, ...]], _Rules] = {}
        self._open: dict[tuple[str, Direction], str] = {}

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint called ``name``; KeyError when there is none."""
        return self._endpoints[name]

    def isolating(self, pod: Endpoint, direction: Direction) -> tuple[NetworkPolicy, ...]:
        """The policies that select ``pod`` in ``direction``."""
        key = (pod.name, direction)
        if key not in self._isolating:
            self._isolating[key] = tuple(policy for policy in self._selecting(pod) if direction in policy.directions)
        return self._isolating[key]

    def _selecting(self, pod: Endpoint) -> Sequence[NetworkPolicy]:
        """The policies that select ``pod`` in any direction."""
        if pod.name not in self._selected_by:
            policies = self._policies.get(pod.namespace, ()) if pod.selectable else ()
            self._selected_by[pod.name] = [policy for policy in policies if policy.pod_selector.matches(pod.labels)]
        return self._selected_by[pod.name]

    def why_open(self, pod: Endpoint, direction: Direction) -> str:
        """Why no policy isolates ``pod``: it can't be selected, nobody selects it, or only policies for the other
        direction do.
        """
        key = (pod.name, direction)
        if key not in self._open:
            self._open[key] = self._say_why_open(pod, direction)
        return self._open[key]

    def _say_why_open(self, pod: Endpoint, direction: Direction) -> str:
        if not pod.selectable:
            return "it is not a pod on the pod network"
        if pod.namespace not in self._policies:
            return f"namespace {pod.namespace} has none"
        selecting = [policy_place(policy) for policy in self._selecting(pod)]
        if not selecting:
            return f"none of namespace {pod.namespace} selects it"
        verb = "is" if len(selecting) == 1 else "are"
        return f"{in_brief(selecting, MOST_POLICIES)} {verb} for {direction.opposite} alone"

    def may_allow(self, pod: Endpoint, direction: Direction, end: Endpoint) -> Iterator[_NumberedRule]:
        """The rules of these policies that may allow ``end``, in their order: left out are those of which each peer
        asks for a label that it lacks.
        """
        key = (pod.name, direction)
        if key not in self._rules:
            isolating = self.isolating(pod, direction)
            same = (direction, tuple(map(id, isolating)))
            if same not in self._rules_of:
                self._rules_of[same] = _Rules(isolating, direction)
            self._rules[key] = self._rules_of[same]
        return self._rules[key].for_labels(end.labels)


class _Rules:
    """The rules of some policies for one direction, by a label that each of their peers asks for."""

    def __init__(self, policies: Sequence[NetworkPolicy], direction: Direction) -> None:
        self._rules = [
            (policy, number, rule) for policy in policies for number, rule in enumerate(policy.rules(direction))
        ]
        self._anyone: list[int] = []
        self._asking: dict[tuple[str, str], list[int]] = {}
        for position, (_, _, rule) in enumerate(self._rules):
            asked = [peer.pod_selector.match_labels[:1] if peer.pod_selector else () for peer in rule.peers]
            if asked and all(asked):
                for pair in dict.fromkeys(pairs[0] for pairs in asked):
                    self._asking.setdefault(pair, []).append(position)
            else:
                self._anyone.append(position)

    def for_labels(self, labels: Labels) -> Iterator[_NumberedRule]:
        """Those that may allow a pod with ``labels``, each once."""
        found = [self._asking[pair] for pair in labels.items() if pair in self._asking]
        return (self._rules[position] for position, _ in groupby(merge(self._anyone, *found)))


class _Same:
    """A snapshot as the key of a cache: the same object, since comparing two takes as long as reading one."""

    __slots__ = ("snapshot",)

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def __hash__(self) -> int:
        return id(self.snapshot)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.snapshot is other.snapshot


@lru_cache(maxsize=1)
def _reading(same: _Same) -> PlainReading:
    return PlainReading(same.snapshot)


@dataclass(frozen=True, slots=True)
class _Question:
    reading: PlainReading
    source: Endpoint
    destination: Endpoint
    protocol: Protocol
    port: int
    family: Family

    def side(self, direction: Direction) -> Side:
        pod, peer = (
            (self.destination, self.source) if direction is Direction.INGRESS else (self.source, self.destination)
        )
        isolating = self.reading.isolating(pod, direction)
        if not isolating:
            return Side(direction, pod.name, open_because=self.reading.why_open(pod, direction))
        for policy, number, rule in self.reading.may_allow(pod, direction, peer):
            if (grant := self._grant(policy, direction, number, rule, peer)) is not None:
                return Side(direction, pod.name, isolating, grant)

        @cache
        def misses() -> tuple[Miss, ...]:
            return tuple(
                self._miss(policy, direction, number, rule, peer)
                for policy in isolating
                for number, rule in enumerate(policy.rules(direction))
            )

        return Side(direction, pod.name, isolating, find_misses=misses)

    def _grant(
        self, policy: NetworkPolicy, direction: Direction, number: int, rule: Rule, end: Endpoint
    ) -> Grant | None:
        """``rule`` as what allows the cell, whose other end is ``end``; None where it doesn't."""
        peer = next((peer for peer in rule.peers if self._is_peer(peer, policy, end)), None)
        if rule.peers and peer is None:
            return None
        asked = self.protocol, self.port, self.destination
        port = next((port for port in rule.ports if is_port(port, *asked)), None)
        return None if rule.ports and port is None else Grant(policy, direction, number, peer, port)

    def _miss(self, policy: NetworkPolicy, direction: Direction, number: int, rule: Rule, end: Endpoint) -> Miss:
        """What ``rule``, which does not allow the cell, lacks for that."""
        peers = [self._peer_lacks(peer, policy, end) for peer in rule.peers]
        peer_matches = not rule.peers or any(not missing for missing, _ in peers)
        ports = [self._port_lacks(port) for port in rule.ports]
        port_matches = not rule.ports or not all(ports)
        lacks = [] if peer_matches else [missing for missing, _ in peers]
        lacks += [] if port_matches else ports
        near = peer_matches or (bool(rule.ports) and port_matches) or any(part for _, part in peers)
        return Miss(policy, direction, number, tuple(lacks), near)

    def _is_peer(self, peer: Peer, policy: NetworkPolicy, end: Endpoint) -> bool:
        if peer.ip_block is not None:
            return is_in_block(peer.ip_block, end, self.family)
        if not end.selectable:
            return False
        if peer.namespace_selector is None:
            in_namespace = end.namespace == policy.namespace
        else:
            in_namespace = peer.namespace_selector.matches(self.reading.snapshot.namespaces[end.namespace].labels)
        return in_namespace and (peer.pod_selector is None or peer.pod_selector.matches(end.labels))

    def _peer_lacks(self, peer: Peer, policy: NetworkPolicy, end: Endpoint) -> tuple[str, bool]:
        """What ``end`` lacks for ``peer`` (empty: nothing), and whether a part of the peer matched."""
        if peer.ip_block is not None:
            return self._block_lacks(peer.ip_block, end)
        if not end.selectable:
            return f"{peer}: {end.name} is not a pod on the pod network", False
        lacks: list[str] = []
        parts = 0
        if peer.namespace_selector is not None:
            labels = self.reading.snapshot.namespaces[end.namespace].labels
            missing = peer.namespace_selector.unmet(labels)
            lacks += [
                f"namespaceSelector {peer.namespace_selector}: namespace {end.namespace} {text}" for text in missing
            ]
            parts += not missing
        elif end.namespace != policy.namespace:
            lacks.append(
                f"a podSelector alone means pods of the policy's own namespace, {policy.namespace}: {end.name} is "
                f"in {end.namespace}"
            )
        if peer.pod_selector is not None:
            missing = peer.pod_selector.unmet(end.labels)
            lacks += [f"podSelector {peer.pod_selector}: {end.name} {text}" for text in missing]
            parts += not missing
        return " and ".join(lacks), parts > 0

    def _block_lacks(self, block: IPBlock, end: Endpoint) -> tuple[str, bool]:
        """What ``end`` lacks for an ipBlock, and whether it comes near: inside but excepted, or at an address nobody
        knows.
        """
        if not end.addresses:
            whole = block.is_whole_family and block.cidr.version == self.family
            return "" if whole else f"ipBlock {block}: the address of {end.name} is not known", True
        address = end.address(self.family)
        if address is None:
            return f"ipBlock {block}: {end.name} has no {self.family} address", False
        if address not in block.cidr:
            why = f"{end.name} is not in it" if end.ranges else f"{address} is outside"
            return f"ipBlock {block.cidr}: {why}", False
        inside = next((network for network in block.excepts if address in network), None)
        shown = end.name if end.ranges else address
        return f"ipBlock {block.cidr}: {shown} is in except {inside}" if inside is not None else "", True

    def _port_lacks(self, port: PolicyPort) -> str:
        """What the asked-for port lacks for ``port``; empty when it matches."""
        asked = f"{self.protocol}/{self.port}"
        if port.protocol is not self.protocol:
            return f"port {port}: {asked} was asked for"
        if port.name is not None:
            numbers = self.destination.resolve(port.protocol, port.name) if self.destination.selectable else ()
            if not numbers:
                return f"port {port}: {self.destination.name} declares no {port.protocol} port named {port.name}"
            found = ", ".join(map(str, numbers))
            return (
                ""
                if self.port in numbers
                else f"port {port}: is {found} on {self.destination.name}, {asked} was asked for"
            )
        if port.number is None:
            return ""
        last = port.number if port.end_port is None else port.end_port
        return "" if port.number <= self.port <= last else f"port {port}: {asked} was asked for"


def is_in_block(block: IPBlock, end: Endpoint, family: Family) -> bool:
    """Whether ``end`` is in ``block`` by its address of ``family``; one whose addresses nobody knows is in a block of
    the whole family.
    """
    if not end.addresses:
        return block.is_whole_family and block.cidr.version == family
    address = end.address(family)
    return address is not None and address in block


def is_port(port: PolicyPort, protocol: Protocol, number: int, destination: Endpoint) -> bool:
    """Whether ``port`` means ``protocol`` and ``number`` at ``destination``."""
    if port.protocol is not protocol:
        return False
    if port.name is not None:
        return destination.selectable and number in destination.resolve(port.protocol, port.name)
    first, last = port.bounds
    return first <= number <= last
