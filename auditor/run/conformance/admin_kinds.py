"""Of which kinds the policies of administrators of a scenario are made on a cluster, and with which priorities.

They keep their own kinds where these are served. Else the newer kind stands for its elders, and they for it as far as
they can say the same: all mean the same in the tiers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from auditor.model.admin_policy import (
    CURRENT,
    HIGHEST_PRIORITY,
    LOWEST_PRIORITY,
    NAMED_DEFAULT,
    Action,
    AdminPolicy,
    AdminTier,
)

OLD = "AdminNetworkPolicy"


def in_served_kinds(policies: Sequence[AdminPolicy], served: Collection[str]) -> tuple[AdminPolicy, ...] | None:
    """``policies`` as the kinds ``served``, by name, can say them; None where they can't."""
    found = [_as_served(policy, served) for policy in policies]
    made = tuple(policy for policy in found if policy is not None)
    is_whole = len(made) == len(policies) and sum(policy.kind == NAMED_DEFAULT for policy in made) <= 1
    return made if is_whole else None


def _as_served(policy: AdminPolicy, served: Collection[str]) -> AdminPolicy | None:
    if policy.kind in served:
        return policy
    if CURRENT in served:
        return replace(policy, kind=CURRENT)
    if policy.tier is AdminTier.ADMIN:
        return replace(policy, kind=OLD) if OLD in served else None
    passes = any(rule.action is Action.PASS for rule in (*policy.ingress, *policy.egress))
    if passes or NAMED_DEFAULT not in served:
        return None
    return replace(policy, kind=NAMED_DEFAULT, priority=HIGHEST_PRIORITY)


def at_free_priorities(
    policies: Sequence[AdminPolicy], taken: Collection[tuple[AdminTier, int]]
) -> tuple[AdminPolicy, ...] | None:
    """``policies`` in the same order of their tiers, at priorities that are not ``taken`` there; their own where that
    can be. None where there are not enough.

    Which of two policies with one priority comes first is not defined, and some enforcers put up with none such at all.
    """
    places: dict[tuple[AdminTier, int], int] = {}
    for tier in AdminTier:
        last = HIGHEST_PRIORITY - 1
        own = {policy.priority for policy in policies if policy.tier is tier and policy.kind != NAMED_DEFAULT}
        for priority in sorted(own):
            numbers = range(max(priority, last + 1), LOWEST_PRIORITY + 1)
            free = next((number for number in numbers if (tier, number) not in taken), None)
            if free is None:
                return None
            places[tier, priority] = last = free
    return tuple(
        policy if policy.kind == NAMED_DEFAULT else replace(policy, priority=places[policy.tier, policy.priority])
        for policy in policies
    )
