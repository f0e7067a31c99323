"""Isolation that nobody has written: what a policy leaves behind that was deleted and is still enforced.

What the policy said is not known, so there is no hypothesis that could be held against it. What can be said is which
pods no policy isolates in a direction, though nothing gets through there.
"""

from __future__ import annotations

from auditor.diagnosis.evidence import Evidence
from auditor.model.policy import Direction
from auditor.model.verdict import Result
from auditor.model.words import in_brief
from auditor.policy.bits import union

FEWEST_PAIRS = 3
"""Pairs of endpoints that have to differ before anything is said of it."""
MOST_NAMED = 3
WAYS = {Direction.EGRESS: ("sends", "egress"), Direction.INGRESS: ("is sent to", "ingress")}


def unwritten_isolation(evidence: Evidence) -> str:
    """A sentence where all that differs is that nothing gets through in one direction at pods that no policy isolates
    there; empty otherwise, and where both directions would do.
    """
    outages = evidence.where(Result.OUTAGE)
    if not outages or outages != evidence.differing or evidence.predictor.filters.admin.policies:
        return ""
    pairs = {(cell.source, cell.destination) for cell in evidence.cells.listed(outages)}
    found = {direction: _shut(evidence, direction) for direction in Direction} if len(pairs) >= FEWEST_PAIRS else {}
    told = [(direction, pods) for direction, pods in found.items() if pods]
    if len(told) != 1:
        return ""
    ((direction, pods),) = told
    what, filters = WAYS[direction]
    who = in_brief(pods, MOST_NAMED)
    subject = f"Nothing that {who} {what}" if direction is Direction.EGRESS else f"Nothing that {what} {who}"
    why = "a policy that was deleted may still be enforced"
    return f"{subject} gets through, though no policy isolates {filters} there: {why}."


def _shut(evidence: Evidence, direction: Direction) -> list[str]:
    """The pods of all that differs, if no policy isolates them in ``direction`` and nothing crosses their filter there;
    none if any of that isn't so.
    """
    cells, filters = evidence.cells, evidence.predictor.filters
    isolated = union(
        filters.isolated(policy, direction) for policy in filters.policies if direction in policy.directions
    )
    subjects = {name: mask for name, mask in cells.subjects(direction).items() if mask & evidence.differing}
    theirs = union(subjects.values()) & ~cells.to_itself & ~cells.with_own_node
    if any(not cells.endpoints[name].selectable for name in subjects) or theirs & isolated:
        return []
    return sorted(subjects) if not theirs & evidence.allowed else []
