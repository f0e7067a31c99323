"""What policies of the tiers Admin and Baseline say of one packet, according to the specification or to a dialect.

As slow and as plain as ``tests.oracle.evaluator``, and on its own: for each packet it walks all policies, and each
dialect is a condition at the place where it departs. ``PASS`` and None both leave a packet to the next tier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import permutations

from auditor.model.admin_policy import Action, AdminPeer, AdminPolicy, AdminRule, AdminTier
from auditor.model.dialect import Dialect
from auditor.model.labels import Labels, LabelSelector
from auditor.model.policy import Direction, PolicyPort
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot
from tests.oracle.matching import Packet, selector_matches


def answer(
    policies: Sequence[AdminPolicy], direction: Direction, packet: Packet, snapshot: Snapshot, dialect: Dialect
) -> Action | None:
    """What the first matching rule of ``policies``, which are in order, does with ``packet``."""
    for policy in policies:
        pod = packet.destination if direction is Direction.INGRESS else packet.source
        if not selects(policy, pod, snapshot):
            continue
        rules = policy.ingress if direction is Direction.INGRESS else policy.egress
        for rule in rules[:1] if dialect is Dialect.FIRST_RULE_ONLY else rules:
            if dialect is Dialect.IGNORES_DENY and rule.action is Action.DENY:
                continue
            if matches(rule, direction, packet, snapshot, dialect):
                return meaning(rule, dialect)
    return None


def meaning(rule: AdminRule, dialect: Dialect) -> Action:
    """What is done with a packet that ``rule`` matches."""
    if any(peer.unknown for peer in rule.peers):
        return Action.DENY
    if rule.action is Action.PASS and dialect is Dialect.PASS_IS_ACCEPT:
        return Action.ACCEPT
    if rule.action is Action.PASS and dialect is Dialect.PASS_IS_DENY:
        return Action.DENY
    return rule.action


def in_order(policies: Iterable[AdminPolicy], tier: AdminTier, dialect: Dialect = Dialect.SPEC) -> list[AdminPolicy]:
    """Those of ``tier``, lower priorities first; equal ones by kind and name."""
    own = [policy for policy in policies if policy.tier is tier]
    own.sort(key=lambda policy: (policy.kind, policy.name))
    own.sort(key=lambda policy: policy.priority, reverse=dialect is Dialect.PRIORITIES_REVERSED)
    return own


def possible_orders(policies: Sequence[AdminPolicy], tier: AdminTier) -> list[list[AdminPolicy]]:
    """Every order that lower priorities come first in: equal ones are in any."""
    own = [policy for policy in policies if policy.tier is tier]
    orders = [list(order) for order in permutations(own)]
    return [order for order in orders if [p.priority for p in order] == sorted(p.priority for p in order)]


def selects(policy: AdminPolicy, pod: Endpoint, snapshot: Snapshot) -> bool:
    return is_pod_of(pod, policy.namespace_selector, policy.pod_selector, snapshot)


def is_pod_of(end: Endpoint, namespaces: LabelSelector, pods: LabelSelector, snapshot: Snapshot) -> bool:
    """Whether ``end`` is a pod, not one of the host's network, that both selectors match."""
    if end.kind is not EndpointKind.POD or end.host_network:
        return False
    return has(namespaces, snapshot.namespaces[end.namespace].labels) and has(pods, end.labels)


def has(selector: LabelSelector, labels: Labels) -> bool:
    return selector_matches(selector, labels, Dialect.SPEC)


def matches(rule: AdminRule, direction: Direction, packet: Packet, snapshot: Snapshot, dialect: Dialect) -> bool:
    """Whether ``rule`` is about ``packet``. One with a field that nobody knows fails closed."""
    if any(peer.unknown for peer in rule.peers):
        return rule.action is not Action.ACCEPT
    other = packet.source if direction is Direction.INGRESS else packet.destination
    if not any(is_peer(peer, other, packet, snapshot, dialect) for peer in rule.peers):
        return False
    return not rule.ports or any(is_port(port, packet, dialect) for port in rule.ports)


def is_peer(peer: AdminPeer, other: Endpoint, packet: Packet, snapshot: Snapshot, dialect: Dialect) -> bool:
    if peer.domain_names:
        return False
    if peer.namespace_selector is not None:
        return is_pod_of(other, peer.namespace_selector, peer.pod_selector or LabelSelector(), snapshot)
    own = [address for address in other.addresses if address.version == packet.family]
    if peer.nodes is not None:
        nodes = [end for end in snapshot.endpoints if end.kind is EndpointKind.NODE and has(peer.nodes, end.labels)]
        return any(address in node.addresses for node in nodes for address in own)
    if dialect is Dialect.IGNORES_NETWORKS:
        return False
    if not other.addresses:
        return any(str(block.cidr) == ("0.0.0.0/0" if packet.family == 4 else "::/0") for block in peer.networks)
    return any(address in block.cidr for block in peer.networks for address in own)


def is_port(port: PolicyPort, packet: Packet, dialect: Dialect) -> bool:
    if port.protocol is not packet.protocol:
        return False
    if port.name is not None:
        target = packet.destination
        declared = {each.number for each in target.ports if (each.name, each.protocol) == (port.name, port.protocol)}
        return target.kind is EndpointKind.POD and not target.host_network and packet.port in declared
    if port.number is None:
        return True
    if port.end_port is None or dialect is Dialect.RANGE_FIRST_PORT:
        return packet.port == port.number
    return port.number <= packet.port <= port.end_port
