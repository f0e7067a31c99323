"""What is expected of each cell, and how far a run has come: values that the run passes on from step to step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from auditor.cluster.interface import Cluster
from auditor.diagnosis.comparison import compare
from auditor.model.policy import NetworkPolicy
from auditor.model.report import CellResult
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell, Note, Observation, Observed, ProbingOutcome, Verdict
from auditor.policy.doubt import doubtful_cells
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import ExpectedMatrix


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the policies demand of each cell. ``doubts`` are the cells about which they can't say anything certain, with
    the reason.

    ``failed`` are the endpoints without an agent that stands for them, with the reason: whatever is seen of their cells
    means nothing.
    """

    matrix: ExpectedMatrix
    verdicts: Mapping[Cell, Verdict]
    notes: Mapping[Cell, tuple[Note, ...]]
    doubts: Mapping[Cell, str]
    failed: Mapping[str, str]

    @classmethod
    def of(cls, matrix: ExpectedMatrix, cells: Sequence[Cell], failed: Mapping[str, str]) -> Self:
        """What the policies of ``matrix`` demand of ``cells``."""
        doubts = doubtful_cells(matrix.snapshot, matrix.snapshot.unknown, cells) if matrix.snapshot.unknown else {}
        doubts |= _failing(cells, failed)
        verdicts = {cell: matrix.verdict(*cell) for cell in cells}
        return cls(matrix, verdicts, {cell: matrix.notes(*cell) for cell in cells}, doubts, dict(failed))

    def demanded(self, cell: Cell) -> Verdict | None:
        """The verdict that ``cell`` is held to; None where nothing certain is known."""
        return None if cell in self.doubts or Note.UNDEFINED in self.notes[cell] else self.verdicts[cell]

    def widened(self, cells: Sequence[Cell], failed: Mapping[str, str]) -> Self:
        """This expectation, with its doubts, and with further ``cells``."""
        wider = type(self).of(self.matrix, (*self.verdicts, *cells), failed)
        return replace(wider, doubts={**wider.doubts, **self.doubts})

    def differing(self, other: Expectation) -> set[Cell]:
        """The cells about which ``other`` says something else."""
        return {
            cell
            for cell, verdict in self.verdicts.items()
            if verdict != other.verdicts[cell]
            or self.notes[cell] != other.notes[cell]
            or (cell in self.doubts) != (cell in other.doubts)
        }


def _failing(cells: Iterable[Cell], failed: Mapping[str, str]) -> dict[Cell, str]:
    """Those of ``cells`` of which one end has ``failed``, with the reason."""
    return {cell: failed[end] for cell in cells for end in (cell.destination, cell.source) if end in failed}


@dataclass(slots=True)
class _Since:
    changed: bool = False


@dataclass(frozen=True, slots=True)
class AuditState:
    """How far a run has come: what is expected by now, and what was seen. ``former`` are the policies that were in
    force before the last change, where anybody knows.
    """

    expectation: Expectation
    outcome: ProbingOutcome
    former: tuple[NetworkPolicy, ...] | None = None
    _since: _Since = field(default_factory=_Since, compare=False, repr=False)

    async def is_outdated(self, cluster: Cluster) -> bool:
        """Whether ``cluster`` has changed since this was expected. It says so of each change once; this, from then
        on.
        """
        self._since.changed |= bool(await cluster.changes())
        return self._since.changed

    def changed_to(self, expectation: Expectation, outcome: ProbingOutcome) -> AuditState:
        """The same once the cluster has changed, so that this is expected now. Policies of before the first change are
        the former ones.
        """
        before = self.expectation.matrix.snapshot.policies
        former = self.former if before == expectation.matrix.snapshot.policies else before
        return replace(self, expectation=expectation, outcome=outcome, former=former)

    def telling(self, fact: str) -> AuditState:
        """The same with one more ``fact``."""
        return replace(self, outcome=replace(self.outcome, facts=(*self.outcome.facts, fact)))

    def failing(self, failed: Mapping[str, str]) -> AuditState:
        """The same, with all that is known by now to have ``failed``."""
        doubts = {**self.expectation.doubts, **_failing(self.expectation.verdicts, failed)}
        return replace(self, expectation=replace(self.expectation, failed=dict(failed), doubts=doubts))

    def results(self) -> tuple[CellResult, ...]:
        """Every cell with its expectation, its observation and how they compare."""
        unstable = self.outcome.unstable
        return tuple(self._result(cell, unstable=cell in unstable) for cell in self.expectation.verdicts)

    def _result(self, cell: Cell, *, unstable: bool) -> CellResult:
        expectation, seen = self.expectation, self.outcome.observations[cell]
        left_out = seen.verdict is Observed.SKIPPED and expectation.failed.keys().isdisjoint(
            (cell.source, cell.destination)
        )
        if cell in expectation.doubts and not left_out:
            seen = Observation(Observed.INCONCLUSIVE, expectation.doubts[cell], seen.history)
        result = compare(expectation.verdicts[cell], expectation.notes[cell], seen, unstable=unstable)
        return CellResult(cell, expectation.verdicts[cell], seen, result, expectation.notes[cell])


def renewed(before: ProbingOutcome, again: ProbingOutcome) -> ProbingOutcome:
    """``before`` with everything that ``again``, a later probing of some of its cells, saw."""
    seconds = Counter(before.seconds) + Counter(again.seconds)
    return ProbingOutcome(
        {**before.observations, **again.observations},
        (*(each.without(again.observations.keys()) for each in before.flapping), *again.flapping),
        tuple(dict.fromkeys((*before.facts, *again.facts))),
        before.attempts + again.attempts,
        {phase: seconds[phase] for phase in dict.fromkeys((*before.seconds, *again.seconds))},
    )


def after(states: Iterable[Snapshot], before: Expectation, failed: Mapping[str, str]) -> tuple[Expectation, set[Cell]]:
    """What is expected now, after ``states``, and every cell about which any two of them disagree: a verdict may have
    flapped.
    """
    cells = tuple(before.verdicts)
    touched: set[Cell] = set()
    expectation = before
    for state in states:
        following = Expectation.of(evaluate(state), cells, failed)
        touched |= following.differing(expectation)
        expectation = following
    return expectation, touched
