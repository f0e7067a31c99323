"""Kubernetes objects as a Snapshot."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, TypeAlias

from auditor.model.addresses import IPAddress
from auditor.model.admin_policy import AdminPolicy
from auditor.model.errors import InputError, Problem
from auditor.model.labels import NAMESPACE_NAME_LABEL
from auditor.model.policy import NetworkPolicy, UnknownPolicy
from auditor.model.skipped import MAKES_PODS, Skipped
from auditor.model.snapshot import (
    ApiServerCall,
    Endpoint,
    EndpointKind,
    Namespace,
    Service,
    ServiceEndpoint,
    Snapshot,
)
from auditor.parsing.admin_policy import GROUP as POLICY
from auditor.parsing.admin_policy import KINDS as ADMIN_KINDS
from auditor.parsing.admin_policy import read_admin_policy, remarks_on
from auditor.parsing.api_server_calls import api_server_calls
from auditor.parsing.differing import Differing, remarks, unsure_of
from auditor.parsing.documents import Document, parse_documents
from auditor.parsing.entries import Entry, entries_of, is_entry, read_entries
from auditor.parsing.fields import Fields
from auditor.parsing.found import read_found
from auditor.parsing.kustomizations import patch_files
from auditor.parsing.labels import read_labels
from auditor.parsing.leftovers import OPENSHIFT_TEMPLATE, OPENSHIFT_VERSIONS, unfilled_template, why_no_object
from auditor.parsing.makers import has_pod_template, makes_pods
from auditor.parsing.network_policy import API_VERSION, read_policy
from auditor.parsing.numbered_pods import numbered_pods, values_asked_for
from auditor.parsing.other_policies import other_policy
from auditor.parsing.pods import WORKLOADS, PodObject, Workload, one_per_family, read_address, read_pod, read_workload
from auditor.parsing.services import ENDPOINT_KINDS, read_service, read_service_endpoints, served
from auditor.parsing.source import Source
from auditor.parsing.stand_ins import StandIns
from auditor.parsing.unreadable import (
    may_be_in,
    unknown_admin_policy,
    unreadable_admin_policy,
    unreadable_policy,
)

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
    **dict.fromkeys(ADMIN_KINDS, POLICY),
}
EXTERNAL_NAME = "is an ExternalName, another name for a host: no policy sees it; ask for the host itself"
CLUSTER_SCOPED = ("Namespace", "Node", *ADMIN_KINDS)
DEFAULT_NAMESPACE = "default"
POLICIES = ("NetworkPolicy", *ADMIN_KINDS)
NAME = re.compile(r"[A-Za-z0-9._-]*\Z")


_Reader: TypeAlias = tuple[Callable[[Fields, str, str], Any], list[Any]]
"""How an object is read, and where it is kept."""


@dataclass
class Objects:
    """What has been read so far, by kind, with every problem.

    ``unknown`` are policies that can't be read, or are there twice, and differently. ``unreadable`` are files in which
    policies may be and that can't be read. ``patches`` are files that kustomizations use as such.
    ``service_endpoints`` are what EndpointSlices and Endpoints say, by their kind and the full name of the Service.
    """

    default_namespace: str = DEFAULT_NAMESPACE
    namespaces: dict[str, Namespace] = field(default_factory=dict)
    pods: list[PodObject] = field(default_factory=list)
    nodes: list[Endpoint] = field(default_factory=list)
    workloads: list[Workload] = field(default_factory=list)
    policies: list[NetworkPolicy] = field(default_factory=list)
    admin_policies: list[AdminPolicy] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    skipped: list[Skipped] = field(default_factory=list)
    differing: list[Differing] = field(default_factory=list)
    unknown: list[UnknownPolicy] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    service_endpoints: dict[tuple[str, str], list[tuple[ServiceEndpoint, ...]]] = field(default_factory=dict)
    calls: list[ApiServerCall] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    patches: frozenset[str] = frozenset()
    _seen: dict[tuple[str, str, str], tuple[Fields, Any]] = field(default_factory=dict)
    _generated: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _readers: Mapping[str, _Reader] = field(init=False)

    def __post_init__(self) -> None:
        self._readers = {
            "Pod": (read_pod, self.pods),
            "Node": (lambda fields, _, name: _read_node(fields, name), self.nodes),
            "Service": (read_service, self.services),
            "NetworkPolicy": (read_policy, self.policies),
            **dict.fromkeys(ADMIN_KINDS, (read_admin_policy, self.admin_policies)),
            **dict.fromkeys(WORKLOADS, (_read_workload, self.workloads)),
        }

    @property
    def _custom(self) -> _Reader:
        """How objects of kinds that nobody here knows are read that have a pod template."""
        return _read_workload, self.workloads

    def add(self, document: Document, path: tuple[str | int, ...] = (), value: Any = None) -> None:
        """Read the object at ``path`` of ``document``; a List's items one by one."""
        value = document.value if value is None else value
        if document.found and (cause := why_no_object(document, value, self.patches)) is not None:
            self.skipped.append(cause)
            return
        if not isinstance(value, dict):
            self._note_doubts(document, path)
            self.problems.append(
                document.problem(path, "is not a Kubernetes object, which is a mapping with apiVersion and kind")
            )
            return
        fields = Fields(document, self.problems, path, value)
        kind, version = fields.text("kind"), fields.text("apiVersion")
        if not kind or not version:
            self._note_doubts(document, path)
            if value.get("kind") in (None, "") or value.get("apiVersion") in (None, ""):
                fields.note("is not a Kubernetes object: it needs apiVersion and kind")
            return
        if kind == "List" or (kind.endswith("List") and "items" in value):
            for number, item in enumerate(fields.items("items")):
                self.add(document, (*path, "items", number), _with_kind(item, kind, version))
            return
        self._add_object(fields, kind, version)

    def _note_doubts(self, document: Document, path: tuple[str | int, ...]) -> None:
        """Whoever reads the part at ``path`` can't pass over what is doubtful in it."""
        self.problems += [doubt.problem for doubt in document.doubts if doubt.path[: len(path)] == path]

    def _add_object(self, fields: Fields, kind: str, version: str) -> None:
        group = version.rpartition("/")[0]
        if kind == "NetworkPolicy" and version != API_VERSION and ("." not in group or group == NETWORKING):
            gone = " is gone since Kubernetes 1.16" if version == "extensions/v1beta1" else " has no NetworkPolicy"
            fields.note(f"{version}{gone}: write {API_VERSION}", "apiVersion")
            return
        if kind not in GROUPS and (meant := _misspelt(kind, group)):
            fields.note(f"{version} has no {kind}: did you mean {meant}?", "kind")
            return
        if GROUPS.get(kind) == group:
            self._add_known(fields, kind, kind)
        elif has_pod_template(fields.value):
            self._add_known(fields, f"{kind}.{group}", kind)
        else:
            if (kind, group) in ENDPOINT_KINDS:
                namespace = fields.section("metadata").value.get("namespace") or self.default_namespace
                place = (kind, f"{namespace}/{served(fields.value)}")
                self.service_endpoints.setdefault(place, []).append(read_service_endpoints(fields.value))
            if kind == OPENSHIFT_TEMPLATE and version in OPENSHIFT_VERSIONS:
                self.ignored[f"{kind} (fill it in first: oc process)"] += 1
                return
            if is_entry(kind, group):
                self.entries += read_entries(kind, fields.value, self.default_namespace)
                return
            why = f" ({MAKES_PODS})" if makes_pods(kind, group) else f" ({version})" if kind in GROUPS else ""
            self.ignored[f"{kind}{why}"] += 1
            if (policy := other_policy(group, kind, fields.value, self.default_namespace)) is not None:
                self.unknown.append(policy)
            self.calls += api_server_calls(kind, group, fields.value)

    def _add_known(self, fields: Fields, key: str, kind: str) -> None:
        """Read the object that ``fields`` are; ``key`` is its kind, with the group for those of others."""
        before = len(self.problems)
        self._note_doubts(fields.document, fields.path)
        named = self._read_object(fields, key, kind)
        wrong = self.problems[before:]
        if fields.document.found and (unfilled := unfilled_template(fields, kind, wrong)):
            del self.problems[before:]
            self.skipped.append(unfilled)
        elif not wrong:
            self._keep(fields, key, named)
        elif key == "NetworkPolicy":
            self.unknown.append(unreadable_policy(fields, named.namespace, named.name, wrong))
        elif key in ADMIN_KINDS:
            self.unknown.append(unreadable_admin_policy(fields, key, named.name, wrong))

    def _read_object(self, fields: Fields, key: str, kind: str) -> _Named:
        """The object with its name and namespace."""
        metadata = fields.section("metadata")
        strict = key in POLICIES
        namespace = (
            "" if kind in CLUSTER_SCOPED else self._name(metadata, "namespace", strict=strict) or self.default_namespace
        )
        name = self._name(metadata, "name", strict=strict) or self._generated_name(metadata, kind, namespace)
        if not name and metadata.value.get("name") in (None, ""):
            fields.note(f"a {kind} needs a metadata.name", "metadata")
        read = _read_namespace if key == "Namespace" else self._readers.get(key, self._custom)[0]
        value = read(fields, namespace, name)
        if isinstance(value, NetworkPolicy) and self.default_namespace == DEFAULT_NAMESPACE:
            value = replace(value, namespace_assumed=not metadata.value.get("namespace"))
        return _Named(namespace, name, value)

    def _name(self, metadata: Fields, key: str, *, strict: bool = False) -> str:
        """A name that can stand in ``NAMESPACE/NAME``; the API server's rules are not asked here. ``strict``: others
        ask them.
        """
        name = metadata.text(key) or ""
        if not NAME.match(name) and not strict:
            metadata.note(f"{name!r} is not a valid name: use letters, digits, '-' and '.'", key)
        return name

    def _generated_name(self, metadata: Fields, kind: str, namespace: str) -> str:
        """``generateName`` and a number, since the API server would give each object a name of its own."""
        prefix = self._name(metadata, "generateName")
        if not prefix:
            return ""
        self._generated[kind, namespace, prefix] += 1
        return f"{prefix}{self._generated[kind, namespace, prefix]}"

    def _keep(self, fields: Fields, kind: str, named: _Named) -> None:
        """Keep an object under its name; one that is there already is passed over where all that is read of it is the
        same.
        """
        key = (kind, named.namespace, named.name)
        if key in self._seen:
            first, value = self._seen[key]
            if value != named.value:
                self._note_differing(Differing(kind, named.full_name, first, fields), value, named.value)
            return
        self._seen[key] = (fields, named.value)
        if kind == "Namespace":
            self.namespaces[named.name] = named.value
        elif named.value is None:
            self.ignored["Service (ExternalName)"] += 1
            self.absent[f"service/{named.full_name}"] = EXTERNAL_NAME
        else:
            self._readers.get(kind, self._custom)[1].append(named.value)

    def _note_differing(self, twice: Differing, first: Any, second: Any) -> None:
        if not (twice.first.document.found or twice.second.document.found):
            twice.second.note(
                f"{twice.kind} {twice.name} is defined already, and differently, at {twice.first_place}: remove one"
            )
            return
        if isinstance(first, NetworkPolicy) and not any(policy.full_name == twice.name for policy in self.unknown):
            selector = first.pod_selector if first.pod_selector == second.pod_selector else None
            self.unknown.append(UnknownPolicy(first.namespace, first.name, selector, twice.why))
        if isinstance(first, AdminPolicy) and not any(policy.name == first.full_name for policy in self.unknown):
            self.unknown.append(unknown_admin_policy(first, second, twice.why))
        if isinstance(first, Namespace):
            common = {key: value for key, value in first.labels.items() if second.labels.get(key) == value}
            self.namespaces[first.name] = Namespace.of(first.name, common, known=False)
        elif isinstance(first, Workload):
            self.workloads[:] = [unsure_of(each, first, second) for each in self.workloads]
        self.differing.append(twice)


