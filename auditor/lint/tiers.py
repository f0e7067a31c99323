"""Checks of administrators' policies: rules that never come to decide, and what their tiers do to each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, islice

from auditor.lint.finding import Check, Remark
from auditor.lint.policy_index import PolicyIndex
from auditor.model.admin_policy import Action, AdminPolicy, AdminRule, AdminTier
from auditor.model.lint import Place, Severity
from auditor.model.policy import Direction
from auditor.model.reasons import Side
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell
from auditor.policy.atoms import PortAtoms, cut_atoms, port_names
from auditor.policy.bits import bits, union
from auditor.policy.compiled import RuleCompiler
from auditor.policy.compiled_admin import blocks_of
from auditor.policy.explain import Decision, decide
from auditor.policy.matrix import always_allowed
from auditor.policy.traits import admin_ports

REFERENCE = "https://network-policy-api.sigs.k8s.io/api-overview/"
MOST_TRIED = 6


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule with the groups that are its subjects and peers, and its atoms with the destinations that they are for."""

    policy: AdminPolicy
    direction: Direction
    number: int
    rule: AdminRule
    subjects: int
    peers: Mapping[Family, int]
    ports: Mapping[int, int]

    @property
    def place(self) -> Place:
        path = f"spec.{self.direction.lower()}[{self.number}]"
        return Place(self.policy.full_name, self.policy.file, self.rule.line, path)

    def comes_before(self, other: _Rule) -> bool:
        """Whether it is asked first for certain."""
        if self.policy is other.policy:
            return self.number < other.number
        return self.policy.priority < other.policy.priority

    def holds(self, other: _Rule) -> bool:
        """Whether it is about all subjects and ports of ``other``."""
        return not other.subjects & ~self.subjects and all(
            any(not atoms & ~own and not limit & ~also for own, also in self.ports.items())
            for atoms, limit in other.ports.items()
        )

    def meets(self, other: _Rule) -> bool:
        """Whether some connection may match both."""
        return (
            bool(self.subjects & other.subjects)
            and any(self.peers[family] & other.peers[family] for family in Family)
            and any(one & two for one in self.ports for two in other.ports)
        )


def _atoms(policy_index: PolicyIndex) -> PortAtoms:
    items = admin_ports(policy_index.snapshot.admin_policies)
    return cut_atoms(items, port_names(items), policy_index.snapshot.endpoints)


@lru_cache(1)
def _rules(policy_index: PolicyIndex) -> Sequence[_Rule]:
    """Those of both tiers that don't fail closed, and have subjects. Four checks ask for those of one index."""
    snapshot, groups = policy_index.snapshot, policy_index.groups
    if not snapshot.admin_policies:
        return ()
    names = port_names(admin_ports(snapshot.admin_policies))
    compiler = RuleCompiler(groups, _atoms(policy_index), {name: groups.declaring(name) for name in names})
    found = []
    for policy in snapshot.admin_policies:
        subjects = _subjects(policy_index, policy)
        for direction in Direction if subjects else ():
            for number, rule in enumerate(policy.rules(direction)):
                if not rule.unknown:
                    peers = {family: _peers(policy_index, rule, family) for family in Family}
                    ports = compiler.ports(rule.ports)
                    found.append(_Rule(policy, direction, number, rule, subjects, peers, ports))
    return tuple(found)


def _subjects(policy_index: PolicyIndex, policy: AdminPolicy) -> int:
    groups = policy_index.groups
    return groups.in_namespaces(policy.namespace_selector) & groups.with_labels(policy.pod_selector)


def _peers(policy_index: PolicyIndex, rule: AdminRule, family: Family) -> int:
    groups = policy_index.groups
    return union(
        groups.in_namespaces(peer.namespace_selector) & groups.with_labels(peer.pod_selector)
        if peer.namespace_selector is not None and peer.pod_selector is not None
        else union(groups.in_block(block, family) for block in blocks_of(peer, policy_index.snapshot))
        for peer in rule.peers
    )


def _together(rules: Sequence[_Rule]) -> Iterator[list[_Rule]]:
    """Rules of one tier and direction."""
    for tier in AdminTier:
        for direction in Direction:
            yield [each for each in rules if each.policy.tier is tier and each.direction is direction]


def _knows_all_namespaces(policy_index: PolicyIndex) -> bool:
    """Whether no selector of namespaces may match more than it is seen to."""
    return all(namespace.known for namespace in policy_index.snapshot.namespaces.values())


