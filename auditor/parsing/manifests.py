"""Kubernetes objects as a Snapshot."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from auditor.model.addresses import IPAddress
from auditor.model.errors import InputError, Problem
from auditor.model.labels import NAMESPACE_NAME_LABEL
from auditor.model.policy import NetworkPolicy
from auditor.model.ports import FIRST_PORT, LAST_PORT, Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Namespace, Service, ServicePort, Snapshot
from auditor.parsing.documents import Document, read_documents
from auditor.parsing.fields import Fields
from auditor.parsing.labels import read_labels
from auditor.parsing.network_policy import API_VERSION, read_policy
from auditor.parsing.paths import Path
from auditor.parsing.pods import WORKLOADS, PodObject, Workload, one_per_family, read_address, read_pod, read_workload
from auditor.parsing.source import Source
from auditor.parsing.stand_ins import StandIns

CORE, APPS, BATCH, NETWORKING = "", "apps", "batch", "networking.k8s.io"
GROUPS = {
    "Namespace": CORE,
    "Pod": CORE,
    "Node": CORE,
    "Service": CORE,
    "ReplicationController": CORE,
    "Deployment": APPS,
    "StatefulSet": APPS,
    "DaemonSet": APPS,
    "ReplicaSet": APPS,
    "Job": BATCH,
    "CronJob": BATCH,
    "NetworkPolicy": NETWORKING,
}
CLUSTER_SCOPED = ("Namespace", "Node")
NAME = re.compile(r"[A-Za-z0-9._-]*\Z")


@dataclass
class Objects:
    """What has been read so far, by kind, with every problem."""

    default_namespace: str = "default"
    namespaces: dict[str, Namespace] = field(default_factory=dict)
    pods: list[PodObject] = field(default_factory=list)
    nodes: list[Endpoint] = field(default_factory=list)
    workloads: list[Workload] = field(default_factory=list)
    policies: list[NetworkPolicy] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    _seen: dict[tuple[str, str, str], Fields] = field(default_factory=dict)
    _generated: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _readers: Mapping[str, Callable[[Fields, str, str], None]] = field(init=False)

    def __post_init__(self) -> None:
        self._readers = {
            "Namespace": lambda fields, _, name: self.namespaces.__setitem__(name, _read_namespace(fields, name)),
            "Pod": lambda fields, namespace, name: self.pods.append(read_pod(fields, namespace, name)),
            "Node": lambda fields, _, name: self.nodes.append(_read_node(fields, name)),
            "Service": self._add_service,
            "NetworkPolicy": self._add_policy,
            **dict.fromkeys(WORKLOADS, self._add_workload),
        }

    def add(self, document: Document, path: tuple[str | int, ...] = (), value: Any = None) -> None:
        """Read the object at ``path`` of ``document``; a List's items one by one."""
        value = document.value if value is None else value
        if not isinstance(value, dict):
            self.problems.append(document.problem(path, "is no Kubernetes object: a mapping with apiVersion and kind"))
            return
        fields = Fields(document, self.problems, path, value)
        kind, version = fields.text("kind"), fields.text("apiVersion")
        if not kind or not version:
            if value.get("kind") in (None, "") or value.get("apiVersion") in (None, ""):
                fields.note("is no Kubernetes object: it needs apiVersion and kind")
            return
        if kind == "List" or (kind.endswith("List") and "items" in value):
            for number, item in enumerate(fields.items("items")):
                self.add(document, (*path, "items", number), _with_kind(item, kind, version))
            return
        self._add_object(fields, kind, version)

    def _add_object(self, fields: Fields, kind: str, version: str) -> None:
        group = version.rpartition("/")[0]
        if kind == "NetworkPolicy" and version != API_VERSION and ("." not in group or group == NETWORKING):
            gone = " is gone since Kubernetes 1.16" if group == "extensions" else " has no NetworkPolicy"
            fields.note(f"{version}{gone}: write {API_VERSION}", "apiVersion")
            return
        if kind not in GROUPS or group != GROUPS[kind]:
            self.ignored[f"{kind} ({version})" if kind in GROUPS else kind] += 1
            return
        metadata = fields.section("metadata")
        strict = kind == "NetworkPolicy"
        namespace = (
            "" if kind in CLUSTER_SCOPED else self._name(metadata, "namespace", strict=strict) or self.default_namespace
        )
        name = self._name(metadata, "name", strict=strict) or self._generated_name(metadata, kind, namespace)
        if not name and metadata.value.get("name") in (None, ""):
            fields.note(f"a {kind} needs a metadata.name", "metadata")
        if self._is_new(fields, kind, namespace, name):
            self._readers[kind](fields, namespace, name)

    def _name(self, metadata: Fields, key: str, *, strict: bool = False) -> str:
        """A name that can stand in ``NAMESPACE/NAME``; the API server's rules are not asked here.
        ``strict``: others ask them.
        """
        name = metadata.text(key) or ""
        if not NAME.match(name) and not strict:
            metadata.note(f"{name!r} is no name: use letters, digits, '-' and '.'", key)
        return name

    def _generated_name(self, metadata: Fields, kind: str, namespace: str) -> str:
        """``generateName`` and a number, since the API server would give each object a name of its own."""
        prefix = self._name(metadata, "generateName")
        if not prefix:
            return ""
        self._generated[kind, namespace, prefix] += 1
        return f"{prefix}{self._generated[kind, namespace, prefix]}"

    def _is_new(self, fields: Fields, kind: str, namespace: str, name: str) -> bool:
        """Whether no object of this kind and name was read; an identical copy is passed over, another one a problem."""
        key = (kind, namespace, name)
        first = self._seen.get(key)
        if first is None or not name:
            self._seen[key] = fields
            return True
        if first.value != fields.value:
            place = f"{first.document.source}:{first.line}"
            fields.note(
                f"{kind} {namespace + '/' if namespace else ''}{name} is defined already, and differently, at "
                f"{place}: remove one"
            )
        return False

    def _add_workload(self, fields: Fields, namespace: str, name: str) -> None:
        self.workloads.append(read_workload(fields, fields.value["kind"], namespace, name))

    def _add_policy(self, fields: Fields, namespace: str, name: str) -> None:
        before = len(self.problems)
        policy = read_policy(fields, namespace, name)
        if len(self.problems) == before:
            self.policies.append(policy)

    def _add_service(self, fields: Fields, namespace: str, name: str) -> None:
        if fields.section("spec").text("type") == "ExternalName":
            self.ignored["Service (ExternalName)"] += 1
        else:
            self.services.append(_read_service(fields, namespace, name))


