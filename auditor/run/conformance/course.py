"""One course over a ground: the changes, each timed until it has come into force, and then every cell of every scenario.

The clock of a change starts when the cluster has taken it, or when the new pod runs. It stops for a cell at the beginning of the first try
that answers as it ought to by then, and for the scenario with the last of its cells. What changed is tried without a pause and with a short
timeout; whether it is right is left to the probing at the end, which is patient.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from auditor.diagnosis.comparison import compare
from auditor.model.report import CellResult
from auditor.model.scorecard import Change
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell, Note, Observation, Observed, Verdict
from auditor.model.words import counted
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import ExpectedMatrix
from auditor.probing.batches import Attempt
from auditor.probing.campaign import probe
from auditor.probing.fleet import Fleet
from auditor.probing.options import NoProgress, ProbingOptions, Progress
from auditor.probing.seating import Route, seat_cells
from auditor.probing.tries import agrees
from auditor.run.conformance.ground import Ground
from auditor.run.conformance.trial import Trial

SHORT_TIMEOUT = 0.5
PAUSE = 0.05
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
    """Make the changes of ``trials``, kind by kind, then probe all cells of all of them. Raises ClusterError."""
    seconds: dict[str, float | None] = {}
    for change in Change:
        concerned = [trial for trial in trials if trial.step is not None and trial.step.change is change]
        if concerned:
            seconds |= await _Following(ground, concerned, options, progress).run(change)
    return replace(await _probe_all(ground, trials, options, progress), seconds=seconds)


async def _probe_all(ground: Ground, trials: Sequence[Trial], options: ProbingOptions, progress: Progress) -> Outcome:
    snapshot = merged([ground.footing(trial).snapshot for trial in trials])
    matrix = evaluate(snapshot)
    void = lost_meaning(matrix, trials, ground.absent)
    cells = [cell for trial in trials for cell in trial.truth]
    probed = [cell for cell in cells if cell not in void]
    notes = {cell: matrix.notes(*cell) for cell in cells}

    def demanded(cell: Cell) -> Verdict | None:
        return None if Note.UNDEFINED in notes[cell] else matrix.verdict(*cell)

    outcome = await probe(probed, ground.seats, ground.open, demanded, options, progress, absent=ground.absent)
    skipped = {cell: Observation(Observed.SKIPPED, reason) for cell, reason in void.items()}
    seen = {**outcome.observations, **skipped}
    results = [
        CellResult(
            cell,
            matrix.verdict(*cell),
            seen[cell],
            compare(matrix.verdict(*cell), notes[cell], seen[cell], unstable=cell in outcome.unstable),
            notes[cell],
        )
        for cell in cells
    ]
    return Outcome(snapshot, tuple(results), {}, (*ground.facts, *outcome.facts), outcome.attempts)


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


class _Following:
    """Changes of one kind, made in several trials at once and followed until they have come into force."""

    def __init__(self, ground: Ground, trials: Sequence[Trial], options: ProbingOptions, progress: Progress) -> None:
        self._ground = ground
        self._trials = trials
        self._options = options
        self._progress = progress
        self._timeout = min(SHORT_TIMEOUT, options.timeout)
        self._cells = {cell: trial for trial in trials for cell in trial.changed}
        self._made: dict[str, float] = {}
        self._reached: dict[Cell, float] = {}

    async def run(self, change: Change) -> dict[str, float | None]:
        """Seconds by scenario; None where the settle time was too short."""
        self._progress.phase(f"{change}, in {counted(len(self._trials), 'scenario')}", 0)
        comes_later = change is Change.POD_CREATED
        if comes_later:
            await self._make()
        seating = seat_cells(self._cells, self._ground.seats, self._ground.absent)
        if not seating.routes:
            if not comes_later:
                await self._make()
            return {}
        async with Fleet(seating.seats, self._ground.open, self._options, NoProgress()) as fleet:
            await fleet.start(seating.listeners, (), self._timeout)
            if not comes_later:
                await self._until_reached(fleet, seating.routes, self._expected(before=True))
                self._reached.clear()
                await self._make()
            await self._until_reached(fleet, seating.routes, self._expected(before=False))
        return {
            trial.scenario.name: self._seconds(trial, seating.routes) for trial in self._trials if self._has_routes(trial, seating.routes)
        }

    async def _make(self) -> None:
        """Make the change in every trial."""

        async def make(trial: Trial) -> None:
            await self._ground.change(trial)
            self._made[trial.scenario.name] = time.monotonic()

        async with asyncio.TaskGroup() as tasks:
            for trial in self._trials:
                tasks.create_task(make(trial))

    def _expected(self, *, before: bool) -> dict[Cell, Verdict]:
        """What each cell ought to answer, before the changes or after."""
        found: dict[Cell, Verdict] = {}
        for trial in self._trials:
            footing = self._ground.footing(trial)
            state = footing.before if before else footing.snapshot
            assert state is not None  # noqa: S101 - only trials with a change are followed
            matrix = evaluate(state)
            found |= {cell: matrix.verdict(*cell) for cell in trial.changed}
        return found

    async def _until_reached(self, fleet: Fleet, routes: Mapping[Cell, Route], expected: Mapping[Cell, Verdict]) -> None:
        """Try until every cell has answered as expected, or the settle time is over; when each did goes to ``_reached``."""
        pending = list(routes)
        deadline = time.monotonic() + max(self._options.settle, self._timeout)
        while pending and time.monotonic() < deadline:
            fired = time.monotonic()
            volley = [Attempt(routes[cell].source.name, routes[cell].destination.name, routes[cell].aim) for cell in pending]
            tries = await fleet.fire(volley, self._timeout)
            self._reached |= {cell: fired for cell, one in zip(pending, tries, strict=True) if agrees(expected[cell], one)}
            pending = [cell for cell in pending if cell not in self._reached]
            await asyncio.sleep(PAUSE)

    @staticmethod
    def _has_routes(trial: Trial, routes: Mapping[Cell, Route]) -> bool:
        return any(cell in routes for cell in trial.changed)

    def _seconds(self, trial: Trial, routes: Mapping[Cell, Route]) -> float | None:
        cells = [cell for cell in trial.changed if cell in routes]
        if any(cell not in self._reached for cell in cells):
            return None
        return max(0.0, max(self._reached[cell] for cell in cells) - self._made[trial.scenario.name])