def never_reached(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Rules of which all that they match is decided by rules before them."""
    for rules in _together(_rules(policy_index)) if _knows_all_namespaces(policy_index) else ():
        for rule in rules:
            before = [each for each in rules if each.comes_before(rule) and each.holds(rule)]
            matching = [family for family in Family if rule.peers[family]]
            if matching and not any(
                rule.peers[family] & ~union(each.peers[family] for each in before) for family in matching
            ):
                first = next(each for each in before if any(each.peers[family] for family in matching))
                message = f"this rule is never reached: {first.place.subject} {first.place.path} decides before it"
                yield Remark(rule.place, message, "Move it up, give its policy a lower priority number, or remove it.")


def same_priority(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Policies with one priority that say different things of a connection."""
    told = set()
    for rules in _together(_rules(policy_index)):
        for one, other in combinations(rules, 2):
            pair = (one.policy.full_name, other.policy.full_name)
            same = one.policy.priority == other.policy.priority and one.policy is not other.policy
            if same and one.rule.action is not other.rule.action and pair not in told and one.meets(other):
                told.add(pair)
                message = (
                    f"{pair[0]} {one.place.path} and {pair[1]} {other.place.path} have priority {one.policy.priority} "
                    f"both, and say {one.rule.action} and {other.rule.action}: which decides is not defined"
                )
                yield Remark(other.place, message, "Give one of them another priority.")


def subject_matches_nothing(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Policies for no pod of those in the input; none are in an input without pods."""
    if not policy_index.groups.selectable or not _knows_all_namespaces(policy_index):
        return
    for policy in policy_index.snapshot.admin_policies:
        if not _subjects(policy_index, policy):
            place = Place(policy.full_name, policy.file, policy.line, "spec.subject")
            yield Remark(place, "its subject matches no pod: none of its rules does anything")


def pass_leads_nowhere(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Rules that pass connections on to tiers in which nothing decides about their subjects."""
    rules = _rules(policy_index) if _knows_all_namespaces(policy_index) else ()
    for rule in rules:
        if rule.rule.action is not Action.PASS:
            continue
        later = policy_index.isolated[rule.direction] | union(
            each.subjects
            for each in rules
            if each.policy.tier is AdminTier.BASELINE and each.direction is rule.direction
        )
        if rule.policy.tier is AdminTier.BASELINE or not rule.subjects & later:
            message = "no later tier has a policy for its subjects: Pass does the same here as Accept"
            yield Remark(rule.place, message, "Write Accept if it is to be let through whatever tenants do.")


def _decided_by(policy_index: PolicyIndex, rule: _Rule, atoms: PortAtoms) -> Iterator[tuple[Decision, Side]]:
    """Connections that ``rule`` decides of pods that NetworkPolicies isolate, a few, with what these say."""
    snapshot, ends = policy_index.snapshot, policy_index.groups.representatives
    port = atoms.ranges[next(bits(next(iter(rule.ports), 1)))]
    pairs = (
        (ends[subject], ends[peer], family)
        for subject in bits(rule.subjects & policy_index.isolated[rule.direction])
        for family in Family
        for peer in bits(rule.peers[family])
        if subject != peer
    )
    for pod, other, family in islice(pairs, MOST_TRIED):
        source, destination = (other, pod) if rule.direction is Direction.INGRESS else (pod, other)
        if always_allowed(source, destination):
            continue
        decision = decide(snapshot, Cell(source.name, destination.name, port.protocol, port.first, family))
        deciding = decision.deciding(rule.direction)
        decider = deciding.decider if deciding is not None else None
        if decider is not None and (decider.policy, decider.path) == (rule.place.subject, rule.place.path):
            yield decision, decision.ingress if rule.direction is Direction.INGRESS else decision.egress


def _of_action(policy_index: PolicyIndex, action: Action) -> Iterator[tuple[_Rule, Decision, Side]]:
    """What rules of the Admin tier with ``action`` decide, where NetworkPolicies would say something."""
    rules = [each for each in _rules(policy_index) if each.policy.tier is AdminTier.ADMIN]
    atoms = _atoms(policy_index)
    for rule in rules:
        if rule.rule.action is action:
            for decision, side in _decided_by(policy_index, rule, atoms):
                yield rule, decision, side


def deny_over_allow(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Denials of what a tenant's policy allows, which its owner can't see."""
    told = set()
    for rule, decision, side in _of_action(policy_index, Action.DENY):
        if side.grant is not None and rule.place not in told:
            told.add(rule.place)
            allowed = f"{decision.cell.source} -> {decision.cell.destination}"
            message = f"denies {allowed}, which NetworkPolicy {side.grant.policy.full_name} allows: no tenant sees why"
            yield Remark(
                rule.place, message, "Tell the owners of such policies, or write Pass where they are to decide."
            )


def accept_over_closed(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Rules that open what a tenant's policy closes."""
    told = set()
    for rule, decision, side in _of_action(policy_index, Action.ACCEPT):
        if not side.allowed and rule.place not in told:
            told.add(rule.place)
            opened = f"{decision.cell.source} -> {decision.cell.destination}"
            message = f"opens {opened}, which NetworkPolicy {side.isolating[0].full_name} closes"
            yield Remark(rule.place, message, "Write Pass where tenants are to decide.")


CHECKS = (
    Check(
        "admin-rule-never-reached",
        Severity.WARNING,
        "a rule of an administrator's policy that others always come before",
        "Rules are asked in order, and the first that matches decides. What is behind a wider one never does anything.",
        never_reached,
        REFERENCE,
    ),
    Check(
        "same-priority",
        Severity.WARNING,
        "policies of one tier with one priority that contradict each other",
        "Which of two policies with one priority is asked first is not defined: it may differ from node to node.",
        same_priority,
        REFERENCE,
    ),
    Check(
        "admin-subject-matches-nothing",
        Severity.INFO,
        "an administrator's policy for no pod",
        "A subject that matches no pod is misspelt, or waits for pods to come.",
        subject_matches_nothing,
        REFERENCE,
    ),
    Check(
        "pass-leads-nowhere",
        Severity.INFO,
        "a Pass where no later tier decides",
        "What no tier decides is allowed, so a Pass without a later policy opens what it was to leave to others.",
        pass_leads_nowhere,
        REFERENCE,
    ),
    Check(
        "deny-over-allow",
        Severity.INFO,
        "an administrator's Deny over what a tenant allows",
        "The owner of a NetworkPolicy sees an allowed connection fail, and nothing in the namespace says why.",
        deny_over_allow,
        REFERENCE,
    ),
    Check(
        "accept-over-closed",
        Severity.INFO,
        "an administrator's Accept for what a tenant closes",
        "A tenant who isolates pods believes them closed; an Accept of the Admin tier can't be overridden.",
        accept_over_closed,
        REFERENCE,
    ),
)
