"""Enforcers that err in ways that the diagnosis does not know, written for tests alone and apart from all dialects:
``python -m tests.lab.unknown_faults`` prints what is said of them.

What an audit says of such a fault is worth as much as what it says of those that it knows: no cause is right, a coarse
one that holds ("policy prod/db is not in force" where just that policy was refused) is right, "could be" claims
nothing, and anything else is false. Observations are computed here; ``tests.lab.unknown_packets`` plays each of them
with packets, and holds what is seen against what is computed. Most are mechanisms that enforcers in the field have had;
a few are made up."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from zlib import crc32

from auditor.diagnosis.cells import Cells
from auditor.diagnosis.predictors import Predictor
from auditor.diagnosis.search import diagnose
from auditor.model.diagnosis import Diagnosis, Fault, Scope, ScopeKind
from auditor.model.dialect import Dialect
from auditor.model.labels import Labels, LabelSelector, Operator, Requirement
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import PortRequest, Protocol
from auditor.model.report import CellResult
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot
from auditor.parsing.scenario import read_scenario
from auditor.parsing.source import Source
from auditor.policy.evaluator import evaluate
from auditor.probing.plan import plan_cells
from tests.lab import scenarios
from tests.lab.naming import FOUND, World, seen
from tests.oracle.evaluator import crosses_filter
from tests.oracle.matching import Packet

MOST_FALSE = 0.02
"""The share of false sentences, of all audits in which a fault shows, that is borne."""

Statement = tuple[Dialect, ScopeKind, str]
"""A dialect in a scope."""


class Enforcer:
    """The specification, one packet at a time, with a method for each thing that a fault may change."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.policies: Sequence[NetworkPolicy] = sorted(snapshot.policies, key=lambda policy: policy.name)
        self.pods = [end for end in snapshot.endpoints if end.selectable]

    def holds(self, faults: Sequence[Fault]) -> bool:
        """Whether ``faults`` say something of this enforcer that is so, though not all of it."""
        return all(
            any(
                fault.dialect is dialect and fault.scope == Scope(kind, name)
                for dialect, kind, name in self.statements()
            )
            for fault in faults
        )

    def statements(self) -> Iterable[Statement]:
        """What could be said of it."""
        return ()

    def passes(self, packet: Packet) -> bool:
        """Whether a new connection is let through."""
        return self.leaves(packet) and self.enters(packet)

    def leaves(self, packet: Packet) -> bool:
        return self.filter(packet.source, packet.destination, Direction.EGRESS, packet)

    def enters(self, packet: Packet) -> bool:
        return self.filter(packet.destination, packet.source, Direction.INGRESS, packet)

    def filter(self, pod: Endpoint, other: Endpoint, direction: Direction, packet: Packet) -> bool:
        if not crosses_filter(pod, other):
            return True
        policies = [policy for policy in self.policies if self.isolates(policy, pod, direction)]
        return not policies or any(self.allows(policy, direction, other, packet) for policy in policies)

    def isolates(self, policy: NetworkPolicy, pod: Endpoint, direction: Direction) -> bool:
        return direction in policy.directions and self.selects(policy, pod)

    def selects(self, policy: NetworkPolicy, pod: Endpoint) -> bool:
        return pod.namespace == policy.namespace and self.matches(policy.pod_selector, pod.labels)

    def allows(self, policy: NetworkPolicy, direction: Direction, other: Endpoint, packet: Packet) -> bool:
        return any(self.rule(policy, rule, direction, other, packet) for rule in self.rules(policy, direction))

    def rules(self, policy: NetworkPolicy, direction: Direction) -> Sequence[Rule]:
        return policy.rules(direction)

    def rule(self, policy: NetworkPolicy, rule: Rule, direction: Direction, other: Endpoint, packet: Packet) -> bool:
        peers, ports = self.peers(rule), self.ports(rule)
        return (not rule.peers or any(self.peer(policy, peer, other, packet) for peer in peers)) and (
            not rule.ports or any(self.port(port, direction, packet) for port in ports)
        )

    def peers(self, rule: Rule) -> Sequence[Peer]:
        return rule.peers

    def ports(self, rule: Rule) -> Sequence[PolicyPort]:
        return rule.ports

    def peer(self, policy: NetworkPolicy, peer: Peer, other: Endpoint, packet: Packet) -> bool:
        if peer.ip_block is not None:
            address = other.address(packet.family)
            return address is not None and self.block(policy, peer, other, packet)
        return other.selectable and self.selected(policy, peer, other)

    def block(self, _policy: NetworkPolicy, peer: Peer, other: Endpoint, packet: Packet) -> bool:
        address = other.address(packet.family)
        return address is not None and peer.ip_block is not None and address in peer.ip_block

    def selected(self, policy: NetworkPolicy, peer: Peer, other: Endpoint) -> bool:
        if peer.namespace_selector is None:
            there = other.namespace == policy.namespace
        else:
            there = self.matches(peer.namespace_selector, self.snapshot.namespaces[other.namespace].labels)
        return there and (peer.pod_selector is None or self.matches(peer.pod_selector, other.labels))

    def matches(self, selector: LabelSelector, labels: Labels) -> bool:
        return selector.matches(labels)

    def port(self, port: PolicyPort, direction: Direction, packet: Packet) -> bool:
        if port.protocol is not packet.protocol:
            return False
        if port.name is not None:
            return self.named(port, direction, packet)
        return port.number is None or port.number <= packet.port <= (port.end_port or port.number)

    def named(self, port: PolicyPort, _direction: Direction, packet: Packet) -> bool:
        return packet.port in numbers(packet.destination, port)


