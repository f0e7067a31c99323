"""The cluster as it is now: a Snapshot, equal to what the files of ``kubectl get -o yaml`` of the same objects would
give.

Each kind is one list. They are read one after the other, and each one's resourceVersion is kept, so that a watch can go
on from there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import msgspec

from auditor.cluster.kubernetes.admin_policies import (
    read_live_admin_policy,
    saved_admin_policy,
    served_kinds,
    unlisted,
)
from auditor.cluster.kubernetes.client.api_types import (
    Group,
    NamespaceRecord,
    NodeRecord,
    PodRecord,
    ServiceRecord,
    saved,
)
from auditor.cluster.kubernetes.client.listing import PAGE, decode, read_decoded, read_list
from auditor.cluster.kubernetes.client.server import ApiServer, ForbiddenError, NotFoundError, Question
from auditor.cluster.kubernetes.network_agents import in_words, note_agents
from auditor.cluster.kubernetes.objects import RUN_LABEL
from auditor.cluster.kubernetes.policies import UnreadablePolicy, read_live_policy, saved_policy, unknown_policy
from auditor.cluster.kubernetes.preflight.other_policy_kinds import api_groups, read_other_kinds
from auditor.cluster.kubernetes.preflight.permissions import unreadable
from auditor.loop.apart import apart
from auditor.model.addresses import IPAddress
from auditor.model.admin_policy import AdminPolicy
from auditor.model.errors import ClusterError, UsageError
from auditor.model.policy import NetworkPolicy, UnknownPolicy
from auditor.model.snapshot import EndpointKind, ServiceEndpoint, Snapshot
from auditor.parsing.manifests import EXTERNAL_NAME, Objects, assemble
from auditor.parsing.services import read_service_endpoints, served

READ_NAMESPACE = "netpol-audit-read-namespace"
WITHOUT_NODES = (
    "nodes can't be listed: they are left out, and with them what policies say of traffic between pods and nodes"
)
CORE, NETWORKING = "/api/v1", "/apis/networking.k8s.io/v1"

AnyRecord = TypeVar("AnyRecord", NamespaceRecord, NodeRecord, PodRecord, ServiceRecord)


@dataclass(frozen=True, slots=True)
class LiveSnapshot:
    """A snapshot of a live cluster.

    ``unreadable`` policies are in force, and in ``snapshot`` as unknown ones. ``ready_nodes`` are the nodes, by bare
    name, that take and run pods. ``manifests`` has every object that the snapshot was made of, with the fields that
    matter, by kind, namespace and name. ``resource_versions`` are by the path of the list. ``notes`` are lines for
    people. ``versions`` are those that nodes run, and the images of the cluster's network, by what they are of.
    ``inner_addresses`` are those that nodes have towards pods, by bare name, as far as the API tells.
    """

    snapshot: Snapshot
    unreadable: tuple[UnreadablePolicy, ...] = ()
    manifests: tuple[Mapping[str, Any], ...] = ()
    resource_versions: Mapping[str, str] = field(default_factory=dict)
    other_kinds: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ready_nodes: frozenset[str] = frozenset()
    versions: Mapping[str, str] = field(default_factory=dict)
    inner_addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def inner_addresses(
    nodes: Iterable[NodeRecord], taken: Collection[IPAddress] = frozenset()
) -> dict[str, tuple[str, ...]]:
    """Those of ``nodes``, without any that pods have ``taken``: the network may give out addresses otherwise."""
    return {
        node.metadata.name: tuple(str(address) for address in node.inner_addresses if address not in taken)
        for node in nodes
    }


def not_taken(inner: Mapping[str, Sequence[str]], addresses: Iterable[IPAddress]) -> dict[str, list[str]]:
    """Those ``inner`` addresses of nodes that are none of the ``addresses`` of pods."""
    taken = set(map(str, addresses))
    return {node: [each for each in own if each not in taken] for node, own in inner.items()}


def versions_on(nodes: Iterable[NodeRecord]) -> dict[str, str]:
    """What ``nodes`` run, by what it is a version of; where they differ, each version once, with commas between."""
    infos = [node.status.node_info for node in nodes]
    found = {
        "kubelet": {info.kubelet_version for info in infos},
        "kernel": {info.kernel_version for info in infos},
        "operating system": {info.os_image for info in infos},
        "container runtime": {info.container_runtime_version for info in infos},
    }
    return {what: ", ".join(sorted(versions - {""})) for what, versions in found.items() if versions - {""}}


async def read_nodes(api: ApiServer) -> list[NodeRecord]:
    """The nodes. Raises ClusterError."""
    question = Question("/api/v1/nodes", "list", "nodes")
    listed, _ = await read_list(api, question)
    return [decode(item, NodeRecord, api, question) for item in listed]


async def read_cluster(api: ApiServer, namespaces: Sequence[str] = (), *, page: int = PAGE) -> LiveSnapshot:
    """Read ``namespaces`` (none: all of them), with all nodes; without any, and with a note, where only the namespaces
    may be read.

    Raises UsageError for a namespace that isn't there, ClusterError when the API server can't be reached or refuses.
    """
    return await _Reading(api, tuple(sorted(set(namespaces))), page).read()


async def read_namespace(api: ApiServer, name: str) -> NamespaceRecord:
    """The namespace that somebody has named with -n. Raises UsageError when it is not there, ClusterError when it can't
    be read.
    """
    question = Question(f"{CORE}/namespaces/{name}", "get", "namespaces", f" {name}")
    try:
        return decode(await api.get(question), NamespaceRecord, api, question)
    except NotFoundError as error:
        raise UsageError(f"{api.place}: there is no namespace {name!r} (-n {name})") from error


async def with_service_endpoints(api: ApiServer, snapshot: Snapshot) -> Snapshot:
    """``snapshot`` with what EndpointSlices say of Services without a selector; without it where they may not be read:
    no verdict hangs on them but where such a Service is asked for.
    """
    found: dict[tuple[str, str], list[ServiceEndpoint]] = {}
    for namespace in sorted({service.namespace for service in snapshot.services if service.selector is None}):
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        question = Question(path, "list", "endpointslices.discovery.k8s.io", f" in namespace {namespace}")
        with suppress(ForbiddenError, NotFoundError):
            for item in (await read_list(api, question))[0]:
                value = msgspec.json.decode(item)
                found.setdefault((namespace, served(value)), []).extend(read_service_endpoints(value))
    services = tuple(
        replace(service, endpoints=tuple(dict.fromkeys(found.get((service.namespace, service.name), ()))))
        if service.selector is None
        else service
        for service in snapshot.services
    )
    return replace(snapshot, services=services)


class _Reading:
    """One reading of a cluster, while it goes on."""

    def __init__(self, api: ApiServer, namespaces: tuple[str, ...], page: int) -> None:
        self._api = api
        self._namespaces = namespaces
        self._page = page
        self._objects = Objects()
        self._manifests: list[Mapping[str, Any]] = []
        self._versions: dict[str, str] = {}
        self._unreadable: list[UnreadablePolicy] = []
        self._unlisted: list[UnknownPolicy] = []
        self._notes: list[str] = []
        self._agents: defaultdict[str, set[str]] = defaultdict(set)

    async def read(self) -> LiveSnapshot:
        try:
            return await self._read()
        except ForbiddenError as error:
            raise await self._in_full(error) from error

    async def _in_full(self, error: ForbiddenError) -> ForbiddenError:
        """``error`` with all other rights that are missing, too, so that nobody has to ask for one after the other."""
        lacking = ""
        with suppress(ClusterError):
            lacking = await unreadable(self._api, self._namespaces)
        told = f"{error}; altogether it lacks {lacking}" if lacking else str(error)
        if not self._namespaces:
            return ForbiddenError(f"{told}; deploy/rbac.yaml grants all that an audit reads")
        where = " and ".join(self._namespaces)
        return ForbiddenError(
            f"{told}; a RoleBinding in {where} to the ClusterRole {READ_NAMESPACE} of deploy/rbac.yaml grants it"
        )

    async def _read(self) -> LiveSnapshot:
        named = await self._read_named_namespaces()
        nodes = await self._read_nodes()
        self._objects.nodes += [self._take(node, "Node") for node in nodes]
        await apart(self._take_pods, await self._records(CORE, "pods", PodRecord))
        await apart(self._take_services, await self._records(CORE, "services", ServiceRecord))
        await apart(self._take_policies, await self._records(NETWORKING, "networkpolicies", dict))
        groups = await api_groups(self._api)
        await self._read_admin_policies(groups)
        # Last, so that whatever was found stands in one of them, or in one that is gone by now.
        namespaces = named or await self._records(CORE, "namespaces", NamespaceRecord)
        self._objects.namespaces |= {each.metadata.name: each.value() for each in namespaces}
        others = await read_other_kinds(self._api, groups)
        snapshot = await apart(assemble, self._objects, replicas=0, hosts={})
        of_pods = {address for end in snapshot.endpoints if end.kind is EndpointKind.POD for address in end.addresses}
        ignored = dict(sorted((Counter(snapshot.ignored) + Counter(others.counts)).items()))
        return LiveSnapshot(
            replace(
                snapshot,
                ignored=ignored,
                unknown=(*map(unknown_policy, self._unreadable), *self._unlisted, *others.policies),
            ),
            tuple(self._unreadable),
            (*(saved(namespace, "Namespace") for namespace in namespaces), *self._manifests),
            self._versions,
            others.counts,
            (*self._notes, *others.notes, *snapshot.remarks),
            frozenset(node.metadata.name for node in nodes if node.is_ready),
            {**versions_on(nodes), **in_words(self._agents)},
            inner_addresses(nodes, of_pods),
        )

    async def _read_admin_policies(self, groups: Sequence[Group]) -> None:
        """Those of every kind that is installed. They are in no namespace, so who may read single ones may lack the
        right to list them.
        """
        for installed in await served_kinds(self._api, groups):
            question = installed.question
            try:
                items, self._versions[question.path] = await read_list(self._api, question, page=self._page)
            except ForbiddenError as error:
                self._unlisted.append(unlisted(installed, str(error)))
                continue
            decoded = await apart(self._decoded, items, dict, question)
            for item in sorted(decoded, key=_place):
                policy = read_live_admin_policy(item, installed)
                if isinstance(policy, AdminPolicy):
                    self._objects.admin_policies.append(policy)
                else:
                    self._unreadable.append(policy)
                self._manifests.append(saved_admin_policy(item, installed))

    async def _read_nodes(self) -> list[NodeRecord]:
        """None, and a note, where single namespaces are read by somebody who has rights there alone: nodes are in no
        namespace.
        """
        try:
            return await self._records(CORE, "nodes", NodeRecord)
        except ForbiddenError:
            if not self._namespaces:
                raise
            self._notes.append(WITHOUT_NODES)
            return []

    async def _read_named_namespaces(self) -> list[NamespaceRecord]:
        return [await read_namespace(self._api, name) for name in self._namespaces]

    def _take_pods(self, pods: Sequence[PodRecord]) -> None:
        for pod in pods:
            if RUN_LABEL in pod.metadata.labels:  # of this or another run: no audit may take it for a workload
                self._objects.ignored["Pod (of an audit)"] += 1
            else:
                self._objects.pods.append(self._take(pod, "Pod"))

    def _take_services(self, services: Sequence[ServiceRecord]) -> None:
        for service in services:
            if RUN_LABEL in service.metadata.labels:  # it leads to a probe pod, and is gone in a moment
                continue
            value = self._take(service, "Service")
            if service.is_external_name:
                self._objects.ignored["Service (ExternalName)"] += 1
                metadata = service.metadata
                self._objects.absent[f"service/{metadata.namespace}/{metadata.name}"] = EXTERNAL_NAME
            else:
                self._objects.services.append(value)

    def _take(self, record: Any, kind: str) -> Any:
        """The value of ``record``, which is kept as a manifest, too."""
        self._manifests.append(saved(record, kind))
        try:
            return record.value()
        except ValueError as error:
            metadata = record.metadata
            name = f"{metadata.namespace}/{metadata.name}" if metadata.namespace else metadata.name
            raise ClusterError(f"{self._api.connection.server}: {kind} {name} can't be read: {error}") from error

    def _take_policies(self, items: Sequence[dict[str, Any]]) -> None:
        for item in items:
            policy = read_live_policy(item)
            if isinstance(policy, NetworkPolicy):
                self._objects.policies.append(policy)
            else:
                self._unreadable.append(policy)
            self._manifests.append(saved_policy(item, readable=isinstance(policy, NetworkPolicy)))

    async def _records(self, group: str, resource: str, kind: type[Any]) -> list[Any]:
        """Every object of ``resource`` in scope, by namespace and name, and the resourceVersions of its lists kept."""
        found: list[Any] = []
        for question in self._questions(group, resource):
            decoded = partial(self._decoded, kind=kind, question=question)
            items, self._versions[question.path] = await read_decoded(self._api, question, decoded, page=self._page)
            found += items
        return await apart(sorted, found, key=_place)

    def _decoded(self, items: Sequence[msgspec.Raw], kind: type[Any], question: Question) -> list[Any]:
        found = [decode(item, kind, self._api, question) for item in items]
        if kind is PodRecord:
            note_agents(self._agents, items)
        return found

    def _questions(self, group: str, resource: str) -> list[Question]:
        named = f"{resource}.networking.k8s.io" if group == NETWORKING else resource
        if resource in ("nodes", "namespaces"):
            return [Question(f"{group}/{resource}", "list", named)]
        if not self._namespaces:
            return [Question(f"{group}/{resource}", "list", named, " in all namespaces")]
        return [
            Question(f"{group}/namespaces/{name}/{resource}", "list", named, f" in namespace {name}")
            for name in self._namespaces
        ]


def _place(item: Any) -> tuple[str, str]:
    if isinstance(item, dict):
        metadata = item.get("metadata") or {}
        return str(metadata.get("namespace", "")), str(metadata.get("name", ""))
    return item.metadata.namespace, item.metadata.name


def manifest_text(manifests: Sequence[Mapping[str, Any]]) -> str:
    """``manifests`` as one List in JSON. The same objects always give the same text."""
    whole = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
    return msgspec.json.format(msgspec.json.encode(whole, order="deterministic"), indent=2).decode() + "\n"
