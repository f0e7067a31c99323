"""One course over a ground: the changes, each timed until it has come into force, and then every cell of every scenario."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from auditor.diagnosis.comparison import compare
from auditor.loop.apart import apart
from auditor.model.report import CellResult
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell, Note, Observation, Observed, Verdict
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import ExpectedMatrix
from auditor.probing.options import ProbingOptions, Progress
from auditor.probing.probe_run import ProbingOutcome, probe
from auditor.run.conformance.following import follow_changes
from auditor.run.conformance.prepared_scenarios import Trial
from auditor.run.conformance.testbed import Ground

LOST_MEANING = "what could be set up here does not mean the same: by the policies, {} is {}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a course saw. ``snapshot`` is everything that was there in the end, under its translated names.

    ``seconds`` is, by scenario, how long its change took to come into force; None where it did not.
    """

    snapshot: Snapshot
    results: tuple[CellResult, ...]
    seconds: Mapping[str, float | None] = field(default_factory=dict)
    facts: tuple[str, ...] = ()
    attempts: int = 0


async def run_course(ground: Ground, trials: Sequence[Trial], options: ProbingOptions, progress: Progress) -> Outcome:
    """Make the changes of ``trials``, then probe all cells of all of them. Raises ClusterError."""
    seconds = await follow_changes(ground, [trial for trial in trials if trial.step is not None], options, progress)
    return replace(await _probe_all(ground, trials, options, progress), seconds=seconds)


async def _probe_all(ground: Ground, trials: Sequence[Trial], options: ProbingOptions, progress: Progress) -> Outcome:
    snapshots = [ground.footing(trial).snapshot for trial in trials]
    absent, failed = dict(ground.absent), dict(ground.failed)
    expectation = await apart(_expect, snapshots, trials, absent, failed)
    cells, translators = expectation.probed, expectation.snapshot.node_addresses
    demanded, witnesses = expectation.demanded, ground.witnesses
    outcome = await probe(
        cells, ground.seats, ground.open, demanded, options, progress, absent=absent, translators=translators, witnesses=witnesses
    )
    results = await apart(expectation.results, outcome)
    return Outcome(expectation.snapshot, results, {}, (*ground.facts, *outcome.facts), outcome.attempts)


@dataclass(frozen=True, slots=True)
class _Expectation:
    """What is expected of the cells of all trials together, and which of them need not be probed."""

    snapshot: Snapshot
    matrix: ExpectedMatrix
    notes: Mapping[Cell, tuple[Note, ...]]
    unseen: Mapping[Cell, Observation]

    @property
    def probed(self) -> list[Cell]:
        return [cell for cell in self.notes if cell not in self.unseen]

    def demanded(self, cell: Cell) -> Verdict | None:
        return None if Note.UNDEFINED in self.notes[cell] else self.matrix.verdict(*cell)

    def results(self, outcome: ProbingOutcome) -> tuple[CellResult, ...]:
        seen, unstable = {**outcome.observations, **self.unseen}, outcome.unstable
        found = []
        for cell, notes in self.notes.items():
            expected = self.matrix.verdict(*cell)
            found.append(CellResult(cell, expected, seen[cell], compare(expected, notes, seen[cell], unstable=cell in unstable), notes))
        return tuple(found)


def _expect(snapshots: Sequence[Snapshot], trials: Sequence[Trial], absent: Mapping[str, str], failed: Mapping[str, str]) -> _Expectation:
    snapshot = merged(snapshots)
    matrix = evaluate(snapshot)
    notes = {cell: matrix.notes(*cell) for trial in trials for cell in trial.truth}
    return _Expectation(snapshot, matrix, notes, _unseen(trials, matrix, absent, failed))


def _unseen(
    trials: Sequence[Trial], matrix: ExpectedMatrix, absent: Mapping[str, str], failed: Mapping[str, str]
) -> dict[Cell, Observation]:
    """What need not be probed: the cells of scenarios that mean something else here, and those of pods that ought to run and don't."""
    unseen: dict[Cell, Observation] = {}
    for trial in trials:
        for cell in trial.truth:
            ends = [end for end in (cell.destination, cell.source) if end in failed]
            if ends and absent.keys().isdisjoint((cell.source, cell.destination)):
                unseen[cell] = Observation(Observed.INCONCLUSIVE, failed[ends[0]])
    void = lost_meaning(matrix, trials, {*absent, *failed})
    return {**unseen, **{cell: Observation(Observed.SKIPPED, reason) for cell, reason in void.items()}}


def lost_meaning(matrix: ExpectedMatrix, trials: Sequence[Trial], absent: Collection[str]) -> dict[Cell, str]:
    """The cells of those trials whose policies do not say, where they stand now, what their truth table demands, with the reason.

    What ends at an ``absent`` endpoint is not tried anyway, and so does not count.
    """
    void: dict[Cell, str] = {}
    for trial in trials:
        tried = ((cell, verdict) for cell, verdict in trial.truth.items() if cell.source not in absent and cell.destination not in absent)
        wrong = next((cell for cell, verdict in tried if matrix.verdict(*cell) is not verdict), None)
        if wrong is not None:
            void |= dict.fromkeys(trial.truth, LOST_MEANING.format(wrong, matrix.verdict(*wrong)))
    return void


def merged(snapshots: Sequence[Snapshot]) -> Snapshot:
    """All of ``snapshots``, which share no name, as one."""
    return Snapshot(
        namespaces={name: namespace for snapshot in snapshots for name, namespace in snapshot.namespaces.items()},
        endpoints=tuple(endpoint for snapshot in snapshots for endpoint in snapshot.endpoints),
        policies=tuple(policy for snapshot in snapshots for policy in snapshot.policies),
    )
