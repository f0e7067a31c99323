"""What each dialect makes of policies: a rewrite of the policy where that says it all, a flag for the compiler where
not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from auditor.model.dialect import Dialect
from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import Protocol


@dataclass(frozen=True, slots=True)
class EnforcerBehaviour:
    """How an enforcer understands policies and what it filters. The defaults are the specification.

    ``policy`` rewrites every policy, ``rule`` every rule of both directions (None: the rule allows nothing).
    """

    policy: Callable[[NetworkPolicy], NetworkPolicy] = lambda policy: policy
    rule: Callable[[Rule], Rule | None] = lambda rule: rule
    filters: bool = True
    shuts: bool = False
    stateful: bool = True
    udp: bool = True
    ipv6: bool = True
    rejects: bool = False
    first_policy_only: bool = False
    ip_block_matches_pods: bool = True
    shares_directions: bool = False
    any_pods_names: bool = False
    own_address: bool = False
    own_node: bool = False
    previous_policies: bool = False
    flaky: bool = False
    slow: bool = False

    def rewritten(self, policy: NetworkPolicy) -> NetworkPolicy:
        """The policy as this enforcer takes it."""
        policy = self.policy(policy)
        ingress = tuple(rule for rule in map(self.rule, policy.ingress) if rule is not None)
        egress = tuple(rule for rule in map(self.rule, policy.egress) if rule is not None)
        return replace(policy, ingress=ingress, egress=egress)


def _without(direction: Direction) -> Callable[[NetworkPolicy], NetworkPolicy]:
    return lambda policy: replace(policy, directions=policy.directions - {direction})


def _both_directions(policy: NetworkPolicy) -> NetworkPolicy:
    return replace(policy, directions=frozenset(Direction))


def _ports(change: Callable[[PolicyPort], PolicyPort | None]) -> Callable[[Rule], Rule | None]:
    """A rewrite of each port item. A rule that had port items and has none left allows nothing, where an empty list
    would allow all.
    """

    def rule(rule: Rule) -> Rule | None:
        ports = tuple(port for port in map(change, rule.ports) if port is not None)
        return replace(rule, ports=ports) if ports or not rule.ports else None

    return rule


def _over_both_protocols(rule: Rule) -> Rule:
    protocols = (Protocol.TCP, Protocol.UDP)
    both = tuple(replace(port, protocol=protocol) for port in rule.ports for protocol in protocols)
    return replace(rule, ports=(*rule.ports, *both))


def _peers(change: Callable[[Peer], tuple[Peer, ...]]) -> Callable[[Rule], Rule | None]:
    """A rewrite of each peer into several or none. A rule that had peers and has none left allows nothing."""

    def rule(rule: Rule) -> Rule | None:
        peers = tuple(changed for peer in rule.peers for changed in change(peer))
        return replace(rule, peers=peers) if peers or not rule.peers else None

    return rule


def _any_namespace(peer: Peer) -> tuple[Peer, ...]:
    return (peer if peer.namespace_selector is None else replace(peer, namespace_selector=LabelSelector()),)


def _pod_selector_any_namespace(peer: Peer) -> tuple[Peer, ...]:
    alone = peer.pod_selector is not None and peer.namespace_selector is None
    return (replace(peer, namespace_selector=LabelSelector()) if alone else peer,)


def _or_instead_of_and(peer: Peer) -> tuple[Peer, ...]:
    if peer.pod_selector is None or peer.namespace_selector is None:
        return (peer,)
    return replace(peer, namespace_selector=None), replace(peer, pod_selector=None)


def _without_except(peer: Peer) -> tuple[Peer, ...]:
    return (peer if peer.ip_block is None else replace(peer, ip_block=replace(peer.ip_block, excepts=())),)


def _selectors(change: Callable[[LabelSelector], LabelSelector]) -> EnforcerBehaviour:
    """A rewrite of every selector, of the policies' own and of the peers'."""

    def changed(selector: LabelSelector | None) -> LabelSelector | None:
        return None if selector is None else change(selector)

    def peer(peer: Peer) -> tuple[Peer, ...]:
        return (
            replace(peer, pod_selector=changed(peer.pod_selector), namespace_selector=changed(peer.namespace_selector)),
        )

    return EnforcerBehaviour(
        policy=lambda policy: replace(policy, pod_selector=change(policy.pod_selector)), rule=_peers(peer)
    )


def _keys_alone(selector: LabelSelector) -> LabelSelector:
    keys = tuple(Requirement(key, Operator.EXISTS) for key, _ in selector.match_labels)
    expressions = tuple(
        Requirement(item.key, Operator.EXISTS) if item.operator is Operator.IN else item
        for item in selector.match_expressions
    )
    return LabelSelector((), keys + expressions)


def _not_in_needs_key(selector: LabelSelector) -> LabelSelector:
    needed = tuple(
        Requirement(item.key, Operator.EXISTS)
        for item in selector.match_expressions
        if item.operator is Operator.NOT_IN
    )
    return replace(selector, match_expressions=selector.match_expressions + needed)


BEHAVIOURS: Mapping[Dialect, EnforcerBehaviour] = {
    Dialect.SPEC: EnforcerBehaviour(),
    Dialect.ENFORCES_NOTHING: EnforcerBehaviour(filters=False),
    Dialect.IGNORES_EGRESS: EnforcerBehaviour(policy=_without(Direction.EGRESS)),
    Dialect.IGNORES_INGRESS: EnforcerBehaviour(policy=_without(Direction.INGRESS)),
    Dialect.IGNORES_UDP: EnforcerBehaviour(udp=False),
    Dialect.IGNORES_IPV6: EnforcerBehaviour(ipv6=False),
    Dialect.IGNORES_PORTS: EnforcerBehaviour(rule=lambda rule: replace(rule, ports=())),
    Dialect.IGNORES_PROTOCOL: EnforcerBehaviour(rule=_over_both_protocols),
    Dialect.IGNORES_END_PORT: EnforcerBehaviour(rule=_ports(lambda port: replace(port, end_port=None))),
    Dialect.IGNORES_NAMED_PORTS: EnforcerBehaviour(rule=_ports(lambda port: port if port.name is None else None)),
    Dialect.IGNORES_EXCEPT: EnforcerBehaviour(rule=_peers(_without_except)),
    Dialect.IGNORES_NAMESPACE_SELECTOR: EnforcerBehaviour(rule=_peers(_any_namespace)),
    Dialect.OWN_NAMESPACE_ONLY: EnforcerBehaviour(
        rule=_peers(lambda peer: (peer,) if peer.namespace_selector is None else ())
    ),
    Dialect.POD_SELECTOR_ANY_NAMESPACE: EnforcerBehaviour(rule=_peers(_pod_selector_any_namespace)),
    Dialect.PEERS_OR_INSTEAD_OF_AND: EnforcerBehaviour(rule=_peers(_or_instead_of_and)),
    Dialect.LABEL_KEY_ONLY: _selectors(_keys_alone),
    Dialect.NOT_IN_NEEDS_KEY: _selectors(_not_in_needs_key),
    Dialect.FIRST_POLICY_ONLY: EnforcerBehaviour(first_policy_only=True),
    Dialect.ISOLATES_BOTH_DIRECTIONS: EnforcerBehaviour(policy=_both_directions),
    Dialect.BLOCKS_SELF: EnforcerBehaviour(own_address=True),
    Dialect.BLOCKS_OWN_NODE: EnforcerBehaviour(own_node=True),
    Dialect.STATELESS: EnforcerBehaviour(stateful=False),
    Dialect.STALE: EnforcerBehaviour(previous_policies=True),
    Dialect.SLOW: EnforcerBehaviour(slow=True),
    Dialect.FLAKY: EnforcerBehaviour(flaky=True),
    Dialect.REJECTS: EnforcerBehaviour(rejects=True),
    Dialect.IP_BLOCK_SKIPS_PODS: EnforcerBehaviour(ip_block_matches_pods=False),
    Dialect.SHUTS_PODS: EnforcerBehaviour(shuts=True),
    Dialect.KNOWS_NO_PODS: EnforcerBehaviour(rule=_peers(lambda peer: () if peer.ip_block is None else (peer,))),
    Dialect.SHARES_DIRECTIONS: EnforcerBehaviour(shares_directions=True),
    Dialect.NAMES_OF_ANY_POD: EnforcerBehaviour(any_pods_names=True),
}
"""Every dialect; ``auditor.model.dialect.DEFINITIONS`` has them in words."""
