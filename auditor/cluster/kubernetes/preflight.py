"""Everything that could make a run harmful or useless, found out before it creates anything.

What concerns one probe pod makes that pod be left out, with the reason; what concerns an audited namespace as a whole stops the run. The
number of requests grows with the namespaces that probe pods stand in, never with pods or cells.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from auditor.cluster.kubernetes.api import ApiServer, ForbiddenError, NotFoundError, Question
from auditor.cluster.kubernetes.hazards import (
    Budget,
    ScheduledPod,
    budget_in_the_way,
    publishing_service,
    remarks_on,
    repelled_by,
)
from auditor.cluster.kubernetes.meshes import AMBIENT, is_captured
from auditor.cluster.kubernetes.objects import MESH_LABELS, RUN_LABEL, USER, PodOptions, keys_read
from auditor.cluster.kubernetes.pages import decode, read_list
from auditor.cluster.kubernetes.permissions import Right, as_rules, missing_rights
from auditor.cluster.kubernetes.quota import Quota, shortages
from auditor.cluster.kubernetes.reading import LiveSnapshot
from auditor.cluster.kubernetes.records import Record
from auditor.cluster.kubernetes.rehearsal import rehearse
from auditor.model.probe_pod import ProbePod
from auditor.model.snapshot import Namespace

CORE = "/api/v1"
ACCEPTABLE = ("anti-affinity", "pdb")
"""The hazards that a user can accept."""
SCC_USERS = "openshift.io/sa.scc.uid-range"

AnyRecord = TypeVar("AnyRecord", bound=Record)


@dataclass(frozen=True, slots=True)
class PreflightOptions:
    """``audited`` namespaces (none: all) must work or the run stops; in others, probe pods are left out. ``accept``: of ACCEPTABLE.

    ``scope`` names the probe pods (none: all) that stand for what is audited: without any of them there is nothing to measure.
    """

    audited: tuple[str, ...] = ()
    pod: PodOptions = field(default_factory=PodOptions)
    accept: frozenset[str] = frozenset()
    scope: frozenset[str] = frozenset()

    def audits(self, namespace: str) -> bool:
        return not self.audited or namespace in self.audited


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found. ``refused`` has the reason for each probe pod, by name, that must not be created; ``obstacles`` stop the run.

    ``users`` is whom the agent is to run as, by namespace, None where admission chooses; ``withheld`` are the label keys that policies in
    force read: both are for ``pod_manifest``.
    """

    refused: Mapping[str, str]
    obstacles: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    users: Mapping[str, int | None] = field(default_factory=dict)
    withheld: frozenset[str] = frozenset()

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
    api: ApiServer, live: LiveSnapshot, probe_pods: Sequence[ProbePod], options: PreflightOptions, run_id: str = "00000000"
) -> Preflight:
    """Find out whether ``probe_pods`` can be created, and which of them had better not be.

    Raises ClusterError when the API server can't be reached or does not answer as Kubernetes does.
    """
    return await _Preflight(api, live, probe_pods, options, run_id).run()


