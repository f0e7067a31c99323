"""Everything that could make a run harmful or useless, found out before it creates anything.

What concerns one probe pod makes that pod be left out, with the reason; what concerns a namespace, all pods of that
namespace: nobody who has a say in one may decide for another. The run is stopped where nothing that is audited is left.
The number of requests grows with the namespaces that probe pods stand in, never with pods or cells.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from auditor.cluster.kubernetes.client.api_types import Record
from auditor.cluster.kubernetes.client.listing import CORE, WideReading
from auditor.cluster.kubernetes.client.server import ApiServer, ForbiddenError
from auditor.cluster.kubernetes.objects import MESH_LABELS, RUN_LABEL, USER, PodOptions, keys_read
from auditor.cluster.kubernetes.preflight.admission import dry_run
from auditor.cluster.kubernetes.preflight.capacity import (
    NODES,
    Quota,
    RoomyNode,
    service_shortages,
    shortages,
    with_room,
    without_room,
)
from auditor.cluster.kubernetes.preflight.disruptions import (
    Budget,
    ScheduledPod,
    budget_in_the_way,
    publishing_service,
    remarks_on,
    repelled_by,
)
from auditor.cluster.kubernetes.preflight.meshes import AMBIENT, is_captured
from auditor.cluster.kubernetes.preflight.permissions import EXPOSING, PROBING, Right, as_rules, missing_rights
from auditor.cluster.kubernetes.reading import LiveSnapshot
from auditor.cluster.kubernetes.session.lease_liveness import occupants
from auditor.loop.apart import apart
from auditor.model.probe_pod import MOST_COPIES, ProbePod
from auditor.model.snapshot import Namespace
from auditor.parsing.pods import FINISHED

ACCEPTABLE = ("anti-affinity", "pdb")
"""The disruptions that a user can accept."""
SCC_USERS = "openshift.io/sa.scc.uid-range"


@dataclass(frozen=True, slots=True)
class PreflightOptions:
    """``audited`` are namespaces (none: all): what stands in the way in one costs that one, until none is left.
    ``accept``: of ACCEPTABLE.

    ``scope`` names the probe pods (none: all) that stand for what is audited: without any of them there is nothing to
    measure. ``services``: whether each probe pod is to get Services in front of it.
    """

    audited: tuple[str, ...] = ()
    pod: PodOptions = field(default_factory=PodOptions)
    accept: frozenset[str] = frozenset()
    scope: frozenset[str] = frozenset()
    services: bool = False

    def audits(self, namespace: str) -> bool:
        return not self.audited or namespace in self.audited


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found. ``refused`` has the reason for each probe pod, by name, that must not be created; ``obstacles``
    stop the run.

    ``closed`` has the reason for each namespace in which nothing can be created; ``left_out`` are lines about those
    that are audited. ``users`` is who the agent is to run as, by namespace, None where admission chooses; ``withheld``
    are the label keys that policies in force read: both are for ``pod_manifest``. ``room`` names the nodes that take
    one more pod beside all of them; None where nobody knows.
    """

    refused: Mapping[str, str]
    obstacles: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    users: Mapping[str, int | None] = field(default_factory=dict)
    withheld: frozenset[str] = frozenset()
    closed: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    room: frozenset[str] | None = None

    def can_start(self, probe_pods: Iterable[ProbePod]) -> bool:
        """Whether a run with ``probe_pods`` could do anything at all."""
        return not self.obstacles and any(probe.name not in self.refused for probe in probe_pods)


class NamespaceMetadata(Record, frozen=True):
    """metav1 ObjectMeta of a Namespace."""

    name: str
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    deletion_timestamp: str = ""


class NamespaceState(Record, frozen=True):
    """v1 Namespace."""

    metadata: NamespaceMetadata


async def preflight(
    api: ApiServer,
    live: LiveSnapshot,
    probe_pods: Sequence[ProbePod],
    options: PreflightOptions,
    run_id: str = "00000000",
) -> Preflight:
    """Find out whether ``probe_pods`` can be created, and which of them had better not be.

    Raises ClusterError when the API server can't be reached or does not answer as Kubernetes does.
    """
    return await _Preflight(api, live, probe_pods, options, run_id).run()


