"""One connection held against the NetworkPolicies at one of its ends: the rule that allows it, or what each rule lacks.

This walks the policies one by one, on purpose without the bitsets of ``auditor.policy.compiled``: it is the plain
reading of the same rules, and the tests hold the two against each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from auditor.model.policy import Direction, IPBlock, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, Family, Snapshot
from auditor.model.verdict import Cell
from auditor.model.words import pluralize


@dataclass(frozen=True, slots=True)
class Grant:
    """The rule that allows a cell in one direction. ``rule`` counts from 0, as in ``spec.ingress[0]``.

    ``peer`` and ``port`` are None where the rule has no peers or no ports and so means all of them.
    """

    policy: NetworkPolicy
    direction: Direction
    rule: int
    peer: Peer | None
    port: PolicyPort | None

    def __str__(self) -> str:
        return (
            f"{place(self.policy, self.direction, self.rule)}: {self.peer or 'every peer'}, {self.port or 'every port'}"
        )


@dataclass(frozen=True, slots=True)
class Miss:
    """A rule that does not allow a cell: one phrase for each item that fails. ``near`` when some part of it matched."""

    policy: NetworkPolicy
    direction: Direction
    rule: int
    lacks: tuple[str, ...]
    near: bool

    def __str__(self) -> str:
        return f"{place(self.policy, self.direction, self.rule)}: {'; '.join(_few(self.lacks))}"


@dataclass(frozen=True, slots=True)
class Side:
    """One direction's part in a decision: the policies that isolate the pod on that side, and what their rules say.

    ``open_because`` says why no policy isolates it; empty when one does.
    """

    direction: Direction
    pod: str
    isolating: tuple[NetworkPolicy, ...] = ()
    grant: Grant | None = None
    misses: tuple[Miss, ...] = ()
    open_because: str = ""

    @property
    def allowed(self) -> bool:
        return not self.isolating or self.grant is not None

    @property
    def lines(self) -> tuple[str, ...]:
        """One line for each thing that decided, for people."""
        return tuple(_side_lines(self))

    @property
    def near_misses(self) -> tuple[Miss, ...]:
        """The rules that came near; all rules when none did."""
        return tuple(miss for miss in self.misses if miss.near) or self.misses


def _few(lacks: Sequence[str]) -> list[str]:
    """``lacks``, of ipBlocks that are alike one for all, and no more than a person reads."""
    outside = [lack for lack in lacks if OUTSIDE.fullmatch(lack)]
    if len(outside) > MOST_ALIKE:
        address = outside[0].partition(": ")[2].partition(" ")[0]
        example = outside[0].split()[1].rstrip(":")
        alike = f"none of {len(outside):,} ipBlocks, such as {example}, holds {address}"
        lacks = [alike, *(lack for lack in lacks if lack not in set(outside))]
    more = len(lacks) - MOST_LACKS
    return [*lacks[:MOST_LACKS], f"and {more:,} more that do not match"] if more > 0 else list(lacks)


MOST_ALIKE = 3
MOST_LACKS = 4
MOST_MISSES = 3
MOST_POLICIES = 3
OUTSIDE = re.compile(r"ipBlock \S+: \S+ is outside")


def place(policy: NetworkPolicy, direction: Direction, rule: int) -> str:
    """Where a rule stands, for people: ``prod/db ingress[0] (db.yaml:12)``."""
    line = policy.rules(direction)[rule].line
    origin = f" ({policy.file}:{line})" if policy.file and line else ""
    return f"{policy.full_name} {direction.lower()}[{rule}]{origin}"


def policy_place(policy: NetworkPolicy) -> str:
    """Where a policy stands, for people: ``prod/db (db.yaml:1)``."""
    return f"{policy.full_name} ({policy.file}:{policy.line})" if policy.file and policy.line else policy.full_name


def _side_lines(side: Side) -> list[str]:
    word = side.direction.lower()
    if not side.isolating:
        return [f"{word}: no policy isolates {side.pod}: {side.open_because}"]
    if side.grant is not None:
        return [f"{word}: {side.grant}"]
    names = _names(policy_place(policy) for policy in side.isolating)
    lines = [f"{word}: {side.pod} is isolated by {names}, and no rule allows it"]
    misses = side.near_misses
    lines += [f"{word}: {miss}" for miss in misses[:MOST_MISSES]]
    more = len(misses) - MOST_MISSES
    return (
        [*lines, f"{word}: and {pluralize(more, 'more rule')} that {'do' if more > 1 else 'does'} not"]
        if more > 0
        else lines
    )


def _names(places: Iterable[str]) -> str:
    named = list(places)
    more = len(named) - MOST_POLICIES
    return ", ".join(named[:MOST_POLICIES]) + (f" and {more:,} more" if more > 0 else "")


def explain_side(snapshot: Snapshot, cell: Cell, direction: Direction) -> Side:
    """What the policies for ``direction`` say of ``cell``. Raises KeyError when source or destination is no
    endpoint.
    """
    source, destination = snapshot.endpoint(cell.source), snapshot.endpoint(cell.destination)
    return _Question(snapshot, source, destination, cell.protocol, cell.port, cell.family).side(direction)


def _selects(policy: NetworkPolicy, pod: Endpoint) -> bool:
    return pod.selectable and policy.namespace == pod.namespace and policy.pod_selector.matches(pod.labels)


@dataclass(frozen=True, slots=True)
class _Question:
    snapshot: Snapshot
    source: Endpoint
    destination: Endpoint
    protocol: Protocol
    port: int
    family: Family

    def side(self, direction: Direction) -> Side:
        pod, peer = (
            (self.destination, self.source) if direction is Direction.INGRESS else (self.source, self.destination)
        )
        isolating = tuple(
            policy for policy in self.snapshot.policies if direction in policy.directions and _selects(policy, pod)
        )
        if not isolating:
            return Side(direction, pod.name, open_because=self._why_open(pod, direction))
        misses: list[Miss] = []
        for policy in isolating:
            for number, rule in enumerate(policy.rules(direction)):
                outcome = self._try(policy, direction, number, rule, peer)
                if isinstance(outcome, Grant):
                    return Side(direction, pod.name, isolating, outcome)
                misses.append(outcome)
        return Side(direction, pod.name, isolating, None, tuple(misses))

    def _why_open(self, pod: Endpoint, direction: Direction) -> str:
        """Why no policy isolates ``pod``: it can't be selected, nobody selects it, or only policies for the other
        direction do.
        """
        if not pod.selectable:
            return "it is not a pod on the pod network"
        if not any(policy.namespace == pod.namespace for policy in self.snapshot.policies):
            return f"namespace {pod.namespace} has none"
        selecting = [policy_place(policy) for policy in self.snapshot.policies if _selects(policy, pod)]
        if not selecting:
            return f"none of namespace {pod.namespace} selects it"
        other = Direction.EGRESS if direction is Direction.INGRESS else Direction.INGRESS
        return f"{_names(selecting)} {'is' if len(selecting) == 1 else 'are'} for {other} alone"

    def _try(self, policy: NetworkPolicy, direction: Direction, number: int, rule: Rule, end: Endpoint) -> Grant | Miss:
        lacks: list[str] = []
        near = False
        matched_peer: Peer | None = None
        for peer in rule.peers:
            missing, part = self._peer_lacks(peer, policy, end)
            if not missing:
                matched_peer = peer
                break
            lacks.append(missing)
            near = near or part
        peer_matches = not rule.peers or matched_peer is not None
        matched_port = next((port for port in rule.ports if not self._port_lacks(port)), None)
        port_matches = not rule.ports or matched_port is not None
        if peer_matches and port_matches:
            return Grant(policy, direction, number, matched_peer, matched_port)
        lacks = [] if peer_matches else lacks
        if not port_matches:
            lacks += [self._port_lacks(port) for port in rule.ports]
        return Miss(
            policy, direction, number, tuple(lacks), near or peer_matches or (bool(rule.ports) and port_matches)
        )

    def _peer_lacks(self, peer: Peer, policy: NetworkPolicy, end: Endpoint) -> tuple[str, bool]:
        """What ``end`` lacks for ``peer`` (empty: nothing), and whether a part of the peer matched."""
        if peer.ip_block is not None:
            return self._block_lacks(peer.ip_block, end)
        if not end.selectable:
            return f"{peer}: {end.name} is not a pod on the pod network", False
        lacks: list[str] = []
        parts = 0
        if peer.namespace_selector is not None:
            labels = self.snapshot.namespaces[end.namespace].labels
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
            return f"ipBlock {block.cidr}: {address} is outside", False
        inside = next((network for network in block.excepts if address in network), None)
        return f"ipBlock {block.cidr}: {address} is in except {inside}" if inside is not None else "", True

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
