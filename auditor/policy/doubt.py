"""What becomes uncertain when some policies in force aren't known: they can't be read, or they changed while their
effect was measured.

A policy can only isolate the pods that it selects and allow some traffic of theirs. So whatever unknown policies mean,
each verdict lies between two extremes: all of them isolate both directions and allow nothing, or all of them allow
everything. Both extremes are possible meanings, each direction of each policy being free, hence a cell is certain
exactly where the two agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy, Rule, UnknownPolicy
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.model.words import pluralize
from auditor.policy.evaluator import evaluate
from auditor.policy.selectors import matches

NAMED_AT_MOST = 3
EVERYTHING = (Rule(),)


def may_select(policy: UnknownPolicy, endpoint: Endpoint) -> bool:
    """Whether ``endpoint`` may be among the pods that ``policy`` applies to."""
    return (
        endpoint.selectable
        and endpoint.namespace == policy.namespace
        and (policy.pod_selector is None or matches(policy.pod_selector, endpoint.labels))
    )


def doubtful_cells(snapshot: Snapshot, unknown: Sequence[UnknownPolicy], cells: Iterable[Cell]) -> dict[Cell, str]:
    """Those of ``cells`` whose verdict depends on what the policies ``unknown`` mean, with the reason in words, in
    order.

    ``snapshot.policies`` are all others in force. A reason is ``policy NAMESPACE/NAME WHY`` for each policy that
    matters. Raises KeyError for a cell with a name that is no endpoint.
    """
    touching = _Touching(snapshot, unknown)
    touched = [cell for cell in cells if touching.either_end(cell)]
    if not touched:
        return {}
    least, most = map(evaluate, extremes(snapshot, unknown))
    doubtful = [cell for cell in touched if least.verdict(*cell) is not most.verdict(*cell)]
    if len(unknown) == 1:
        return dict.fromkeys(doubtful, _reason(unknown[0]))
    return _reasons(snapshot, unknown, touching, doubtful)


def extremes(snapshot: Snapshot, unknown: Sequence[UnknownPolicy]) -> tuple[Snapshot, Snapshot]:
    """``snapshot`` with ``unknown`` in force, which isolate and allow nothing; and which allow everything."""
    return _with(snapshot, unknown, ()), _with(snapshot, unknown, EVERYTHING)


class _Touching:
    """Which of the unknown policies may select which endpoint, as positions."""

    def __init__(self, snapshot: Snapshot, unknown: Sequence[UnknownPolicy]) -> None:
        self._positions: Mapping[str, tuple[int, ...]] = {
            endpoint.name: tuple(number for number, policy in enumerate(unknown) if may_select(policy, endpoint))
            for endpoint in snapshot.endpoints
        }

    def end(self, cell: Cell, direction: Direction) -> tuple[int, ...]:
        """Those that may select the end of ``cell`` at which ``direction`` is filtered."""
        return self._positions[cell.source if direction is Direction.EGRESS else cell.destination]

    def either_end(self, cell: Cell) -> bool:
        return any(self.end(cell, direction) for direction in Direction)


def _reasons(
    snapshot: Snapshot, unknown: Sequence[UnknownPolicy], touching: _Touching, doubtful: Sequence[Cell]
) -> dict[Cell, str]:
    """For each doubtful cell the policies that matter: those at an end that would deny if they all isolated and allowed
    nothing.

    Where an end allows even then, what is unknown there changes nothing.
    """
    mattering: dict[Cell, list[int]] = {cell: [] for cell in doubtful}
    for direction in Direction:
        least = evaluate(_one_way(_with(snapshot, unknown, ()), direction))
        for cell, positions in mattering.items():
            if least.verdict(*cell) is Verdict.DENIED:
                positions.extend(touching.end(cell, direction))
    return {
        cell: _sentence([unknown[position] for position in sorted(set(positions))])
        for cell, positions in mattering.items()
    }


def _reason(policy: UnknownPolicy) -> str:
    return f"policy {policy.full_name} {policy.why}"


def _sentence(policies: Sequence[UnknownPolicy]) -> str:
    named = [_reason(policy) for policy in policies[:NAMED_AT_MOST]]
    more = len(policies) - len(named)
    return "; ".join([*named, f"{pluralize(more, 'more policy', 'more policies')} in doubt"] if more else named)


def _meaning(policy: UnknownPolicy, rules: tuple[Rule, ...]) -> NetworkPolicy:
    """``policy`` as one that isolates every pod in question in both directions and allows ``rules`` in both."""
    return NetworkPolicy(
        policy.namespace, policy.name, policy.pod_selector or LabelSelector(), frozenset(Direction), rules, rules
    )


def _with(snapshot: Snapshot, unknown: Sequence[UnknownPolicy], rules: tuple[Rule, ...]) -> Snapshot:
    return replace(snapshot, policies=(*snapshot.policies, *(_meaning(policy, rules) for policy in unknown)))


def _one_way(snapshot: Snapshot, direction: Direction) -> Snapshot:
    """``snapshot`` with the policies of ``direction`` alone."""
    kept = (
        replace(policy, directions=frozenset({direction}))
        for policy in snapshot.policies
        if direction in policy.directions
    )
    return replace(snapshot, policies=tuple(kept))