def numbers(pod: Endpoint, port: PolicyPort) -> list[int]:
    """What ``pod`` declares under the name."""
    return [
        item.number for item in pod.ports if pod.selectable and (item.name, item.protocol) == (port.name, port.protocol)
    ]


def in_policies(enforcer: Enforcer, holds: Callable[[NetworkPolicy], bool]) -> Iterable[Statement]:
    """That each policy of which ``holds`` is true is not in force."""
    for policy in enforcer.policies:
        if holds(policy):
            yield Dialect.ENFORCES_NOTHING, ScopeKind.POLICY, policy.full_name


class AnyLabelIsEnough(Enforcer):
    def matches(self, selector: LabelSelector, labels: Labels) -> bool:
        pairs = [labels.get(key) == value for key, value in selector.match_labels]
        return (not pairs or any(pairs)) and all(one.meets(labels) for one in selector.match_expressions)


class FirstValueOfIn(Enforcer):
    def matches(self, selector: LabelSelector, labels: Labels) -> bool:
        expressions = tuple(
            replace(one, values=one.values[:1]) if one.operator is Operator.IN else one
            for one in selector.match_expressions
        )
        return replace(selector, match_expressions=expressions).matches(labels)


class ExpressionsIgnored(Enforcer):
    def matches(self, selector: LabelSelector, labels: Labels) -> bool:
        return replace(selector, match_expressions=()).matches(labels)


class AbsenceTakenAsPresence(Enforcer):
    def matches(self, selector: LabelSelector, labels: Labels) -> bool:
        turned = {Operator.DOES_NOT_EXIST: Operator.EXISTS}
        expressions = tuple(
            Requirement(one.key, turned.get(one.operator, one.operator), one.values)
            for one in selector.match_expressions
        )
        return replace(selector, match_expressions=expressions).matches(labels)


class RefusesEndPort(Enforcer):
    def isolates(self, policy: NetworkPolicy, pod: Endpoint, direction: Direction) -> bool:
        return not has_end_port(policy) and super().isolates(policy, pod, direction)

    def statements(self) -> Iterable[Statement]:
        return in_policies(self, has_end_port)


def has_end_port(policy: NetworkPolicy) -> bool:
    return any(port.end_port for rule in (*policy.ingress, *policy.egress) for port in rule.ports)


class NamedPortsOpenAll(Enforcer):
    def named(self, port: PolicyPort, direction: Direction, packet: Packet) -> bool:
        return True


class NamedEgressPortsOpenAll(Enforcer):
    def statements(self) -> Iterable[Statement]:
        yield Dialect.NAMES_OF_ANY_POD, ScopeKind.CLUSTER, ""

    def named(self, port: PolicyPort, direction: Direction, packet: Packet) -> bool:
        return direction is Direction.EGRESS or super().named(port, direction, packet)


class NamedPortsOfTheSource(Enforcer):
    def named(self, port: PolicyPort, _direction: Direction, packet: Packet) -> bool:
        return packet.port in numbers(packet.source, port)


class OneNumberForAName(Enforcer):
    def named(self, port: PolicyPort, _direction: Direction, packet: Packet) -> bool:
        known = [number for pod in self.pods for number in numbers(pod, port)]
        return packet.port in known[:1]


