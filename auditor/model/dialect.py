"""The ways in which an enforcer is known to depart from the specification, by name.

The lab's faulty enforcers, the diagnosis and the tests' oracle each implement these definitions on their own; only
names and definitions are shared. Egress of a pod, and ingress to it, are enforced on the pod's own node, so a dialect
on one node touches just these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from auditor.model.path_dialect import PathDialect


class Dialect(StrEnum):
    """How an enforcer understands policies. ``DEFINITIONS`` says precisely what each means."""

    __hash__ = str.__hash__  # a key of large tables, and Enum's own is ten times as slow

    SPEC = "spec"
    ENFORCES_NOTHING = "enforces-nothing"
    IGNORES_EGRESS = "ignores-egress"
    IGNORES_INGRESS = "ignores-ingress"
    IGNORES_UDP = "ignores-udp"
    IGNORES_IPV6 = "ignores-ipv6"
    IGNORES_PORTS = "ignores-ports"
    IGNORES_PROTOCOL = "ignores-protocol"
    IGNORES_END_PORT = "ignores-end-port"
    IGNORES_NAMED_PORTS = "ignores-named-ports"
    IGNORES_EXCEPT = "ignores-except"
    IGNORES_NAMESPACE_SELECTOR = "ignores-namespace-selector"
    OWN_NAMESPACE_ONLY = "own-namespace-only"
    POD_SELECTOR_ANY_NAMESPACE = "pod-selector-any-namespace"
    PEERS_OR_INSTEAD_OF_AND = "peers-or-instead-of-and"
    LABEL_KEY_ONLY = "label-key-only"
    NOT_IN_NEEDS_KEY = "not-in-needs-key"
    FIRST_POLICY_ONLY = "first-policy-only"
    ISOLATES_BOTH_DIRECTIONS = "isolates-both-directions"
    BLOCKS_SELF = "blocks-self"
    BLOCKS_OWN_NODE = "blocks-own-node"
    STATELESS = "stateless"
    STALE = "stale"
    SLOW = "slow"
    FLAKY = "flaky"
    REJECTS = "rejects"
    IP_BLOCK_SKIPS_PODS = "ip-block-skips-pods"
    SHUTS_PODS = "shuts-pods"
    KNOWS_NO_PODS = "knows-no-pods"
    SHARES_DIRECTIONS = "shares-directions"
    NAMES_OF_ANY_POD = "names-of-any-pod"
    IGNORES_ADMIN = "ignores-admin-policies"
    IGNORES_BASELINE = "ignores-baseline"
    PASS_IS_ACCEPT = "pass-is-accept"  # noqa: S105 - a word of the API
    PASS_IS_DENY = "pass-is-deny"  # noqa: S105 - a word of the API
    IGNORES_DENY = "ignores-deny"
    PRIORITIES_REVERSED = "priorities-reversed"
    FIRST_RULE_ONLY = "first-rule-only"
    NETWORK_POLICY_FIRST = "network-policy-first"
    BASELINE_ALWAYS = "baseline-always"
    IGNORES_NETWORKS = "ignores-networks"
    RANGE_FIRST_PORT = "range-first-port"


DEFINITIONS: Mapping[Dialect, str] = {
    Dialect.SPEC: "enforces the specification; denied packets vanish",
    Dialect.ENFORCES_NOTHING: "accepts policies and filters nothing",
    Dialect.IGNORES_EGRESS: "acts as if no policy isolated egress",
    Dialect.IGNORES_INGRESS: "acts as if no policy isolated ingress",
    Dialect.IGNORES_UDP: "never filters UDP",
    Dialect.IGNORES_IPV6: "never filters IPv6",
    Dialect.IGNORES_PORTS: "takes the ports of every rule as empty: an allowed peer is allowed on every port",
    Dialect.IGNORES_PROTOCOL: "takes every port of a rule as one of TCP and one of UDP",
    Dialect.IGNORES_END_PORT: "takes only the first port of a range",
    Dialect.IGNORES_NAMED_PORTS: "matches nothing where a rule names a port",
    Dialect.IGNORES_EXCEPT: "drops the except list of every ipBlock",
    Dialect.IGNORES_NAMESPACE_SELECTOR: "takes every namespaceSelector of a peer as {}: every namespace",
    Dialect.OWN_NAMESPACE_ONLY: "matches nothing where a peer has a namespaceSelector",
    Dialect.POD_SELECTOR_ANY_NAMESPACE: "takes a peer's podSelector that stands alone as meaning pods of every "
    "namespace",
    Dialect.PEERS_OR_INSTEAD_OF_AND: "takes podSelector and namespaceSelector in one peer as two peers",
    Dialect.LABEL_KEY_ONLY: "matches matchLabels and In, in every selector, on the key alone",
    Dialect.NOT_IN_NEEDS_KEY: "fails NotIn, in every selector, where the key is missing",
    Dialect.FIRST_POLICY_ONLY: "knows, for each pod and direction, only the first by name of the policies that "
    "isolate it",
    Dialect.ISOLATES_BOTH_DIRECTIONS: "takes every policy as having both policyTypes",
    Dialect.BLOCKS_SELF: "filters a pod's traffic to its own address like traffic to any other pod",
    Dialect.BLOCKS_OWN_NODE: "filters traffic between a pod and its own node like traffic with any other address",
    Dialect.STATELESS: "tracks no connections: a reply needs a rule of its own in the other direction",
    Dialect.STALE: "enforces the policies as they were before the last change",
    Dialect.SLOW: "filters nothing for the first VALUE seconds after a change, then enforces the specification",
    Dialect.FLAKY: "drops the share VALUE of new connections that the specification allows and that cross a node's "
    "filter",
    Dialect.REJECTS: "enforces the specification; denied packets are answered with TCP reset or ICMP (no fault)",
    Dialect.IP_BLOCK_SKIPS_PODS: "never matches a pod or a node by ipBlock (no fault: the "
    "specification leaves it open)",
    Dialect.SHUTS_PODS: "drops all that a pod sends and receives, but for its own node and itself",
    Dialect.KNOWS_NO_PODS: "matches no pod where a peer is made of selectors; ABOUT one pod: does not match that pod",
    Dialect.SHARES_DIRECTIONS: "takes the rules of a policy that has both policyTypes as one list: what a rule of "
    "either direction allows between two pods that the policy selects, it allows in both directions",
    Dialect.NAMES_OF_ANY_POD: "takes a named port of an egress rule without peers for every number that any pod of the "
    "policy's namespace declares under it, whatever the destination",
    Dialect.IGNORES_ADMIN: "knows no policies of the Admin tier",
    Dialect.IGNORES_BASELINE: "knows no policies of the Baseline tier",
    Dialect.PASS_IS_ACCEPT: "takes Pass, in rules of the Admin and Baseline tiers, for Accept",
    Dialect.PASS_IS_DENY: "takes Pass, in rules of the Admin and Baseline tiers, for Deny",
    Dialect.IGNORES_DENY: "drops the Deny rules of the Admin and Baseline tiers",
    Dialect.PRIORITIES_REVERSED: "asks, in the Admin and Baseline tiers, policies with higher priority numbers first",
    Dialect.FIRST_RULE_ONLY: "knows only the first rule for each direction of policies in the Admin and Baseline tiers",
    Dialect.NETWORK_POLICY_FIRST: "asks NetworkPolicies before the Admin tier: where they isolate, they are final",
    Dialect.BASELINE_ALWAYS: "asks the Baseline tier about what NetworkPolicies allow, too",
    Dialect.IGNORES_NETWORKS: "matches nothing by networks in the Admin and Baseline tiers",
    Dialect.RANGE_FIRST_PORT: "takes only the first port of a range in the Admin and Baseline tiers",
}

OF_TIERS = frozenset(
    {
        Dialect.IGNORES_ADMIN,
        Dialect.IGNORES_BASELINE,
        Dialect.PASS_IS_ACCEPT,
        Dialect.PASS_IS_DENY,
        Dialect.IGNORES_DENY,
        Dialect.PRIORITIES_REVERSED,
        Dialect.FIRST_RULE_ONLY,
        Dialect.NETWORK_POLICY_FIRST,
        Dialect.BASELINE_ALWAYS,
        Dialect.IGNORES_NETWORKS,
        Dialect.RANGE_FIRST_PORT,
    }
)
"""The dialects that are nothing without policies of the Admin or Baseline tier."""

FAULTLESS = frozenset({Dialect.SPEC, Dialect.REJECTS, Dialect.IP_BLOCK_SKIPS_PODS})
"""The dialects that an audit must find nothing against."""

DEFAULT_VALUES: Mapping[Dialect, float] = {Dialect.SLOW: 2.0, Dialect.FLAKY: 0.3}
"""The dialects that take a value: seconds for ``slow``, a share between 0 and 1 for ``flaky``."""


OF_ONE_POD = frozenset({Dialect.ENFORCES_NOTHING, Dialect.SHUTS_PODS, Dialect.KNOWS_NO_PODS})
"""The dialects that an enforcer may have about one pod alone, whose update it has lost."""


@dataclass(frozen=True, slots=True)
class Enforcer:
    """A dialect with its value, for the dialects that take one."""

    dialect: Dialect = Dialect.SPEC
    value: float = 0.0

    def __str__(self) -> str:
        return f"{self.dialect}:{self.value:g}" if self.dialect in DEFAULT_VALUES else str(self.dialect)


@dataclass(frozen=True, slots=True)
class Enforcement:
    """Which enforcer runs on which node: ``everywhere``, but for the nodes named in ``on_node``.

    ``on_pod`` has, by the pod's full name, the dialects of ``OF_ONE_POD`` that enforcers have about one pod: they don't
    filter it, drop all of its traffic, or don't find it when another pod's rules ask for it. ``on_path`` has what goes
    wrong on the way through Services, by the node's bare name; under an empty name, on every node.
    """

    everywhere: Enforcer = Enforcer()
    on_node: Mapping[str, Enforcer] = field(default_factory=dict, hash=False)
    on_pod: Mapping[str, Dialect] = field(default_factory=dict, hash=False)
    on_path: Mapping[str, PathDialect] = field(default_factory=dict, hash=False)

    def at(self, node: str) -> Enforcer:
        """The enforcer of the node with this bare name."""
        return self.on_node.get(node, self.everywhere)

    def path_at(self, node: str) -> PathDialect | None:
        """What goes wrong on the way through Services at the node with this bare name, if anything does."""
        return self.on_path.get(node) or self.on_path.get("")

    @property
    def nodes(self) -> frozenset[str]:
        """The bare names of all nodes that something is said of."""
        return frozenset(name for name in (*self.on_node, *self.on_path) if name)

    def pods_with(self, dialect: Dialect) -> frozenset[str]:
        """The full names of the pods about which enforcers have ``dialect``."""
        return frozenset(name for name, found in self.on_pod.items() if found is dialect)

    @classmethod
    def parse(cls, texts: tuple[str, ...]) -> Enforcement:
        """Read ``NAME``, ``NAME:VALUE``, ``NAME@NODE``, ``NAME:VALUE@NODE`` and ``NAME@NAMESPACE/POD``; what isn't
        named is ``spec``. NAME may be that of a ``PathDialect``, beside any other.

        Raises ValueError, with a text for the user, on an unknown name, a bad value, a node or pod given twice, or a
        dialect that can't be about one pod.
        """
        everywhere: Enforcer | None = None
        on_node: dict[str, Enforcer] = {}
        on_pod: dict[str, Dialect] = {}
        on_path = _parse_paths(texts)
        for text in texts:
            enforcer_text, at, node = text.partition("@")
            if enforcer_text in PATH_NAMES:
                continue
            enforcer = _parse_enforcer(enforcer_text)
            if not at:
                if everywhere is not None:
                    raise ValueError(f"enforcer {text!r}: only one enforcer can be everywhere; add @NODE to the others")
                everywhere = enforcer
            elif not node or node in on_node or node in on_pod:
                what = "pod" if "/" in node else "node"
                raise ValueError(
                    f"enforcer {text!r}: " + (f"this {what} has one already" if node else "no node after the @")
                )
            elif "/" not in node:
                on_node[node] = enforcer
            elif enforcer.dialect not in OF_ONE_POD:
                known = ", ".join(dialect for dialect in Dialect if dialect in OF_ONE_POD)
                raise ValueError(f"enforcer {text!r}: about one pod there are {known}")
            else:
                on_pod[node] = enforcer.dialect
        return cls(everywhere or Enforcer(), on_node, on_pod, on_path)


PATH_NAMES = frozenset(map(str, PathDialect))


def _parse_paths(texts: tuple[str, ...]) -> dict[str, PathDialect]:
    """What ``texts`` say of the way through Services, by node. Raises ValueError as ``Enforcement.parse``."""
    on_path: dict[str, PathDialect] = {}
    for text in texts:
        name, at, node = text.partition("@")
        if name not in PATH_NAMES:
            continue
        if (at and not node) or "/" in node:
            raise ValueError(f"enforcer {text!r}: what goes through Services is about a node: write {name}@NODE")
        if node in on_path:
            where = "this node has one" if node else "only one enforcer can be everywhere"
            raise ValueError(f"enforcer {text!r}: {where} about Services already")
        on_path[node] = PathDialect(name)
    return on_path


def _parse_enforcer(text: str) -> Enforcer:
    name, colon, value_text = text.partition(":")
    try:
        dialect = Dialect(name)
    except ValueError:
        known = ", ".join((*Dialect, *PathDialect))
        raise ValueError(f"unknown enforcer {name!r}: one of {known}") from None
    if not colon:
        return Enforcer(dialect, DEFAULT_VALUES.get(dialect, 0.0))
    if dialect not in DEFAULT_VALUES:
        raise ValueError(f"enforcer {name!r} takes no value")
    try:
        value = float(value_text)
    except ValueError:
        raise ValueError(f"enforcer {text!r}: {value_text!r} is not a number") from None
    limit = 1.0 if dialect is Dialect.FLAKY else 600.0
    if not 0.0 <= value <= limit:
        raise ValueError(f"enforcer {text!r}: the value must be between 0 and {limit:g}")
    return Enforcer(dialect, value)
