"""Where in their files the policies stand that decide a connection."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.model.lint import Place
from auditor.model.policy import Direction
from auditor.model.verdict import Verdict
from auditor.policy.explain import Decision


def places_of(decision: Decision) -> tuple[Place, ...]:
    """Where the policies stand that deny, or the rules that allow; without a file for those read from a cluster."""
    return tuple(dict.fromkeys(_places(decision)))


def _places(decision: Decision) -> Iterator[Place]:
    if decision.exemption:
        return
    for judgement in filter(None, map(decision.deciding, (Direction.EGRESS, Direction.INGRESS))):
        if (decider := judgement.decider) is not None:
            yield Place(decider.policy, decider.file, decider.line, decider.path)
        side = judgement.side
        if side is None:
            continue
        if side.grant is not None:
            policy, rule = side.grant.policy, side.grant.rule
            line = policy.rules(side.direction)[rule].line
            yield Place(policy.full_name, policy.file, line, f"spec.{side.direction.lower()}[{rule}]")
        elif decision.verdict is Verdict.DENIED:
            yield from (Place(policy.full_name, policy.file, policy.line) for policy in side.isolating)
