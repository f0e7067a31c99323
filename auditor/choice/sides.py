"""All policies of a cluster in one direction, as they are written or as an enforcer reads them that has one dialect
everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from auditor.diagnosis.dialects import SPECS
from auditor.model.policy import Direction, NetworkPolicy, Rule
from auditor.model.snapshot import Family
from auditor.policy.bits import union
from auditor.policy.compiled import CompiledRule
from auditor.policy.groups import Groups


class Opening(NamedTuple):
    """Rules of policies in a direction that are the same but for whose filters they open: to whom over any family.
    ``policies`` have them.
    """

    policies: tuple[NetworkPolicy, ...]
    subjects: int
    rule: CompiledRule
    rule_peers: int

    def peers(self, family: Family) -> int:
        """To whom it opens them over ``family``."""
        return self.rule.selected | self.rule.blocked[family]


class Isolating(NamedTuple):
    """A policy, the groups that it isolates, and its rules for them."""

    policy: NetworkPolicy
    subjects: int
    rules: tuple[CompiledRule, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """One direction: the groups that any policy isolates, what opens them, and the policies by their namespaces."""

    isolated: int
    openings: tuple[Opening, ...]
    policies: Mapping[str, Sequence[Isolating]] = field(default_factory=dict)


Compile: TypeAlias = Callable[[NetworkPolicy, Rule], CompiledRule]


def side(
    policies: Iterable[NetworkPolicy], direction: Direction, groups: Groups, compile_: Compile, *, first_only: bool
) -> Side:
    """``policies`` in ``direction``, of which ``compile_`` gives each rule; with ``first_only`` each pod knows only the
    first by name of those that isolate it.
    """
    isolating = [policy for policy in policies if direction in policy.directions]
    by_namespace: dict[str, list[Isolating]] = {}
    seen = 0
    for policy in sorted(isolating, key=lambda each: each.name) if first_only else isolating:
        selected = groups.selected_by(policy)
        subjects = selected & ~seen if first_only else selected
        seen |= selected
        if subjects:
            rules = tuple(compile_(policy, rule) for rule in policy.rules(direction))
            by_namespace.setdefault(policy.namespace, []).append(Isolating(policy, subjects, rules))
    return Side(seen, tuple(_joined(each for several in by_namespace.values() for each in several)), by_namespace)


def _joined(policies: Iterable[Isolating]) -> Iterator[Opening]:
    """The rules of ``policies``, those with equal peers and ports as one."""
    joined: dict[tuple[object, ...], tuple[list[NetworkPolicy], list[int], CompiledRule]] = {}
    for policy, subjects, rules in policies:
        for rule in rules:
            key = (rule.selected, *rule.blocked.values(), *rule.ports.items())
            found = joined.setdefault(key, ([], [], rule))
            found[0].append(policy)
            found[1].append(subjects)
    for several, masks, rule in joined.values():
        yield Opening(tuple(several), union(masks), rule, rule.selected | union(rule.blocked.values()))


def read_everywhere(
    policies: Sequence[NetworkPolicy], groups: Groups, compile_: Compile
) -> Iterator[tuple[str, dict[Direction, Side]]]:
    """What is wrong, and both directions, for each dialect that takes any of ``policies`` for another."""
    for spec in SPECS.values():
        read = policies
        if spec.rewrite is not None and spec.timing is None:
            read = [found for found in map(spec.rewrite, policies) if found is not None]
        if spec.first_policy_only or read != policies:
            yield (
                spec.phrase,
                {each: side(read, each, groups, compile_, first_only=spec.first_policy_only) for each in Direction},
            )
