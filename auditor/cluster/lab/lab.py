"""The lab as a Cluster: built from a snapshot, entered with ``async with``, gone without a trace afterwards.

Where the system's tools are missing it says how to get them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from auditor.cluster.lab.channel import LabChannel
from auditor.cluster.lab.control import Control
from auditor.cluster.lab.name_service import DNS_PODS, KNOWN_NAME, dns_service, known_names
from auditor.cluster.lab.nftables import CLEAR
from auditor.cluster.lab.programs import compile_program, service_rulesets
from auditor.cluster.lab.service_rules import CARRIED, ends_of, own_services
from auditor.cluster.lab.topology import build_topology, with_one_more
from auditor.model.addresses import IPAddress
from auditor.model.admin_policy import AdminPolicy
from auditor.model.dialect import Enforcement
from auditor.model.dns_seen import NameService
from auditor.model.errors import ClusterError
from auditor.model.policy import NetworkPolicy
from auditor.model.probe_pod import Copy, FirstMoments, Newcomer, Room
from auditor.model.service_seen import OwnService
from auditor.model.snapshot import Endpoint, Family, Service, Snapshot
from auditor.model.verdict import Cell
from auditor.probing.sites import AgentChannel, ProbeSite, Witnesses

_SPECIFICATION = Enforcement()


async def _nothing_else() -> None:
    """What is left to do where the end of a stream ends it all."""


class Lab:
    """A cluster of network namespaces for ``snapshot``, every endpoint of which has addresses and every pod one of
    ``nodes``.

    ``previous_policies`` are the policies before the last change, for stale enforcers (None: nothing changed).
    ``reproduce`` makes the command that ``Cluster.reproduce`` returns; without it there is none. ``agent`` is the
    module whose ``serve(read_fd, write_fd)`` is an agent's main function. ``spare``: so many further pods may come.

    Raises ClusterError when the snapshot can't be laid out.
    """

    def __init__(  # noqa: PLR0913 - each is one thing to choose about a lab, by keyword
        self,
        snapshot: Snapshot,
        *,
        nodes: Sequence[str],
        enforcement: Enforcement = _SPECIFICATION,
        previous_policies: Sequence[NetworkPolicy] | None = None,
        reproduce: Callable[[Cell], str] | None = None,
        agent: str = "probes.agent",
        spare: int = 0,
    ) -> None:
        unknown = sorted(enforcement.nodes - set(nodes))
        if unknown:
            of_it = enforcement.path_at(unknown[0]) or enforcement.at(unknown[0])
            raise ClusterError(f"lab: no node {unknown[0]!r} for the enforcer {of_it}: one of {', '.join(nodes)}")
        self._snapshot = snapshot
        self._topology = build_topology(snapshot, nodes)
        self._enforcement = enforcement
        self._previous_policies = previous_policies
        self._reproduce = reproduce
        self._agent = agent
        self._spare = spare
        self._generations = itertools.count(1)
        self._programmed: set[int] = set()
        self._programming = asyncio.Lock()
        self._channels: set[LabChannel] = set()
        self._control: Control | None = None
        self._services: Sequence[Service] = ()

    @property
    def snapshot(self) -> Snapshot:
        """Who is there, and the policies that were programmed last."""
        return self._snapshot

    @property
    def sites(self) -> Sequence[ProbeSite]:
        """One for each pod on the pod network, each external host, and each node that is an endpoint or has hostNetwork
        pods.
        """
        return self._topology.sites

    @property
    def absent(self) -> Mapping[str, str]:
        """Nobody: every endpoint has a site."""
        return {}

    @property
    def failed(self) -> Mapping[str, str]:
        """Nobody."""
        return {}

    @property
    def facts(self) -> Sequence[str]:
        """None: a lab holds what its snapshot says."""
        return ()

    @property
    def witnesses(self) -> Witnesses:
        """Agents on the nodes, which no policy keeps apart from their pods."""
        return Witnesses(self._topology.nodes_without_endpoints)

    async def changes(self) -> Sequence[Snapshot]:
        """None: the lab's own caller programs it anew, and knows."""
        return ()

    @property
    def pid(self) -> int:
        """The process id of the lab's supervisor, the parent of everything in the lab."""
        return self._running().pid

    async def open(self, site: ProbeSite) -> AgentChannel:
        """Start an agent at ``site``. One that runs there already is ended: its channel gives end of file."""
        control = self._running()
        namespace = self._topology.site_namespaces.get(site.name)
        if namespace is None:
            raise ClusterError(f"lab: there is no probe site {site.name!r}")
        near_end, far_end = socket.socketpair()
        try:
            with far_end:
                answer = await control.request("open", far_end, namespace=namespace)
        except BaseException:
            near_end.close()
            raise

        async def end() -> None:
            self._channels.discard(channel)
            with suppress(ClusterError):  # the lab is gone, and the agent with it
                await control.request("end", namespace=namespace, process=answer["process"])

        channel = await LabChannel.over(near_end, end)
        self._channels.add(channel)
        return channel

    async def newcomers(self, _wanted: Sequence[Newcomer], _seconds: float) -> FirstMoments:
        """None come: here all pods are tried from their start on."""
        return FirstMoments()

    @property
    def room(self) -> Room:
        """On every node."""
        return Room(self._spare, frozenset(self._topology.nodes))

    async def add(self, copies: Sequence[Copy]) -> Sequence[str]:
        """Have ``copies`` come, and enforcers learn of them. All of them do."""
        async with self._programming:
            control = self._running()
            for copy in copies:
                nodes = itertools.chain.from_iterable(self._topology.node_addresses.values())
                pod = copy_of(self._snapshot, nodes, copy)
                topology, joined = with_one_more(self._topology, pod)
                ipv6 = Family.IPV6 in self._topology.families
                await control.request("add", namespace=topology.namespaces[-1], joined=joined, ipv6=ipv6)
                self._topology = topology
                self._snapshot = replace(self._snapshot, endpoints=(*self._snapshot.endpoints, pod))
            self._spare -= len(copies)
            await self._program(control)
        return ()

    async def expose(self, wanted: Sequence[OwnService]) -> Sequence[Service]:
        """Have the nodes translate Services as ``wanted``, each with addresses that nobody else has."""
        services = own_services(self._snapshot, wanted, self._topology.families)
        await self.serve(services)
        return services

    @property
    def inner_addresses(self) -> Mapping[str, Sequence[str]]:
        """None: the lab's nodes have one address of each family."""
        return {}

    @property
    def workloads(self) -> Snapshot:
        """Those that are probed."""
        return self._snapshot

    async def service_now(self, service: Service) -> Service | None:
        """As it was: nobody changes the lab's."""
        return service

    async def name_service(self) -> NameService:
        """Have the pods that stand for the cluster's DNS answer for the names of Services, behind a ClusterIP. Raises
        ClusterError where there are none.
        """
        service = dns_service(self._snapshot, self._topology.families)
        if service is None:
            raise ClusterError(
                f"lab: nobody looks names up: no pod on the pod network is the cluster's DNS ({DNS_PODS})"
            )
        await self.serve([service, *(each for each in self._services if each.full_name != service.full_name)])
        names = known_names(self._snapshot.services)
        for namespace, ports in self._name_servers(service).items():
            await self._answer_names(namespace, {"names": names, "ports": ports})
        return NameService(KNOWN_NAME, tuple(map(str, service.cluster_ips)), (service,))

    def _name_servers(self, service: Service) -> dict[int, list[tuple[str, int]]]:
        """The namespaces of the pods behind ``service``, each with the protocols and ports that it answers on."""
        of_address = {address: link.namespace for link in self._topology.links for address in link.pod.addresses}
        found: dict[int, dict[tuple[str, int], None]] = {}
        for port in service.ports:
            for end in ends_of(self._snapshot, service, port):
                if end.address in of_address and port.protocol in CARRIED:
                    found.setdefault(of_address[end.address], {})[port.protocol.lower(), end.port] = None
        return {namespace: list(ports) for namespace, ports in found.items()}

    async def _answer_names(self, namespace: int, settings: Mapping[str, object]) -> None:
        """Start a name server in the place of one that may run there. It lasts as long as the lab, or this end of its
        stream.
        """
        near_end, far_end = socket.socketpair()
        with far_end:
            try:
                await self._running().request("open", far_end, namespace=namespace, names=True)
            except BaseException:
                near_end.close()
                raise
        channel = await LabChannel.over(near_end, _nothing_else)
        self._channels.add(channel)
        await channel.send(json.dumps(settings).encode() + b"\n")
        if not await channel.receive():
            raise ClusterError("lab: a name server ended before it was ready")

    def reproduce(self, cell: Cell) -> str:
        return self._reproduce(cell) if self._reproduce is not None else f"# {cell}: this lab was not built from a file"

    async def program(
        self,
        enforcement: Enforcement,
        policies: Sequence[NetworkPolicy] | None = None,
        previous_policies: Sequence[NetworkPolicy] | None = None,
        *,
        labels_of: Snapshot | None = None,
        admin_policies: Sequence[AdminPolicy] | None = None,
    ) -> None:
        """Put other enforcers, ``policies`` or ``admin_policies`` (None: the same) in force, each node in one step;
        every new connection meets the new rules.

        With ``policies`` and no ``previous_policies``, the policies before this call are the previous ones.
        ``labels_of`` has the labels that pods and namespaces have from now on; to enforcers, a pod that it leaves out
        isn't there yet.
        """
        async with self._programming:
            if labels_of is not None:
                self._snapshot = replace(self._snapshot, namespaces=labels_of.namespaces, endpoints=labels_of.endpoints)
            if previous_policies is not None:
                self._previous_policies = previous_policies
            elif policies is not None:
                self._previous_policies = self._snapshot.policies
            if policies is not None:
                self._snapshot = replace(self._snapshot, policies=tuple(policies))
            if admin_policies is not None:
                self._snapshot = replace(self._snapshot, admin_policies=tuple(admin_policies))
            self._enforcement = enforcement
            await self._program(self._running())

    async def serve(self, services: Sequence[Service]) -> None:
        """Have every node translate the ClusterIPs and NodePorts of ``services``, and of no others any more; those in
        ``snapshot`` are none of them unless they are given here.
        """
        async with self._programming:
            self._services = tuple(services)
            control = self._running()
            await control.request("serve", rulesets=service_rulesets(self._topology, self._snapshot, self._services))
            await self._program(control)

    async def _program(self, control: Control) -> None:
        program = compile_program(
            self._topology,
            self._snapshot,
            self._enforcement,
            self._previous_policies,
            next(self._generations),
            self._services,
        )
        wanted = {namespace for namespace, _ in program.rulesets}
        cleared = [(namespace, CLEAR) for namespace in sorted(self._programmed - wanted)]
        rulesets = [item for item in program.rulesets if item[1] != CLEAR or item[0] in self._programmed]
        self._programmed |= wanted
        await control.request("program", rulesets=[*rulesets, *cleared], later=program.later)

    async def __aenter__(self) -> Self:
        self._programmed.clear()
        self._control = await Control.start(self._agent, *find_tools())
        try:
            ipv6 = Family.IPV6 in self._topology.families
            await self._control.request("build", namespaces=self._topology.namespaces, ipv6=ipv6)
            await self._program(self._control)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        control, self._control = self._control, None
        if control is not None:
            try:
                await control.stop()
            finally:
                # All at once and without waiting: this may have been cancelled, more than once.
                for channel in self._channels:
                    channel.cut()
                self._channels.clear()
                await asyncio.sleep(0)  # the event loop lets go of them in its next turn

    def _running(self) -> Control:
        if self._control is None:
            raise ClusterError("lab: it is not up: enter it with 'async with' first")
        return self._control


