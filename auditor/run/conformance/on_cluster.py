"""Conformance on a live cluster: scenarios side by side in namespaces of our own, in as few waves as the nodes have
room for, and then others in the same namespaces (``auditor.run.conformance.reuse``).

A wave is up as a whole before anything is probed, so one pool of agents serves all its scenarios. Policies are created
last, once the addresses of the pods are known. However the run ends, the cluster is told to delete every namespace that
it made.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

from auditor.cluster.kubernetes.client.config import connect
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.client.server import ApiServer
from auditor.cluster.kubernetes.objects import PodOptions
from auditor.cluster.kubernetes.preflight.capacity import room_for_pods
from auditor.cluster.kubernetes.reading import inner_addresses, read_nodes, versions_on
from auditor.cluster.kubernetes.session.lease import Leases
from auditor.cluster.kubernetes.session.pod_status import image_facts
from auditor.cluster.kubernetes.session.scratch_admin_policies import ScratchAdminPolicies
from auditor.cluster.kubernetes.session.scratch_namespaces import ScratchNamespaces, namespace_prefix
from auditor.loop.apart import apart
from auditor.model.errors import ClusterError
from auditor.model.scenario import Scenario
from auditor.model.scorecard import Scorecard
from auditor.model.snapshot import Namespace
from auditor.model.words import pluralize
from auditor.probing.options import ProbingOptions, ProbingProgress
from auditor.run.conformance.admin_section import AdminSection, one_default_each, plan_admin_section
from auditor.run.conformance.administrators import keep_clear_of_administrators
from auditor.run.conformance.cluster_testbed import HANDLED_SECONDS, ClusterTestbed
from auditor.run.conformance.prepared_scenarios import (
    PreparedScenario,
    apart_by_tiers,
    prepare_scenarios,
    refuse_nothing,
    skipped,
)
from auditor.run.conformance.reuse import NOT_REUSED, PodsReused, follows_changes
from auditor.run.conformance.scenario_run import ScenarioOutcome, run_scenarios
from auditor.run.conformance.scoring import score
from auditor.run.conformance.services_tried import tried_through_services
from auditor.run.conformance.waves import Wave, divided, make_waves
from auditor.run.service_plan import node_endpoints

PATIENCE = 45.0
NOT_ASKED_FOR = (
    "policies of administrators are for the whole cluster, other people's pods included; --admin-policies runs them, "
    "where nothing else in the cluster matters; so does --lab, on the lab"
)


@dataclass(frozen=True, slots=True)
class ClusterConformanceOptions:
    """Which cluster, which image for pods, how long these may take to start, and how patient probing is.

    ``admin_policies``: policies of administrators are tried, too, since nothing else in the cluster matters.
    """

    connection: ConnectionOptions
    image: str
    start_seconds: float = 180.0
    probing: ProbingOptions = field(default_factory=ProbingOptions)
    admin_policies: bool = False


async def conform_on_cluster(
    scenarios: Sequence[Scenario], options: ClusterConformanceOptions, progress: ProbingProgress
) -> Scorecard:
    """Run ``scenarios`` on the cluster and score its enforcer.

    Raises ClusterError when the cluster can't be used so, or when something of ours may be left there; UsageError when
    none of ``scenarios`` can be run there.
    """
    plain, tiered = apart_by_tiers(scenarios)
    section = AdminSection(facts=() if options.admin_policies else skipped(tiered, NOT_ASKED_FOR))
    refuse_nothing((*plain, *(tiered if options.admin_policies else ())), section.facts)
    run_id = secrets.token_hex(4)
    prefix = f"{namespace_prefix(run_id)}-{{number}}-"
    async with ApiServer(await connect(options.connection)) as api:
        if options.admin_policies:
            section = await plan_admin_section(api, tiered)
        scenarios = [*plain, *section.scenarios]
        refuse_nothing(scenarios, section.facts)
        run = _Run(api, run_id, options, progress, ScratchAdminPolicies(api, run_id, section.served))
        prepared_scenarios = await apart(prepare_scenarios, plain, prefix)
        prepared_scenarios += section.prepare(prefix, run_id, len(prepared_scenarios))
        around = await keep_clear_of_administrators(api, [each.snapshot for each in prepared_scenarios])
        there = await read_nodes(api)
        run.inner_addresses = inner_addresses(there)
        outcomes = await run.run(prepared_scenarios)
        traffic = {"calls": api.calls, "received": api.received, "sent": api.sent}
    began = time.monotonic()
    scored = await apart(
        score, prepared_scenarios, outcomes, scenarios, subject=f"the enforcer of the live cluster at {api.place}"
    )
    seen = [fact for outcome in outcomes for fact in outcome.facts]
    run.seconds["scoring"] = time.monotonic() - began
    return replace(
        scored,
        run_id=run_id,
        seconds=run.seconds,
        api=traffic,
        facts=tuple(dict.fromkeys((*section.facts, *around, *seen, *run.facts, *run.images()))),
        versions=versions_on(there),
    )


class _Run:
    """One run on a cluster. ``seconds`` has the time of each phase, ``facts`` what a reader must know."""

    def __init__(
        self,
        api: ApiServer,
        run_id: str,
        options: ClusterConformanceOptions,
        progress: ProbingProgress,
        administrators: ScratchAdminPolicies,
    ) -> None:
        self._administrators = administrators
        self._api = api
        self._run_id = run_id
        self._options = options
        self._progress = progress
        self._scratch = ScratchNamespaces(api, run_id, PodOptions(image=options.image, numbered=True))
        self.inner_addresses: Mapping[str, Sequence[str]] = {}
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
        plain = [prepared for prepared in prepared_scenarios if not prepared.snapshot.admin_policies]
        tiered = [prepared for prepared in prepared_scenarios if prepared.snapshot.admin_policies]
        async with self._tenancy() as leases:
            outcomes, standing = await self._within_namespaces(plain, room, leases) if plain else ([], None)
            return outcomes + await self._under_administrators(tiered, room, leases, standing)

    async def _within_namespaces(
        self, prepared_scenarios: Sequence[PreparedScenario], room: Mapping[str, int], leases: Leases
    ) -> tuple[list[ScenarioOutcome], Wave]:
        """What was seen of ``prepared_scenarios``, whose policies stand in namespaces, and what is up in the end."""
        own, later = divided(prepared_scenarios)
        waves = make_waves(own, room)
        if len(waves) > 1:
            waves, later = make_waves(prepared_scenarios, room), ()
        (*_, (testbed, _)) = seen = await self._on_new_pods(waves, room, leases, later)
        standing = waves[-1]
        outcomes = [outcome for _, outcome in seen]
        outcomes[-1] = await self._through_services(testbed, outcomes[-1])
        await _check(leases)
        if later:
            reused, later = await self._on_pods_of_others(testbed, own, later, outcomes[0].seconds)
            await _check(leases)
            outcomes += reused
        if later:
            waves = make_waves(later, room)
            seen = await self._on_new_pods(waves, room, leases, (), standing)
            standing = standing.beside(waves[-1])
            outcomes += [outcome for _, outcome in seen]
        return outcomes, standing

    async def _under_administrators(
        self,
        prepared_scenarios: Sequence[PreparedScenario],
        room: Mapping[str, int],
        leases: Leases,
        standing: Wave | None,
    ) -> list[ScenarioOutcome]:
        """What was seen of ``prepared_scenarios``, which have policies of administrators, on new pods. These policies
        are gone afterwards, or it is a fact that they aren't.
        """
        outcomes: list[ScenarioOutcome] = []
        for group in one_default_each(prepared_scenarios):
            waves = make_waves(group, room)
            seen = await self._on_new_pods(waves, room, leases, (), standing)
            standing = waves[-1]
            outcomes += [outcome for _, outcome in seen]
            await self._administrators.take_back()
        return outcomes

    async def _through_services(self, testbed: ClusterTestbed, outcome: ScenarioOutcome) -> ScenarioOutcome:
        """``outcome`` with what comes of some of its connections through Services, while its policies are in force."""
        nodes = node_endpoints((), testbed.sites)
        with self._phase("through Services"):
            return await tried_through_services(testbed, nodes, outcome, self._options.probing, self._progress)

    async def _on_pods_of_others(
        self,
        testbed: ClusterTestbed,
        own: Sequence[PreparedScenario],
        later: Sequence[PreparedScenario],
        seconds: Mapping[str, float | None],
    ) -> tuple[list[ScenarioOutcome], Sequence[PreparedScenario]]:
        """What is seen of ``later`` on the pods of ``testbed``, whose ``own`` scenarios are done, with changes that
        took ``seconds``; and those of ``later`` that are to be judged on new ones.
        """
        if not follows_changes(own, seconds):
            self.facts.append(NOT_REUSED)
            return [], later
        slowest = max(filter(None, seconds.values()), default=0.0)
        reused = PodsReused(testbed, slowest, self._options.probing, self._progress, self._phase)
        outcomes, again = await reused.judge(later)
        self.facts += reused.facts
        return outcomes, again

    async def _on_new_pods(
        self,
        waves: Sequence[Wave],
        room: Mapping[str, int],
        leases: Leases,
        later: Sequence[PreparedScenario],
        standing: Wave | None = None,
    ) -> list[tuple[ClusterTestbed, ScenarioOutcome]]:
        """The testbed and outcome of each of ``waves``, in turn. ``standing`` is what is there already; ``later`` may
        stand on the pods of the last.
        """
        seen = []
        for number, wave in enumerate(waves, 1):
            if standing is not None:
                going = standing.giving_way(wave, room)
                await self._scratch.remove(name for prepared in going for name in prepared.snapshot.namespaces)
            standing = wave
            testbed = ClusterTestbed(self._scratch, wave.prepared_scenarios, wave.nodes, later, self.inner_addresses)
            which = f", wave {number} of {len(waves)}" if len(waves) > 1 else ""
            seen.append((testbed, await self._wave(testbed, wave.prepared_scenarios, which)))
            await _check(leases)
        return seen

    async def _wave(
        self, testbed: ClusterTestbed, prepared_scenarios: Sequence[PreparedScenario], which: str
    ) -> ScenarioOutcome:
        with self._phase("starting"):
            self._progress.phase(f"starting pods{which}", testbed.size)
            await testbed.set_up(self._options.start_seconds, self._progress.advance)
            policies = [policy for prepared in prepared_scenarios for policy in prepared.snapshot.admin_policies]
            if policies:
                await self._administrators.put(policies)
                await asyncio.sleep(HANDLED_SECONDS)
        with self._phase("probing"):
            return await run_scenarios(testbed, prepared_scenarios, self._options.probing, self._progress)

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
            try:
                policies = await self._administrators.take_back()
            finally:  # the garbage collector takes them with their owner, too
                _, left = await self._scratch.clear(but=home)
                await leases.release()
                going, left_now = await self._scratch.clear()
                left = sorted({*left, *left_now} - {*going})
        except ClusterError as error:
            raise ClusterError(f"{error}; 'audit cleanup --run {self._run_id}' removes what is left") from error
        if policies:
            self.facts.append(
                f"{', '.join(policies)} could not be deleted; 'audit cleanup --run {self._run_id}' removes what is left"
            )
        if left:
            self.facts.append(
                f"{pluralize(len(left), 'namespace')} of ours could not be deleted; 'audit cleanup --run "
                f"{self._run_id}' removes what is left"
            )
        if going:
            self.facts.append(
                f"the cluster is still deleting {pluralize(len(going), 'namespace')} of ours, "
                f"{namespace_prefix(self._run_id)} and those that begin like it"
            )


async def _check(leases: Leases) -> None:
    """Raise ClusterError where the run has not been alone in its namespaces."""
    for doubt in (await leases.doubtful()).values():
        raise ClusterError(f"{doubt}: what was seen since then counts for nothing; run it again")
