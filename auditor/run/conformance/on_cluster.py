"""Conformance on a live cluster: all scenarios side by side in namespaces of our own, in as few waves as the nodes have
room for.

A wave is up as a whole before anything is probed, so one pool of agents serves all its scenarios. Policies are created
last, once the addresses of the pods are known. However the run ends, every namespace that it made is deleted.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from auditor.cluster.kubernetes.client.config import ConnectionOptions, connect
from auditor.cluster.kubernetes.client.server import ApiServer
from auditor.cluster.kubernetes.objects import PodOptions
from auditor.cluster.kubernetes.preflight.capacity import room_for_pods
from auditor.cluster.kubernetes.reading import node_versions
from auditor.cluster.kubernetes.session.lease import Leases
from auditor.cluster.kubernetes.session.pod_status import image_facts
from auditor.cluster.kubernetes.session.scratch_namespaces import ScratchNamespaces, namespace_prefix
from auditor.loop.apart import apart
from auditor.model.errors import ClusterError
from auditor.model.scenario import Scenario
from auditor.model.scorecard import Scorecard
from auditor.model.snapshot import Namespace
from auditor.model.words import pluralize
from auditor.probing.options import ProbingOptions, ProbingProgress
from auditor.run.conformance.administrators import keep_clear_of_administrators
from auditor.run.conformance.cluster_testbed import ClusterTestbed
from auditor.run.conformance.prepared_scenarios import PreparedScenario, prepare_scenarios, within_namespaces
from auditor.run.conformance.scenario_run import ScenarioOutcome, run_scenarios
from auditor.run.conformance.scoring import score


@dataclass(slots=True)
class Wave:
    """Scenarios that are up together; ``nodes`` has, by scenario, which node of the cluster stands for which of the
    scenario's.
    """

    prepared_scenarios: list[PreparedScenario] = field(default_factory=list)
    nodes: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def pods_of(self, prepared: PreparedScenario) -> Counter[str]:
        """How many pods of ``prepared`` are on each node."""
        nodes = self.nodes[prepared.scenario.name]
        ever = {pod.name: pod for state in (prepared.start, prepared.snapshot) for pod in state.endpoints}
        return Counter(nodes[pod.node] for pod in ever.values() if pod.selectable)

    @property
    def pods(self) -> Counter[str]:
        """How many pods are on each node."""
        return sum(map(self.pods_of, self.prepared_scenarios), Counter())

    def giving_way(self, following: Wave) -> list[PreparedScenario]:
        """As many of the scenarios as must go for ``following`` to have room. To end pods takes as much of a node as to
        start them.
        """
        wanted, freed = following.pods, Counter[str]()
        going = []
        for prepared in self.prepared_scenarios:
            if not wanted - freed:
                break
            going.append(prepared)
            freed += self.pods_of(prepared)
        return going


def make_waves(prepared_scenarios: Iterable[PreparedScenario], room: Mapping[str, int]) -> list[Wave]:
    """``prepared_scenarios`` in as few waves as ``room``, the number of pods that each node takes, lets be.

    A scenario's nodes are different ones as far as there are enough, the emptiest first.
    """
    waves = [Wave()]
    for prepared in prepared_scenarios:
        _place(waves[-1], prepared, room)
        if len(waves[-1].prepared_scenarios) > 1 and any(count > room[node] for node, count in waves[-1].pods.items()):
            waves[-1].prepared_scenarios.remove(prepared)
            del waves[-1].nodes[prepared.scenario.name]
            waves.append(Wave())
            _place(waves[-1], prepared, room)
    return waves


def _place(wave: Wave, prepared: PreparedScenario, room: Mapping[str, int]) -> None:
    taken = wave.pods
    emptiest = sorted(room, key=lambda node: (taken[node] - room[node], node))
    wave.nodes[prepared.scenario.name] = {
        node: emptiest[number % len(emptiest)] for number, node in enumerate(prepared.scenario.nodes)
    }
    wave.prepared_scenarios.append(prepared)


PATIENCE = 45.0


@dataclass(frozen=True, slots=True)
class ClusterConformanceOptions:
    """Which cluster, which image for pods, how long these may take to start, and how patient probing is."""

    connection: ConnectionOptions
    image: str
    start_seconds: float = 180.0
    probing: ProbingOptions = field(default_factory=ProbingOptions)


async def conform_on_cluster(
    scenarios: Sequence[Scenario], options: ClusterConformanceOptions, progress: ProbingProgress
) -> Scorecard:
    """Run ``scenarios`` on the cluster and score its enforcer.

    Raises ClusterError when the cluster can't be used so, or when something of ours may be left there; UsageError when
    none of ``scenarios`` can be run there.
    """
    scenarios, skipped = within_namespaces(scenarios)
    run_id = secrets.token_hex(4)
    async with ApiServer(await connect(options.connection)) as api:
        run = _Run(api, run_id, options, progress)
        prepared_scenarios = await apart(prepare_scenarios, scenarios, f"{namespace_prefix(run_id)}-{{number}}-")
        around = await keep_clear_of_administrators(api, [each.snapshot for each in prepared_scenarios])
        versions = await node_versions(api)
        outcomes = await run.run(prepared_scenarios)
        traffic = {"calls": api.calls, "received": api.received, "sent": api.sent}
    began = time.monotonic()
    scored = await apart(
        score, prepared_scenarios, outcomes, scenarios, subject=f"the enforcer of the live cluster at {api.place}"
    )
    run.seconds["scoring"] = time.monotonic() - began
    return replace(
        scored,
        run_id=run_id,
        seconds=run.seconds,
        api=traffic,
        facts=(*skipped, *around, *scored.facts, *run.facts, *run.images()),
        versions=versions,
    )


class _Run:
    """One run on a cluster. ``seconds`` has the time of each phase, ``facts`` what a reader must know."""

    def __init__(
        self, api: ApiServer, run_id: str, options: ClusterConformanceOptions, progress: ProbingProgress
    ) -> None:
        self._api = api
        self._run_id = run_id
        self._options = options
        self._progress = progress
        self._scratch = ScratchNamespaces(api, run_id, PodOptions(image=options.image))
        self.seconds: dict[str, float] = {}
        self.facts: list[str] = []

    def images(self) -> Iterable[str]:
        """What there is to say of the pods' image."""
        return image_facts(self._options.image, self._scratch.images)

    async def run(self, prepared_scenarios: Sequence[PreparedScenario]) -> list[ScenarioOutcome]:
        """What was seen of ``prepared_scenarios``, wave by wave. Leaves nothing behind."""
        room = await room_for_pods(self._api)
        if not room:
            raise ClusterError(f"{self._api.place}: no node takes any more pods")
        waves = make_waves(prepared_scenarios, room)
        async with self._tenancy() as leases:
            outcomes = []
            for number, (wave, following) in enumerate(zip_longest(waves, waves[1:]), 1):
                outcomes.append(await self._wave(wave, f", wave {number} of {len(waves)}" if len(waves) > 1 else ""))
                for doubt in (await leases.doubtful()).values():
                    raise ClusterError(f"{doubt}: what was seen since then counts for nothing; run it again")
                if following is not None:
                    await self._scratch.remove(
                        name for prepared in wave.giving_way(following) for name in prepared.snapshot.namespaces
                    )
            return outcomes

    async def _wave(self, wave: Wave, which: str) -> ScenarioOutcome:
        testbed = ClusterTestbed(self._scratch, wave.prepared_scenarios, wave.nodes)
        with self._phase("starting"):
            self._progress.phase(f"starting pods{which}", testbed.size)
            await testbed.set_up(self._options.start_seconds, self._progress.advance)
        with self._phase("probing"):
            return await run_scenarios(testbed, wave.prepared_scenarios, self._options.probing, self._progress)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began

    @asynccontextmanager
    async def _tenancy(self) -> AsyncIterator[Leases]:
        """The time in which namespaces of ours are there, one of which holds the Lease that says that the
        run is alive.
        """
        home = namespace_prefix(self._run_id)
        leases = Leases(self._api, [home], self._run_id)
        try:
            self._progress.phase("making room", 0)
            await self._scratch.create_namespaces([Namespace.of(home)])
            await leases.take()
            self._api.patience = PATIENCE
            yield leases
        finally:
            await self._leave(leases, home)

    async def _leave(self, leases: Leases, home: str) -> None:
        """Take everything out, also if cancelled meanwhile; each step of it is bounded."""
        self._progress.phase("removing namespaces", 0)
        began = time.monotonic()
        leaving = asyncio.ensure_future(self._take_out(leases, home))
        cancelled = False
        while not leaving.done():
            try:
                await asyncio.wait([leaving])
            except asyncio.CancelledError:
                cancelled = True
        self.seconds["removing"] = time.monotonic() - began
        leaving.result()
        if cancelled:
            raise asyncio.CancelledError

    async def _take_out(self, leases: Leases, home: str) -> None:
        try:
            left = await self._scratch.clear(but=home)
            await leases.release()
            left += await self._scratch.clear()
        except ClusterError as error:
            raise ClusterError(f"{error}; 'audit cleanup --run {self._run_id}' removes what is left") from error
        if left:
            self.facts.append(
                f"{pluralize(len(left), 'namespace')} of ours had not quite gone in the end; the cluster is "
                "deleting them"
            )
