"""Enforcers that err in ways that the diagnosis does not know, written for tests alone and apart from all dialects:
``python -m tests.lab.unknown_faults`` prints what is said of them.

What an audit says of such a fault is worth as much as what it says of those that it knows: no cause is right, a coarse
one that holds ("policy prod/db is not in force" where just that policy was refused) is right, "could be" claims
nothing, and anything else is false. Observations are computed, no packets sent. Most are mechanisms that enforcers in
the field have had; a few are made up."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from zlib import crc32

from auditor.diagnosis.search import diagnose
from auditor.model.diagnosis import Fault, Scope, ScopeKind
from auditor.model.dialect import Dialect
from auditor.model.labels import Labels, LabelSelector, Operator, Requirement
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import Protocol
from auditor.model.report import CellResult
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot
from auditor.policy.evaluator import evaluate
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


SAID_NOTHING, SAID_SO, COULD_BE, FALSE = "no cause", "true", "could be", "false"
"""What an audit may say: nothing; something that holds; that something could be; something that does not hold."""


def results(world: World, enforcer: Enforcer) -> list[CellResult]:
    """What an audit of ``world`` would find under ``enforcer``."""
    matrix = evaluate(world.snapshot)
    found = []
    for cell in world.cells:
        source, destination = world.snapshot.endpoint(cell.source), world.snapshot.endpoint(cell.destination)
        passed = enforcer.passes(Packet(source, destination, cell.protocol, cell.port, cell.family))
        found.append(seen(matrix, cell, passed=passed))
    return found


def said(world: World, enforcer: Enforcer) -> tuple[str, str] | None:
    """What the diagnosis says of ``enforcer``, as a kind and a sentence; None where no cell shows the fault."""
    found = results(world, enforcer)
    if not any(result.result in FOUND for result in found):
        return None
    diagnosis = diagnose(world.snapshot, found, world.previous)
    if diagnosis is None or not diagnosis.faults:
        return SAID_NOTHING, ""
    if any(map(enforcer.holds, diagnosis.hypotheses)):
        return SAID_SO, diagnosis.title
    return FALSE if diagnosis.certain else COULD_BE, diagnosis.title


def main() -> int:
    """Print the table; 1 where more than MOST_FALSE of the sentences are false."""
    worlds = [World.of(scenarios.read(name)) for name in scenarios.with_truth()]
    whole: Counter[str] = Counter()
    for kind in UNKNOWN:
        answers = [(world.name, said(world, kind(world.snapshot))) for world in worlds]
        shown = [(name, *answer) for name, answer in answers if answer is not None]
        counts = Counter(what for _, what, _ in shown)
        whole += counts
        print(
            f"{kind.__name__:<26} {', '.join(f'{count} {what}' for what, count in sorted(counts.items())) or 'unseen'}"
        )
        print("".join(f"    {name}: {sentence}\n" for name, what, sentence in shown if what == FALSE), end="")
    share = whole[FALSE] / whole.total()
    print(f"{'all':<26} {', '.join(f'{count} {what}' for what, count in sorted(whole.items()))}: {share:.1%} false")
    return 0 if share <= MOST_FALSE else 1


if __name__ == "__main__":
    sys.exit(main())
