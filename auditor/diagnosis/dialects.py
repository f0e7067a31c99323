"""What the diagnosis knows of each dialect, in one place: how it misreads policies, what it filters and when, in which
scopes it makes sense, and what is said of it.

``auditor.model.dialect`` has names and definitions. The lab's faulty enforcers and the tests' oracle are written apart
from this on purpose: packets under the one are diagnosed by the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from auditor.diagnosis.misreadings import (
    Rewrite,
    any_namespace,
    both_directions,
    both_protocols,
    by_peer,
    by_port,
    by_rule,
    by_selector,
    ignoring,
    key_needed,
    keys_alone,
    lone_pods_anywhere,
    no_pods,
    nothing,
    two_peers,
    without_except,
)
from auditor.diagnosis.tiers import (
    AdminRewrite,
    TierOrder,
    backwards,
    by_rules,
    first_one,
    first_port,
    ignoring_direction,
    no_deny,
    no_networks,
    none_of_them,
    pass_as,
    without,
)
from auditor.model.admin_policy import Action, AdminTier
from auditor.model.diagnosis import ScopeKind
from auditor.model.dialect import Dialect
from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.snapshot import Family

NOT_READ_SO = (
    "This CNI reads policies otherwise than the specification: update it, or write the policies without this feature."
)

NO_TIERS = (
    "Check whether this CNI supports ClusterNetworkPolicy and AdminNetworkPolicy in this tier, and has it switched on: "
    "installing their CRDs alone enforces nothing."
)
TRAFFIC = frozenset({*map(str, Protocol), *map(str, Family)})


class Timing(Enum):
    """How an enforcer answers differently from one moment to the next."""

    LATE = auto()
    """It lets through for a while what it denies later. Predicted as it is before it has converged."""
    NOW_AND_THEN = auto()
    """It drops some of what it lets through."""


class Traffic(Enum):
    """Traffic that an enforcer may exempt from filtering, whatever the policies say."""

    TO_ITSELF = auto()
    WITH_OWN_NODE = auto()
    UDP = auto()
    IPV6 = auto()


EXEMPT = frozenset({Traffic.TO_ITSELF, Traffic.WITH_OWN_NODE})
"""What the specification exempts."""


@dataclass(frozen=True, slots=True)
class DialectSpec:
    """One dialect.

    ``phrase`` says what is wrong, before a place; ``said_of`` says it instead for a kind of scope, whose name stands
    for ``{}``. ``advice`` says what to do. ``rewrite`` gives a policy as the dialect takes it, for dialects that are a
    way to misread one, and ``admin`` the policies of administrators; it asks the tiers in ``order``. It ``exempts``
    traffic from filtering, or ``filters`` what the specification exempts; what ``shuts`` lets nothing pass that it
    filters.

    Where it is not looked for: ``unseen`` dialects differ in nothing that an audit could see; those ``about`` one
    direction, or not ``by_direction``, say nothing of one direction of a node's filters that a simpler fault would not;
    ``not_for`` names protocols and families for which they are nothing, the same without them, or another dialect.
    """

    phrase: str = ""
    advice: str = NOT_READ_SO
    rewrite: Rewrite | None = None
    said_of: Mapping[ScopeKind, str] = field(default_factory=dict)
    exempts: Traffic | None = None
    filters: Traffic | None = None
    shuts: bool = False
    admin: AdminRewrite | None = None
    order: TierOrder = TierOrder.USUAL
    first_policy_only: bool = False
    skips_pods: bool = False
    shares_directions: bool = False
    any_pods_names: bool = False
    previous_policies: bool = False
    tracks_connections: bool = True
    timing: Timing | None = None
    unseen: bool = False
    about: Direction | None = None
    by_direction: bool = True
    not_for: frozenset[str] = frozenset()

    @property
    def reads_otherwise(self) -> bool:
        """Whether it takes single policies for something else than they are."""
        return self.rewrite is not None or self.skips_pods or self.shares_directions or self.any_pods_names

    def said(self, kind: ScopeKind, name: str, place: str) -> str:
        """What is wrong in the scope of this kind and name, which ``place`` says in words."""
        return self.said_of[kind].format(name) if kind in self.said_of else self.phrase + place


SPECS: Mapping[Dialect, DialectSpec] = {
    Dialect.SPEC: DialectSpec(unseen=True),
    Dialect.ENFORCES_NOTHING: DialectSpec(
        phrase="NetworkPolicies are not enforced",
        advice=(
            "Install a CNI or policy agent that enforces NetworkPolicy (Flannel by itself is none), or see "
            "whether its agent runs and has finished starting."
        ),
        rewrite=nothing,
        admin=none_of_them,
        by_direction=False,
        not_for=frozenset({str(Protocol.UDP), str(Family.IPV6)}),
        said_of={
            ScopeKind.CLUSTER: "NetworkPolicies are not enforced at all",
            ScopeKind.POLICY: "policy {} is not in force",
            ScopeKind.POD: "NetworkPolicies are not enforced for pod {}",
        },
    ),
    Dialect.IGNORES_EGRESS: DialectSpec(
        phrase="egress is not enforced",
        advice="Check whether this CNI supports egress rules and has them switched on.",
        rewrite=ignoring(Direction.EGRESS),
        admin=ignoring_direction(Direction.EGRESS),
        about=Direction.EGRESS,
    ),
    Dialect.IGNORES_INGRESS: DialectSpec(
        phrase="ingress is not enforced",
        advice="Check whether this CNI's agent programs ingress rules.",
        rewrite=ignoring(Direction.INGRESS),
        admin=ignoring_direction(Direction.INGRESS),
        about=Direction.INGRESS,
    ),
    Dialect.IGNORES_UDP: DialectSpec(
        phrase="UDP is not filtered",
        advice="Check whether this CNI filters UDP; until it does, UDP services are open to everybody.",
        exempts=Traffic.UDP,
        not_for=frozenset(map(str, Protocol)),
    ),
    Dialect.IGNORES_IPV6: DialectSpec(
        phrase="IPv6 is not filtered",
        advice="Switch on IPv6 policy enforcement in the CNI, or run the cluster with IPv4 alone.",
        exempts=Traffic.IPV6,
        not_for=frozenset({*map(str, Family), str(Protocol.UDP)}),
    ),
    Dialect.IGNORES_PORTS: DialectSpec(
        phrase="the ports of rules are ignored",
        rewrite=by_rule(lambda rule: replace(rule, ports=())),
    ),
    Dialect.IGNORES_PROTOCOL: DialectSpec(
        phrase="ports are opened over TCP and UDP alike",
        rewrite=by_rule(both_protocols),
        not_for=frozenset(map(str, Protocol)),
    ),
    Dialect.IGNORES_END_PORT: DialectSpec(
        phrase="endPort is ignored",
        rewrite=by_port(lambda port: port if port.end_port is None else replace(port, end_port=None)),
    ),
    Dialect.IGNORES_NAMED_PORTS: DialectSpec(
        phrase="named ports match nothing",
        rewrite=by_port(lambda port: port if port.name is None else None),
    ),
    Dialect.IGNORES_EXCEPT: DialectSpec(
        phrase="the except list of ipBlocks is ignored",
        rewrite=by_peer(without_except),
    ),
    Dialect.IGNORES_NAMESPACE_SELECTOR: DialectSpec(
        phrase="a namespaceSelector matches every namespace",
        rewrite=by_peer(any_namespace),
    ),
    Dialect.OWN_NAMESPACE_ONLY: DialectSpec(
        phrase="a namespaceSelector matches nothing",
        rewrite=by_peer(lambda peer: (peer,) if peer.namespace_selector is None else ()),
    ),
    Dialect.POD_SELECTOR_ANY_NAMESPACE: DialectSpec(
        phrase="a podSelector alone matches pods of every namespace",
        rewrite=by_peer(lone_pods_anywhere),
    ),
    Dialect.PEERS_OR_INSTEAD_OF_AND: DialectSpec(
        phrase="podSelector and namespaceSelector of one peer are taken as two peers",
        rewrite=by_peer(two_peers),
    ),
    Dialect.LABEL_KEY_ONLY: DialectSpec(
        phrase="labels are compared by key alone",
        rewrite=by_selector(keys_alone),
    ),
    Dialect.NOT_IN_NEEDS_KEY: DialectSpec(
        phrase="NotIn fails where the label is missing",
        rewrite=by_selector(key_needed),
    ),
    Dialect.FIRST_POLICY_ONLY: DialectSpec(
        phrase="only the first by name of a pod's policies is in force",
        advice="This CNI does not add policies up: update it, or put all rules for a pod into one policy.",
        first_policy_only=True,
    ),
    Dialect.ISOLATES_BOTH_DIRECTIONS: DialectSpec(
        phrase="every policy isolates in both directions",
        advice=(
            "This CNI takes a policy for one direction as one for both: update it, or allow the other "
            "direction by a rule."
        ),
        rewrite=both_directions,
    ),
    Dialect.BLOCKS_SELF: DialectSpec(
        phrase="traffic of a pod to itself is filtered",
        advice=("The specification never cuts a pod off from itself: report it to the CNI, or allow it with a rule."),
        filters=Traffic.TO_ITSELF,
    ),
    Dialect.BLOCKS_OWN_NODE: DialectSpec(
        phrase="traffic between a pod and its own node is filtered",
        advice=(
            "The specification never cuts a pod off from its node: probes of the kubelet may fail; report it "
            "to the CNI."
        ),
        filters=Traffic.WITH_OWN_NODE,
    ),
    Dialect.STATELESS: DialectSpec(
        phrase="connections are not tracked, so replies are filtered",
        advice=("Check whether connection tracking works: the policy rules must accept established connections first."),
        by_direction=False,
        tracks_connections=False,
    ),
    Dialect.STALE: DialectSpec(
        phrase="the policies of before the last change are enforced",
        advice="Restart the CNI's agent, and see in its log why it has missed the last change.",
        by_direction=False,
        previous_policies=True,
        said_of={ScopeKind.POLICY: "policy {} is still enforced as it was before the last change"},
    ),
    Dialect.SLOW: DialectSpec(
        phrase="policies take effect later than this audit waited",
        advice="Wait for the CNI to converge and audit again, or give it longer with --settle.",
        rewrite=nothing,
        admin=none_of_them,
        timing=Timing.LATE,
    ),
    Dialect.FLAKY: DialectSpec(
        phrase="allowed connections are dropped now and then",
        advice="Look for a CNI agent that is restarting, a full connection-tracking table or a lossy link.",
        timing=Timing.NOW_AND_THEN,
    ),
    Dialect.REJECTS: DialectSpec(unseen=True),
    Dialect.IP_BLOCK_SKIPS_PODS: DialectSpec(
        phrase="ipBlocks do not match pods and nodes (the specification leaves it open)",
        advice="Use selectors for pods, and ipBlocks for addresses outside the cluster only.",
        skips_pods=True,
    ),
    Dialect.SHUTS_PODS: DialectSpec(
        phrase="all traffic of pods is dropped",
        advice=(
            "Look at the network of what is shut (interface, routes, whether the CNI finished setting the pod up), "
            "then at the CNI's agent: no policy asks for this."
        ),
        shuts=True,
        about=None,
        said_of={
            ScopeKind.CLUSTER: "all traffic of pods is dropped",
            ScopeKind.POD: "all traffic of pod {} is dropped",
        },
    ),
    Dialect.KNOWS_NO_PODS: DialectSpec(
        phrase="selectors of peers match no pod",
        advice="Check whether the CNI's agent learns of pods and their labels; restart it where it has lost them.",
        rewrite=by_peer(no_pods),
        said_of={ScopeKind.PEER: "pod {} is missing from what other pods' rules allow"},
    ),
    Dialect.SHARES_DIRECTIONS: DialectSpec(
        phrase="directions share rules (what a policy allows in one, it allows among its pods in the other, too)",
        advice=(
            "This CNI keeps one list of rules for both directions: update it, or write ingress and egress as two "
            "policies."
        ),
        shares_directions=True,
    ),
    Dialect.NAMES_OF_ANY_POD: DialectSpec(
        phrase="named ports in egress rules open the numbers that any pod gives them, at every destination",
        advice="This CNI reads names of ports otherwise than the specification: update it, or write egress by number.",
        any_pods_names=True,
        about=Direction.EGRESS,
    ),
    Dialect.IGNORES_ADMIN: DialectSpec(
        phrase="policies of the Admin tier are not enforced",
        advice=NO_TIERS,
        admin=without(AdminTier.ADMIN),
        not_for=TRAFFIC,
    ),
    Dialect.IGNORES_BASELINE: DialectSpec(
        phrase="policies of the Baseline tier are not enforced",
        advice=NO_TIERS,
        admin=without(AdminTier.BASELINE),
        not_for=TRAFFIC,
    ),
    Dialect.PASS_IS_ACCEPT: DialectSpec(
        phrase="Pass is taken for Accept", admin=pass_as(Action.ACCEPT), not_for=TRAFFIC
    ),
    Dialect.PASS_IS_DENY: DialectSpec(phrase="Pass is taken for Deny", admin=pass_as(Action.DENY), not_for=TRAFFIC),
    Dialect.IGNORES_DENY: DialectSpec(phrase="rules that Deny are ignored", admin=by_rules(no_deny), not_for=TRAFFIC),
    Dialect.PRIORITIES_REVERSED: DialectSpec(
        phrase="policies with higher priority numbers come first", admin=backwards, not_for=TRAFFIC
    ),
    Dialect.FIRST_RULE_ONLY: DialectSpec(
        phrase="only the first rule of Admin and Baseline policies is in force",
        admin=by_rules(first_one),
        not_for=TRAFFIC,
    ),
    Dialect.NETWORK_POLICY_FIRST: DialectSpec(
        phrase="NetworkPolicies come before the Admin tier", order=TierOrder.NETWORK_POLICY_FIRST, not_for=TRAFFIC
    ),
    Dialect.BASELINE_ALWAYS: DialectSpec(
        phrase="the Baseline tier applies to pods that a NetworkPolicy selects",
        order=TierOrder.BASELINE_ALWAYS,
        not_for=TRAFFIC,
    ),
    Dialect.IGNORES_NETWORKS: DialectSpec(
        phrase="networks in rules of Admin and Baseline policies match nothing",
        admin=by_rules(no_networks),
        not_for=TRAFFIC,
    ),
    Dialect.RANGE_FIRST_PORT: DialectSpec(
        phrase="of a range of ports in Admin and Baseline policies only the first counts",
        admin=by_rules(first_port),
        not_for=TRAFFIC,
    ),
}
