"""Changes in the middle of scenarios, and how long the enforcer takes to follow them.

All scenarios that change do so at once. First new pods come, some in the place of others; then, once everything
answers as it ought to before the other changes, these are made. The clock of a scenario starts when the cluster has
taken its change, or when its new pod runs. It stops at the beginning of the first try with which the last of its cells
answers as it ought to from then on. A cell that never answered right before says nothing about the change and is left
out. Tries come without a pause and have a short timeout: whether their answers last is for others to see.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from auditor.loop.apart import apart
from auditor.model.addresses import IPAddress
from auditor.model.ports import Protocol
from auditor.model.probe_pod import AfterStart
from auditor.model.scorecard import ChangeKind
from auditor.model.verdict import Cell, Verdict
from auditor.model.words import pluralize
from auditor.policy.evaluator import evaluate
from auditor.probing.agent_pool import AgentPool
from auditor.probing.attempts import Answer, Listener, agrees
from auditor.probing.batches import Attempt
from auditor.probing.options import NoProgress, ProbingOptions, ProbingProgress
from auditor.probing.routes import Route, route_cells
from auditor.probing.sites import ProbeSite
from auditor.probing.starts import Starts
from auditor.run.conformance.prepared_scenarios import PreparedScenario
from auditor.run.conformance.testbed import Testbed

SHORT_TIMEOUT = 0.5
PAUSE = 0.05
ASKING_PAUSE = 0.25
CLOSED_SECONDS = 1.0
"""How long a new pod must have met closed doors until it is no longer waited for what else it may see."""


class Followed(NamedTuple):
    """How long the change of each scenario took (None: longer than the settle time), and how long after new pods ran
    those of their connections that should be denied were still open.
    """

    seconds: Mapping[str, float | None]
    open_seconds: Mapping[Cell, float]


NOTHING = Followed({}, {})


async def follow_changes(
    testbed: Testbed, prepared_scenarios: Sequence[PreparedScenario], options: ProbingOptions, progress: ProbingProgress
) -> Followed:
    """Make the change of each of ``prepared_scenarios``. Raises ClusterError."""
    if not prepared_scenarios:
        return NOTHING
    progress.phase(f"changes in {pluralize(len(prepared_scenarios), 'scenario')}", 0)
    following = _Following(testbed, options)
    new, others = (
        [prepared for prepared in prepared_scenarios if _is_at_new_pod(prepared) is brings] for brings in (True, False)
    )
    at_start = await following.make_at_start(new)
    cells = await apart(lambda: [cell for prepared in prepared_scenarios for cell in prepared.changed])
    routing = route_cells(cells, testbed.sites, {**testbed.absent, **testbed.failed})
    if not routing.routes:
        await following.make(others)
        return Followed({}, at_start)
    nodes = {address for prepared in prepared_scenarios for address in testbed.actual(prepared).snapshot.node_addresses}
    async with AgentPool(routing.sites, testbed.open, options, NoProgress(), nodes) as pool:
        await pool.start(routing.listeners, (), following.timeout)
        first = {
            **await apart(following.expected, new, after=True),
            **await apart(following.expected, others, after=False),
        }
        reached = await following.until(pool, routing.routes, first)
        later = following.open_seconds(new, routing.routes, pool.started)
        open_seconds = {cell: max(seconds.get(cell, 0.0) for seconds in (at_start, later)) for cell in at_start | later}
        await following.make(others)
        expected = await apart(following.expected, others, after=True)
        held = {cell: verdict for cell, verdict in expected.items() if cell in reached}
        followed = await following.until(pool, routing.routes, held)
    seconds = {**following.seconds(new, routing.routes, reached), **following.seconds(others, held, followed)}
    return Followed(seconds, open_seconds)


def _is_at_new_pod(prepared: PreparedScenario) -> bool:
    return prepared.step is not None and prepared.step.is_at_new_pod


def _replaces_pod(prepared: PreparedScenario) -> bool:
    return prepared.step is not None and prepared.step.change is ChangeKind.POD_REPLACED


def _changes_verdicts(prepared: PreparedScenario) -> bool:
    """Whether it can be seen to come into force. Where a rule loses its last peer, all stays as it was."""
    return prepared.step is not None and prepared.step.change is not ChangeKind.LAST_PEER_DELETED


def _at_start(
    prepared_scenarios: Sequence[PreparedScenario], sites: Sequence[ProbeSite]
) -> tuple[dict[str, dict[Cell, tuple[IPAddress, int]]], dict[str, list[Listener]]]:
    """What each pod that is to come can try from its start on, of what is to be denied over TCP; and where those that
    are there must listen for that.
    """
    there = {site.name: site for site in sites if site.created is not None}
    targets: dict[str, dict[Cell, tuple[IPAddress, int]]] = defaultdict(dict)
    listeners: dict[str, list[Listener]] = defaultdict(list)
    for prepared in prepared_scenarios:
        assert prepared.step is not None  # noqa: S101 - only scenarios with a change are followed
        stay = {pod.name for pod in prepared.step.before.endpoints if pod in prepared.step.after.endpoints}
        for cell in prepared.changed:
            site = there.get(cell.destination)
            address = next((one for one in site.addresses if one.version == cell.family.value), None) if site else None
            denied = prepared.truth[cell] is Verdict.DENIED and cell.protocol is Protocol.TCP
            if denied and address is not None and cell.destination in stay and cell.source not in stay:
                targets[cell.source][cell] = (address, cell.port)
                listeners[cell.destination].append(Listener(cell.destination, cell.protocol, cell.port, cell.family))
    return targets, listeners


def _is_open_lately(one: AfterStart) -> bool:
    return one.open_until is not None and one.age - one.open_until < CLOSED_SECONDS


class _Following:
    """The changes of one run, and when each was made."""

    def __init__(self, testbed: Testbed, options: ProbingOptions) -> None:
        self._testbed = testbed
        self._options = options
        self._patience = max(options.settle, options.timeout)
        self._made: dict[str, float] = {}
        self._open: dict[Cell, float] = {}
        self.timeout = min(SHORT_TIMEOUT, options.timeout)

    async def make_at_start(self, prepared_scenarios: Sequence[PreparedScenario]) -> dict[Cell, float]:
        """Make the change in each of ``prepared_scenarios``, which brings a pod that tries what is to be denied from
        its first moment on, where it can; how long after its start each connection was open then.
        """
        targets, listeners = _at_start(prepared_scenarios, self._testbed.sites)
        if not targets:
            await self._make_new(prepared_scenarios)
            return {}
        sites = [site for site in self._testbed.sites if site.name in listeners]
        async with AgentPool(sites, self._testbed.open, self._options, NoProgress()) as pool:
            await pool.start(listeners, (), self.timeout)
            self._testbed.try_from_start(targets)
            await self._make_new(prepared_scenarios)
            deadline = time.monotonic() + self._patience
            seen = await self._testbed.open_after_start()
            while any(map(_is_open_lately, seen.values())) and time.monotonic() < deadline:
                await asyncio.sleep(ASKING_PAUSE)
                seen = await self._testbed.open_after_start()
        denied = await apart(self._denied_from_start, prepared_scenarios)
        return {cell: one.open_until for cell, one in seen.items() if one.open_until is not None and cell in denied}

    def _denied_from_start(self, prepared_scenarios: Iterable[PreparedScenario]) -> set[Cell]:
        """What is to be denied at the addresses that pods got, by policies that were there before new pods."""
        settled = [each for each in prepared_scenarios if each.scenario.name not in self._testbed.followed_addresses]
        return {cell for cell, verdict in self.expected(settled, after=True).items() if verdict is Verdict.DENIED}

    async def _make_new(self, prepared_scenarios: Sequence[PreparedScenario]) -> None:
        """Replace pods, which takes long, and then have others come: their clock starts last."""
        for replaces in (True, False):
            await self.make([prepared for prepared in prepared_scenarios if _replaces_pod(prepared) is replaces])

    async def make(self, prepared_scenarios: Sequence[PreparedScenario]) -> None:
        """Make the change in each of ``prepared_scenarios``."""

        async def make(prepared: PreparedScenario) -> None:
            await self._testbed.change(prepared)
            self._made[prepared.scenario.name] = time.monotonic()

        async with asyncio.TaskGroup() as tasks:
            for prepared in prepared_scenarios:
                tasks.create_task(make(prepared))

    def expected(self, prepared_scenarios: Iterable[PreparedScenario], *, after: bool) -> dict[Cell, Verdict]:
        """What each cell that a change concerns ought to answer, before the change or after it."""
        found: dict[Cell, Verdict] = {}
        for prepared in prepared_scenarios:
            actual = self._testbed.actual(prepared)
            state = actual.snapshot if after else actual.before
            if state is not None:
                matrix = evaluate(state)
                found |= {cell: matrix.verdict(*cell) for cell in prepared.changed}
        return found

    async def until(
        self, pool: AgentPool, routes: Mapping[Cell, Route], expected: Mapping[Cell, Verdict]
    ) -> dict[Cell, float]:
        """Try until every cell has answered as expected, or the settle time is over; when the try began with which each
        did.
        """
        reached: dict[Cell, float] = {}
        pending = [cell for cell in expected if cell in routes]
        deadline = time.monotonic() + self._patience
        while pending and time.monotonic() < deadline:
            fired = time.monotonic()
            probe_round = [
                Attempt(routes[cell].source.name, routes[cell].destination.name, routes[cell].target)
                for cell in pending
            ]
            tries = await pool.fire(probe_round, self.timeout)
            self._open |= {
                cell: fired
                for cell, one in zip(pending, tries, strict=True)
                if expected[cell] is Verdict.DENIED and one.answer is Answer.ALLOWED
            }
            reached |= {cell: fired for cell, one in zip(pending, tries, strict=True) if agrees(expected[cell], one)}
            pending = [cell for cell in pending if cell not in reached]
            await asyncio.sleep(PAUSE)
        return reached

    def open_seconds(
        self,
        prepared_scenarios: Iterable[PreparedScenario],
        routes: Mapping[Cell, Route],
        started: Callable[[str], float | None],
    ) -> dict[Cell, float]:
        """How long after the younger of its ends ``started``, or after its scenario's change where that isn't known or
        policies changed with it, each connection that should be denied was still seen open.
        """
        starts = Starts(started, routes)
        found: dict[Cell, float] = {}
        for prepared in prepared_scenarios:
            name = prepared.scenario.name
            for cell in filter(self._open.__contains__, prepared.changed):
                moment = self._open[cell]
                before = 0.0 if name in self._testbed.followed_addresses else starts.before(moment, cell)
                found[cell] = max(0.0, moment - self._made[name], before)
        return found

    def seconds(
        self, prepared_scenarios: Sequence[PreparedScenario], watched: Collection[Cell], reached: Mapping[Cell, float]
    ) -> dict[str, float | None]:
        """How long each change took, where any of its cells was ``watched``; None where one of them was not
        ``reached``.
        """
        found: dict[str, float | None] = {}
        for prepared in filter(_changes_verdicts, prepared_scenarios):
            cells = [cell for cell in prepared.changed if cell in watched]
            if cells:
                times = [reached[cell] for cell in cells if cell in reached]
                made = self._made[prepared.scenario.name]
                found[prepared.scenario.name] = max(0.0, max(times) - made) if len(times) == len(cells) else None
        return found