class _Preflight:
    """One preflight, while it goes on."""

    def __init__(self, api: ApiServer, live: LiveSnapshot, probe_pods: Sequence[ProbePod], options: PreflightOptions, run_id: str) -> None:
        self._api = api
        self._live = live
        self._probes = probe_pods
        self._options = options
        self._run_id = run_id
        self._namespaces = sorted({probe.namespace for probe in probe_pods})
        self._refused: dict[str, str] = {}
        self._obstacles: list[str] = []
        self._remarks: list[str] = []

    async def run(self) -> Preflight:
        snapshot = self._live.snapshot
        withheld = keys_read((*snapshot.policies, *snapshot.unknown))
        if RUN_LABEL in withheld:
            self._obstacles.append(f"a policy in force reads the label {RUN_LABEL}, which every probe pod must have: take it out there")
        missing, states, budgets, quotas, pods = await asyncio.gather(
            missing_rights(self._api, self._namespaces),
            self._read(CORE, "namespaces", NamespaceState),
            self._read("/apis/policy/v1", "poddisruptionbudgets", Budget),
            self._read(CORE, "resourcequotas", Quota),
            self._read(CORE, "pods", ScheduledPod),
        )
        assigned = {state.metadata.name for state in states if SCC_USERS in state.metadata.annotations}
        users = {namespace: None if namespace in assigned else USER for namespace in self._namespaces}
        self._judge_namespaces(missing, states, quotas)
        self._judge_pods(budgets, [pod for pod in pods if pod.is_choosy], withheld)
        await self._rehearse(missing, users, withheld)
        self._judge_the_whole()
        return Preflight(self._refused, tuple(self._obstacles), tuple(self._remarks), users, withheld)

    def _judge_namespaces(
        self, missing: Mapping[str, tuple[Right, ...]], states: Iterable[NamespaceState], quotas: Iterable[Quota]
    ) -> None:
        self._judge_rights(missing)
        ending = {state.metadata.name for state in states if state.metadata.deletion_timestamp}
        by_namespace = defaultdict(list)
        for quota in quotas:
            by_namespace[quota.metadata.namespace].append(quota)
        counts = Counter(probe.namespace for probe in self._probes)
        for namespace in self._namespaces:
            if namespace in ending:
                self._fail(namespace, "is being deleted, and takes no new pods", stops=namespace in self._options.audited)
            for line in shortages(by_namespace[namespace], counts[namespace], self._options.pod):
                self._fail(namespace, f"{line}: raise the quota, or audit less at a time")

    def _judge_rights(self, missing: Mapping[str, tuple[Right, ...]]) -> None:
        """Audited namespaces that lack the same rights are told in one line."""
        alike: dict[tuple[Right, ...], list[str]] = defaultdict(list)
        for namespace, rights in missing.items():
            if self._options.audits(namespace):
                alike[rights].append(namespace)
            else:
                self._fail(namespace, f"grant us {as_rules(rights)} there")
        for rights, names in alike.items():
            several = "namespaces" if len(names) > 1 else "namespace"
            self._obstacles.append(
                f"{several} {', '.join(names)}: grant us {as_rules(rights)} there; deploy/rbac.yaml has all that a run needs"
            )

    def _judge_pods(self, budgets: Sequence[Budget], pods: Sequence[ScheduledPod], withheld: frozenset[str]) -> None:
        accept, snapshot = self._options.accept, self._live.snapshot
        for probe in self._probes:
            reasons = (
                _repeated_port_name(probe),
                f"node {probe.node} is not ready, or cordoned" if probe.node and probe.node not in self._live.ready_nodes else "",
                _in_mesh(probe, snapshot.namespaces, withheld),
                publishing_service(snapshot.services, probe),
                "" if "pdb" in accept else budget_in_the_way(budgets, probe),
                "" if "anti-affinity" in accept else repelled_by(pods, snapshot.namespaces, probe),
            )
            self._refuse([probe.name], "; ".join(filter(None, reasons)))
        self._remarks += remarks_on(budgets, pods, self._allowed())

    async def _rehearse(self, missing: Mapping[str, object], users: Mapping[str, int | None], withheld: frozenset[str]) -> None:
        """Ask admission about what is left to be created."""
        probes = [probe for probe in self._allowed() if probe.namespace not in missing]
        result = await rehearse(self._api, probes, self._run_id, self._options.pod, users=users, withheld=withheld)
        for names, reason in result.refused:
            self._refuse(names, reason)
        self._remarks += result.remarks

    def _judge_the_whole(self) -> None:
        """A run in which every cell lacks one end would start pods for nothing."""
        scope = [probe.name for probe in self._probes if not self._options.scope or probe.name in self._options.scope]
        if not self._obstacles and scope and self._refused.keys() >= set(scope):
            reasons = dict.fromkeys(self._refused[name] for name in scope)
            self._obstacles += [f"no probe pod can be created for what is audited: {reason}" for reason in reasons]

    def _allowed(self) -> list[ProbePod]:
        return [probe for probe in self._probes if probe.name not in self._refused]

    def _fail(self, namespace: str, why: str, *, stops: bool | None = None) -> None:
        """Nothing can be created in ``namespace``. ``stops`` the run; None: if that is audited, be it as one of all."""
        said = f"namespace {namespace}: {why}"
        if self._options.audits(namespace) if stops is None else stops:
            self._obstacles.append(said)
        else:
            self._refuse([probe.name for probe in self._probes if probe.namespace == namespace], said)

    def _refuse(self, names: Iterable[str], why: str) -> None:
        """Leave these probe pods out; the first reason is kept."""
        for name in names if why else ():
            self._refused.setdefault(name, why)

    async def _read(self, group: str, resource: str, kind: type[AnyRecord]) -> list[AnyRecord]:
        """The objects of ``resource`` in the whole cluster or, where that is not granted, in our namespaces as far as it is there."""
        try:
            return await self._list(Question(f"{group}/{resource}", "list", resource, " in all namespaces"), kind)
        except ForbiddenError:
            pass
        single = resource == "namespaces"
        lists = []
        for namespace in self._namespaces:
            path = f"{group}/namespaces/{namespace}" + ("" if single else f"/{resource}")
            question = Question(path, "get" if single else "list", resource, f" in namespace {namespace}")
            lists.append(self._get(question, kind) if single else self._list(question, kind))
        found = await asyncio.gather(*lists, return_exceptions=True)
        refusals = [item for item in found if isinstance(item, BaseException)]
        for item in refusals:
            if not isinstance(item, (ForbiddenError, NotFoundError)):
                raise item
        if refusals:
            self._remarks.append(f"{resource} could not be read: what they say was not taken into account")
        return [item for items in found if not isinstance(items, BaseException) for item in items]

    async def _list(self, question: Question, kind: type[AnyRecord]) -> list[AnyRecord]:
        items, _ = await read_list(self._api, question)
        return [decode(item, kind, self._api, question) for item in items]

    async def _get(self, question: Question, kind: type[AnyRecord]) -> list[AnyRecord]:
        return [decode(await self._api.get(question), kind, self._api, question)]


def _in_mesh(probe: ProbePod, namespaces: Mapping[str, Namespace], withheld: frozenset[str]) -> str:
    """Why a mesh that adds no container would take the connections of ``probe``; empty when our label keeps it out."""
    labels = {**({} if AMBIENT in withheld else MESH_LABELS), **probe.labels}
    if not is_captured(labels, namespaces.get(probe.namespace) or Namespace.of(probe.namespace)):
        return ""
    return f"the label {AMBIENT}, which would keep it out of the mesh, is one that policies read"


def _repeated_port_name(probe: ProbePod) -> str:
    """A container may use each port name once (v1 ContainerPort); a workload with several containers may not be so strict."""
    counts = Counter(port.name for port in probe.ports if port.name)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    return f"its workload declares the port name {', '.join(repeated)} more than once, which one container can't" if repeated else ""
