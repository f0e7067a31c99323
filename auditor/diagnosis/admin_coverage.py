"""Which rules of administrators could be overlooked without any observed cell being different, and why."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.diagnosis.deciding import Deciding
from auditor.diagnosis.filters import Filters
from auditor.model.admin_policy import AdminPolicy
from auditor.model.diagnosis import Unexercised
from auditor.model.policy import Direction

NO_MATCH = "no connection observed is one that it matches"
EARLIER = "earlier rules, or earlier tiers, decide every connection observed that it matches"
NO_DIFFERENCE = "without it other rules, or the filter at the other end, decide the same for every connection observed"


def unexercised_rules(filters: Filters) -> Iterator[Unexercised]:
    """The rules of policies of administrators without which each of the cells of ``filters`` would fare the same, in
    the order of policies.
    """
    deciding = {direction: Deciding(filters, direction) for direction in Direction}
    for policy in filters.admin.policies:
        for direction in Direction:
            for number in range(len(policy.rules(direction))):
                reason = _why(filters, deciding[direction], policy, direction, number)
                if reason:
                    yield Unexercised(policy.full_name, policy.place(direction, number), "the rule", reason)


def _why(filters: Filters, deciding: Deciding, policy: AdminPolicy, direction: Direction, number: int) -> str:
    """Why nothing shows whether the rule is in force; empty where something does."""
    own = deciding.rule(policy, number)
    if not own:
        matching = filters.admin.matching(policy, direction, number) & ~filters.unfiltered()
        return EARLIER if matching else NO_MATCH
    changed = deciding.up_to_rule(policy, number) & filters.passing(direction.opposite)
    return "" if changed else NO_DIFFERENCE