@dataclass(frozen=True, slots=True)
class _Named:
    """What was read of an object, and how it is called."""

    namespace: str
    name: str
    value: Any

    @property
    def full_name(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def _misspelt(kind: str, group: str) -> str:
    """The kind of ``group`` that ``kind``, which is none of those that are read, is but for its letters' case."""
    same = [known for known, its in GROUPS.items() if its == group and known.lower() == kind.lower()]
    return same[0] if same else ""


def _with_kind(item: Any, list_kind: str, version: str) -> Any:
    """Items of a typed list, such as PodList, may leave out kind and apiVersion."""
    if isinstance(item, dict) and list_kind != "List" and ("kind" not in item or "apiVersion" not in item):
        return {"kind": list_kind.removesuffix("List"), "apiVersion": version, **item}
    return {} if item is None else item


def _read_workload(fields: Fields, namespace: str, name: str) -> Workload:
    return read_workload(fields, fields.value["kind"], namespace, name)


def _read_namespace(fields: Fields, _: str, name: str) -> Namespace:
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


def read_objects(sources: Iterable[Source], default_namespace: str = DEFAULT_NAMESPACE) -> Objects:
    """Every object of ``sources``, with every problem noted."""
    sources = list(sources)
    objects = Objects(default_namespace, patches=patch_files(sources))
    for source in sources:
        if source.found:
            found = read_found(source)
            objects.skipped += found.skipped
            objects.ignored.update(found.ignored)
            documents, problems = found.documents, found.problems
        else:
            documents, problems = parse_documents(source)
        objects.problems += problems
        objects.unreadable += [source.name] if problems else []
        for document in documents:
            objects.add(document)
    return objects


def read_snapshot(
    sources: Sequence[Source],
    *,
    replicas: int = 2,
    hosts: Mapping[str, tuple[IPAddress, ...]] | None = None,
    default_namespace: str = DEFAULT_NAMESPACE,
    keep_going: bool = False,
) -> Snapshot:
    """The cluster that the objects in ``sources`` describe, with ``hosts`` outside it.

    A workload gives one endpoint for each replica, at most ``replicas``. Raises InputError with every problem of every
    source, unless told to ``keep_going`` without the objects that have one.
    """
    objects = read_objects(sources, default_namespace)
    if objects.problems:
        place = {source.name: number for number, source in reversed(list(enumerate(sources)))}
        objects.problems.sort(key=lambda problem: (place[problem.file], problem.line))
        if not keep_going:
            raise InputError(objects.problems)
    return assemble(objects, replicas=replicas, hosts=hosts or {}, whole=False)


def assemble(
    objects: Objects, *, replicas: int, hosts: Mapping[str, tuple[IPAddress, ...]], whole: bool = True
) -> Snapshot:
    """The snapshot that ``objects`` describe. ``whole``: they are all of the cluster, and a namespace without an object
    has no labels. Raises InputError when names of endpoints collide.
    """
    ignored = Counter(objects.ignored)
    ignored.update({"Pod (finished)": sum(pod.finished for pod in objects.pods)})
    running = [pod.endpoint for pod in objects.pods if not pod.finished]
    stand_ins = StandIns(objects.pods, objects.workloads)
    nodes = [node.node for node in objects.nodes][:replicas]
    workloads = _told_apart([workload for workload in objects.workloads if not stand_ins.stand_for(workload)], running)
    asked = values_asked_for(objects.policies)
    made = [endpoint for workload in workloads for endpoint in _replicas_of(workload, nodes, replicas, asked)]
    made = _named_apart(made, running)
    idle = [workload for workload in workloads if workload.replicas is not None and workload.replicas <= 0]
    ignored.update(f"{workload.kind} (no replicas)" for workload in idle)
    absent = {
        **objects.absent,
        **{pod.endpoint.name: "is a pod that has finished: nothing reaches it" for pod in objects.pods if pod.finished},
        **{each.template.name: f"is a {each.kind} without replicas: it has no pods" for each in idle},
    }
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
            namespaces[name] = Namespace.of(name, known=whole)
    counts = {kind: count for kind, count in sorted(ignored.items()) if count}
    unknown = (*objects.unknown, *may_be_in(objects.unreadable, namespaces))
    unsure = {policy.full_name for policy in objects.unknown}
    return Snapshot(
        namespaces,
        tuple(endpoints),
        tuple(policy for policy in objects.policies if policy.full_name not in unsure),
        tuple(_with_endpoints(objects, service) for service in objects.services),
        counts,
        unknown=unknown,
        problems=tuple(objects.problems),
        skipped=tuple(objects.skipped),
        remarks=(*remarks(objects.differing), *remarks_on(objects.admin_policies)),
        absent=absent,
        api_server_calls=tuple(dict.fromkeys(objects.calls)),
        variants=tuple(policy for policy in objects.policies if policy.full_name in unsure),
        admin_policies=tuple(policy for policy in objects.admin_policies if policy.full_name not in unsure),
        entries=entries_of(objects.entries),
    )


def _with_endpoints(objects: Objects, service: Service) -> Service:
    """``service``; where it has no selector, with what its EndpointSlices say, or else its Endpoints."""
    if service.selector is not None:
        return service
    slices = (objects.service_endpoints.get((kind, service.place)) for kind, _ in ENDPOINT_KINDS)
    found = next((each for each in slices if each), [])
    return replace(service, endpoints=tuple(dict.fromkeys(each for piece in found for each in piece)))


def _told_apart(workloads: Sequence[Workload], pods: Sequence[Endpoint]) -> list[Workload]:
    """``workloads``, with the kind added to the names of those that share one: a Deployment and a Job may both be
    called ``prod/web``.
    """
    taken = Counter([pod.name for pod in pods] + [workload.template.name for workload in workloads])
    return [
        replace(workload, template=replace(workload.template, name=f"{workload.template.name}-{workload.kind.lower()}"))
        if taken[workload.template.name] > 1
        else workload
        for workload in workloads
    ]


def _named_apart(made: Sequence[Endpoint], pods: Sequence[Endpoint]) -> list[Endpoint]:
    """``made``, of which the second replica of one workload may be called as another workload is: such get a number."""
    taken = {pod.name for pod in pods}
    apart = []
    for endpoint in made:
        numbered = (f"{endpoint.name}.{number}" for number in count(2))
        name = endpoint.name if endpoint.name not in taken else next(each for each in numbered if each not in taken)
        taken.add(name)
        apart.append(endpoint if name == endpoint.name else replace(endpoint, name=name))
    return apart


def _at_node(endpoint: Endpoint, addresses: Mapping[str, tuple[IPAddress, ...]]) -> Endpoint:
    if not endpoint.host_network or endpoint.addresses or endpoint.node not in addresses:
        return endpoint
    return replace(endpoint, addresses=addresses[endpoint.node])


def _replicas_of(workload: Workload, nodes: Sequence[str], most: int, asked: Collection[str]) -> list[Endpoint]:
    """An endpoint for each replica, at most ``most``; of a DaemonSet one for each of ``nodes``, or a single one without
    any. Of pods with numbers, those that policies ask for are among them: ``asked`` are values of labels.
    """
    template = workload.template
    if workload.ordinals is not None:
        return numbered_pods(workload, workload.ordinals, most, asked)
    one_each = list(nodes) or [template.node]
    homes = one_each if workload.replicas is None else [template.node] * min(workload.replicas, most)
    if len(homes) == 1:
        return [replace(template, node=homes[0])]
    return [replace(template, name=f"{template.name}-{number}", node=home) for number, home in enumerate(homes)]
