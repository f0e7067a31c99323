"""All policies of a cluster in one direction, as they are written or as an enforcer reads them that has one dialect
everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from auditor.diagnosis.dialects import SPECS
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
    ``read`` are the policies as they are read, of those with the same selectors and rules one.
    """

    isolated: int
    openings: tuple[Opening, ...]
    policies: Mapping[str, Sequence[Isolating]] = field(default_factory=dict)
    read: Sequence[NetworkPolicy] = ()

    def touching(self, here: int) -> Side:
        """Those openings alone that let any of ``here`` through."""
        places = {place for group in bits(here) for place in self._narrow.get(group, ())}
        places.update(place for place in self._broad if self.openings[place].rule_peers & here)
        return Side(self.isolated, tuple(self.openings[place] for place in sorted(places)))

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
    ) -> None:
        self._policies = policies
        self._groups = groups
        self._compile = compile_
        self._namespaces = namespaces
        self._openings: dict[tuple[object, ...], Opening] = {}
        self._shapes: dict[tuple[object, ...], list[NetworkPolicy]] = {}
        for policy in policies:
            shape = (policy.pod_selector, policy.directions, policy.ingress, policy.egress)
            self._shapes.setdefault(shape, []).append(policy)

    def written(self) -> dict[Direction, Side]:
        """The policies as they are written."""
        same = {id(policy): policy for policy in self._policies}
        return {each: self._side(same, each, first_only=False) for each in Direction}

    def everywhere(self) -> Iterator[tuple[str, dict[Direction, Side]]]:
        """What is wrong, and both directions, for each dialect that takes any of the policies for another."""
        for spec in SPECS.values():
            rewrite = spec.rewrite if spec.timing is None else None
            read: dict[int, NetworkPolicy | None] = {}
            changes = spec.first_policy_only
            for several in self._shapes.values():
                taken = several[0] if rewrite is None else rewrite(several[0])
                changes |= taken != several[0]
                read |= dict.fromkeys(map(id, several), taken)
            if changes:
                yield (
                    spec.phrase,
                    {each: self._side(read, each, first_only=spec.first_policy_only) for each in Direction},
                )

    def _side(self, read: Mapping[int, NetworkPolicy | None], direction: Direction, *, first_only: bool) -> Side:
        """What ``read`` says of each policy, by its id, in ``direction``; with ``first_only`` each pod knows only the
        first by name of those that isolate it.
        """
        pairs = ((policy, read[id(policy)]) for policy in self._policies)
        isolating = [(policy, taken) for policy, taken in pairs if taken is not None and direction in taken.directions]
        by_namespace: dict[str, list[Isolating]] = {}
        seen = 0
        counting: dict[int, NetworkPolicy] = {}
        for policy, taken in sorted(isolating, key=lambda each: each[0].name) if first_only else isolating:
            there = self._groups.in_namespace(policy.namespace)
            selected = self._groups.with_labels(taken.pod_selector) & there
            subjects = selected & ~seen if first_only else selected
            seen |= selected
            if subjects:
                counting[id(taken)] = taken
                rules = [rule for rule in taken.rules(direction) if self._concerns(policy.namespace, rule)]
                compiled = tuple(self._compile(policy, rule) for rule in rules)
                by_namespace.setdefault(policy.namespace, []).append(Isolating(policy, subjects, compiled))
        openings = self._joined(each for several in by_namespace.values() for each in several)
        return Side(seen, tuple(openings), by_namespace, tuple(counting.values()))

    def _concerns(self, namespace: str, rule: Rule) -> bool:
        """Whether ``rule``, of a policy in ``namespace``, may have to do with any of the namespaces that are meant."""
        return self._namespaces is None or namespace in self._namespaces or not is_local(rule)

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