def copy_of(snapshot: Snapshot, nodes: Iterable[IPAddress], copy: Copy) -> Endpoint:
    """The pod that ``copy`` is, with the next addresses after those of the one that it is like that nobody has, the
    ``nodes`` with these addresses included.
    """
    like = snapshot.endpoint(copy.like)
    taken = {address for endpoint in snapshot.endpoints for address in endpoint.addresses}
    taken |= {address for service in snapshot.services for address in service.cluster_ips}
    taken |= set(nodes)
    free = tuple(next(each for n in itertools.count(1) if (each := own + n) not in taken) for own in like.addresses)
    return replace(like, name=copy.name, node=copy.node, addresses=free)


SYSTEM_DIRECTORIES = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")
"""Searched after PATH, since a plain user's PATH on Debian lacks the first two."""

_PACKAGES: Mapping[str, str] = {"ip": "iproute2", "nft": "nftables"}


def find_tools() -> tuple[str, str]:
    """The paths of ``ip`` and ``nft``. Raises ClusterError, naming the packages, when one is missing."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_DIRECTORIES])
    found = {tool: shutil.which(tool, path=path) for tool in _PACKAGES}
    missing = [tool for tool, place in found.items() if place is None]
    if missing:
        packages = " ".join(_PACKAGES[tool] for tool in missing)
        raise ClusterError(f"lab: {' and '.join(missing)} not found: apt-get install {packages}")
    return str(found["ip"]), str(found["nft"])
