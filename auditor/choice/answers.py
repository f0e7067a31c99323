"""What rules of administrators answer at one place, for each column of connections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, reduce
from itertools import groupby
from operator import or_
from typing import NamedTuple, Self, TypeAlias

from auditor.choice.columns import Columns, Masks
from auditor.model.admin_policy import Action, AdminPolicy
from auditor.model.policy import Direction
from auditor.policy.compiled_admin import CompiledAdminRule

Rules: TypeAlias = Sequence[CompiledAdminRule]
OVERHEAD = 36
"""So many octets a set of groups takes beside its bits."""


class Place(NamedTuple):
    """Where rules for ``direction`` are asked: at the pods of ``group``, whose filter it is (``is_subject``) or which
    are at the other end of filters.
    """

    group: int
    direction: Direction
    is_subject: bool
    columns: Columns

    @property
    def is_destination(self) -> bool:
        """Whether connections go to the pods there."""
        return self.is_subject == (self.direction is Direction.INGRESS)

    def others(self, rule: CompiledAdminRule) -> Iterator[tuple[int, int, int]]:
        """The places of columns, the groups at the other end that ``rule`` matches there, and those that it may."""
        is_destination = self.is_destination
        for atoms, limit in rule.ports:
            if is_destination and not limit >> self.group & 1:
                continue
            among = -1 if is_destination else limit
            for place, column in self.columns.of_atoms(atoms):
                peers = rule.peers[column.family]
                if self.is_subject:
                    yield place, peers.certain & among, peers.by_address & ~peers.certain & among
                elif peers.certain >> self.group & 1:
                    yield place, rule.subjects.certain & among, 0
                elif peers.by_address >> self.group & 1:
                    yield place, 0, rule.subjects.certain & among


@dataclass(frozen=True)
class Answers:
    """For each column the groups at the other end that policies accept, deny and pass to the next tier; and those of
    which it isn't known, since nothing says which rule comes first or whether one matches.
    """

    accepted: Masks
    denied: Masks
    passed: Masks
    unsure: Masks

    @classmethod
    def none(cls, size: int) -> Self:
        """Nothing is answered in so many columns."""
        nothing = [0] * size
        return cls(nothing, nothing, nothing, nothing)

    @classmethod
    def of(cls, rules: Rules, at: Place) -> Self:
        """What ``rules``, of one policy, answer."""
        size = len(at.columns.each)
        by_action = {action: [0] * size for action in Action}
        answered, unsure = [0] * size, [0] * size
        for rule in rules:
            mine = by_action[rule.action]
            for place, matching, possible in at.others(rule):
                found = matching & ~answered[place]
                mine[place] |= found
                unsure[place] |= possible & ~answered[place]
                answered[place] |= found
        return cls(by_action[Action.ACCEPT], by_action[Action.DENY], by_action[Action.PASS], unsure)

    @cached_property
    def answered(self) -> Masks:
        """Those that are answered in one way or another."""
        return [*map(or_, map(or_, self.accepted, self.denied), self.passed)]

    def then(self, later: Answers) -> Answers:
        """These, and of what they leave open what is answered ``later``."""
        if not any(later.answered) and not any(later.unsure):
            return self
        both = zip(self._each, later._each, strict=True)
        return Answers(*([a | b & ~done for a, b, done in zip(*two, self.answered, strict=True)] for two in both))

    @property
    def _each(self) -> tuple[Masks, Masks, Masks, Masks]:
        return self.accepted, self.denied, self.passed, self.unsure

    def beside(self, other: Answers) -> Answers:
        """These and those of ``other``, where nothing says which come first: what they differ in is not sure."""
        everywhere = zip(
            self.accepted, self.denied, self.passed, other.accepted, other.denied, other.passed, strict=True
        )
        differing = [d & (b | c) | e & (a | c) | f & (a | b) for a, b, c, d, e, f in everywhere]
        both = self.then(other)
        return replace(both, unsure=[*map(or_, both.unsure, differing)])


class Kept:
    """Answers over so many ``groups`` that were computed before: those of groups that no rule tells apart are the same.
    They take ``room``, in octets, or little more.
    """

    def __init__(self, room: int, groups: int) -> None:
        self._sets = room // (groups // 8 + OVERHEAD)
        self._answers: dict[tuple[int, ...], tuple[Columns, Answers]] = {}

    def get(self, at: Place, key: tuple[int, ...], answers: Callable[[], Answers]) -> Answers:
        """The ``answers`` at a place, which are all that there are under this ``key``."""
        key = (id(at.columns), at.is_subject, *key)
        if key not in self._answers:
            if len(self._answers) * len(fields(Answers)) * len(at.columns.each) >= self._sets:
                self._answers.clear()
            self._answers[key] = at.columns, answers()  # the columns, too, so that no others get their id
        return self._answers[key][1]


@dataclass(frozen=True)
class ReadPolicy:
    """A policy as somebody reads it in one direction: the groups that it is for, and its rules."""

    policy: AdminPolicy
    subjects: int
    rules: tuple[CompiledAdminRule, ...]

    def telling(self, at: Place) -> Sequence[int]:
        """The sets of groups that matter there: whether its group is in each says all there is to know of it."""
        others = (self.subjects,) if at.is_subject else self._peers
        return (*others, *self._limits) if at.is_destination else others

    @property
    def masks(self) -> Sequence[int]:
        """All sets of groups in it."""
        return (self.subjects, *self._peers, *self._limits)

    @cached_property
    def _limits(self) -> Sequence[int]:
        return tuple(dict.fromkeys(limit for rule in self.rules for _, limit in rule.ports))

    @cached_property
    def _peers(self) -> Sequence[int]:
        found = (peers for rule in self.rules for peers in rule.peers.values())
        return tuple(dict.fromkeys(mask for peers in found for mask in (peers.certain, peers.by_address)))


def answers_of(policy: ReadPolicy, at: Place) -> Answers:
    """What ``policy`` answers; nothing at pods that it is not for."""
    if at.is_subject and not policy.subjects >> at.group & 1:
        return Answers.none(len(at.columns.each))
    return Answers.of(policy.rules, at)


def in_turn(policies: Sequence[ReadPolicy], at: Place) -> Answers:
    """What ``policies``, those of a tier in their order, answer together."""
    whole = Answers.none(len(at.columns.each))
    for _, level in groupby(policies, key=lambda each: each.policy.priority):
        whole = whole.then(reduce(Answers.beside, (answers_of(each, at) for each in level)))
    return whole


def membership(group: int, masks: Iterable[int]) -> int:
    """A number that says of each of ``masks`` whether ``group`` is in it."""
    number = 1
    for mask in masks:
        number = number << 1 | mask >> group & 1
    return number
