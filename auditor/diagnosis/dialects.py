"""What each dialect makes of policies, for predicting what an enforcer of that dialect lets through.

``auditor.model.dialect`` has the definitions. The lab's faulty enforcers are written apart from this on purpose:
packets under the one are diagnosed by the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeAlias

from auditor.model.dialect import Dialect
from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule

Rewrite: TypeAlias = Callable[[NetworkPolicy], NetworkPolicy | None]
"""A policy as the dialect takes it; None when it takes no notice of it."""

ANY = LabelSelector()


def _nothing(_: NetworkPolicy) -> None:
    return None


def _ignoring(direction: Direction) -> Rewrite:
    return lambda policy: replace(policy, directions=policy.directions - {direction})


def _both_directions(policy: NetworkPolicy) -> NetworkPolicy:
    return replace(policy, directions=frozenset(Direction))


def _by_rule(change: Callable[[Rule], Rule | None]) -> Rewrite:
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


def _by_port(change: Callable[[PolicyPort], PolicyPort | None]) -> Rewrite:
    """Change every port item. A rule whose last item goes allows nothing: an empty list would allow every port."""

    def changed(rule: Rule) -> Rule | None:
        ports = tuple(port for port in map(change, rule.ports) if port is not None)
        if ports == rule.ports:
            return rule
        return replace(rule, ports=ports) if ports else None

    return _by_rule(changed)


def _by_peer(change: Callable[[Peer], tuple[Peer, ...]]) -> Rewrite:
    """Change every peer into any number of peers. A rule whose last peer goes allows nothing."""

    def changed(rule: Rule) -> Rule | None:
        peers = tuple(peer for old in rule.peers for peer in change(old))
        if peers == rule.peers:
            return rule
        return replace(rule, peers=peers) if peers else None

    return _by_rule(changed)


def _without_except(peer: Peer) -> tuple[Peer, ...]:
    block = peer.ip_block
    return (peer,) if block is None or not block.excepts else (replace(peer, ip_block=replace(block, excepts=())),)


def _any_namespace(peer: Peer) -> tuple[Peer, ...]:
    return (peer,) if peer.namespace_selector is None else (replace(peer, namespace_selector=ANY),)


def _lone_pods_anywhere(peer: Peer) -> tuple[Peer, ...]:
    lone = peer.pod_selector is not None and peer.namespace_selector is None
    return (replace(peer, namespace_selector=ANY) if lone else peer,)


def _two_peers(peer: Peer) -> tuple[Peer, ...]:
    if peer.pod_selector is None or peer.namespace_selector is None:
        return (peer,)
    return (
        Peer(pod_selector=peer.pod_selector, line=peer.line),
        Peer(namespace_selector=peer.namespace_selector, line=peer.line),
    )


def _by_selector(change: Callable[[LabelSelector], LabelSelector]) -> Rewrite:
    """Change the policy's own selector and those of every peer."""

    def optional(selector: LabelSelector | None) -> LabelSelector | None:
        return selector if selector is None else change(selector)

    peers = _by_peer(
        lambda peer: (
            replace(
                peer, pod_selector=optional(peer.pod_selector), namespace_selector=optional(peer.namespace_selector)
            ),
        )
    )

    def changed(policy: NetworkPolicy) -> NetworkPolicy | None:
        return peers(replace(policy, pod_selector=change(policy.pod_selector)))

    return changed


def _keys_alone(selector: LabelSelector) -> LabelSelector:
    present = [Requirement(key, Operator.EXISTS) for key, _ in selector.match_labels]
    present += [
        Requirement(item.key, Operator.EXISTS) for item in selector.match_expressions if item.operator is Operator.IN
    ]
    return LabelSelector(
        (), (*present, *(item for item in selector.match_expressions if item.operator is not Operator.IN))
    )


def _key_needed(selector: LabelSelector) -> LabelSelector:
    needed = [
        Requirement(item.key, Operator.EXISTS)
        for item in selector.match_expressions
        if item.operator is Operator.NOT_IN
    ]
    return replace(selector, match_expressions=(*selector.match_expressions, *needed))


REWRITES: Mapping[Dialect, Rewrite] = {
    Dialect.ENFORCES_NOTHING: _nothing,
    Dialect.SLOW: _nothing,
    Dialect.IGNORES_EGRESS: _ignoring(Direction.EGRESS),
    Dialect.IGNORES_INGRESS: _ignoring(Direction.INGRESS),
    Dialect.ISOLATES_BOTH_DIRECTIONS: _both_directions,
    Dialect.IGNORES_PORTS: _by_rule(lambda rule: replace(rule, ports=())),
    Dialect.IGNORES_END_PORT: _by_port(lambda port: port if port.end_port is None else replace(port, end_port=None)),
    Dialect.IGNORES_NAMED_PORTS: _by_port(lambda port: port if port.name is None else None),
    Dialect.IGNORES_EXCEPT: _by_peer(_without_except),
    Dialect.IGNORES_NAMESPACE_SELECTOR: _by_peer(_any_namespace),
    Dialect.OWN_NAMESPACE_ONLY: _by_peer(lambda peer: (peer,) if peer.namespace_selector is None else ()),
    Dialect.POD_SELECTOR_ANY_NAMESPACE: _by_peer(_lone_pods_anywhere),
    Dialect.PEERS_OR_INSTEAD_OF_AND: _by_peer(_two_peers),
    Dialect.LABEL_KEY_ONLY: _by_selector(_keys_alone),
    Dialect.NOT_IN_NEEDS_KEY: _by_selector(_key_needed),
}
"""The dialects that are a way to misread a policy. ``slow`` is predicted as it is before it has converged."""
