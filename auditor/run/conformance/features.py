"""Which cells show which feature of NetworkPolicies, found from the objects and never by hand.

A cell shows a feature if an enforcer that gets just this feature wrong would answer it wrongly: the predictors of the
diagnosis say which cells these are. So a CNI that ignores endPort fails in "endPort" and not in "ingress", though every
such policy is an ingress policy, too. Where there is no such misreading, the cells that the policies with this feature
have a say in are taken.

Some misreadings only ever close what ought to be open. An enforcer that leaves everything open must not seem to get
such a feature right, so the cells that these same policies keep closed show it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from auditor.diagnosis.cells import Cells
from auditor.diagnosis.predictors import Predictor
from auditor.model.diagnosis import Fault, Scope, ScopeKind
from auditor.model.dialect import Dialect
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.scorecard import ChangeKind
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.run.conformance.prepared_scenarios import PreparedScenario


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature by its name and in words; the dialects that get it wrong, or which policies have it in a direction.

    Of these policies, the cells count that ``within``, a dialect limited to that policy, would change; all that it
    isolates without one.
    """

    name: str
    title: str
    dialects: tuple[Dialect, ...] = ()
    has_it: Callable[[NetworkPolicy, Direction], bool] | None = None
    within: Dialect | None = None


def _selectors(policy: NetworkPolicy, direction: Direction) -> list[LabelSelector]:
    peers = [peer for rule in policy.rules(direction) for peer in rule.peers]
    given = [
        selector for peer in peers for selector in (peer.pod_selector, peer.namespace_selector) if selector is not None
    ]
    return [policy.pod_selector, *given]


def _has_empty_selector(policy: NetworkPolicy, direction: Direction) -> bool:
    return any(selector.is_empty for selector in _selectors(policy, direction))


def _has_expressions(policy: NetworkPolicy, direction: Direction) -> bool:
    return any(selector.match_expressions for selector in _selectors(policy, direction))


def _has_ip_block(policy: NetworkPolicy, direction: Direction) -> bool:
    return any(peer.ip_block is not None for rule in policy.rules(direction) for peer in rule.peers)


def _has_end_port(policy: NetworkPolicy, direction: Direction) -> bool:
    return any(port.end_port is not None for rule in policy.rules(direction) for port in rule.ports)


def _has_named_port(policy: NetworkPolicy, direction: Direction) -> bool:
    return any(port.name is not None for rule in policy.rules(direction) for port in rule.ports)


def _is_default_deny(policy: NetworkPolicy, direction: Direction) -> bool:
    return policy.pod_selector.is_empty and direction in policy.directions and not policy.rules(direction)


ADD_UP = Feature("policies-add-up", "several policies for one pod add up", (Dialect.FIRST_POLICY_ONLY,))
TIER_NETWORKS = Feature("tier-networks", "networks, in rules of administrators", (Dialect.IGNORES_NETWORKS,))
OF_ADMINISTRATORS: Sequence[Feature] = (
    Feature(
        "admin-tier",
        "the Admin tier decides before NetworkPolicies",
        (Dialect.IGNORES_ADMIN, Dialect.NETWORK_POLICY_FIRST),
    ),
    Feature(
        "baseline-tier",
        "the Baseline tier decides where no NetworkPolicy does",
        (Dialect.IGNORES_BASELINE, Dialect.BASELINE_ALWAYS),
    ),
    Feature("tier-deny", "Deny, in rules of administrators", (Dialect.IGNORES_DENY,)),
    Feature("tier-pass", "Pass leaves it to the next tier", (Dialect.PASS_IS_ACCEPT, Dialect.PASS_IS_DENY)),
    Feature("tier-priorities", "policies of administrators by their priorities", (Dialect.PRIORITIES_REVERSED,)),
    Feature("tier-rules", "all rules of an administrators' policy count, in their order", (Dialect.FIRST_RULE_ONLY,)),
    TIER_NETWORKS,
    Feature("tier-port-ranges", "ranges of ports, in rules of administrators", (Dialect.RANGE_FIRST_PORT,)),
)
"""Of policies of administrators: features that no connection shows where none is tried."""
DUAL_STACK = Feature("dual-stack", "IPv4 and IPv6 side by side")
FEATURES: Sequence[Feature] = (
    Feature("ingress", "ingress rules", (Dialect.IGNORES_INGRESS,)),
    Feature("egress", "egress rules", (Dialect.IGNORES_EGRESS,)),
    Feature("policy-types", "a direction that policyTypes leaves out stays open", (Dialect.ISOLATES_BOTH_DIRECTIONS,)),
    Feature(
        "directions-apart",
        "what a policy allows in one direction it does not allow in the other",
        (Dialect.SHARES_DIRECTIONS,),
    ),
    Feature(
        "default-deny", "default deny of a whole namespace", has_it=_is_default_deny, within=Dialect.ENFORCES_NOTHING
    ),
    ADD_UP,
    Feature(
        "pod-selector", "a podSelector alone means the policy's own namespace", (Dialect.POD_SELECTOR_ANY_NAMESPACE,)
    ),
    Feature(
        "namespace-selector", "namespaceSelector", (Dialect.IGNORES_NAMESPACE_SELECTOR, Dialect.OWN_NAMESPACE_ONLY)
    ),
    Feature(
        "both-selectors", "podSelector and namespaceSelector in one peer mean AND", (Dialect.PEERS_OR_INSTEAD_OF_AND,)
    ),
    Feature("empty-selectors", "empty selectors", has_it=_has_empty_selector),
    Feature("label-values", "labels are compared by value", (Dialect.LABEL_KEY_ONLY,)),
    Feature("match-expressions", "matchExpressions", has_it=_has_expressions),
    Feature("not-in", "NotIn matches where the label is missing", (Dialect.NOT_IN_NEEDS_KEY,)),
    Feature("ports", "ports of rules", (Dialect.IGNORES_PORTS, Dialect.IGNORES_PROTOCOL)),
    Feature("end-port", "endPort", (Dialect.IGNORES_END_PORT,), _has_end_port, Dialect.IGNORES_PORTS),
    Feature(
        "named-ports",
        "named ports",
        (Dialect.IGNORES_NAMED_PORTS, Dialect.NAMES_OF_ANY_POD),
        _has_named_port,
        Dialect.IGNORES_PORTS,
    ),
    Feature("udp", "UDP", (Dialect.IGNORES_UDP,)),
    Feature("ip-block", "ipBlock", has_it=_has_ip_block),
    Feature("except", "except of an ipBlock", (Dialect.IGNORES_EXCEPT,)),
    Feature("ipv6", "IPv6", (Dialect.IGNORES_IPV6,)),
    DUAL_STACK,
    Feature("replies", "replies need no rule of their own", (Dialect.STATELESS,)),
    Feature("itself", "a pod always reaches itself", (Dialect.BLOCKS_SELF,)),
    Feature("own-node", "a pod's own node, with its hostNetwork pods, is exempt", (Dialect.BLOCKS_OWN_NODE,)),
    *OF_ADMINISTRATORS,
)
"""All features but those of changes, in the order in which they are reported."""