class OnePodForAName(Enforcer):
    def named(self, port: PolicyPort, direction: Direction, packet: Packet) -> bool:
        known = [pod.name for pod in self.pods if numbers(pod, port)]
        return packet.destination.name in known[:1] and super().named(port, direction, packet)


class ProtocolIgnored(Enforcer):
    def port(self, port: PolicyPort, direction: Direction, packet: Packet) -> bool:
        return super().port(replace(port, protocol=packet.protocol), direction, packet)


class UdpPortsTakenAsTcp(Enforcer):
    def port(self, port: PolicyPort, direction: Direction, packet: Packet) -> bool:
        taken = replace(port, protocol=Protocol.TCP) if port.protocol is Protocol.UDP else port
        return super().port(taken, direction, packet)


class FirstPortOnly(Enforcer):
    def ports(self, rule: Rule) -> Sequence[PolicyPort]:
        return rule.ports[:1]


class FirstPeerOnly(Enforcer):
    def peers(self, rule: Rule) -> Sequence[Peer]:
        return rule.peers[:1]


class FirstRuleOnly(Enforcer):
    def rules(self, policy: NetworkPolicy, direction: Direction) -> Sequence[Rule]:
        return policy.rules(direction)[:1]


class LastRuleOnly(Enforcer):
    def rules(self, policy: NetworkPolicy, direction: Direction) -> Sequence[Rule]:
        return policy.rules(direction)[-1:]


class NobodyMeansEverybody(Enforcer):
    def rule(self, policy: NetworkPolicy, rule: Rule, direction: Direction, other: Endpoint, packet: Packet) -> bool:
        chosen = [peer for peer in rule.peers if peer.ip_block is None]
        if chosen and not any(self.selected(policy, peer, pod) for peer in chosen for pod in self.pods):
            rule = replace(rule, peers=())
        return super().rule(policy, rule, direction, other, packet)


class NoRulesNoIsolation(Enforcer):
    def isolates(self, policy: NetworkPolicy, pod: Endpoint, direction: Direction) -> bool:
        return bool(policy.rules(direction)) and super().isolates(policy, pod, direction)

    def statements(self) -> Iterable[Statement]:
        yield from in_policies(self, lambda policy: not policy.ingress and not policy.egress)
        for policy in self.policies:
            if Direction.EGRESS in policy.directions and not policy.egress:
                yield Dialect.IGNORES_EGRESS, ScopeKind.POLICY, policy.full_name
            if Direction.INGRESS in policy.directions and not policy.ingress:
                yield Dialect.IGNORES_INGRESS, ScopeKind.POLICY, policy.full_name


class NamespacesLostBesidePods(Enforcer):
    def peers(self, rule: Rule) -> Sequence[Peer]:
        lone = [peer for peer in rule.peers if peer.pod_selector is not None and peer.namespace_selector is None]
        return [peer for peer in rule.peers if peer.namespace_selector is None] if lone else rule.peers


class EmptyPodSelectorIsNobody(Enforcer):
    def selected(self, policy: NetworkPolicy, peer: Peer, other: Endpoint) -> bool:
        empty = peer.pod_selector is not None and peer.pod_selector.is_empty and peer.namespace_selector is None
        return not empty and super().selected(policy, peer, other)


class BlocksMatchNothing(Enforcer):
    def block(self, _policy: NetworkPolicy, peer: Peer, other: Endpoint, packet: Packet) -> bool:
        return False


class ExceptForbidsForThePod(Enforcer):
    def allows(self, policy: NetworkPolicy, direction: Direction, other: Endpoint, packet: Packet) -> bool:
        address = other.address(packet.family)
        blocks = [peer.ip_block for rule in policy.rules(direction) for peer in rule.peers if peer.ip_block]
        if any(address is not None and address in network for block in blocks for network in block.excepts):
            return False
        return super().allows(policy, direction, other, packet)


class LongestPrefixDecides(Enforcer):
    def allows(self, policy: NetworkPolicy, direction: Direction, other: Endpoint, packet: Packet) -> bool:
        address = other.address(packet.family)
        rules = [
            (peer.ip_block.cidr.prefixlen, rule)
            for rule in policy.rules(direction)
            for peer in rule.peers
            if peer.ip_block and address is not None and address in peer.ip_block
        ]
        if not rules:
            return super().allows(policy, direction, other, packet)
        longest = max(length for length, _ in rules)
        return any(
            not rule.ports or any(self.port(port, direction, packet) for port in rule.ports)
            for length, rule in rules
            if length == longest
        )


