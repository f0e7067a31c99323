"""A live cluster probed from inside its own pods: true identity and real listeners, and no new pods.

An ephemeral container joins one pod of each identity class and fires from there. What it aims at are the ports on which
the pods declare to listen; their own processes answer, so a connection that is made says "allowed", and nothing is ever
sent over it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from auditor.cluster.kubernetes.client.creation import all_of
from auditor.cluster.kubernetes.client.server import ApiServer
from auditor.cluster.kubernetes.objects import AGENT_FILE, PodOptions
from auditor.cluster.kubernetes.session.ephemeral import EphemeralContainer
from auditor.cluster.kubernetes.session.pod_status import RanImage, image_facts
from auditor.cluster.kubernetes.session.session import ClusterSession
from auditor.model.addresses import IPAddress
from auditor.model.errors import ClusterError
from auditor.model.labels import Labels
from auditor.model.snapshot import EndpointKind, Snapshot
from auditor.model.verdict import Cell
from auditor.probing.options import ProbingProgress
from auditor.probing.sites import AgentChannel, Contact, ProbeSite, Witnesses


@dataclass(frozen=True, slots=True)
class InPlacePlan:
    """Which pods to join. ``pods`` has for each endpoint of ``snapshot`` that is a pod its namespace and its own name.

    ``audited`` are the namespaces to lock, None for all. ``versions`` are the resourceVersions of the lists that
    ``snapshot`` was read from, by path.
    """

    snapshot: Snapshot
    pods: Mapping[str, tuple[str, str]]
    versions: Mapping[str, str]
    facts: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
    options: PodOptions = field(default_factory=PodOptions)
    start_seconds: float = 60.0
    audited: frozenset[str] | None = None


class InPlaceCluster(ClusterSession):
    """The cluster behind ``api``, while entered with an ephemeral container in each of the pods of ``plan``, for the
    run ``run_id``.

    Raises ClusterError when none of them can be joined.
    """

    def __init__(
        self,
        api: ApiServer,
        run_id: str,
        plan: InPlacePlan,
        progress: ProbingProgress,
        reproduce: Callable[[Cell], str],
    ) -> None:
        namespaces = {namespace for namespace, _ in plan.pods.values()}
        super().__init__(api, run_id, plan.snapshot, plan.versions, namespaces, reproduce, plan.audited)
        self._plan = plan
        self._pods = dict(plan.pods)
        self._progress = progress
        self._containers: dict[str, EphemeralContainer] = {}
        self._node_addresses: dict[str, tuple[IPAddress, ...]] = {}
        self._made: list[EphemeralContainer] = []
        self._agent = files("probes").joinpath(AGENT_FILE).read_bytes()
        self._absent |= plan.absent

    @property
    def facts(self) -> Sequence[str]:
        nodes = {endpoint.name: endpoint.node for endpoint in self._snapshot.endpoints}
        ran = [RanImage(nodes.get(name, ""), container.image_id) for name, container in self._containers.items()]
        return [*self.left_out, *self._plan.facts, *image_facts(self._plan.options.image, ran), *super().facts]

    @property
    def sites(self) -> Sequence[ProbeSite]:
        """One in each pod that was joined, whose own processes listen, and one without an agent for each
        host outside.
        """
        return [
            ProbeSite(
                endpoint.name,
                endpoint.addresses,
                (endpoint.name,),
                agent=endpoint.kind is EndpointKind.POD,
                listens=False,
                neighbour_addresses=self._node_addresses.get(endpoint.name, ()),
                node=endpoint.node,
            )
            for endpoint in self._snapshot.endpoints
            if endpoint.addresses and (endpoint.name in self._containers or endpoint.kind is EndpointKind.HOST)
        ]

    @property
    def witnesses(self) -> Witnesses:
        """The kubelets, where they reach for the pods that were joined."""
        return Witnesses(heard=self._heard)

    async def _heard(self, names: Collection[str]) -> dict[str, Contact]:
        contacts = await all_of(self._contact(name) for name in names if name in self._containers)
        return {name: contact for name, contact in contacts if contact is not None}

    async def _contact(self, name: str) -> tuple[str, Contact | None]:
        return name, (await self._containers[name].pod()).contact

    async def open(self, site: ProbeSite) -> AgentChannel:
        """Start an agent beside the processes of the pod of ``site``."""
        return await self._containers[site.name].open(self._agent)

    async def _labels_now(self) -> Mapping[str, Labels]:
        pods = await all_of(container.labels() for container in self._containers.values())
        return {name: labels for name, labels in zip(self._containers, pods, strict=True) if labels is not None}

    def _leave_out(self, blocked: Mapping[str, str]) -> None:
        self._absent |= {
            name: blocked[namespace] for name, (namespace, _) in self._pods.items() if namespace in blocked
        }
        self._pods = {name: place for name, place in self._pods.items() if place[0] not in blocked}

    async def _put_in(self) -> None:
        self._progress.phase("joining pods", len(self._pods))
        self._when_leaving(self._end)
        await all_of(self._join(name, *place) for name, place in self._pods.items())
        if not self._containers:
            raise ClusterError(
                f"no pod could be joined: {next(iter({**self._failed, **self._absent}.values()), 'there is none')}"
            )

    async def _join(self, name: str, namespace: str, pod: str) -> None:
        container = EphemeralContainer(self._api, self._run_id, namespace, pod, self._plan.options)
        self._made.append(container)
        try:
            await container.start(self._plan.start_seconds)
            self._node_addresses[name] = (await container.pod()).node_addresses
        except ClusterError as error:
            self._failed[name] = str(error)
        else:
            self._containers[name] = container
        self._progress.advance(1)

    async def _end(self) -> None:
        self._progress.phase("ending the ephemeral containers", 0)
        there = [container for container in self._made if container.listed]
        left = [reason for reason in await all_of(map(_ended, there)) if reason]
        if there:
            whose = "1 pod lists" if len(there) == 1 else f"{len(there)} pods list"
            self.farewell = [f"{whose} an ephemeral container of this run until replaced"]
        if left:
            self.farewell = [
                *self.farewell,
                f"{len(left)} of these could not be ended and will end by themselves: {left[0]}",
            ]


async def _ended(container: EphemeralContainer) -> str:
    """End ``container``; why it could not be, if it couldn't."""
    try:
        await container.end()
    except (ClusterError, OSError) as error:
        return str(error)
    return ""