def _with_kind(item: Any, list_kind: str, version: str) -> Any:
    """Items of a typed list, such as PodList, may leave out kind and apiVersion."""
    if isinstance(item, dict) and list_kind != "List" and ("kind" not in item or "apiVersion" not in item):
        return {"kind": list_kind.removesuffix("List"), "apiVersion": version, **item}
    return {} if item is None else item


def _read_namespace(fields: Fields, name: str) -> Namespace:
    labels = read_labels(fields.section("metadata"), "labels")
    if labels.get(NAMESPACE_NAME_LABEL, name) != name:
        fields.note(
            f"the API server sets this label to the namespace's name, {name}",
            "metadata",
            "labels",
            NAMESPACE_NAME_LABEL,
        )
    return Namespace.of(name, labels)


def _read_node(fields: Fields, name: str) -> Endpoint:
    status = fields.section("status")
    addresses = [
        read_address(item, text, "address")
        for item in status.maps("addresses")
        if item.text("type") == "InternalIP" and (text := item.text("address"))
    ]
    known = one_per_family([address for address in addresses if address is not None])
    return Endpoint(
        f"node/{name}",
        EndpointKind.NODE,
        labels=read_labels(fields.section("metadata"), "labels"),
        addresses=known,
        node=name,
    )


def _read_service(fields: Fields, namespace: str, name: str) -> Service:
    spec = fields.section("spec")
    given: list[tuple[str, Path]] = [
        (text, ("clusterIPs", number)) for number, text in enumerate(spec.texts("clusterIPs"))
    ]
    given = given or [(spec.text("clusterIP") or "", ("clusterIP",))]
    addresses = [read_address(spec, text, *steps) for text, steps in given if text not in ("None", "")]
    ports = []
    for port in spec.maps("ports"):
        number, protocol = port.number("port"), port.text("protocol") or Protocol.TCP
        target = port.value.get("targetPort")
        if number is None or not FIRST_PORT <= number <= LAST_PORT or protocol not in tuple(Protocol):
            port.note(
                f"an item of a Service's ports needs a port of {FIRST_PORT}-{LAST_PORT}, and protocol TCP, UDP or SCTP"
            )
            continue
        if target is not None and (isinstance(target, bool) or not isinstance(target, (int, str))):
            port.note("must be a number or a port's name", "targetPort")
            target = None
        ports.append(ServicePort(Protocol(protocol), number, target or number, port.text("name") or ""))
    selector = read_labels(spec, "selector") if spec.value.get("selector") else None
    known = tuple(address for address in addresses if address is not None)
    return Service(namespace, name, selector, tuple(ports), known, spec.flag("publishNotReadyAddresses"))