class SameNodeOpen(Enforcer):
    def passes(self, packet: Packet) -> bool:
        return on_one_node(packet) or super().passes(packet)


class AcrossNodesOpen(Enforcer):
    def passes(self, packet: Packet) -> bool:
        pods = packet.source.selectable and packet.destination.selectable
        return (pods and not on_one_node(packet)) or super().passes(packet)


def on_one_node(packet: Packet) -> bool:
    return packet.source.selectable and packet.destination.selectable and packet.source.node == packet.destination.node


class OutsideOpen(Enforcer):
    def passes(self, packet: Packet) -> bool:
        return packet.destination.kind is EndpointKind.HOST or super().passes(packet)


class EgressAcceptEnds(Enforcer):
    def passes(self, packet: Packet) -> bool:
        isolated = any(self.isolates(policy, packet.source, Direction.EGRESS) for policy in self.policies)
        return (on_one_node(packet) and isolated and self.leaves(packet)) or super().passes(packet)


class SourceIsTheNodeAcross(Enforcer):
    def enters(self, packet: Packet) -> bool:
        if packet.source.selectable and packet.destination.selectable and not on_one_node(packet):
            nodes = [end for end in self.snapshot.endpoints if end.kind is EndpointKind.NODE]
            node = next((end for end in nodes if end.node == packet.source.node), None)
            unknown = Endpoint("node/unknown", EndpointKind.NODE, node=packet.source.node)
            return super().enters(replace(packet, source=node or unknown))
        return super().enters(packet)


class IngressRulesOpenEgress(Enforcer):
    def statements(self) -> Iterable[Statement]:
        yield Dialect.SHARES_DIRECTIONS, ScopeKind.CLUSTER, ""

    def leaves(self, packet: Packet) -> bool:
        opened = any(
            self.selects(policy, packet.source)
            and self.selects(policy, packet.destination)
            and self.allows(policy, Direction.INGRESS, packet.source, packet)
            for policy in self.policies
            if Direction.INGRESS in policy.directions and packet.source.selectable and packet.destination.selectable
        )
        return opened or super().leaves(packet)


class SharedByNamePrefix(Enforcer):
    """The pods of one node whose names agree up to the last dash get what policies give to any of them."""

    def selects(self, policy: NetworkPolicy, pod: Endpoint) -> bool:
        kin = (other for other in self.pods if (other.node, prefix(other)) == (pod.node, prefix(pod)))
        return any(super(SharedByNamePrefix, self).selects(policy, other) for other in kin)


def prefix(pod: Endpoint) -> str:
    head, dash, _ = pod.name.rpartition("-")
    return head if dash else pod.name


class DeletedPolicyStillIsolates(Enforcer):
    """A policy that is gone keeps one pod from sending."""

    def leaves(self, packet: Packet) -> bool:
        phantom = self.pods[crc32(b"phantom") % len(self.pods)] if self.pods else None
        return packet.source != phantom and super().leaves(packet)


class OldLabelsOfOnePod(Enforcer):
    """A pod's labels are those that another pod of its namespace has."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot)
        pairs = [
            (one.name, other.labels)
            for one in self.pods
            for other in self.pods
            if one.namespace == other.namespace and one.labels != other.labels
        ]
        self.name, self.labels = pairs[0] if pairs else ("", {})

    def filter(self, pod: Endpoint, other: Endpoint, direction: Direction, packet: Packet) -> bool:
        old = [replace(end, labels=self.labels) if end.name == self.name else end for end in (pod, other)]
        ends = (old[0], old[1]) if direction is Direction.EGRESS else (old[1], old[0])
        return super().filter(old[0], old[1], direction, replace(packet, source=ends[0], destination=ends[1]))


class OneInTenDropped(Enforcer):
    def passes(self, packet: Packet) -> bool:
        text = f"{packet.source.name} {packet.destination.name} {packet.protocol} {packet.port} {packet.family}"
        return crc32(text.encode()) % 10 != 0 and super().passes(packet)


class OnePairApart(Enforcer):
    """Two pods can't reach each other, whatever the policies say."""

    def passes(self, packet: Packet) -> bool:
        apart = {pod.name for pod in (*self.pods[:1], *self.pods[-1:])}
        return {packet.source.name, packet.destination.name} != apart and super().passes(packet)


class HighPortsDropped(Enforcer):
    def passes(self, packet: Packet) -> bool:
        return packet.port < 5000 and super().passes(packet)


