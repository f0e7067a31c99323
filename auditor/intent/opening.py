"""Changes that might open what is closed and was meant allowed: one more rule in a policy that isolates, or a policy
beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auditor.intent.drafts import Draft, extended, new_policies
from auditor.intent.notation import peers_for
from auditor.intent.resolved_intent import ResolvedIntent
from auditor.intent.violations import Violation
from auditor.model.intent import IntentRule
from auditor.model.policy import Direction, Rule
from auditor.model.reasons import Side
from auditor.model.snapshot import Endpoint

MOST_POLICIES = 3
"""How many of the policies that isolate a pod are tried."""


def opening(resolved: ResolvedIntent, rule: IntentRule, side: Side, violation: Sequence[Violation]) -> Iterator[Draft]:
    """Ways to allow on one side what ``rule`` means."""
    incoming = side.direction is Direction.INGRESS
    cohorts = {end.number: end for each in violation for end in [each.destination if incoming else each.source]}
    pods = [member for cohort in cohorts.values() for member in cohort.members]
    namespace = pods[0].namespace
    own = rule.destinations if incoming else rule.sources
    for_all = not own or namespace in own
    for texts in (rule.sources if incoming else rule.destinations, _names(violation, incoming=incoming)):
        peers = peers_for(texts, resolved.snapshot, namespace)
        if peers is not None:
            meant = Rule(peers, rule.ports)
            # A rule in a default deny is one for all pods, those that are yet to come as well.
            isolating = sorted(side.isolating[:MOST_POLICIES], key=lambda policy: policy.pod_selector.is_empty)
            fitting = [policy for policy in isolating if for_all or not policy.pod_selector.is_empty]
            yield from (extended(policy, side.direction, meant) for policy in fitting)
            yield from new_policies(resolved, side.direction, _of(pods, namespace), rule, given=(meant,))
            yield from (extended(policy, side.direction, meant) for policy in isolating[len(fitting) :])


def _names(violation: Sequence[Violation], *, incoming: bool) -> tuple[str, ...]:
    """The names of the endpoints at the other end."""
    ends = (each.source if incoming else each.destination for each in violation)
    return tuple(dict.fromkeys(member.name for end in ends for member in end.members))


def _of(pods: Sequence[Endpoint], namespace: str) -> list[Endpoint]:
    return [pod for pod in pods if pod.namespace == namespace]
