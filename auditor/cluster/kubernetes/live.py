"""A live cluster as a Cluster: probe pods that stand in for its workloads, put in on entry and taken away again however
the run ends.

Every namespace with probe pods has one Lease of ours, which owns all that is created there, so that nothing outlives
it. API calls grow with the number of pods, never with that of cells: a pod costs one to create it and one exec stream,
a namespace's pods one to remove them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files

from auditor.cluster.kubernetes.client.exec import ExecStream, open_exec
from auditor.cluster.kubernetes.client.server import ApiServer
from auditor.cluster.kubernetes.objects import AGENT_DIRECTORY, AGENT_FILE, CONTAINER, PodOptions, keys_read
from auditor.cluster.kubernetes.preflight.exposure import exposed
from auditor.cluster.kubernetes.reading import not_taken
from auditor.cluster.kubernetes.session.first_tries import as_arguments
from auditor.cluster.kubernetes.session.newcomers import NewcomerWatch
from auditor.cluster.kubernetes.session.own_services import Backend, OwnServices
from auditor.cluster.kubernetes.session.pod_status import image_facts
from auditor.cluster.kubernetes.session.pods import ProbePods
from auditor.cluster.kubernetes.session.reached import ReachedPod
from auditor.cluster.kubernetes.session.session import ClusterSession
from auditor.loop.apart import apart
from auditor.model.dns_seen import NameService
from auditor.model.errors import ClusterError
from auditor.model.labels import Labels
from auditor.model.probe_pod import AfterStart, Copy, FirstMoments, Newcomer, ProbePod, Room
from auditor.model.service_seen import OwnService
from auditor.model.snapshot import Endpoint, EndpointKind, Service, Snapshot
from auditor.model.verdict import Cell
from auditor.policy.doubt import may_select
from auditor.policy.evaluator import evaluate
from auditor.probe_pods.labels import PodSelectors
from auditor.probing.options import ProbingProgress
from auditor.probing.sites import AgentChannel, ProbeSite, Witnesses

AGENT_COMMAND = ("python3", "-IS", f"{AGENT_DIRECTORY}/{AGENT_FILE}")
NEWCOMER_SECONDS = 10.0
"""How long one more probe pod may take to start, when others have started there just now."""
OPEN_AHEAD = 64
"""How many agents are started before anybody asks for them: Python takes its time, and so do the other pods."""
NO_LONGER_ALIKE = "policies that changed during the run tell its probe pod apart from the pods that it represents"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What to put into the cluster, and what is known of it.

    ``snapshot`` is what is audited: an endpoint without addresses for each probe pod, by its name, and the hosts
    outside that were named; ``workloads`` the snapshot of the cluster itself. ``absent`` has the endpoints that get no
    probe pod, with the reason. ``users`` has the user to run as by namespace, None where the namespace chooses one.
    ``audited`` are the namespaces to lock, None for all. ``versions`` are the resourceVersions by path of the list.
    So many ``newcomers`` may come later, to nodes with ``room`` (None: nobody knows).
    ``inner_addresses`` are those that nodes have towards pods, by bare name.
    """

    snapshot: Snapshot
    workloads: Snapshot
    probes: tuple[ProbePod, ...]
    versions: Mapping[str, str]
    absent: Mapping[str, str] = field(default_factory=dict)
    facts: tuple[str, ...] = ()
    users: Mapping[str, int | None] = field(default_factory=dict)
    options: PodOptions = field(default_factory=PodOptions)
    start_seconds: float = 60.0
    audited: frozenset[str] | None = None
    inner_addresses: Mapping[str, Sequence[str]] = field(default_factory=dict)
    newcomers: int = 0
    room: frozenset[str] | None = None

    def has_room(self, node: str) -> bool:
        """Whether one more probe pod may come to ``node``."""
        return self.room is None or node in self.room


