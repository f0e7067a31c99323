"""Changes before anyone knows whether they are right: edits of policies, with the words and the YAML to
tell them by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from auditor.intent.notation import (
    EVERY_POD,
    common_labels,
    object_name,
    peers_for,
    policy_types,
    policy_yaml,
    rule_yaml,
    split_labels,
)
from auditor.intent.resolved_intent import ResolvedIntent
from auditor.model.intent import Edit, IntentRule
from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.model.policy import Direction, NetworkPolicy, Rule
from auditor.model.reasons import place, policy_place
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.model.verdict import Verdict
from auditor.model.words import unused_name
from auditor.policy.selection import select


@dataclass(frozen=True, slots=True)
class Draft:
    """Edits that belong together, in words and as YAML."""

    title: str
    yaml: str
    edits: tuple[Edit, ...]

    def __add__(self, other: Draft) -> Draft:
        """Both together: one about ingress, the other about egress, maybe of the same policies."""
        yaml = "\n---\n".join(f"# {draft.title}\n{draft.yaml}" for draft in (self, other))
        return Draft(f"{self.title}; and {other.title}", yaml, _united(self.edits, other.edits))


def _united(edits: tuple[Edit, ...], others: tuple[Edit, ...]) -> tuple[Edit, ...]:
    united = list(edits)
    for other in others:
        same = next((edit for edit in edits if edit.before is not None and edit.before is other.before), None)
        if same is None or same.before is None or same.after is None or other.after is None:
            united.append(other)
            continue
        changes_ingress = same.after.ingress != same.before.ingress
        one, two = (same.after, other.after) if changes_ingress else (other.after, same.after)
        both: Any = replace(one, egress=two.egress)  # type: ignore[arg-type] # both of one API
        united[united.index(same)] = Edit(same.before, both)
    return tuple(united)


def together(drafts: Sequence[Draft]) -> Draft:
    """All of ``drafts``, each about policies of its own, as one."""
    return Draft(
        "; ".join(draft.title for draft in drafts),
        "\n---\n".join(draft.yaml for draft in drafts),
        tuple(edit for draft in drafts for edit in draft.edits),
    )


def rewritten(
    policy: NetworkPolicy, direction: Direction, number: int, rules: Rule | Sequence[Rule] | None, words: str
) -> Draft:
    """``policy`` with ``rules`` in the place of one of its rules, counted from 0; None removes it."""
    new = (rules,) if isinstance(rules, Rule) else tuple(rules or ())
    before = policy.rules(direction)
    after = policy.with_rules(direction, (*before[:number], *new, *before[number + 1 :]))
    where = place(policy, direction, number)
    if not after.rules(direction):
        return Draft(
            f"remove {where}, so that no rule is left there", _section(after, direction), (Edit(policy, after),)
        )
    yaml = "\n".join(rule_yaml(rule, direction) for rule in new)
    return Draft(f"{where}: {words}" if new else f"remove {where}", yaml, (Edit(policy, after),))


def with_all_rules(policy: NetworkPolicy, direction: Direction, rules: tuple[Rule, ...]) -> Draft:
    """``policy`` with other rules in one direction."""
    after = policy.with_rules(direction, tuple(dict.fromkeys(rules)))
    title = f"in {policy_place(policy)} only these rules of {direction.lower()}"
    return Draft(
        title, f"# {direction.lower()} of {policy.full_name}\n{_section(after, direction)}", (Edit(policy, after),)
    )


def _section(policy: NetworkPolicy, direction: Direction) -> str:
    """A section of ``policy`` as YAML. Without a rule it needs policyTypes: where that is absent, so is Egress
    (NetworkPolicySpec).
    """
    section = direction.lower()
    if rules := policy.rules(direction):
        return f"{section}:\n" + "\n".join(rule_yaml(rule, direction) for rule in rules)
    return f"{policy_types(policy)}\n{section}: []"


def extended(policy: NetworkPolicy, direction: Direction, rule: Rule) -> Draft:
    """``policy`` with one more rule."""
    after = policy.with_rules(direction, (*policy.rules(direction), rule))
    return Draft(
        f"add to {direction.lower()} of {policy_place(policy)}", rule_yaml(rule, direction), (Edit(policy, after),)
    )


def demanded_rules(
    resolved: ResolvedIntent, direction: Direction, pods: Sequence[Endpoint], namespace: str
) -> tuple[Rule, ...]:
    """What the intent allows ``pods`` in one direction, each of its rules as one of a policy in ``namespace``.

    A rule whose other end no peer can mean is left out.
    """
    names = {pod.name for pod in pods}
    rules = []
    for number, meant in enumerate(resolved.rules):
        mine, texts = (
            (resolved.destinations[number], meant.sources)
            if direction is Direction.INGRESS
            else (resolved.sources[number], meant.destinations)
        )
        if meant.verdict is Verdict.ALLOWED and mine & names:
            peers = peers_for(texts, resolved.snapshot, namespace)
            if peers is not None:
                rules.append(Rule(peers, meant.ports))
    return tuple(dict.fromkeys(rules))


def new_policies(
    resolved: ResolvedIntent,
    direction: Direction,
    pods: Sequence[Endpoint],
    rule: IntentRule,
    *,
    given: tuple[Rule, ...] | None = None,
) -> Iterator[Draft]:
    """New policies for ``pods``, all of one namespace, as ``rule`` of the intent calls them, with what the intent
    allows them, or with the rules ``given`` alone.
    """
    rules = demanded_rules(resolved, direction, pods, pods[0].namespace) if given is None else given
    selectors = selectors_named(resolved, ends_of(rule, direction)[0], pods)
    yield _same_for_each(resolved, direction, (pods[0].namespace, rule.name), selectors, rules)
    if given is None and rules:
        yield _one_for_each(resolved, direction, pods, rule.name, selectors)


def ends_of(rule: IntentRule, direction: Direction) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What ``rule`` calls the pods that a policy for ``direction`` selects, and their peers."""
    ends = rule.destinations, rule.sources
    return ends if direction is Direction.INGRESS else ends[::-1]