class OneNamespaceUnknown(Enforcer):
    """The pods of one namespace are in nobody's rules."""

    def selected(self, policy: NetworkPolicy, peer: Peer, other: Endpoint) -> bool:
        return other.namespace != min(self.snapshot.namespaces) and super().selected(policy, peer, other)


class DefaultDenyWins(Enforcer):
    """A policy without rules denies, whatever others allow."""

    def filter(self, pod: Endpoint, other: Endpoint, direction: Direction, packet: Packet) -> bool:
        bare = [p for p in self.policies if self.isolates(p, pod, direction) and not p.rules(direction)]
        return (not bare or not crosses_filter(pod, other)) and super().filter(pod, other, direction, packet)


class IngressByTheSourceNode(Enforcer):
    """Ingress is filtered only where it comes from another node's pods or from outside, not from the pod's own node."""

    def enters(self, packet: Packet) -> bool:
        return on_one_node(packet) or super().enters(packet)


UNKNOWN: Sequence[type[Enforcer]] = (
    AnyLabelIsEnough, FirstValueOfIn, ExpressionsIgnored, AbsenceTakenAsPresence, RefusesEndPort, NamedPortsOpenAll,
    NamedEgressPortsOpenAll, NamedPortsOfTheSource, OneNumberForAName, OnePodForAName, ProtocolIgnored,
    UdpPortsTakenAsTcp, FirstPortOnly, FirstPeerOnly, FirstRuleOnly, LastRuleOnly, NobodyMeansEverybody,
    NoRulesNoIsolation, NamespacesLostBesidePods, EmptyPodSelectorIsNobody, BlocksMatchNothing, ExceptForbidsForThePod,
    LongestPrefixDecides, SameNodeOpen, AcrossNodesOpen, OutsideOpen, EgressAcceptEnds, SourceIsTheNodeAcross,
    IngressRulesOpenEgress, SharedByNamePrefix, DeletedPolicyStillIsolates, OldLabelsOfOnePod, OneInTenDropped,
    OnePairApart, HighPortsDropped, OneNamespaceUnknown, DefaultDenyWins, IngressByTheSourceNode,
)  # fmt: skip
"""All of them."""


SAID_NOTHING, COULD_BE, COARSE, TIE, FALSE = "no cause", "could be", "true but coarse", "true as a tie", "false"
"""What an audit may say: nothing; that something could be; as the cause something that holds, though it doesn't say all
(``Enforcer.holds``, ``describes``); as the cause something that does not hold, with something that does among what it
gives as possible, too; something that does not hold.
"""

LARGER = Path(__file__).with_name("bazaar.yaml")


@cache
def worlds() -> tuple[World, ...]:
    """All scenarios of NetworkPolicies alone, which is what these enforcers know, and a larger cluster."""
    source = Source(LARGER.name, LARGER.read_bytes())
    larger = read_scenario(source, lambda name: Source(name, LARGER.with_name(name).read_bytes()))
    read = map(scenarios.read, scenarios.with_truth())
    return (*(World.of(scenario) for scenario in read if not scenario.snapshot.admin_policies), World.of(larger))


def world_named(name: str) -> World:
    """One of them."""
    return next(world for world in worlds() if world.name == name)


def passes(enforcer: Enforcer, packet: Packet) -> bool:
    """Whether ``packet`` gets through where ``enforcer`` filters what nodes forward: never from a pod to itself, or
    between a pod and its own node.
    """
    ends = ((packet.source, packet.destination), (packet.destination, packet.source))
    return not any(crosses_filter(*pair) for pair in ends) or enforcer.passes(packet)


def results(world: World, enforcer: Enforcer) -> list[CellResult]:
    """What an audit of ``world`` would find under ``enforcer``."""
    matrix = evaluate(world.snapshot)
    ends = {end.name: end for end in world.snapshot.endpoints}
    return [
        seen(matrix, cell, passed=passes(enforcer, Packet(ends[cell.source], ends[cell.destination], *cell[2:])))
        for cell in world.cells
    ]


@dataclass(frozen=True)
class Answer:
    """What the diagnosis says of one enforcer in one cluster. ``hasty``: it leaves connections unexplained, and does
    not begin with that.
    """

    enforcer: str
    world: str
    what: str
    sentence: str
    hasty: bool


