"""Changes before anyone knows whether they are right: edits of policies, with the words and the YAML to
tell them by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

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
from auditor.model.intent import Edit
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy, Rule
from auditor.model.snapshot import Endpoint
from auditor.model.verdict import Verdict
from auditor.policy.plain_reading import place, policy_place


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
        united[united.index(same)] = Edit(same.before, replace(one, egress=two.egress))
    return tuple(united)


def rewritten(
    policy: NetworkPolicy, direction: Direction, number: int, rules: Rule | Sequence[Rule] | None, words: str
) -> Draft:
    """``policy`` with ``rules`` in the place of one of its rules, counted from 0; None removes it."""
    new = (rules,) if isinstance(rules, Rule) else tuple(rules or ())
    before = policy.rules(direction)
    after = _with_rules(policy, direction, (*before[:number], *new, *before[number + 1 :]))
    where = place(policy, direction, number)
    if not after.rules(direction):
        return Draft(
            f"remove {where}, so that no rule is left there", _section(after, direction), (Edit(policy, after),)
        )
    yaml = "\n".join(rule_yaml(rule, direction) for rule in new)
    return Draft(f"{where}: {words}" if new else f"remove {where}", yaml, (Edit(policy, after),))


def with_all_rules(policy: NetworkPolicy, direction: Direction, rules: tuple[Rule, ...]) -> Draft:
    """``policy`` with other rules in one direction."""
    after = _with_rules(policy, direction, tuple(dict.fromkeys(rules)))
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
    after = _with_rules(policy, direction, (*policy.rules(direction), rule))
    return Draft(
        f"add to {direction.lower()} of {policy_place(policy)}", rule_yaml(rule, direction), (Edit(policy, after),)
    )


def _with_rules(policy: NetworkPolicy, direction: Direction, rules: tuple[Rule, ...]) -> NetworkPolicy:
    return replace(policy, ingress=rules) if direction is Direction.INGRESS else replace(policy, egress=rules)


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
    name: str,
    *,
    given: tuple[Rule, ...] | None = None,
) -> Iterator[Draft]:
    """New policies for ``pods``, all of one namespace, with what the intent allows them, or with the rules ``given``
    alone.

    First for pods as the intent calls them or by the labels that they share, then for all pods of the namespace.
    """
    namespace = pods[0].namespace
    rules = demanded_rules(resolved, direction, pods, namespace) if given is None else given
    for selector in dict.fromkeys((*_selectors(resolved, direction, pods), EVERY_POD)):
        policy = _policy(resolved, (namespace, name), selector, direction, rules)
        who = f"pods {selector}" if not selector.is_empty else "every pod"
        yield Draft(f"add a policy for {who} of {namespace}", policy_yaml(policy), (Edit(None, policy),))
    if given is None and rules:
        yield _one_for_each(resolved, direction, pods, name)


def _one_for_each(resolved: ResolvedIntent, direction: Direction, pods: Sequence[Endpoint], name: str) -> Draft:
    """Isolation of ``pods`` without any rule, and a policy for each thing that is meant for some of them."""
    namespace = pods[0].namespace
    policies = [_policy(resolved, (namespace, name), next(_selectors(resolved, direction, pods)), direction, ())]
    for number, meant in enumerate(resolved.rules):
        ends = resolved.destinations[number] if direction is Direction.INGRESS else resolved.sources[number]
        mine = [pod for pod in pods if pod.name in ends]
        if meant.verdict is Verdict.ALLOWED and mine:
            texts, others = (
                (meant.destinations, meant.sources)
                if direction is Direction.INGRESS
                else (meant.sources, meant.destinations)
            )
            peers = peers_for(others, resolved.snapshot, namespace)
            selector = _named(texts, namespace) or common_labels(mine)
            if peers is not None:
                rules = (Rule(peers, meant.ports),)
                policies.append(_policy(resolved, (namespace, meant.name), selector, direction, rules, beside=policies))
    yaml = "\n---\n".join(map(policy_yaml, policies))
    return Draft(f"add {len(policies)} policies to {namespace}", yaml, tuple(Edit(None, policy) for policy in policies))


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
    wanted = called = f"{object_name(name)}-{direction.lower()}"
    number = 2
    while called in taken:
        called, number = f"{wanted}-{number}", number + 1
    ingress, egress = (rules, ()) if direction is Direction.INGRESS else ((), rules)
    return NetworkPolicy(namespace, called, selector, frozenset({direction}), ingress, egress)


def _selectors(resolved: ResolvedIntent, direction: Direction, pods: Sequence[Endpoint]) -> Iterator[LabelSelector]:
    """Selectors for ``pods``: as a rule of the intent calls them if one does, else what their labels have in common."""
    names = {pod.name for pod in pods}
    for number, rule in enumerate(resolved.rules):
        ends, texts = (
            (resolved.destinations[number], rule.destinations)
            if direction is Direction.INGRESS
            else (resolved.sources[number], rule.sources)
        )
        selector = _named(texts, pods[0].namespace)
        if selector is not None and names <= ends and all(selector.matches(pod.labels) for pod in pods):
            yield selector
    yield common_labels(pods)


def _named(texts: Sequence[str], namespace: str) -> LabelSelector | None:
    """The podSelector that means the only one of ``texts`` that is about ``namespace``; None where there is no such."""
    splits = [split for text in texts if (split := split_labels(text)) is not None and split[0] in ("", namespace)]
    return splits[0][1] if len(splits) == len(texts) == 1 else None