def _same_for_each(
    resolved: ResolvedIntent,
    direction: Direction,
    words: tuple[str, str],
    selectors: Sequence[LabelSelector],
    rules: tuple[Rule, ...],
) -> Draft:
    """A policy with ``rules`` for the pods of each of ``selectors``."""
    policies: list[NetworkPolicy] = []
    for selector in selectors:
        policies.append(_policy(resolved, words, selector, direction, rules, beside=policies))
    who = " and ".join("every pod" if each.is_empty else f"pods {each}" for each in selectors)
    what = "a policy" if len(policies) == 1 else f"{len(policies)} policies"
    return _new(f"add {what} for {who} of {words[0]}", policies)


def _new(title: str, policies: Sequence[NetworkPolicy]) -> Draft:
    yaml = "\n---\n".join(map(policy_yaml, policies))
    return Draft(title, yaml, tuple(Edit(None, policy) for policy in policies))


def in_two(  # noqa: PLR0913 - the policy, and what becomes of its two parts
    resolved: ResolvedIntent,
    policy: NetworkPolicy,
    direction: Direction,
    *,
    others: LabelSelector,
    selectors: Sequence[LabelSelector],
    rules: tuple[Rule, ...],
) -> Draft:
    """``policy`` for the pods ``others`` alone, and beside it the same with ``rules`` for each of ``selectors``."""
    after = replace(policy, pod_selector=others)
    parts: list[NetworkPolicy] = []
    for selector in selectors:
        own = _policy(resolved, (policy.namespace, policy.name), selector, direction, (), beside=parts)
        conditions = [Requirement(key, Operator.IN, (value,)) for key, value in selector.match_labels]
        both = policy.pod_selector
        for each in (*conditions, *selector.match_expressions):
            both = replace(both, match_expressions=(*both.match_expressions, each))
        mine = selector if policy.pod_selector.is_empty else both
        part = replace(policy, name=own.name, pod_selector=mine, file="", line=0)
        parts.append(part.with_rules(direction, rules))
    who = " and ".join(f"pods {selector}" for selector in selectors)
    yaml = "\n---\n".join(map(policy_yaml, (after, *parts)))
    title = f"keep {policy_place(policy)} for other pods than {who}, which get one of their own"
    return Draft(title, yaml, (Edit(policy, after), *(Edit(None, part) for part in parts)))


def _one_for_each(
    resolved: ResolvedIntent,
    direction: Direction,
    pods: Sequence[Endpoint],
    name: str,
    selectors: Sequence[LabelSelector],
) -> Draft:
    """Isolation of ``pods`` without any rule, and a policy for each thing that is meant for some of them."""
    namespace = pods[0].namespace
    policies: list[NetworkPolicy] = []
    for selector in selectors:
        policies.append(_policy(resolved, (namespace, name), selector, direction, (), beside=policies))
    for number, meant in enumerate(resolved.rules):
        ends = resolved.destinations[number] if direction is Direction.INGRESS else resolved.sources[number]
        mine = [pod for pod in pods if pod.name in ends]
        if meant.verdict is Verdict.ALLOWED and mine:
            texts, others = ends_of(meant, direction)
            peers = peers_for(others, resolved.snapshot, namespace)
            if peers is not None:
                rules = (Rule(peers, meant.ports),)
                for selector in selectors_named(resolved, texts, mine):
                    policies.append(
                        _policy(resolved, (namespace, meant.name), selector, direction, rules, beside=policies)
                    )
    return _new(f"add {len(policies)} policies to {namespace}", policies)


def _policy(  # noqa: PLR0913 - what a policy has, and what must not be called as it is
    resolved: ResolvedIntent,
    words: tuple[str, str],
    selector: LabelSelector,
    direction: Direction,
    rules: tuple[Rule, ...],
    *,
    beside: Sequence[NetworkPolicy] = (),
) -> NetworkPolicy:
    """A new policy; ``words`` are its namespace and what to call it after. ``beside`` are others that come with it."""
    namespace, name = words
    taken = {policy.name for policy in (*resolved.snapshot.policies, *beside) if policy.namespace == namespace}
    called = unused_name(f"{object_name(name)}-{direction.lower()}", taken)
    ingress, egress = (rules, ()) if direction is Direction.INGRESS else ((), rules)
    return NetworkPolicy(namespace, called, selector, frozenset({direction}), ingress, egress)


def selectors_named(
    resolved: ResolvedIntent, texts: Sequence[str], pods: Sequence[Endpoint]
) -> tuple[LabelSelector, ...]:
    """The podSelectors that mean what the selections ``texts`` do in the namespace of ``pods``: by the labels that
    these name, or all pods of the namespace that they name. Names of pods become the labels that these have in common.
    """
    namespace = pods[0].namespace
    found: list[LabelSelector] = []
    for text in texts:
        if (split := split_labels(text)) is not None:
            found += [split[1]] if split[0] in ("", namespace) else []
        elif "/" not in text:
            found += [EVERY_POD] if fnmatchcase(namespace, text) else []
        elif mine := [pod for pod in _called(resolved.snapshot, text) if pod.namespace == namespace]:
            found.append(common_labels(mine))
    return (EVERY_POD,) if not found or EVERY_POD in found else tuple(dict.fromkeys(found))


def _called(snapshot: Snapshot, text: str) -> tuple[Endpoint, ...]:
    return select(snapshot.endpoints, text, snapshot.services)