def said(world: World, enforcer: Enforcer) -> Answer | None:
    """What the diagnosis says of ``enforcer``; None where no connection shows the fault."""
    found = results(world, enforcer)
    if not any(result.result in FOUND for result in found):
        return None
    diagnosis = diagnose(world.snapshot, found, world.previous)
    if diagnosis is None:
        return Answer(type(enforcer).__name__, world.name, SAID_NOTHING, "", hasty=False)
    hasty = bool(diagnosis.faults and diagnosis.unexplained) and not diagnosis.title.startswith("in part")
    return Answer(type(enforcer).__name__, world.name, _kind(world, enforcer, diagnosis), diagnosis.title, hasty)


def _kind(world: World, enforcer: Enforcer, diagnosis: Diagnosis) -> str:
    if not diagnosis.faults:
        return SAID_NOTHING
    if not diagnosis.certain:
        return COULD_BE
    true = [enforcer.holds(faults) or describes(world, enforcer, faults) for faults in diagnosis.hypotheses]
    return COARSE if true[0] else TIE if any(true) else FALSE


BEHAVIOURS = {Dialect.ENFORCES_NOTHING, Dialect.IGNORES_EGRESS, Dialect.IGNORES_INGRESS, Dialect.SHUTS_PODS}
PLACES = {ScopeKind.CLUSTER, ScopeKind.NAMESPACE, ScopeKind.POLICY, ScopeKind.POD}


def describes(world: World, enforcer: Enforcer, faults: Sequence[Fault]) -> bool:
    """Whether ``faults`` only say what becomes of traffic, not why, and that is so of every packet that endpoints of
    ``world`` could send. A node is no such place: naming one says where to look.
    """
    if not all(fault.dialect in BEHAVIOURS and fault.scope.kind in PLACES for fault in faults):
        return False
    ends = world.snapshot.endpoints
    ports = [PortRequest(protocol, number=number) for protocol, number in ports_of(world)]
    cells = plan_cells(ends, ends, ports)
    predicted = Predictor(Cells(world.snapshot, cells)).predict(tuple(faults)).allowed
    by_name = {end.name: end for end in ends}
    return all(
        passes(enforcer, Packet(by_name[cell.source], by_name[cell.destination], *cell[2:])) == bool(predicted >> n & 1)
        for n, cell in enumerate(cells)
    )


def ports_of(world: World) -> Iterator[tuple[Protocol, int]]:
    """Every port that an audit of ``world`` may try."""
    tried = {(cell.protocol, cell.port) for cell in world.cells}
    for atom in evaluate(world.snapshot).atoms:
        tried |= {(atom.protocol, atom.first), (atom.protocol, (atom.first + atom.last) // 2)}
    yield from sorted((protocol, port) for protocol, port in tried if protocol is not Protocol.SCTP)


def answers(world: World) -> list[Answer]:
    """What is said in ``world`` of every enforcer that shows there."""
    return list(filter(None, (said(world, kind(world.snapshot)) for kind in UNKNOWN)))


def table(found: Sequence[Answer]) -> str:
    """A line for each enforcer, and below it every sentence that is false."""
    lines = []
    for kind in UNKNOWN:
        own = [answer for answer in found if answer.enforcer == kind.__name__]
        lines.append(f"{kind.__name__:<26} {_counted(own) or 'unseen'}")
        lines += [f"    {answer.world}: {answer.sentence}" for answer in own if answer.what == FALSE]
    return "\n".join([*lines, f"{'all':<26} {_counted(found)}: {share_false(found):.1%} false"])


def _counted(found: Sequence[Answer]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(Counter(answer.what for answer in found).items()))


def share_false(found: Sequence[Answer]) -> float:
    """The share of ``found``, 0 to 1, that is false; 0 where there is none."""
    return sum(answer.what == FALSE for answer in found) / len(found) if found else 0.0


def unborne(found: Sequence[Answer]) -> list[str]:
    """What must not be in ``found``, in words."""
    wrong = [f"{answer.enforcer} in {answer.world}: {answer.sentence}" for answer in found if answer.hasty]
    unseen = {kind.__name__ for kind in UNKNOWN} - {answer.enforcer for answer in found}
    wrong += [f"unknown faults: {name} shows in no cluster" for name in sorted(unseen)]
    if share_false(found) > MOST_FALSE:
        wrong.append(f"unknown faults: {share_false(found):.1%} of the sentences are false")
    return wrong


def main() -> int:
    """Print the table; 1 where it has what must not be."""
    found = [answer for world in worlds() for answer in answers(world)]
    print(table(found))
    wrong = unborne(found)
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