def read_objects(sources: Iterable[Source], default_namespace: str = "default") -> Objects:
    """Every object of ``sources``, with every problem noted."""
    objects = Objects(default_namespace)
    for source in sources:
        documents, problems = read_documents(source)
        objects.problems += problems
        for document in documents:
            objects.add(document)
    return objects


def read_snapshot(
    sources: Sequence[Source],
    *,
    replicas: int = 2,
    hosts: Mapping[str, tuple[IPAddress, ...]] | None = None,
    default_namespace: str = "default",
) -> Snapshot:
    """The cluster that the objects in ``sources`` describe, with ``hosts`` outside it.

    A workload gives one endpoint for each replica, at most ``replicas``. Raises InputError with every problem of every
    source.
    """
    objects = read_objects(sources, default_namespace)
    if objects.problems:
        place = {source.name: number for number, source in reversed(list(enumerate(sources)))}
        raise InputError(sorted(objects.problems, key=lambda problem: (place[problem.file], problem.line)))
    return assemble(objects, replicas=replicas, hosts=hosts or {})


def assemble(objects: Objects, *, replicas: int, hosts: Mapping[str, tuple[IPAddress, ...]]) -> Snapshot:
    """The snapshot that ``objects``, which have no problems, describe. Raises InputError when names of
    endpoints collide.
    """
    ignored = Counter(objects.ignored)
    ignored.update({"Pod (finished)": sum(pod.finished for pod in objects.pods)})
    running = [pod.endpoint for pod in objects.pods if not pod.finished]
    stand_ins = StandIns(objects.pods, objects.workloads)
    nodes = [node.node for node in objects.nodes][:replicas]
    workloads = _told_apart([workload for workload in objects.workloads if not stand_ins.stand_for(workload)], running)
    made = [endpoint for workload in workloads for endpoint in _replicas_of(workload, nodes, replicas, ignored)]
    outside = [Endpoint(f"host/{name}", EndpointKind.HOST, addresses=addresses) for name, addresses in hosts.items()]
    addresses = {node.node: node.addresses for node in objects.nodes}
    endpoints = [_at_node(endpoint, addresses) for endpoint in (*running, *made)] + outside + objects.nodes
    twice = [name for name, count in Counter(endpoint.name for endpoint in endpoints).items() if count > 1]
    if twice:
        names = ", ".join(sorted(twice))
        raise InputError(
            [Problem("more than one endpoint has this name: rename the pod, workload, host or node", names)]
        )
    namespaces = dict(objects.namespaces)
    for name in (*(endpoint.namespace for endpoint in endpoints), *(policy.namespace for policy in objects.policies)):
        if name and name not in namespaces:
            namespaces[name] = Namespace.of(name)
    pluralize = {kind: count for kind, count in sorted(ignored.items()) if count}
    return Snapshot(namespaces, tuple(endpoints), tuple(objects.policies), tuple(objects.services), pluralize)


def _told_apart(workloads: Sequence[Workload], pods: Sequence[Endpoint]) -> list[Workload]:
    """``workloads``, with the kind added to the names of those that share one: a Deployment and a Job may
    both be called ``prod/web``.
    """
    taken = Counter([pod.name for pod in pods] + [workload.template.name for workload in workloads])
    return [
        replace(workload, template=replace(workload.template, name=f"{workload.template.name}-{workload.kind.lower()}"))
        if taken[workload.template.name] > 1
        else workload
        for workload in workloads
    ]


def _at_node(endpoint: Endpoint, addresses: Mapping[str, tuple[IPAddress, ...]]) -> Endpoint:
    if not endpoint.host_network or endpoint.addresses or endpoint.node not in addresses:
        return endpoint
    return replace(endpoint, addresses=addresses[endpoint.node])


def _replicas_of(workload: Workload, nodes: Sequence[str], most: int, ignored: Counter[str]) -> list[Endpoint]:
    """An endpoint for each replica, at most ``most``; of a DaemonSet one for each of ``nodes``, or a single
    one without any.
    """
    template = workload.template
    one_each = list(nodes) or [template.node]
    homes = one_each if workload.replicas is None else [template.node] * min(workload.replicas, most)
    if not homes:
        ignored[f"{workload.kind} (no replicas)"] += 1
    if len(homes) == 1:
        return [replace(template, node=homes[0])]
    return [replace(template, name=f"{template.name}-{number}", node=home) for number, home in enumerate(homes)]
