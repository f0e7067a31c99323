"""A diagnosis in words: one sentence with the numbers, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from auditor.diagnosis.evidence import Evidence, Fit
from auditor.model.diagnosis import Alternative, Diagnosis, Fault, Hypothesis, ScopeKind
from auditor.model.dialect import Dialect
from auditor.model.verdict import Result
from auditor.model.words import pluralize

PHRASES: Mapping[Dialect, str] = {
    Dialect.ENFORCES_NOTHING: "NetworkPolicies are not enforced",
    Dialect.IGNORES_EGRESS: "egress is not enforced",
    Dialect.IGNORES_INGRESS: "ingress is not enforced",
    Dialect.IGNORES_UDP: "UDP is not filtered",
    Dialect.IGNORES_IPV6: "IPv6 is not filtered",
    Dialect.IGNORES_PORTS: "the ports of rules are ignored",
    Dialect.IGNORES_END_PORT: "endPort is ignored",
    Dialect.IGNORES_NAMED_PORTS: "named ports match nothing",
    Dialect.IGNORES_EXCEPT: "the except list of ipBlocks is ignored",
    Dialect.IGNORES_NAMESPACE_SELECTOR: "a namespaceSelector matches every namespace",
    Dialect.OWN_NAMESPACE_ONLY: "a namespaceSelector matches nothing",
    Dialect.POD_SELECTOR_ANY_NAMESPACE: "a podSelector alone matches pods of every namespace",
    Dialect.PEERS_OR_INSTEAD_OF_AND: "podSelector and namespaceSelector of one peer are taken as two peers",
    Dialect.LABEL_KEY_ONLY: "labels are compared by key alone",
    Dialect.NOT_IN_NEEDS_KEY: "NotIn fails where the label is missing",
    Dialect.FIRST_POLICY_ONLY: "only the first by name of a pod's policies is in force",
    Dialect.ISOLATES_BOTH_DIRECTIONS: "every policy isolates in both directions",
    Dialect.BLOCKS_SELF: "traffic of a pod to itself is filtered",
    Dialect.BLOCKS_OWN_NODE: "traffic between a pod and its own node is filtered",
    Dialect.STATELESS: "connections are not tracked, so replies are filtered",
    Dialect.STALE: "the policies of before the last change are enforced",
    Dialect.SLOW: "policies take effect later than this audit waited",
    Dialect.FLAKY: "allowed connections are dropped now and then",
    Dialect.IP_BLOCK_SKIPS_PODS: "ipBlocks do not match pods and nodes (the specification leaves it open)",
}

PLACES: Mapping[ScopeKind, str] = {
    ScopeKind.CLUSTER: "",
    ScopeKind.NODE: " on node {}",
    ScopeKind.NAMESPACE: " for pods of namespace {}",
    ScopeKind.FAMILY: " over {}",
    ScopeKind.PROTOCOL: " for {}",
    ScopeKind.POLICY: " in policy {}",
    ScopeKind.SOURCE_NODE: " for what pods on node {} send",
    ScopeKind.DESTINATION_NODE: " for what pods on node {} receive",
}

NOT_READ_SO = (
    "This CNI reads policies otherwise than the specification: update it, or write the policies without this feature."
)
ADVICE: Mapping[Dialect, str] = {
    Dialect.ENFORCES_NOTHING: "Install a CNI or policy agent that enforces NetworkPolicy (Flannel by itself is "
    "none), or see whether its "
    "agent runs and has finished starting.",
    Dialect.IGNORES_EGRESS: "See whether this CNI supports egress rules and has them switched on.",
    Dialect.IGNORES_INGRESS: "See whether this CNI's agent programs ingress rules.",
    Dialect.IGNORES_UDP: "See whether this CNI filters UDP; until it does, UDP services are open to everybody.",
    Dialect.IGNORES_IPV6: "Switch on IPv6 policy enforcement in the CNI, or run the cluster with IPv4 alone.",
    Dialect.FIRST_POLICY_ONLY: "This CNI does not add policies up: update it, or put all rules for a pod into one "
    "policy.",
    Dialect.ISOLATES_BOTH_DIRECTIONS: "This CNI takes a policy for one direction as one for both: update it, or "
    "allow the other direction "
    "by a rule.",
    Dialect.BLOCKS_SELF: "The specification never cuts a pod off from itself: report it to the CNI, or allow it "
    "with a rule.",
    Dialect.BLOCKS_OWN_NODE: "The specification never cuts a pod off from its node: probes of the kubelet may fail; "
    "report it to the CNI.",
    Dialect.STATELESS: "See whether connection tracking works: the policy rules must accept established connections "
    "first.",
    Dialect.STALE: "Restart the CNI's agent, and see in its log why it has missed the last change.",
    Dialect.SLOW: "Wait for the CNI to converge and audit again, or give it longer with --settle.",
    Dialect.FLAKY: "Look for a CNI agent that is restarting, a full connection-tracking table or a lossy link.",
    Dialect.IP_BLOCK_SKIPS_PODS: "Use selectors for pods, and ipBlocks for addresses outside the cluster only.",
}

KINDS: Sequence[tuple[Result, str]] = (
    (Result.LEAK, "leak"),
    (Result.OUTAGE, "outage"),
    (Result.UNSTABLE, "unstable cell"),
    (Result.CNI_DEPENDENT, "cell left to the CNI"),
)
PLURALS = {"cell left to the CNI": "cells left to the CNI"}


def in_words(faults: Hypothesis) -> str:
    """What is wrong, and where: ``egress is not enforced on node worker-2``."""
    return ", and ".join(map(_fault_in_words, faults))


def _fault_in_words(fault: Fault) -> str:
    if fault.dialect is Dialect.ENFORCES_NOTHING:
        if fault.scope.kind is ScopeKind.CLUSTER:
            return f"{PHRASES[fault.dialect]} at all"
        if fault.scope.kind is ScopeKind.POLICY:
            return f"policy {fault.scope.name} is not in force"
    return PHRASES[fault.dialect] + PLACES[fault.scope.kind].format(fault.scope.name)


def diagnosis_of(evidence: Evidence, fits: Sequence[Fit]) -> Diagnosis:
    """The diagnosis whose hypothesis is the first of ``fits``, with the others as its alternatives."""
    best = fits[0]
    unexplained = evidence.cells.listed(best.unexplained) + evidence.untold
    title = _with_numbers(evidence, best)
    if unexplained:
        title += f"; {pluralize(len(unexplained), 'cell')} unexplained"
    return Diagnosis(
        title=title,
        advice=" ".join(dict.fromkeys(map(advice_for, best.faults))),
        faults=best.faults,
        explained=evidence.cells.listed(best.explained),
        contradictions=evidence.cells.listed(best.contradictions),
        unexplained=unexplained,
        alternatives=tuple(Alternative(fit.faults, _beside(evidence, fit, best)) for fit in fits[1:]),
    )


def _with_numbers(evidence: Evidence, fit: Fit) -> str:
    return (
        f"{in_words(fit.faults)}: explains {_share(evidence, fit)}; "
        f"{pluralize(fit.contradictions.bit_count(), 'contradiction')}"
    )


def _beside(evidence: Evidence, fit: Fit, best: Fit) -> str:
    """A hypothesis that fits as well as ``best``, with its own numbers where these are about other cells."""
    alike = (fit.explained, fit.contradictions) == (best.explained, best.contradictions)
    return in_words(fit.faults) if alike else _with_numbers(evidence, fit)


def _share(evidence: Evidence, fit: Fit) -> str:
    """``124 of 124 leaks and 3 of 4 outages``."""
    shares = []
    for kind, word in KINDS:
        cells = evidence.where(kind)
        if cells:
            all_of_them = pluralize(cells.bit_count(), word, PLURALS.get(word, ""))
            shares.append(f"{(cells & fit.explained).bit_count():,} of {all_of_them}")
    return ", ".join(shares[:-1]) + (" and " if shares[1:] else "") + shares[-1]


def nothing_known(evidence: Evidence) -> Diagnosis:
    """The diagnosis that there is none."""
    kinds = [(evidence.where(kind), word) for kind, word in KINDS]
    counts = [pluralize(cells.bit_count(), word, PLURALS.get(word, "")) for cells, word in kinds if cells]
    if evidence.untold:
        counts.append(f"{pluralize(len(evidence.untold), 'cell')} answered by someone else")
    return Diagnosis(
        title=f"no known fault explains {', '.join(counts)}",
        advice="See the findings one by one. An enforcer that still has older policies, or a fault of the network "
        "beside policies, can "
        "look like this.",
        unexplained=evidence.cells.listed(evidence.differing) + evidence.untold,
    )


def advice_for(fault: Fault) -> str:
    """What to do about one fault."""
    advice = ADVICE.get(fault.dialect, NOT_READ_SO)
    if fault.scope.kind in (ScopeKind.NODE, ScopeKind.SOURCE_NODE, ScopeKind.DESTINATION_NODE) and fault.is_fault:
        return (
            f"Compare the CNI's agent on node {fault.scope.name} with that of the other nodes: version, "
            f"settings, log. {advice}"
        )
    return advice
