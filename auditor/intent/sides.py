"""What a change of some policies would do, without evaluating the whole cluster anew.

A connection needs the source's egress and the destination's ingress, and a policy decides only about pods of its own
namespace. So a change is judged from three evaluations: both directions by themselves as they are, once, and the
changed namespace's few policies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, TypeVar

from auditor.intent.resolved_intent import Refined, ResolvedIntent, Signature
from auditor.intent.unseen import is_unseen
from auditor.intent.violations import Violation
from auditor.model.admin_policy import AdminPolicy
from auditor.model.intent import Edit
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.snapshot import Endpoint, Family
from auditor.policy.evaluator import evaluate
from auditor.policy.traits import admin_selects

Policy = TypeVar("Policy", NetworkPolicy, AdminPolicy)

EVALUATION = 5
"""An evaluation costs, for each endpoint, as much as looking at this many pairs."""


class OneWay:
    """Who reaches whom as far as one direction is concerned, by ``policies`` alone and those of administrators."""

    def __init__(
        self,
        resolved: ResolvedIntent,
        policies: Iterable[NetworkPolicy],
        direction: Direction,
        admin_policies: tuple[AdminPolicy, ...] | None = None,
    ) -> None:
        """``admin_policies`` None: those that there are."""
        one_way = tuple(
            replace(policy, directions=frozenset({direction})) for policy in policies if direction in policy.directions
        )
        of_admins = resolved.snapshot.admin_policies if admin_policies is None else admin_policies
        snapshot = replace(resolved.snapshot, policies=one_way, admin_policies=of_admins)
        self._refined = Refined(evaluate(snapshot, directions=(direction,)), resolved)
        self._known: dict[tuple[int, int, Family], int] = {}

    def class_of(self, name: str) -> int:
        return self._refined.matrix.class_of(name)

    def reached(self, source: str, destination: str, family: Family) -> int:
        """The atoms on which this direction lets ``source`` reach ``destination``."""
        matrix = self._refined.matrix
        key = (matrix.class_of(source), matrix.class_of(destination), family)
        if key not in self._known:
            self._known[key] = self._refined.refine(matrix.class_verdicts(*key).allowed)
        return self._known[key]


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change does where the intent is silent: ``pairs`` of endpoints between which anything changes, of which it
    cuts ``closing`` on some port. ``closed`` are examples of what it cuts, by names, with those among them who only
    stand for others.
    """

    pairs: int
    closing: int
    closed: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Group:
    """Endpoints that neither the policies before, nor those after, nor the intent tell apart."""

    signature: Signature
    members: tuple[Endpoint, ...]


class WhatIf:
    """The policies of one snapshot, and what becomes of them under changes."""

    def __init__(self, resolved: ResolvedIntent) -> None:
        self._resolved = resolved
        self._sides: dict[tuple[object, ...], OneWay] = {}
        self.before = {direction: OneWay(resolved, resolved.snapshot.policies, direction) for direction in Direction}
        self.spent = 0
        """How many pairs, and endpoints for each evaluation, were looked at: what asking has cost."""
        numbers: dict[tuple[Signature, int, int], int] = {}
        one, other = self.before.values()
        self.base = {
            name: numbers.setdefault((signature, one.class_of(name), other.class_of(name)), len(numbers))
            for name, signature in resolved.signatures.items()
        }
        """For each endpoint a number: the same for those that neither policies nor intent tell apart."""

    def reached(self, source: Endpoint, destination: Endpoint, family: Family) -> int:
        """The atoms on which ``source`` reaches ``destination`` as things are."""
        one, other = (self.before[direction].reached(source.name, destination.name, family) for direction in Direction)
        return one & other

    def judge(self, edits: Sequence[Edit], finding: Sequence[Violation]) -> Effect | None:
        """What ``edits`` change where the intent is silent; None unless they mend ``finding`` and harm nothing.

        Harm is a cell that was as the intent has it, and isn't any more.
        """
        changed = _Changed(self._resolved, self, edits)
        mended = all(changed.mends(violation) for violation in finding)
        return changed.effect() if mended else None

    def side(
        self,
        direction: Direction,
        policies: tuple[NetworkPolicy, ...],
        admin_policies: tuple[AdminPolicy, ...] | None = None,
    ) -> OneWay:
        """The side of ``policies`` alone, computed once; ``admin_policies`` None: those that there are."""
        key = (direction, policies, admin_policies)
        if key not in self._sides:
            self.spent += EVALUATION * len(self._resolved.endpoints)
            self._sides[key] = OneWay(self._resolved, policies, direction, admin_policies)
        return self._sides[key]


