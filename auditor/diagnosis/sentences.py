"""A diagnosis in words: one sentence with the numbers, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from auditor.diagnosis.dialects import SPECS
from auditor.diagnosis.evidence import Evidence, Fit
from auditor.diagnosis.leftovers import unwritten_isolation
from auditor.diagnosis.price import PLACE_TELLS
from auditor.diagnosis.witnesses import places
from auditor.model.diagnosis import Alternative, Diagnosis, Fault, Hypothesis, ScopeKind
from auditor.model.dialect import Dialect
from auditor.model.verdict import Result
from auditor.model.words import in_brief, pluralize

PLACES: Mapping[ScopeKind, str] = {
    ScopeKind.CLUSTER: "",
    ScopeKind.NODE: " on node {}",
    ScopeKind.NAMESPACE: " for pods of namespace {}",
    ScopeKind.FAMILY: " over {}",
    ScopeKind.PROTOCOL: " for {}",
    ScopeKind.POLICY: " in policy {}",
    ScopeKind.SOURCE_NODE: " for what pods on node {} send",
    ScopeKind.DESTINATION_NODE: " for what pods on node {} receive",
    ScopeKind.POD: " for pod {}",
    ScopeKind.PEER: " for pod {} as a peer",
    ScopeKind.PATH: " between nodes {}",
}

KINDS: Sequence[tuple[Result, str]] = (
    (Result.LEAK, "leak"),
    (Result.OUTAGE, "outage"),
    (Result.UNSTABLE, "unstable connection"),
    (Result.CNI_DEPENDENT, "connection left to the CNI"),
)
FEWEST_PAIRS = 6
"""Pairs of endpoints that have to differ as each fault of a hypothesis says before it is called the cause."""

MOST_NAMED = 3
BECAME = (("Deleted since", False), ("Changed since", True))

PLURALS = {"connection left to the CNI": "connections left to the CNI"}


def in_words(faults: Hypothesis) -> str:
    """What is wrong, and where: ``egress is not enforced on node worker-2``."""
    return ", and ".join(map(_fault_in_words, faults))


def _fault_in_words(fault: Fault) -> str:
    kind, name = fault.scope.kind, fault.scope.name
    return SPECS[fault.dialect].said(kind, name, PLACES[kind].format(name))


def diagnosis_of(evidence: Evidence, fits: Sequence[Fit]) -> Diagnosis:
    """The diagnosis whose hypothesis is the first of ``fits``, with the others as its alternatives."""
    best = fits[0]
    unexplained = evidence.cells.listed(best.unexplained) + evidence.untold
    title = _with_numbers(evidence, best)
    if unexplained:
        left = f"{pluralize(len(unexplained), 'connection')} {'is' if len(unexplained) == 1 else 'are'}"
        title = f"in part ({left} left unexplained): {title}"
    return Diagnosis(
        title=title,
        advice=" ".join(filter(None, (_gone(evidence, best), *dict.fromkeys(map(advice_for, best.faults))))),
        faults=best.faults,
        certain=_is_certain(evidence, best),
        explained=evidence.cells.listed(best.explained),
        contradictions=evidence.cells.listed(best.contradictions),
        unexplained=unexplained,
        alternatives=tuple(Alternative(fit.faults, _beside(evidence, fit, best)) for fit in fits[1:]),
    )


def _gone(evidence: Evidence, fit: Fit) -> str:
    """What has become of the policies that are still enforced; empty where none is said to be."""
    scopes = [fault.scope for fault in fit.faults if SPECS[fault.dialect].previous_policies]
    filters = evidence.predictor.filters
    one = {scope.name for scope in scopes if scope.kind is ScopeKind.POLICY}
    gone = sorted(filters.gone if len(one) < len(scopes) else one)
    there = {policy.full_name for policy in filters.policies}
    told = ((what, [name for name in gone if (name in there) is changed]) for what, changed in BECAME)
    return " ".join(f"{what}: {in_brief(names, MOST_NAMED)}." for what, names in told if names)


def _is_certain(evidence: Evidence, fit: Fit) -> bool:
    """Whether enough differs to call ``fit`` the cause: pairs of endpoints, and places where an unknown fault would
    hardly look like it, for what it costs to suppose it (``auditor.diagnosis.price``).
    """
    pairs = {(cell.source, cell.destination) for cell in evidence.cells.listed(fit.explained)}
    if len(pairs) < FEWEST_PAIRS * len(fit.faults):
        return False
    return PLACE_TELLS * places(evidence, fit) >= evidence.prices.of(fit.faults)


def _with_numbers(evidence: Evidence, fit: Fit) -> str:
    return f"{in_words(fit.faults)}: explains {_share(evidence, fit)}{_against(fit)}"


def _against(fit: Fit) -> str:
    """How many of the connections that the hypothesis changes do not show it: ``, and nothing contradicts it``."""
    against = fit.contradictions.bit_count()
    if not against:
        return ", and nothing contradicts it"
    changed = pluralize((fit.explained | fit.contradictions).bit_count(), "connection")
    return f"; {against:,} of the {changed} that it would change {'does' if against == 1 else 'do'} not fit"


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
        counts.append(f"{pluralize(len(evidence.untold), 'connection')} answered by someone else")
    usual = (
        "Look at the findings one by one. An enforcer that still has older policies, or a network fault that "
        "has nothing to do with policies, can look like this."
    )
    return Diagnosis(
        title=f"no known fault explains {', '.join(counts)}",
        advice=" ".join(filter(None, (unwritten_isolation(evidence), usual))),
        unexplained=evidence.cells.listed(evidence.differing) + evidence.untold,
    )


def advice_for(fault: Fault) -> str:
    """What to do about one fault."""
    advice = SPECS[fault.dialect].advice
    if fault.scope.kind in (ScopeKind.NODE, ScopeKind.SOURCE_NODE, ScopeKind.DESTINATION_NODE) and fault.is_fault:
        return (
            f"Compare the CNI's agent on node {fault.scope.name} with that of the other nodes: version, "
            f"settings, log. {advice}"
        )
    if fault.scope.kind in (ScopeKind.POD, ScopeKind.PEER) and SPECS[fault.dialect].timing is None:
        log = f"See in the log of the CNI's agent what became of pod {fault.scope.name}, and recreate the pod."
        return f"{advice} {log}" if SPECS[fault.dialect].shuts else log
    if fault.scope.kind is ScopeKind.POLICY and fault.is_fault and not SPECS[fault.dialect].previous_policies:
        log = f"See in the log of the CNI's agent what became of policy {fault.scope.name}, and apply it again."
        return log if fault.dialect is Dialect.ENFORCES_NOTHING else f"{advice} {log}"
    return advice
