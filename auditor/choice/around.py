"""What the tiers of administrators answer around the filter of a pod, for each column of connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import accumulate, groupby
from operator import or_
from typing import NamedTuple, Self, TypeAlias

from auditor.choice.columns import Columns, Masks
from auditor.diagnosis.tiers import TierOrder
from auditor.model.admin_policy import Action, AdminPolicy, AdminTier
from auditor.model.policy import Direction
from auditor.policy.compiled_admin import CompiledAdminRule

Rules: TypeAlias = Sequence[CompiledAdminRule]


class Place(NamedTuple):
    """Where rules for ``direction`` are asked: at the pods of ``group``, whose filter it is (``is_subject``) or which
    are at the other end of filters.
    """

    group: int
    direction: Direction
    is_subject: bool
    columns: Columns

    def others(self, rule: CompiledAdminRule) -> Iterator[tuple[int, int, int]]:
        """The places of columns, the groups at the other end that ``rule`` matches there, and those that it may."""
        is_destination = self.is_subject == (self.direction is Direction.INGRESS)
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


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """A policy as somebody reads it in one direction: the groups that it is for, and its rules."""

    policy: AdminPolicy
    subjects: int
    rules: tuple[CompiledAdminRule, ...]


@dataclass(frozen=True, eq=False)
class Around:
    """The policies of both tiers in one direction, in the order in which they are asked, and the order of the tiers."""

    direction: Direction
    policies: Mapping[AdminTier, Sequence[ReadPolicy]]
    order: TierOrder = TierOrder.USUAL

    def at(self, group: int, columns: Columns, *, is_subject: bool) -> Tiers:
        """What they answer for the filter of ``group``, or where ``group`` is at the other end of filters."""
        return Tiers(self, Place(group, self.direction, is_subject, columns))

    def concerning(self, group: int) -> int:
        """How many policies are for ``group``."""
        return sum(each.subjects >> group & 1 for tier in self.policies.values() for each in tier)


class Tiers:
    """What the policies of ``around`` answer ``at`` a place."""

    def __init__(self, around: Around, at: Place) -> None:
        self._around = around
        self._at = at
        size = len(at.columns.each)
        self._answers: dict[AdminTier, list[Answers]] = {}
        self._tiers: dict[AdminTier, Answers] = {}
        for tier, policies in around.policies.items():
            answers = self._answers[tier] = [self._of(each) for each in policies]
            whole = Answers.none(size)
            for _, level in groupby(zip(policies, answers, strict=True), key=lambda pair: pair[0].policy.priority):
                whole = whole.then(reduce(Answers.beside, (answer for _, answer in level)))
            self._tiers[tier] = whole

    def _of(self, policy: ReadPolicy) -> Answers:
        if self._at.is_subject and not policy.subjects >> self._at.group & 1:
            return Answers.none(len(self._at.columns.each))
        return Answers.of(policy.rules, self._at)

    @property
    def unsure(self) -> Masks:
        """The groups at the other end of which it isn't known what is decided, by columns."""
        return [*map(or_, *(self._tiers[tier].unsure for tier in AdminTier))]

    def passing(self, network: Masks, isolated: int) -> Masks:
        """What passes all tiers where NetworkPolicies let through ``network``, of which they isolate ``isolated``."""
        return self._passing(self._tiers, network, isolated)

    def misread(self, policy: tuple[AdminTier, int], other: ReadPolicy, network: Masks, isolated: int) -> Masks:
        """The same where ``policy``, by its tier and its number there, is read as the ``other``."""
        tier, number = policy
        wrong = self._before[tier][number].then(self._of(other)).then(self._after[tier][number])
        return self._passing({**self._tiers, tier: wrong}, network, isolated)

    @cached_property
    def _before(self) -> Mapping[AdminTier, Sequence[Answers]]:
        return {tier: [*accumulate(answers, Answers.then, initial=self._nothing)] for tier, answers in self._all}

    @cached_property
    def _after(self) -> Mapping[AdminTier, Sequence[Answers]]:
        found = {}
        for tier, answers in self._all:
            backwards = accumulate(answers[:0:-1], lambda later, first: first.then(later), initial=self._nothing)
            found[tier] = [*backwards][::-1]
        return found

    @property
    def _all(self) -> Iterable[tuple[AdminTier, list[Answers]]]:
        return self._answers.items()

    @property
    def _nothing(self) -> Answers:
        return Answers.none(len(self._at.columns.each))

    def _passing(self, tiers: Mapping[AdminTier, Answers], network: Masks, isolated: int) -> Masks:
        admin, baseline = tiers[AdminTier.ADMIN], tiers[AdminTier.BASELINE]
        order = self._around.order
        everywhere = zip(network, admin.accepted, admin.denied, baseline.denied, strict=True)
        if order is TierOrder.NETWORK_POLICY_FIRST:
            return [
                let & isolated | (accepted | let & ~after & ~denied) & ~isolated
                for let, accepted, denied, after in everywhere
            ]
        final = 0 if order is TierOrder.BASELINE_ALWAYS else isolated
        return [accepted | let & (final | ~after) & ~denied for let, accepted, denied, after in everywhere]