class _Changed:
    """The cluster after some edits, as far as they reach."""

    def __init__(self, resolved: ResolvedIntent, what_if: WhatIf, edits: Sequence[Edit]) -> None:
        self._resolved, self._what_if = resolved, what_if
        self._after: dict[tuple[Direction, str], OneWay] = {}
        self._touched: dict[Direction, set[str]] = {direction: set() for direction in Direction}
        if any(edit.of_administrators for edit in edits):
            self._change_all(edits)
        else:
            self._change_namespaces(edits)
        self._groups = self._group()

    def _change_all(self, edits: Sequence[Edit]) -> None:
        """Policies of administrators are for pods of any namespace, so that all are evaluated together."""
        snapshot = self._resolved.snapshot
        of_admins = [edit for edit in edits if edit.of_administrators]
        admin_policies = _edited(snapshot.admin_policies, of_admins)
        policies = _edited(snapshot.policies, [edit for edit in edits if not edit.of_administrators])
        changed = {*snapshot.admin_policies} ^ {*admin_policies}
        for direction in Direction:
            own = [policy for policy in {*snapshot.policies} ^ {*policies} if direction in policy.directions]
            theirs = [policy for policy in changed if policy.rules(direction)]
            if own or theirs:
                whole = self._what_if.side(direction, policies, admin_policies)
                self._after |= {(direction, name): whole for name in snapshot.namespaces}
                for namespace in {policy.namespace for policy in own}:
                    mine = [policy for policy in own if policy.namespace == namespace]
                    self._touched[direction] |= _selected(self._resolved, namespace, mine)
                self._touched[direction] |= {
                    name
                    for name, end in self._resolved.endpoints.items()
                    if any(admin_selects(policy, snapshot.namespaces, end) for policy in theirs)
                }

    def _change_namespaces(self, edits: Sequence[Edit]) -> None:
        resolved, what_if = self._resolved, self._what_if
        for namespace in {_namespace(edit) for edit in edits}:
            mine = tuple(policy for policy in resolved.snapshot.policies if policy.namespace == namespace)
            after = _edited(mine, [edit for edit in edits if _namespace(edit) == namespace])
            for direction in Direction:
                touching = [policy for policy in {*mine} ^ {*after} if direction in policy.directions]
                if touching:
                    self._after[direction, namespace] = what_if.side(direction, after)
                    self._touched[direction] |= _selected(resolved, namespace, touching)

    def _group(self) -> dict[str, _Group]:
        sides = tuple({id(side): side for side in self._after.values()}.values())
        members: dict[tuple[int, ...], list[Endpoint]] = {}
        for name, endpoint in self._resolved.endpoints.items():
            touched = (name in names for names in self._touched.values())
            key = (self._what_if.base[name], *touched, *(side.class_of(name) for side in sides))
            members.setdefault(key, []).append(endpoint)
        groups = [_Group(self._resolved.signatures[ends[0].name], tuple(ends)) for ends in members.values()]
        return {member.name: group for group in groups for member in group.members}

    def _reached(self, source: Endpoint, destination: Endpoint, family: Family) -> int:
        mask = self._resolved.atoms.everything
        for direction, pod in ((Direction.EGRESS, source), (Direction.INGRESS, destination)):
            side = self._after.get((direction, pod.namespace)) if pod.name in self._touched[direction] else None
            mask &= (side or self._what_if.before[direction]).reached(source.name, destination.name, family)
        return mask

    def mends(self, violation: Violation) -> bool:
        """Whether all of ``wrong`` is as demanded now."""
        for ends in product(self._distinct(violation.source.members), self._distinct(violation.destination.members)):
            pair = self._example(ends[0][1], ends[1][1])
            if pair is None:
                continue
            demand = self._resolved.demand(ends[0][0].signature, ends[1][0].signature)
            self._what_if.spent += 1
            for family, atoms in violation.atoms.items():
                if demand.violation(self._reached(*pair, family)) & atoms:
                    return False
        return True

    def _distinct(self, members: tuple[Endpoint, ...]) -> list[tuple[_Group, tuple[Endpoint, ...]]]:
        by_group: dict[int, tuple[_Group, list[Endpoint]]] = {}
        for endpoint in members:
            group = self._groups[endpoint.name]
            by_group.setdefault(id(group), (group, []))[1].append(endpoint)
        return [(group, tuple(ends)) for group, ends in by_group.values()]

    def effect(self) -> Effect | None:
        """What changes where nothing is demanded; None if anything is less as demanded than before."""
        count = closing = 0
        closed: list[tuple[str, str]] = []
        for source, destination in self._affected():
            pair = self._example(source.members, destination.members)
            if pair is None:
                continue
            demand = self._resolved.demand(source.signature, destination.signature)
            silent = ~(demand.allowed | demand.denied)
            changes = closes = 0
            self._what_if.spent += 1
            for family in self._resolved.families(*pair):
                before, after = self._what_if.reached(*pair, family), self._reached(*pair, family)
                if demand.violation(after) & ~demand.violation(before):
                    return None
                changes |= (before ^ after) & silent
                closes |= before & ~after & silent
            pairs = self._seen_pairs(source, destination) if changes else 0
            count += pairs
            if closes:
                closing += pairs
                closed.append((pair[0].name, pair[1].name))
        return Effect(count, closing, tuple(closed))

    def _seen_pairs(self, source: _Group, destination: _Group) -> int:
        """How many pairs it is, without those who only stand for others."""
        sources, destinations = (
            [member for member in group.members if not is_unseen(member)] for group in (source, destination)
        )
        return self._resolved.count_pairs(sources, destinations) if sources and destinations else 0

    def _affected(self) -> Iterable[tuple[_Group, _Group]]:
        groups = list({id(group): group for group in self._groups.values()}.values())
        sources = [group for group in groups if group.members[0].name in self._touched[Direction.EGRESS]]
        destinations = [group for group in groups if group.members[0].name in self._touched[Direction.INGRESS]]
        yield from product(sources, groups)
        touched = {id(group) for group in sources}
        yield from product((group for group in groups if id(group) not in touched), destinations)

    def _example(
        self, sources: tuple[Endpoint, ...], destinations: tuple[Endpoint, ...]
    ) -> tuple[Endpoint, Endpoint] | None:
        return next((ends for ends in product(sources, destinations) if self._resolved.judged(*ends)), None)


def _namespace(edit: Edit) -> str:
    policy = edit.before or edit.after
    return policy.namespace if isinstance(policy, NetworkPolicy) else ""


def _edited(policies: Iterable[Policy], edits: Sequence[Edit]) -> tuple[Policy, ...]:
    """``policies`` after ``edits``, all of the same API."""
    after: list[Any] = list(policies)
    for edit in edits:
        if edit.before is not None:
            after.remove(edit.before)
        if edit.after is not None:
            after.append(edit.after)
    return tuple(after)


def _selected(resolved: ResolvedIntent, namespace: str, policies: Sequence[NetworkPolicy]) -> set[str]:
    return {
        name
        for name, endpoint in resolved.endpoints.items()
        if endpoint.selectable
        and endpoint.namespace == namespace
        and any(policy.pod_selector.matches(endpoint.labels) for policy in policies)
    }
