"""Ways to misread a policy, and what they are put together from; ``auditor.diagnosis.dialects`` says which dialect has
which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeAlias

from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import Protocol

Rewrite: TypeAlias = Callable[[NetworkPolicy], NetworkPolicy | None]
"""A policy as the dialect takes it; None when it takes no notice of it."""

ANY = LabelSelector()


def nothing(_: NetworkPolicy) -> None:
    """It takes no notice of any policy."""


def ignoring(direction: Direction) -> Rewrite:
    """It takes no policy as isolating ``direction``."""
    return lambda policy: replace(policy, directions=policy.directions - {direction})


def both_directions(policy: NetworkPolicy) -> NetworkPolicy:
    """It takes every policy as isolating both."""
    return replace(policy, directions=frozenset(Direction))


def by_rule(change: Callable[[Rule], Rule | None]) -> Rewrite:
    """Change every rule of either direction, in force or not; a rule that becomes None allows nothing."""

    def changed(rules: Iterable[Rule]) -> tuple[Rule, ...]:
        return tuple(rule for rule in map(change, rules) if rule is not None)

    def rewritten(policy: NetworkPolicy) -> NetworkPolicy:
        ingress, egress = changed(policy.ingress), changed(policy.egress)
        return (
            policy
            if (ingress, egress) == (policy.ingress, policy.egress)
            else replace(policy, ingress=ingress, egress=egress)
        )

    return rewritten


def by_port(change: Callable[[PolicyPort], PolicyPort | None]) -> Rewrite:
    """Change every port item. A rule whose last item goes allows nothing: an empty list would allow every port."""

    def changed(rule: Rule) -> Rule | None:
        ports = tuple(port for port in map(change, rule.ports) if port is not None)
        if ports == rule.ports:
            return rule
        return replace(rule, ports=ports) if ports else None

    return by_rule(changed)


def both_protocols(rule: Rule) -> Rule:
    """It takes every port for one of TCP and one of UDP."""
    added = dict.fromkeys(
        other
        for port in rule.ports
        for other in (replace(port, protocol=Protocol.TCP), replace(port, protocol=Protocol.UDP))
        if other not in rule.ports
    )
    return replace(rule, ports=(*rule.ports, *added)) if added else rule


def by_peer(change: Callable[[Peer], tuple[Peer, ...]]) -> Rewrite:
    """Change every peer into any number of peers. A rule whose last peer goes allows nothing."""

    def changed(rule: Rule) -> Rule | None:
        peers = tuple(peer for old in rule.peers for peer in change(old))
        if peers == rule.peers:
            return rule
        return Rule(peers, rule.ports, rule.line) if peers else None

    return by_rule(changed)


def no_pods(peer: Peer) -> tuple[Peer, ...]:
    """It finds no pod for a peer made of selectors."""
    return () if peer.ip_block is None else (peer,)


def without_except(peer: Peer) -> tuple[Peer, ...]:
    """It takes no notice of exceptions."""
    block = peer.ip_block
    return (peer,) if block is None or not block.excepts else (replace(peer, ip_block=replace(block, excepts=())),)


def any_namespace(peer: Peer) -> tuple[Peer, ...]:
    """It takes every namespaceSelector for {}."""
    return (peer,) if peer.namespace_selector is None else (Peer(peer.pod_selector, ANY, peer.ip_block, peer.line),)


def lone_pods_anywhere(peer: Peer) -> tuple[Peer, ...]:
    """It takes a podSelector that stands alone for pods of every namespace."""
    lone = peer.pod_selector is not None and peer.namespace_selector is None
    return (Peer(peer.pod_selector, ANY, peer.ip_block, peer.line) if lone else peer,)


def two_peers(peer: Peer) -> tuple[Peer, ...]:
    """It takes two selectors in one peer for two peers."""
    if peer.pod_selector is None or peer.namespace_selector is None:
        return (peer,)
    return (
        Peer(pod_selector=peer.pod_selector, line=peer.line),
        Peer(namespace_selector=peer.namespace_selector, line=peer.line),
    )


def by_selector(change: Callable[[LabelSelector], LabelSelector]) -> Rewrite:
    """Change the policy's own selector and those of every peer."""

    def optional(selector: LabelSelector | None) -> LabelSelector | None:
        return selector if selector is None else change(selector)

    peers = by_peer(
        lambda peer: (Peer(optional(peer.pod_selector), optional(peer.namespace_selector), peer.ip_block, peer.line),)
    )

    def changed(policy: NetworkPolicy) -> NetworkPolicy | None:
        return peers(replace(policy, pod_selector=change(policy.pod_selector)))

    return changed


def keys_alone(selector: LabelSelector) -> LabelSelector:
    """It asks for the key where a value is asked for."""
    present = [Requirement(key, Operator.EXISTS) for key, _ in selector.match_labels]
    present += [
        Requirement(item.key, Operator.EXISTS) for item in selector.match_expressions if item.operator is Operator.IN
    ]
    return LabelSelector(
        (), (*present, *(item for item in selector.match_expressions if item.operator is not Operator.IN))
    )


def key_needed(selector: LabelSelector) -> LabelSelector:
    """It asks for the key where a value is excluded."""
    needed = [
        Requirement(item.key, Operator.EXISTS)
        for item in selector.match_expressions
        if item.operator is Operator.NOT_IN
    ]
    return replace(selector, match_expressions=(*selector.match_expressions, *needed))
