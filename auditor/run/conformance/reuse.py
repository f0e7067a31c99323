"""Scenarios on pods and in namespaces that have been those of others, with other labels and under other policies.

To start pods is what takes longest, so most scenarios get pods that are there already. That an enforcer follows new
labels and policies is the very thing that some get wrong, so nothing may hang on it unseen:

- it is done only where the enforcer has just followed all such changes in time;
- all policies go first, and what a scenario is to close must then be open, so that what closes it later are its own;
- policies get as long to come into force as the slowest change took;
- a scenario that departs all the same, or stays without a verdict, is judged again on new pods, which is what counts;
  where those are right, the enforcer departs in ``reused-pods``, and in nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from auditor.loop.apart import apart
from auditor.model.scorecard import ChangeKind
from auditor.model.verdict import Result
from auditor.model.words import pluralize
from auditor.probing.options import ProbingOptions, ProbingProgress
from auditor.run.conformance.cluster_testbed import HANDLED_SECONDS, ClusterTestbed
from auditor.run.conformance.opening import still_closed
from auditor.run.conformance.pool import PooledNamespace, Seat, seat
from auditor.run.conformance.prepared_scenarios import PreparedScenario
from auditor.run.conformance.scenario_run import LOST_MEANING, ScenarioOutcome, run_scenarios

NEEDED = (ChangeKind.POD_RELABELLED, ChangeKind.NAMESPACE_RELABELLED, ChangeKind.POLICIES_CHANGED)
NOT_REUSED = "every scenario got new pods: not all changes of labels and policies were followed in time"
BY_NOW = LOST_MEANING.partition("{")[0]


def follows_changes(prepared_scenarios: Iterable[PreparedScenario], seconds: Mapping[str, float | None]) -> bool:
    """Whether changes of every kind that new scenarios on old pods take were seen to be followed, and all of them in
    time; ``seconds`` as a ScenarioOutcome has them.
    """
    taken: dict[ChangeKind, list[float | None]] = {change: [] for change in NEEDED}
    for prepared in prepared_scenarios:
        if prepared.step is not None and prepared.step.change in taken and prepared.scenario.name in seconds:
            taken[prepared.step.change].append(seconds[prepared.scenario.name])
    return all(several and None not in several for several in taken.values())


class PodsReused:
    """Judges scenarios on the pods of ``testbed``, whose own are done. ``slowest``: how many seconds a change took at
    most; ``phase`` takes the time of what it is called.

    ``facts`` says how many were judged. ``testbed`` is that of the last ones, whose policies stay in force.
    """

    def __init__(
        self,
        testbed: ClusterTestbed,
        slowest: float,
        options: ProbingOptions,
        progress: ProbingProgress,
        phase: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._pool = {pooled.name: pooled for pooled in testbed.pool()}
        self._handled = max(HANDLED_SECONDS, slowest)
        self._options = options
        self._progress = progress
        self._phase = phase
        self.testbed = testbed
        self.facts: list[str] = []

    async def judge(
        self, prepared_scenarios: Sequence[PreparedScenario]
    ) -> tuple[list[ScenarioOutcome], list[PreparedScenario]]:
        """What is seen of ``prepared_scenarios``, in as few rounds as there is room for, and those of them that are to
        be judged on new pods. May be called again, for others.
        """
        waiting, again, outcomes = list(prepared_scenarios), list[PreparedScenario](), list[ScenarioOutcome]()
        while seats := await apart(seat, waiting, list(self._pool.values())):
            seated = [prepared for prepared in waiting if prepared.scenario.name in seats]
            waiting = [prepared for prepared in waiting if prepared.scenario.name not in seats]
            outcome, doubtful = await self._round(seated, seats)
            outcomes += [] if outcome is None else [outcome]
            again += doubtful
        number = pluralize(len(prepared_scenarios) - len(waiting), "scenario")
        self.facts.append(f"{number} got pods and namespaces of others, {len(again)} of them new ones after that")
        return outcomes, [*again, *waiting]

    async def _round(
        self, seated: Sequence[PreparedScenario], seats: Mapping[str, Seat]
    ) -> tuple[ScenarioOutcome | None, list[PreparedScenario]]:
        """What is seen of ``seated`` in ``seats``, and which of them are to be judged anew."""
        await self.testbed.withdraw()
        testbed = self.testbed.for_others(seated, {name: each.nodes for name, each in seats.items()})
        self.testbed, self._pool = testbed, {**self._pool, **_after(seated, seats)}
        with self._phase("relabelling"):
            self._progress.phase(f"{pluralize(len(seated), 'scenario')} on the same pods", 0)
            await testbed.take_over(seats)
            closed = await still_closed(testbed, seated, self._options)
            ready = [prepared for prepared in seated if closed.isdisjoint(prepared.truth)]
            unready = [prepared for prepared in seated if prepared not in ready]
            await testbed.enforce(ready)
            await asyncio.sleep(self._handled)
        if not ready:
            return None, unready
        with self._phase("probing"):
            outcome = await run_scenarios(testbed, ready, self._options, self._progress)
        doubted = {each.cell for each in outcome.results if _is_doubtful(each.result, each.observation.outcome)}
        doubtful = [prepared for prepared in ready if not doubted.isdisjoint(prepared.truth)]
        but = {name for prepared in doubtful for name in prepared.snapshot.namespaces}
        return outcome.of_reused_pods(but), [*unready, *doubtful]


def _is_doubtful(result: Result, outcome: str) -> bool:
    if result is Result.SKIPPED:
        return outcome.startswith(BY_NOW)
    return result not in (Result.MATCH, Result.UNDEFINED)


def _after(seated: Iterable[PreparedScenario], seats: Mapping[str, Seat]) -> dict[str, PooledNamespace]:
    return {pooled.name: pooled for prepared in seated for pooled in seats[prepared.scenario.name].after(prepared)}
