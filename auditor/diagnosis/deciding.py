"""Which of the policies of administrators decides which cells, and what would pass without one of them or of its rules.

What several match is decided by the first alone, so that the cells of two rules of a tier are apart.
"""

from __future__ import annotations

from functools import cached_property

from auditor.diagnosis.filters import Filters
from auditor.diagnosis.tiers import Answers, turn
from auditor.model.admin_policy import AdminPolicy, AdminTier
from auditor.model.policy import Direction
from auditor.policy.bits import union


class Deciding:
    """The policies of administrators among the filters of ``direction``, as they are."""

    def __init__(self, filters: Filters, direction: Direction) -> None:
        self._filters = filters
        self._direction = direction
        self._network = filters.network(direction)
        self._answers = {tier: filters.decided(tier, direction) for tier in AdminTier}

    @cached_property
    def _by_rules(self) -> dict[str, dict[int, int]]:
        """By full names of policies and numbers of rules the cells that these decide."""
        admin = self._answers[AdminTier.ADMIN]
        filtered = self._filters.cells.everything & ~self._filters.unfiltered()
        asked = {
            AdminTier.ADMIN: filtered,
            AdminTier.BASELINE: filtered & ~(admin.accepted | admin.denied | self._network.isolated),
        }
        found: dict[str, dict[int, int]] = {}
        for tier in AdminTier:
            decisions = self._filters.admin.decisions(self._filters.admin.policies, tier, self._direction)
            for policy, number, cells in decisions:
                found.setdefault(policy.full_name, {})[number] = cells & asked[tier]
        return found

    def rule(self, policy: AdminPolicy, number: int) -> int:
        """The cells that this rule of ``policy`` decides, or passes on."""
        return self._by_rules.get(policy.full_name, {}).get(number, 0)

    def whole(self, policy: AdminPolicy) -> int:
        """The cells that any rule of ``policy`` decides, or passes on."""
        return union(self._by_rules.get(policy.full_name, {}).values())

    def up_to(self, policy: AdminPolicy) -> int:
        """The cells that would fare otherwise here without ``policy``."""
        return self._otherwise(policy, self.whole(policy), len(policy.rules(self._direction)))

    def up_to_rule(self, policy: AdminPolicy, number: int) -> int:
        """The cells that would fare otherwise here without this rule of ``policy``."""
        return self._otherwise(policy, self.rule(policy, number), number + 1)

    def _otherwise(self, policy: AdminPolicy, cells: int, first: int) -> int:
        """Those of ``cells``, which ``policy`` decides, that fare otherwise where its rules begin with the ``first``
        there is.
        """
        if not cells:
            return 0
        left = policy.with_rules(self._direction, policy.rules(self._direction)[first:])
        later = (each for each in self._filters.admin.policies if turn(each) > turn(policy))
        answers = self._filters.admin.answers([left, *later], policy.tier, self._direction, cells)
        return cells & (self._passing({**self._answers, policy.tier: answers}) ^ self._passing(self._answers))

    def _passing(self, answers: dict[AdminTier, Answers]) -> int:
        admin, baseline = answers[AdminTier.ADMIN], answers[AdminTier.BASELINE]
        network = self._network
        unisolated = self._filters.cells.everything & ~network.isolated & ~baseline.denied
        return admin.accepted | (network.allowed | unisolated) & ~admin.denied
