"""What the tiers of administrators answer around the filter of a pod, for each column of connections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import accumulate, chain
from operator import or_

from auditor.choice.answers import Answers, Kept, Place, ReadPolicy, answers_of, in_turn, membership
from auditor.choice.columns import Columns, Masks
from auditor.diagnosis.tiers import TierOrder
from auditor.model.admin_policy import AdminTier
from auditor.model.policy import Direction

MOST_KEPT = 1 << 21
"""In so many octets answers are kept for each reading of all policies."""
MOST_KEPT_MISREAD = 1 << 25
"""The same of single policies that are misread."""


@dataclass(frozen=True, eq=False)
class Around:
    """The policies of both tiers in one direction, in the order in which they are asked, and the order of the tiers."""

    direction: Direction
    policies: Mapping[AdminTier, Sequence[ReadPolicy]]
    order: TierOrder = TierOrder.USUAL
    _telling: dict[bool, Sequence[int]] = field(default_factory=dict, repr=False)

    def at(self, group: int, columns: Columns, *, is_subject: bool) -> Tiers:
        """What they answer for the filter of ``group``, or where ``group`` is at the other end of filters."""
        return Tiers(self, Place(group, self.direction, is_subject, columns))

    def told_apart(self, at: Place) -> int:
        """A number that is the same for groups that no rule tells apart there."""
        if at.is_subject not in self._telling:
            policies = chain.from_iterable(self.policies.values())
            masks = chain.from_iterable(each.telling(at) for each in policies)
            self._telling[at.is_subject] = tuple(dict.fromkeys(masks))
        return membership(at.group, self._telling[at.is_subject])

    @cached_property
    def known(self) -> Kept:
        """What the tiers answer, as far as it is kept."""
        return Kept(MOST_KEPT, self._groups)

    @cached_property
    def known_misread(self) -> Kept:
        """What they answer with one of the policies misread, as far as it is kept."""
        return Kept(MOST_KEPT_MISREAD, self._groups)

    @property
    def _groups(self) -> int:
        policies = chain.from_iterable(self.policies.values())
        return max((mask.bit_length() for policy in policies for mask in policy.masks), default=0)

    def concerning(self, group: int) -> int:
        """How many policies are for ``group``."""
        return sum(each.subjects >> group & 1 for tier in self.policies.values() for each in tier)


class Tiers:
    """What the policies of ``around`` answer ``at`` a place. Groups that no rule tells apart get the same answers."""

    def __init__(self, around: Around, at: Place) -> None:
        self._around = around
        self._at = at
        self._told_apart = around.told_apart(at)
        self._tiers = {
            tier: around.known.get(at, (place, self._told_apart), partial(in_turn, policies, at))
            for place, (tier, policies) in enumerate(around.policies.items())
        }

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
        key = (id(other), number, membership(self._at.group, other.telling(self._at)), self._told_apart)
        wrong = self._around.known_misread.get(self._at, key, lambda: self._with_another(tier, number, other))
        return self._passing({**self._tiers, tier: wrong}, network, isolated)

    def _with_another(self, tier: AdminTier, number: int, other: ReadPolicy) -> Answers:
        """What ``tier`` answers where the policy with this ``number`` is read as the ``other``."""
        return self._before[tier][number].then(answers_of(other, self._at)).then(self._after[tier][number])

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

    @cached_property
    def _all(self) -> Sequence[tuple[AdminTier, list[Answers]]]:
        """By tier the answers of each policy."""
        return [
            (tier, [answers_of(each, self._at) for each in policies])
            for tier, policies in self._around.policies.items()
        ]

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
