"""What becomes uncertain when some policies in force aren't known: they can't be read, or they changed while their
effect was measured.

Whatever unknown policies mean, each verdict lies between two extremes: all of them allow the least that one of their
kind can, or the most. What that is their tier knows: a NetworkPolicy can only isolate the pods that it selects and
allow some traffic of theirs. Both extremes are possible meanings, each direction of each policy being free, so a
cell is certain exactly where the two agree.

A whole matrix is too large to be asked cell by cell; there ``Unreadable`` puts a pair of endpoints in doubt as soon as
a policy that can't be read may select one of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from auditor.model.policy import Direction, UnknownPolicy
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.model.words import pluralize
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import always_allowed
from auditor.policy.tiers import Tier
from auditor.policy.tiers_in_order import TIERS
from auditor.policy.unknown_labels import label_extremes

NAMED_AT_MOST = 3


def may_select(policy: UnknownPolicy, endpoint: Endpoint, tiers: Sequence[Tier] = TIERS) -> bool:
    """Whether ``policy`` may have a say in traffic of ``endpoint``."""
    return any(tier.name == policy.tier and tier.may_select(policy, endpoint) for tier in tiers)


def doubtful_cells(
    snapshot: Snapshot, unknown: Sequence[UnknownPolicy], cells: Iterable[Cell], tiers: Sequence[Tier] = TIERS
) -> dict[Cell, str]:
    """Those of ``cells`` whose verdict depends on what the policies ``unknown`` mean, with the reason in words, in
    order.

    ``snapshot.policies`` are all others in force. A reason is ``policy NAMESPACE/NAME WHY`` for each policy that
    matters. Raises KeyError for a cell with a name that no endpoint has.
    """
    touching = _Touching(snapshot, unknown, tiers)
    touched = [cell for cell in cells if touching.either_end(cell)]
    if not touched:
        return {}
    least, most = extremes(snapshot, unknown, tiers)
    at_least, at_most = evaluate(least.snapshot, tiers=least.tiers), evaluate(most.snapshot, tiers=most.tiers)
    doubtful = [cell for cell in touched if at_least.verdict(*cell) is not at_most.verdict(*cell)]
    if len(unknown) == 1:
        return dict.fromkeys(doubtful, _reason(unknown[0]))
    return _reasons(least, unknown, touching, doubtful)


@dataclass(frozen=True, slots=True)
class Extreme:
    """The least, or the most, that policies which can't be read may allow: what to evaluate in their place."""

    snapshot: Snapshot
    tiers: Sequence[Tier]


def extremes(
    snapshot: Snapshot, unknown: Sequence[UnknownPolicy], tiers: Sequence[Tier] = TIERS
) -> tuple[Extreme, Extreme]:
    """``snapshot`` with ``unknown`` in force, each meaning the least that it can allow, as labels do that nobody knows;
    and each the most.
    """
    least, most = Extreme(snapshot, ()), Extreme(snapshot, ())
    for tier in tiers:
        own = [policy for policy in unknown if policy.tier == tier.name]
        least = Extreme(*_added(least, tier.extremes(least.snapshot, own)[0]))
        most = Extreme(*_added(most, tier.extremes(most.snapshot, own)[1]))
    return _at_label_extreme(least, most=False), _at_label_extreme(most, most=True)


def _at_label_extreme(extreme: Extreme, *, most: bool) -> Extreme:
    labels = label_extremes(extreme.snapshot)
    if labels is None:
        return extreme
    tiers = [tier.leaning_to(extreme.snapshot, most=most) for tier in extreme.tiers]
    return Extreme(labels.most if most else labels.least, tiers)


def _added(before: Extreme, after: tuple[Snapshot, Tier]) -> tuple[Snapshot, Sequence[Tier]]:
    return after[0], (*before.tiers, after[1])


class _Touching:
    """Which of the unknown policies may select which endpoint, as positions."""

    def __init__(self, snapshot: Snapshot, unknown: Sequence[UnknownPolicy], tiers: Sequence[Tier]) -> None:
        self._positions: Mapping[str, tuple[int, ...]] = {
            endpoint.name: tuple(number for number, policy in enumerate(unknown) if may_select(policy, endpoint, tiers))
            for endpoint in snapshot.endpoints
        }

    def end(self, cell: Cell, direction: Direction) -> tuple[int, ...]:
        """Those that may select the end of ``cell`` at which ``direction`` is filtered."""
        return self._positions[cell.source if direction is Direction.EGRESS else cell.destination]

    def either_end(self, cell: Cell) -> bool:
        return any(self.end(cell, direction) for direction in Direction)


def _reasons(
    least: Extreme, unknown: Sequence[UnknownPolicy], touching: _Touching, doubtful: Sequence[Cell]
) -> dict[Cell, str]:
    """For each doubtful cell the policies that matter: those at an end that would deny if they all isolated and allowed
    nothing.

    Where an end allows even then, what is unknown there changes nothing.
    """
    mattering: dict[Cell, list[int]] = {cell: [] for cell in doubtful}
    for direction in Direction:
        one_way = evaluate(least.snapshot, tiers=least.tiers, directions=(direction,))
        for cell, positions in mattering.items():
            if one_way.verdict(*cell) is Verdict.DENIED:
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


class Unreadable:
    """What of ``snapshot`` its unknown policies may decide; nothing where there are none."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.policies = snapshot.unknown
        self._touched = frozenset(
            endpoint.name
            for endpoint in snapshot.endpoints
            if any(may_select(policy, endpoint) for policy in snapshot.unknown)
        )

    def touches(self, endpoints: Collection[Endpoint]) -> bool:
        """Whether they may select any of ``endpoints``."""
        return any(endpoint.name in self._touched for endpoint in endpoints)

    def between(self, source: Endpoint, destination: Endpoint) -> bool:
        """Whether they may decide whether ``source`` reaches ``destination``."""
        touched = source.name in self._touched or destination.name in self._touched
        return touched and not always_allowed(source, destination)

    def among(self, sources: Collection[Endpoint], destinations: Collection[Endpoint]) -> bool:
        """Whether they may decide it for any of ``sources`` and any of ``destinations``."""
        if not self._touched:
            return False
        if all(endpoint.name not in self._touched for endpoint in (*sources, *destinations)):
            return False
        return any(self.between(source, destination) for source in sources for destination in destinations)