class _Preflight:
    """One preflight, while it goes on."""

    def __init__(
        self, api: ApiServer, live: LiveSnapshot, probe_pods: Sequence[ProbePod], options: PreflightOptions, run_id: str
    ) -> None:
        self._api = api
        self._live = live
        self._probes = probe_pods
        self._options = options
        self._run_id = run_id
        self._namespaces = sorted({probe.namespace for probe in probe_pods})
        self._refused: dict[str, str] = {}
        self._obstacles: list[str] = []
        self._remarks: list[str] = []
        self._closed: dict[str, str] = {}
        self._reading = WideReading(api, self._namespaces)
        self._room: frozenset[str] | None = None

    async def run(self) -> Preflight:
        snapshot = self._live.snapshot
        withheld = keys_read((*snapshot.policies, *snapshot.admin_policies, *snapshot.unknown))
        missing, held, nodes = await asyncio.gather(
            missing_rights(self._api, self._namespaces, (*PROBING, *EXPOSING) if self._options.services else PROBING),
            occupants(self._api, [namespace for namespace in self._namespaces if self._options.audits(namespace)]),
            self._read_nodes(),
        )
        states, budgets, quotas, pods = await asyncio.gather(
            self._reading.read(CORE, "namespaces", NamespaceState),
            self._reading.read("/apis/policy/v1", "poddisruptionbudgets", Budget),
            self._reading.read(CORE, "resourcequotas", Quota),
            self._reading.read(CORE, "pods", ScheduledPod),
        )
        assigned = {state.metadata.name for state in states if SCC_USERS in state.metadata.annotations}
        users = {namespace: None if namespace in assigned else USER for namespace in self._namespaces}
        self._judge_namespaces(missing, held, states, quotas)
        await apart(self._judge_pods, budgets, [pod for pod in pods if pod.is_choosy], withheld)
        await apart(self._judge_room, nodes, pods)
        await self._dry_run(missing, users, withheld)
        self._judge_the_whole()
        audited = {namespace: why for namespace, why in self._closed.items() if self._options.audits(namespace)}
        left_out = () if self._obstacles else tuple(f"left out: {line}" for line in in_lines(audited))
        remarks = (*self._reading.remarks, *self._remarks)
        return Preflight(
            self._refused, tuple(self._obstacles), remarks, users, withheld, self._closed, left_out, self._room
        )

    def _judge_namespaces(
        self,
        missing: Mapping[str, tuple[Right, ...]],
        held: Mapping[str, str],
        states: Iterable[NamespaceState],
        quotas: Iterable[Quota],
    ) -> None:
        ending = {state.metadata.name for state in states if state.metadata.deletion_timestamp}
        reading = {policy.namespace for policy in self._live.snapshot.policies if RUN_LABEL in keys_read([policy])}
        reading |= {policy.namespace for policy in self._live.snapshot.unknown if RUN_LABEL in keys_read([policy])}
        by_namespace = defaultdict(list)
        for quota in quotas:
            by_namespace[quota.metadata.namespace].append(quota)
        counts = Counter(probe.namespace for probe in self._probes)
        for namespace in self._namespaces:
            if namespace in missing:
                self._close(
                    namespace,
                    f"missing permission: {as_rules(missing[namespace])}; deploy/rbac.yaml has all that a run needs",
                )
            if namespace in held:
                self._close(namespace, held[namespace])
            if namespace in ending:
                self._close(namespace, "is being deleted, and takes no new pods")
            if namespace in reading:
                why = (
                    f"a policy in force there reads the label {RUN_LABEL}, which every probe pod must have: take "
                    "it out there"
                )
                self._close(namespace, why)
            for line in shortages(by_namespace[namespace], counts[namespace], self._options.pod):
                self._close(namespace, f"{line}: raise the quota, or audit less at a time")
            if self._options.services:
                lines = service_shortages(by_namespace[namespace], counts[namespace])
                self._remarks += [
                    f"namespace {namespace}: {line}: Services that find no room are left out" for line in lines
                ]

    def _judge_pods(self, budgets: Sequence[Budget], pods: Sequence[ScheduledPod], withheld: frozenset[str]) -> None:
        accept, snapshot = self._options.accept, self._live.snapshot
        for probe in self._probes:
            reasons = (
                _repeated_port_name(probe),
                f"node {probe.node} is not ready, or cordoned"
                if probe.node and probe.node not in self._live.ready_nodes
                else "",
                _in_mesh(probe, snapshot.namespaces, withheld),
                publishing_service(snapshot.services, probe),
                "" if "pdb" in accept else budget_in_the_way(budgets, probe),
                "" if "anti-affinity" in accept else repelled_by(pods, snapshot.namespaces, probe),
            )
            self._refuse([probe.name], "; ".join(filter(None, reasons)))
        self._remarks += remarks_on(budgets, pods, snapshot.namespaces, self._allowed())

    async def _read_nodes(self) -> list[RoomyNode]:
        """None where they may not be listed: the scheduler will decide."""
        try:
            return await self._reading.listed(NODES, RoomyNode)
        except ForbiddenError:
            return []

    def _judge_room(self, nodes: Sequence[RoomyNode], pods: Iterable[ScheduledPod]) -> None:
        """Those that stand for what is audited come first where there isn't room for all."""
        if "pods" in self._reading.narrow:
            return
        taken = Counter(pod.spec.node_name for pod in pods if pod.status.phase not in FINISHED)
        scope = self._options.scope
        in_order = sorted(self._allowed(), key=lambda probe: (bool(scope) and probe.name not in scope, probe.name))
        for names, reason in without_room(nodes, taken, in_order):
            self._refuse(names, reason)
        self._room = with_room(nodes, taken, len(in_order) + MOST_COPIES) if nodes else None

    async def _dry_run(
        self, missing: Mapping[str, object], users: Mapping[str, int | None], withheld: frozenset[str]
    ) -> None:
        """Ask admission about what is left to be created."""
        probes = [probe for probe in self._allowed() if probe.namespace not in missing]
        result = await dry_run(self._api, probes, self._run_id, self._options.pod, users=users, withheld=withheld)
        for names, reason in result.refused:
            self._refuse(names, reason)
        self._remarks += result.remarks

    def _judge_the_whole(self) -> None:
        """A run in which every cell lacks one end would start pods for nothing."""
        scope = [probe for probe in self._probes if not self._options.scope or probe.name in self._options.scope]
        if scope and self._refused.keys() >= {probe.name for probe in scope}:
            self._obstacles += in_lines(
                {probe.namespace: self._closed[probe.namespace] for probe in scope if probe.namespace in self._closed}
            )
            others = dict.fromkeys(self._refused[probe.name] for probe in scope if probe.namespace not in self._closed)
            self._obstacles += [f"no probe pod can be created for what is audited: {reason}" for reason in others]

    def _allowed(self) -> list[ProbePod]:
        return [probe for probe in self._probes if probe.name not in self._refused]

    def _close(self, namespace: str, why: str) -> None:
        """Nothing can be created in ``namespace``; the first reason is kept."""
        self._closed.setdefault(namespace, why)
        self._refuse(
            [probe.name for probe in self._probes if probe.namespace == namespace], f"namespace {namespace}: {why}"
        )

    def _refuse(self, names: Iterable[str], why: str) -> None:
        """Leave these probe pods out; the first reason is kept."""
        for name in names if why else ():
            self._refused.setdefault(name, why)


def in_lines(closed: Mapping[str, str]) -> list[str]:
    """A line for each reason why namespaces are ``closed``."""
    alike: dict[str, list[str]] = defaultdict(list)
    for namespace, why in closed.items():
        alike[why].append(namespace)
    return [
        f"{'namespaces' if len(names) > 1 else 'namespace'} {', '.join(names)}: {why}" for why, names in alike.items()
    ]


def _in_mesh(probe: ProbePod, namespaces: Mapping[str, Namespace], withheld: frozenset[str]) -> str:
    """Why a mesh that adds no container would take the connections of ``probe``; empty when our label keeps it out."""
    labels = {**({} if AMBIENT in withheld else MESH_LABELS), **probe.labels}
    if not is_captured(labels, namespaces.get(probe.namespace) or Namespace.of(probe.namespace)):
        return ""
    return f"the label {AMBIENT}, which would keep it out of the mesh, is one that policies read"


def _repeated_port_name(probe: ProbePod) -> str:
    """A container may use each port name once (v1 ContainerPort); a workload with several containers may not be so
    strict.
    """
    counts = Counter(port.name for port in probe.ports if port.name)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    return (
        f"its workload declares the port name {', '.join(repeated)} more than once, which one container can't"
        if repeated
        else ""
    )
