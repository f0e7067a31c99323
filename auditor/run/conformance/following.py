"""Changes in the middle of scenarios, and how long the enforcer takes to follow them.

All scenarios that change do so at once. First new pods come; then, once everything answers as it ought to before the other changes, these
are made. The clock of a scenario starts when the cluster has taken its change, or when its new pod runs. It stops at the beginning of the
first try with which the last of its cells answers as it ought to from then on. A cell that never answered right before tells nothing of
the change and is left out. Tries come without a pause and have a short timeout: whether their answers last is for others to see.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence

from auditor.loop.apart import apart
from auditor.model.scorecard import Change
from auditor.model.verdict import Cell, Verdict
from auditor.model.words import counted
from auditor.policy.evaluator import evaluate
from auditor.probing.agent_pool import Fleet
from auditor.probing.attempts import agrees
from auditor.probing.batches import Attempt
from auditor.probing.options import NoProgress, ProbingOptions, Progress
from auditor.probing.routes import Route, seat_cells
from auditor.run.conformance.prepared_scenarios import Trial
from auditor.run.conformance.testbed import Ground

SHORT_TIMEOUT = 0.5
PAUSE = 0.05


async def follow_changes(ground: Ground, trials: Sequence[Trial], options: ProbingOptions, progress: Progress) -> dict[str, float | None]:
    """Make the change of each of ``trials``. Seconds by scenario; None where the settle time was too short. Raises ClusterError."""
    if not trials:
        return {}
    progress.phase(f"changes in {counted(len(trials), 'scenario')}", 0)
    following = _Following(ground, options)
    new, others = ([trial for trial in trials if _brings_pod(trial) is brings] for brings in (True, False))
    await following.make(new)
    cells = await apart(lambda: [cell for trial in trials for cell in trial.changed])
    seating = seat_cells(cells, ground.seats, {**ground.absent, **ground.failed})
    if not seating.routes:
        await following.make(others)
        return {}
    nodes = {address for trial in trials for address in ground.footing(trial).snapshot.node_addresses}
    async with Fleet(seating.seats, ground.open, options, NoProgress(), nodes) as fleet:
        await fleet.start(seating.listeners, (), following.timeout)
        first = {**await apart(following.expected, new, after=True), **await apart(following.expected, others, after=False)}
        reached = await following.until(fleet, seating.routes, first)
        await following.make(others)
        expected = await apart(following.expected, others, after=True)
        held = {cell: verdict for cell, verdict in expected.items() if cell in reached}
        followed = await following.until(fleet, seating.routes, held)
    return {**following.seconds(new, seating.routes, reached), **following.seconds(others, held, followed)}


def _brings_pod(trial: Trial) -> bool:
    return trial.step is not None and trial.step.change is Change.POD_CREATED


class _Following:
    """The changes of one course, and when each was made."""

    def __init__(self, ground: Ground, options: ProbingOptions) -> None:
        self._ground = ground
        self._patience = max(options.settle, options.timeout)
        self._made: dict[str, float] = {}
        self.timeout = min(SHORT_TIMEOUT, options.timeout)

    async def make(self, trials: Sequence[Trial]) -> None:
        """Make the change in each of ``trials``."""

        async def make(trial: Trial) -> None:
            await self._ground.change(trial)
            self._made[trial.scenario.name] = time.monotonic()

        async with asyncio.TaskGroup() as tasks:
            for trial in trials:
                tasks.create_task(make(trial))

    def expected(self, trials: Sequence[Trial], *, after: bool) -> dict[Cell, Verdict]:
        """What each cell that a change concerns ought to answer, before the change or after it."""
        found: dict[Cell, Verdict] = {}
        for trial in trials:
            footing = self._ground.footing(trial)
            state = footing.snapshot if after else footing.before
            if state is not None:
                matrix = evaluate(state)
                found |= {cell: matrix.verdict(*cell) for cell in trial.changed}
        return found

    async def until(self, fleet: Fleet, routes: Mapping[Cell, Route], expected: Mapping[Cell, Verdict]) -> dict[Cell, float]:
        """Try until every cell has answered as expected, or the settle time is over; when the try began with which each did."""
        reached: dict[Cell, float] = {}
        pending = [cell for cell in expected if cell in routes]
        deadline = time.monotonic() + self._patience
        while pending and time.monotonic() < deadline:
            fired = time.monotonic()
            volley = [Attempt(routes[cell].source.name, routes[cell].destination.name, routes[cell].aim) for cell in pending]
            tries = await fleet.fire(volley, self.timeout)
            reached |= {cell: fired for cell, one in zip(pending, tries, strict=True) if agrees(expected[cell], one)}
            pending = [cell for cell in pending if cell not in reached]
            await asyncio.sleep(PAUSE)
        return reached

    def seconds(self, trials: Sequence[Trial], watched: Collection[Cell], reached: Mapping[Cell, float]) -> dict[str, float | None]:
        """How long each change took, where any of its cells was ``watched``; None where one of them was not ``reached``."""
        found: dict[str, float | None] = {}
        for trial in trials:
            cells = [cell for cell in trial.changed if cell in watched]
            if cells:
                times = [reached[cell] for cell in cells if cell in reached]
                made = self._made[trial.scenario.name]
                found[trial.scenario.name] = max(0.0, max(times) - made) if len(times) == len(cells) else None
        return found