class LiveCluster(ClusterSession):
    """The cluster behind ``api``, while entered with ``deployment`` in it, for the run ``run_id``.

    Raises ClusterError when the probe pods can't be put in, and when they can't be taken away again.
    """

    def __init__(
        self,
        api: ApiServer,
        run_id: str,
        deployment: Deployment,
        progress: ProbingProgress,
        reproduce: Callable[[Cell], str],
    ) -> None:
        self._deployment = deployment
        self._progress = progress
        self._probes = [probe for probe in deployment.probes if probe.name not in deployment.absent]
        self._pods = ProbePods(api, run_id, self._probes, deployment.options)
        self._opening: dict[str, asyncio.Task[AgentChannel]] = {}
        self._endangered: list[str] = []
        self._services = OwnServices(api, run_id)
        self._created: dict[str, float] = {}
        self._numbered = len(deployment.probes)
        self._more = deployment.newcomers
        super().__init__(
            api, run_id, deployment.snapshot, deployment.versions, self._pods.namespaces, reproduce, deployment.audited
        )
        self._absent |= deployment.absent

    @property
    def facts(self) -> Sequence[str]:
        return [
            *self.left_out,
            *self._endangered,
            *self._deployment.facts,
            *self._lacking_families(),
            *self._images(),
            *self._services.refused,
            *super().facts,
        ]

    def _images(self) -> Iterable[str]:
        return image_facts(self._deployment.options.image, self._pods.images)

    def _lacking_families(self) -> Iterator[str]:
        workloads = {endpoint.name: endpoint for endpoint in self._deployment.workloads.endpoints}
        for probe in self._probes:
            started = self._pods.started.get(probe.name)
            families = {family for name in probe.stands_for for family in workloads[name].families}
            for family in sorted(families - set(started.families)) if started else ():
                lack = f"the probe pod of {probe.name} has no {family} address, but pods that it represents have"
                yield f"{lack}: nothing was tried over {family}"

    @property
    def sites(self) -> Sequence[ProbeSite]:
        """One for each probe pod that runs, and one without an agent for each host outside."""
        return [
            self._site(endpoint)
            for endpoint in self._snapshot.endpoints
            if endpoint.addresses and endpoint.kind is not EndpointKind.NODE
        ]

    def _site(self, endpoint: Endpoint) -> ProbeSite:
        there = endpoint.name in self._pods.started
        link = self._pods.reached[endpoint.name] if there else ReachedPod()
        beside, watched = link.node_addresses, link.watched
        return ProbeSite(
            endpoint.name,
            endpoint.addresses,
            (endpoint.name,),
            agent=there,
            neighbour_addresses=beside,
            watched=watched,
            watched_port=self._deployment.options.reached_port if watched else 0,
            node=endpoint.node,
            created=self._created[endpoint.name] if there else None,
        )

    @property
    def witnesses(self) -> Witnesses:
        """The kubelets, which reach for the probe pods all the time."""
        return Witnesses(heard=self._pods.heard)

    async def open(self, site: ProbeSite) -> AgentChannel:
        """Start the agent in the probe pod of ``site``; the first one has been on its way since the pod runs."""
        ahead = self._opening.pop(site.name, None)
        return await (self._open(site.name) if ahead is None else ahead)

    async def _open(self, name: str) -> AgentChannel:
        return await self._run(name, AGENT_COMMAND)

    def _has_started(self, name: str) -> None:
        self._progress.advance(1)
        if len(self._opening) < OPEN_AHEAD:
            self._opening[name] = asyncio.create_task(self._open(name))

    async def _close_unused(self) -> None:
        """Close the streams to agents that nobody asked for."""
        for ahead in self._opening.values():
            ahead.cancel()
        opened = await asyncio.gather(*self._opening.values(), return_exceptions=True)
        await asyncio.gather(*(stream.close() for stream in opened if not isinstance(stream, BaseException)))

    async def changes(self) -> Sequence[Snapshot]:
        """The states since the last call. A probe pod that one of them tells apart from its workload has ``failed``
        from then on.
        """
        states = await super().changes()
        for state in states:
            told_apart = await apart(self._told_apart, state, dict(self._pods.started))
            for name in told_apart:
                self._failed.setdefault(name, NO_LONGER_ALIKE)
        await self._check_leases()
        return states

    async def newcomers(self, wanted: Sequence[Newcomer], seconds: float) -> FirstMoments:
        """Have one more probe pod come for each of ``wanted``, as far as there is room; they go with the others."""
        deployment, probes = self._deployment, {probe.name: probe for probe in self._probes}
        nodes = {one.like: self._pods.started[one.like].node for one in wanted if one.like in self._pods.started}
        taken = [one for one in wanted if one.like in nodes and deployment.has_room(nodes[one.like])]
        coming = {one.like: one for one in taken[: self._more]}
        pods = self._more_pods([replace(probes[name], node=nodes[name]) for name in coming])
        withheld, anchors = self._withheld, self._leases.anchors
        first_tries = {name: self._first_tries(one) for name, one in coming.items()}
        await pods.create_pods(anchors, withheld, deployment.users, first_tries)
        watches: dict[str, NewcomerWatch] = {}
        looking: list[asyncio.Task[None]] = []

        async def run(name: str, command: Sequence[str]) -> ExecStream:
            return await open_exec(self._api, *pods.place_of[name], CONTAINER, command)

        def has_started(name: str) -> None:
            watches[name] = NewcomerWatch(coming[name], pods.started[name], run, self._run)
            looking.append(asyncio.create_task(watches[name].until_closed(seconds)))

        try:
            await pods.wait(NEWCOMER_SECONDS, has_started)
            await asyncio.gather(*looking)
        finally:
            for task in looking:
                task.cancel()
            await asyncio.gather(*looking, return_exceptions=True)
        seen = watches.values()
        return FirstMoments(
            _together(each.sends for each in seen), _together(each.receives for each in seen), len(watches)
        )

    def _more_pods(self, probes: Sequence[ProbePod]) -> ProbePods:
        """``probes`` as further pods of this run, with numbers that nobody has."""
        pods = ProbePods(self._api, self._run_id, probes, self._deployment.options, first=self._numbered)
        self._numbered += len(probes)
        self._more -= len(probes)
        return pods

    @property
    def room(self) -> Room:
        """On the nodes that have probe pods of this run."""
        nodes = {pod.node for pod in self._pods.started.values()}
        return Room(self._more, frozenset(filter(self._deployment.has_room, nodes)))

    async def add(self, copies: Sequence[Copy]) -> Sequence[str]:
        """Have ``copies`` come; they go with the others."""
        probes = {probe.name: probe for probe in self._probes}
        wanted = [replace(probes[copy.like], name=copy.name, node=copy.node) for copy in copies[: self._more]]
        pods = self._more_pods(wanted)
        created = time.monotonic()
        await pods.create_pods(self._leases.anchors, self._withheld, self._deployment.users, {})
        await pods.wait(NEWCOMER_SECONDS, lambda _: self._progress.advance(1))
        self._pods.take_in(pods)
        self._probes += [probe for probe in wanted if probe.name in pods.started]
        self._created |= dict.fromkeys(pods.started, created)
        ends = {end.name: end for end in self._snapshot.endpoints}
        new = (replace(ends[copy.like], name=copy.name) for copy in copies if copy.name in pods.started)
        self._snapshot = replace(self._snapshot, endpoints=(*self._snapshot.endpoints, *map(self._as_started, new)))
        return [f"{name}: {reason}" for name, reason in pods.failed.items()]

    def _first_tries(self, newcomer: Newcomer) -> list[str]:
        """What the newcomer's first process is told: whom to try, and on which ports to listen."""
        listened = sorted({cell.port for cell in newcomer.receives})
        known = {end.name: end for end in self._snapshot.endpoints}
        targets = [
            (next(one for one in known[cell.destination].addresses if one.version == cell.family.value), cell.port)
            for cell in newcomer.sends
        ]
        return [*map(str, listened), *as_arguments(targets)]

    async def _run(self, name: str, command: Sequence[str]) -> ExecStream:
        return await open_exec(self._api, *self._pods.place_of[name], CONTAINER, command)

    async def expose(self, wanted: Sequence[OwnService]) -> Sequence[Service | None]:
        """Make Services that each lead to one probe pod. The run's Lease owns them, and they go with it."""
        anchors, started = self._leases.anchors, self._pods.started
        backends = {
            probe.name: Backend(probe.namespace, number, len(started[probe.name].families), anchors[probe.namespace])
            for number, probe in enumerate(self._probes)
            if probe.name in started
        }
        return await self._services.make(wanted, backends)

    @property
    def workloads(self) -> Snapshot:
        return self._deployment.workloads

    @property
    def inner_addresses(self) -> Mapping[str, Sequence[str]]:
        """Those that none of the probe pods has got."""
        taken = (address for pod in self._pods.started.values() for address in pod.addresses)
        return not_taken(self._deployment.inner_addresses, taken)

    async def name_service(self) -> NameService:
        """As the kubelet has set it up in each probe pod (``PodOptions.names``)."""
        return NameService()

    async def _check_leases(self) -> None:
        """Where the run may have been taken for dead, no probe pod is known to be its own any more."""
        doubtful = await self._leases.doubtful()
        for probe in self._probes:
            if reason := doubtful.get(probe.namespace):
                self._failed.setdefault(probe.name, reason)

    async def _labels_now(self) -> Mapping[str, Labels]:
        return await self._pods.labels()

    def _told_apart(self, state: Snapshot, pods: Mapping[str, Endpoint]) -> list[str]:
        """The probe pods, as ``pods`` has them, that ``state`` tells apart from what they stand for, or whose workloads
        it does.
        """
        found = []
        matrix = evaluate(replace(self._deployment.workloads, policies=state.policies, namespaces=state.namespaces))
        selectors = PodSelectors(state)
        for probe in self._probes:
            started = pods.get(probe.name)
            identity = selectors.signature(probe.namespace, started.labels if started else probe.labels)
            models = [matrix.endpoint(name) for name in probe.stands_for]
            here = [model for model in models if model.namespace == probe.namespace]
            alike = any(selectors.signature(probe.namespace, model.labels) == identity for model in here)
            treated = {
                (matrix.class_of(model.name), *(may_select(policy, model) for policy in state.unknown))
                for model in models
            }
            if not alike or len(treated) > 1:
                found.append(probe.name)
        return found

    async def _put_in(self) -> None:
        deployment = self._deployment
        self._progress.phase("starting probe pods", len(self._probes))
        self._when_leaving(self._remove_pods)
        agent = files("probes").joinpath(AGENT_FILE).read_text(encoding="utf-8")
        self._created = dict.fromkeys(self._pods.place_of, time.monotonic())
        await self._pods.create(self._leases.anchors, agent, self._withheld, deployment.users)
        self._when_leaving(self._close_unused)
        await self._pods.wait(deployment.start_seconds, self._has_started)
        self._failed |= self._pods.failed
        if self._probes and not self._pods.started:
            raise ClusterError(f"no probe pod could be started: {next(iter(self._pods.failed.values()))}")
        await self._take_from_services()
        endpoints = (*map(self._as_started, self._snapshot.endpoints), *self._nodes())
        self._snapshot = replace(self._snapshot, endpoints=endpoints)

    @property
    def _withheld(self) -> frozenset[str]:
        snapshot = self._deployment.snapshot
        return keys_read((*snapshot.policies, *snapshot.admin_policies, *snapshot.unknown))

    def _leave_out(self, blocked: Mapping[str, str]) -> None:
        self._absent |= {probe.name: blocked[probe.namespace] for probe in self._probes if probe.namespace in blocked}
        self._probes = [probe for probe in self._probes if probe.namespace not in blocked]
        self._pods = ProbePods(self._api, self._run_id, self._probes, self._deployment.options)

    async def _take_from_services(self) -> None:
        """Remove the probe pods of each namespace in which a Service sends them traffic. Raises ClusterError when none
        is left.
        """
        for namespace, service in (await exposed(self._api, set(self._pods.place_of.values()))).items():
            said = (
                f"Service {service} takes probe pods for backends, so all in namespace {namespace} were removed at once"
            )
            await self._pods.take_away(namespace, said)
            self._endangered.append(said)
        self._failed |= self._pods.failed
        if self._endangered and not self._pods.started:
            raise ClusterError(f"{'; '.join(self._endangered)}: leave that out")

    def _as_started(self, endpoint: Endpoint) -> Endpoint:
        """``endpoint`` as its probe pod turned out: whatever admission made of it is what the CNI sees."""
        pod = self._pods.started.get(endpoint.name)
        if pod is None:
            return endpoint
        return replace(endpoint, labels=pod.labels, addresses=pod.addresses, ports=pod.ports, node=pod.node)

    def _nodes(self) -> Iterator[Endpoint]:
        """The nodes of the probe pods, as far as their addresses are known: their kubelets reach for these pods."""
        known = {endpoint.name for endpoint in self._snapshot.endpoints}
        addresses = {pod.node: self._pods.reached[name].node_addresses for name, pod in self._pods.started.items()}
        for node, own in sorted(addresses.items()):
            if node and own and f"node/{node}" not in known:
                yield Endpoint(f"node/{node}", EndpointKind.NODE, addresses=own, node=node)

    async def _remove_pods(self) -> None:
        self._progress.phase("removing probe pods", 0)
        self.farewell = await self._pods.remove()


def _together(parts: Iterable[Mapping[Cell, AfterStart]]) -> dict[Cell, AfterStart]:
    return {cell: seen for part in parts for cell, seen in part.items()}
