"""What each dialect makes of policies: a rewrite of the policy where that says it all, a flag for the compiler where
not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from auditor.model.admin_policy import Action, AdminPolicy, AdminRule, AdminTier
from auditor.model.dialect import Dialect
from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import Protocol


@dataclass(frozen=True, slots=True)
class EnforcerBehaviour:
    """How an enforcer understands policies and what it filters. The defaults are the specification.

    ``policy`` rewrites every policy, ``rule`` every rule of both directions (None: the rule allows nothing), ``admin``
    the policies of administrators.
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
    admin: Callable[[tuple[AdminPolicy, ...]], tuple[AdminPolicy, ...]] = lambda policies: policies
    network_policy_first: bool = False
    baseline_always: bool = False

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


_Change: TypeAlias = Callable[[tuple[AdminPolicy, ...]], tuple[AdminPolicy, ...]]


def _only(tier: AdminTier) -> _Change:
    """It has the policies of ``tier`` alone."""
    return lambda policies: tuple(policy for policy in policies if policy.tier == tier)


def _reversed_priorities(policies: tuple[AdminPolicy, ...]) -> tuple[AdminPolicy, ...]:
    """It asks policies with high numbers first."""
    return tuple(replace(policy, priority=-policy.priority) for policy in policies)


def _without_admin_rules(direction: Direction) -> _Change:
    """It takes no notice of rules for ``direction``."""
    gone = "ingress" if direction is Direction.INGRESS else "egress"
    return lambda policies: tuple(replace(policy, **{gone: ()}) for policy in policies)  # type: ignore[arg-type]


def _first_rules(policies: tuple[AdminPolicy, ...]) -> tuple[AdminPolicy, ...]:
    """It has the first rule of each direction."""
    return tuple(replace(each, ingress=each.ingress[:1], egress=each.egress[:1]) for each in policies)


def _each_rule(change: Callable[[AdminRule], AdminRule | None]) -> _Change:
    """It takes each rule as ``change`` says; None: it isn't there."""

    def taken(rules: Iterable[AdminRule]) -> tuple[AdminRule, ...]:
        return tuple(rule for rule in map(change, rules) if rule is not None)

    return lambda policies: tuple(
        replace(policy, ingress=taken(policy.ingress), egress=taken(policy.egress)) for policy in policies
    )


def _passing_as(action: Action) -> _Change:
    """It does ``action`` where it is to pass, but for a rule that fails closed."""

    def taken(rule: AdminRule) -> AdminRule:
        passes = rule.action is Action.PASS and not any(peer.unknown for peer in rule.peers)
        return replace(rule, action=action) if passes else rule

    return _each_rule(taken)


def _without_deny(rule: AdminRule) -> AdminRule | None:
    """It takes no notice of Deny."""
    return None if rule.action is Action.DENY else rule


def _without_networks(rule: AdminRule) -> AdminRule | None:
    """It finds nobody by network."""
    left = tuple(peer for peer in rule.peers if not peer.networks)
    return replace(rule, peers=left) if left else None


def _first_ports(rule: AdminRule) -> AdminRule:
    """It takes a range for its first port."""
    return replace(rule, ports=tuple(replace(port, end_port=None) for port in rule.ports))


BEHAVIOURS: Mapping[Dialect, EnforcerBehaviour] = {
    Dialect.SPEC: EnforcerBehaviour(),
    Dialect.ENFORCES_NOTHING: EnforcerBehaviour(filters=False),
    Dialect.IGNORES_EGRESS: EnforcerBehaviour(
        policy=_without(Direction.EGRESS), admin=_without_admin_rules(Direction.EGRESS)
    ),
    Dialect.IGNORES_INGRESS: EnforcerBehaviour(
        policy=_without(Direction.INGRESS), admin=_without_admin_rules(Direction.INGRESS)
    ),
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
    Dialect.IGNORES_ADMIN: EnforcerBehaviour(admin=_only(AdminTier.BASELINE)),
    Dialect.IGNORES_BASELINE: EnforcerBehaviour(admin=_only(AdminTier.ADMIN)),
    Dialect.PASS_IS_ACCEPT: EnforcerBehaviour(admin=_passing_as(Action.ACCEPT)),
    Dialect.PASS_IS_DENY: EnforcerBehaviour(admin=_passing_as(Action.DENY)),
    Dialect.IGNORES_DENY: EnforcerBehaviour(admin=_each_rule(_without_deny)),
    Dialect.PRIORITIES_REVERSED: EnforcerBehaviour(admin=_reversed_priorities),
    Dialect.FIRST_RULE_ONLY: EnforcerBehaviour(admin=_first_rules),
    Dialect.NETWORK_POLICY_FIRST: EnforcerBehaviour(network_policy_first=True),
    Dialect.BASELINE_ALWAYS: EnforcerBehaviour(baseline_always=True),
    Dialect.IGNORES_NETWORKS: EnforcerBehaviour(admin=_each_rule(_without_networks)),
    Dialect.RANGE_FIRST_PORT: EnforcerBehaviour(admin=_each_rule(_first_ports)),
}
"""Every dialect; ``auditor.model.dialect.DEFINITIONS`` has them in words."""