THROUGH_SERVICES = Feature("through-services", "through Services policies mean the same")
REUSED_PODS = Feature("reused-pods", "pods of other labels under other policies keep nothing of before")
ISOLATED_START = Feature("isolated-start", "new pods are isolated before they start")
CHANGES: Mapping[ChangeKind, Feature] = {
    ChangeKind.POLICIES_CHANGED: Feature("changed-policies", "policies that change are followed"),
    ChangeKind.POD_CREATED: Feature("new-pods", "pods that come later are policed"),
    ChangeKind.POD_RELABELLED: Feature("pod-labels", "pods that get other labels are followed"),
    ChangeKind.NAMESPACE_RELABELLED: Feature("namespace-labels", "namespaces that get other labels are followed"),
    ChangeKind.POD_REPLACED: Feature("replaced-pods", "a pod that takes another's place gets none of its rules"),
    ChangeKind.LAST_PEER_DELETED: Feature("lost-peers", "a rule whose last peer is deleted opens to nobody"),
}


def cells_by_feature(
    snapshot: Snapshot, cells: Sequence[Cell], prepared_scenarios: Sequence[PreparedScenario]
) -> dict[Feature, tuple[Cell, ...]]:
    """The cells among ``cells``, which are all in ``snapshot``, that show each feature; features that none shows are
    left out.
    """
    predictor = Predictor(Cells(snapshot, cells))
    found = {feature: predictor.cells.listed(_mask(predictor, feature)) for feature in FEATURES}
    present = set(cells)
    found[DUAL_STACK] = tuple(
        cell
        for prepared in prepared_scenarios
        if len(prepared.scenario.families) > 1
        for cell in prepared.truth
        if cell in present
    )
    for change, feature in CHANGES.items():
        concerned = [
            prepared for prepared in prepared_scenarios if prepared.step is not None and prepared.step.change is change
        ]
        found[feature] = tuple(cell for prepared in concerned for cell in prepared.changed if cell in present)
    found[ISOLATED_START] = tuple(
        cell
        for prepared in prepared_scenarios
        if prepared.step is not None and prepared.step.is_at_new_pod
        for cell in prepared.changed
        if cell in present and prepared.truth[cell] is Verdict.DENIED
    )
    return {feature: shown for feature, shown in found.items() if shown}


def _mask(predictor: Predictor, feature: Feature) -> int:
    mask = _closed_by_several(predictor) if feature is ADD_UP else 0
    for dialect in feature.dialects:
        mask |= _touched(predictor, Fault(dialect))
    for policy in predictor.filters.policies:
        for direction in policy.directions:
            if feature.has_it is None or not feature.has_it(policy, direction):
                continue
            if feature.within is None:
                mask |= predictor.filters.isolated(policy, direction)
            else:
                mask |= _touched(predictor, Fault(feature.within, Scope(ScopeKind.POLICY, policy.full_name)))
    return mask


def _closed_by_several(predictor: Predictor) -> int:
    """The cells that are denied in a direction in which more than one policy isolates the pod."""
    mask = 0
    for direction in Direction:
        isolated, again = 0, 0
        for policy in predictor.filters.policies:
            if direction in policy.directions:
                subjects = predictor.filters.isolated(policy, direction)
                again |= isolated & subjects
                isolated |= subjects
        mask |= again & ~predictor.filters.passing(direction)
    return mask


def _touched(predictor: Predictor, fault: Fault) -> int:
    """The cells that get another verdict by ``fault``, or may get one."""
    prediction = predictor.predict((fault,))
    return (prediction.allowed ^ predictor.specification) | prediction.varying
