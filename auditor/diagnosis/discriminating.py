"""Which probes would tell hypotheses apart that fit the same observations."""

from __future__ import annotations

from collections.abc import Sequence

from auditor.diagnosis.cells import Cells
from auditor.diagnosis.predictors import Predictor
from auditor.model.diagnosis import Hypothesis
from auditor.model.policy import NetworkPolicy
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell
from auditor.policy.bits import bits

MOST_CELLS = 8


def discriminating_cells(
    snapshot: Snapshot,
    ties: Sequence[Hypothesis],
    candidates: Sequence[Cell],
    previous_policies: Sequence[NetworkPolicy] | None = None,
) -> tuple[Cell, ...]:
    """Cells among ``candidates`` on which ``ties`` part, at most ``MOST_CELLS``: each splits what the ones before it
    left together.

    Candidates are cells that could still be probed, or probed again, between endpoints of ``snapshot``. Empty: none of
    them can tell any two of the hypotheses apart.
    """
    predictor = Predictor(Cells(snapshot, candidates), previous_policies)
    predictions = [predictor.predict(faults, timed=False) for faults in ties]
    certain = predictor.cells.everything
    for prediction in predictions:
        certain &= ~prediction.varying
    groups = [[prediction.allowed & certain for prediction in predictions]]
    chosen: list[int] = []
    while len(chosen) < MOST_CELLS and (best := _best_split(groups)) is not None:
        chosen.append(best)
        groups = [part for group in groups for part in _split(group, best) if len(set(part)) > 1]
    return tuple(predictor.cells.cells[number] for number in chosen)


def _split(group: Sequence[int], number: int) -> tuple[list[int], list[int]]:
    """Those that let the cell through, and those that don't."""
    return [allowed for allowed in group if allowed >> number & 1], [
        allowed for allowed in group if not allowed >> number & 1
    ]


def _best_split(groups: Sequence[Sequence[int]]) -> int | None:
    """The cell that separates most pairs of hypotheses; None when no cell separates any."""
    separated: dict[int, int] = {}
    for group in groups:
        anybody, everybody = 0, -1
        for allowed in group:
            anybody |= allowed
            everybody &= allowed
        for number in bits(anybody & ~everybody):
            through, stopped = _split(group, number)
            separated[number] = separated.get(number, 0) + len(through) * len(stopped)
    return max(separated, key=lambda number: (separated[number], -number), default=None)
