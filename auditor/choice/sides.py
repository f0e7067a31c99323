"""All policies of a cluster in one direction, as they are written or as an enforcer reads them that has one dialect
everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from auditor.choice.around import Around
from auditor.choice.tiers import AdminPolicies
from auditor.diagnosis.dialects import SPECS, DialectSpec
from auditor.model.policy import Direction, NetworkPolicy, Peer, Rule
from auditor.model.snapshot import Family
from auditor.policy.bits import bits, union
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


NARROW = 64
"""Openings to so few groups are found by these."""


@dataclass(frozen=True)
class Side:
    """One direction: the groups that any policy isolates, what opens them, and the policies by their namespaces.
    ``read`` are the policies as they are read, of those with the same selectors and rules one; ``around`` those of
    administrators, where there are any.
    """

    isolated: int
    openings: tuple[Opening, ...]
    policies: Mapping[str, Sequence[Isolating]] = field(default_factory=dict)
    read: Sequence[NetworkPolicy] = ()
    around: Around | None = None

    def touching(self, here: int) -> Side:
        """Those openings alone that let any of ``here`` through."""
        places = {place for group in bits(here) for place in self._narrow.get(group, ())}
        places.update(place for place in self._broad if self.openings[place].rule_peers & here)
        return Side(self.isolated, tuple(self.openings[place] for place in sorted(places)), around=self.around)

    @cached_property
    def _broad(self) -> list[int]:
        return [place for place, each in enumerate(self.openings) if each.rule_peers.bit_count() > NARROW]

    @cached_property
    def _narrow(self) -> dict[int, list[int]]:
        """For each group the places of those openings that let few through, and this one among them."""
        found: dict[int, list[int]] = {}
        for place, each in enumerate(self.openings):
            for group in bits(each.rule_peers) if each.rule_peers.bit_count() <= NARROW else ():
                found.setdefault(group, []).append(place)
        return found


class _Shape(NamedTuple):
    """Policies that are the same but for their names and namespaces, and the groups in all of these. ``meant`` are
    those in namespaces that are.
    """

    policies: Sequence[NetworkPolicy]
    there: int
    meant: Sequence[NetworkPolicy]


class Sides:
    """Reads the policies of ``snapshot`` as they are written, or as dialects take them. What opens the filters of other
    namespaces than ``namespaces`` (None: all are meant) to these cannot be left out, the rest is.
    """

    def __init__(
        self,
        policies: Sequence[NetworkPolicy],
        groups: Groups,
        compile_: Callable[[NetworkPolicy, Rule], CompiledRule],
        namespaces: Collection[str] | None,
        admin: AdminPolicies | None = None,
    ) -> None:
        self._admin = admin
        self._policies = policies
        self._groups = groups
        self._compile = compile_
        self._namespaces = namespaces
        self._openings: dict[tuple[object, ...], Opening] = {}
        shapes: dict[tuple[object, ...], list[NetworkPolicy]] = {}
        for policy in policies:
            shape = (policy.pod_selector, policy.directions, policy.ingress, policy.egress)
            shapes.setdefault(shape, []).append(policy)
        self._shapes = [
            _Shape(
                several,
                union(groups.in_namespace(name) for name in {policy.namespace for policy in several}),
                [policy for policy in several if self._means(policy.namespace)],
            )
            for several in shapes.values()
        ]

    def written(self) -> dict[Direction, Side]:
        """The policies as they are written."""
        return self._written

    @cached_property
    def _written(self) -> dict[Direction, Side]:
        same = [shape.policies[0] for shape in self._shapes]
        return self._surrounded({each: self._side(same, each) for each in Direction})

    def _surrounded(self, sides: Mapping[Direction, Side], spec: DialectSpec | None = None) -> dict[Direction, Side]:
        """``sides`` between the tiers of administrators, as they are written or taken."""
        if self._admin is None:
            return dict(sides)
        around = self._admin.written if spec is None else self._admin.read(spec)
        return {each: replace(side, around=around[each]) for each, side in sides.items()}

    def everywhere(self) -> Iterator[tuple[str, dict[Direction, Side]]]:
        """What is wrong, and both directions, for each dialect that takes any of the policies for another."""
        for spec in SPECS.values():
            rewrite = spec.rewrite if spec.timing is None else None
            written = [shape.policies[0] for shape in self._shapes]
            read = written if rewrite is None else list(map(rewrite, written))
            if spec.first_policy_only:
                yield spec.phrase, self._surrounded({each: self._first_only(each) for each in Direction})
            elif read != written:
                yield spec.phrase, self._surrounded({each: self._side(read, each) for each in Direction}, spec)
            elif self._admin is not None and spec.timing is None and self._admin.read(spec) is not self._admin.written:
                yield spec.phrase, self._surrounded(self._written, spec)

    def _side(self, read: Sequence[NetworkPolicy | None], direction: Direction) -> Side:
        """One direction of the policies where those of each shape are taken for one of ``read``."""
        by_namespace: dict[str, list[Isolating]] = {}
        opening: list[Isolating] = []
        isolated = 0
        counting: list[NetworkPolicy] = []
        for shape, taken in zip(self._shapes, read, strict=True):
            if taken is None or direction not in taken.directions:
                continue
            matching = self._groups.with_labels(taken.pod_selector)
            if selected := matching & shape.there:
                isolated |= selected
                counting.append(taken)
                rules = taken.rules(direction)
                anywhere = tuple(self._compile(taken, rule) for rule in rules if not any(map(is_lone, rule.peers)))
                opening.append(Isolating(taken, selected, anywhere))
                mixed = any(any(map(is_lone, rule.peers)) and not is_local(rule) for rule in rules)
                for policy in shape.policies if mixed else shape.meant:
                    if subjects := matching & self._groups.in_namespace(policy.namespace):
                        opening.append(Isolating(policy, subjects, self._by_namespace(policy, rules)))
                        if self._means(policy.namespace):
                            compiled = tuple(self._compile(policy, rule) for rule in rules)
                            by_namespace.setdefault(policy.namespace, []).append(Isolating(policy, subjects, compiled))
        return Side(isolated, tuple(self._joined(opening)), by_namespace, counting)

    def _by_namespace(self, policy: NetworkPolicy, rules: Iterable[Rule]) -> tuple[CompiledRule, ...]:
        """Those of ``rules``, of ``policy``, that mean others in each namespace, as far as they may have to do with any
        that is meant.
        """
        meant = self._means(policy.namespace)
        return tuple(
            self._compile(policy, rule)
            for rule in rules
            if any(map(is_lone, rule.peers)) and (meant or not is_local(rule))
        )

    def _first_only(self, direction: Direction) -> Side:
        """The policies as they are written, where each pod knows only the first by name of those that isolate it."""
        by_namespace: dict[str, list[Isolating]] = {}
        isolated = 0
        for policy in sorted(self._policies, key=lambda each: each.name):
            selected = self._groups.selected_by(policy) if direction in policy.directions else 0
            if subjects := selected & ~isolated:
                meant = self._means(policy.namespace)
                rules = [rule for rule in policy.rules(direction) if meant or not is_local(rule)]
                compiled = tuple(self._compile(policy, rule) for rule in rules)
                by_namespace.setdefault(policy.namespace, []).append(Isolating(policy, subjects, compiled))
            isolated |= selected
        every = [each for several in by_namespace.values() for each in several]
        return Side(isolated, tuple(self._joined(every)), by_namespace, [each.policy for each in every])

    def _means(self, namespace: str) -> bool:
        return self._namespaces is None or namespace in self._namespaces

    def _joined(self, policies: Iterable[Isolating]) -> Iterator[Opening]:
        """The rules of ``policies``, those with equal peers and ports as one; equal ones of several sides are the same
        object.
        """
        joined: dict[tuple[object, ...], tuple[list[NetworkPolicy], list[int], CompiledRule]] = {}
        for policy, subjects, rules in policies:
            for rule in rules:
                key = (rule.selected, *rule.blocked.values(), *rule.ports.items())
                found = joined.setdefault(key, ([], [], rule))
                found[0].append(policy)
                found[1].append(subjects)
        for key, (several, masks, rule) in joined.items():
            subjects = union(masks)
            known = (subjects, *map(id, several), *key)
            if known not in self._openings:
                peers = rule.selected | union(rule.blocked.values())
                self._openings[known] = Opening(tuple(several), subjects, rule, peers)
            yield self._openings[known]


def is_local(rule: Rule) -> bool:
    """Whether ``rule`` names pods of its policy's own namespace and nobody else."""
    return bool(rule.peers) and all(map(is_lone, rule.peers))


def is_lone(peer: Peer) -> bool:
    """Whether ``peer`` means pods of its policy's own namespace."""
    return peer.ip_block is None and peer.namespace_selector is None
