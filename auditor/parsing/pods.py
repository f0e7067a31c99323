"""Pods and what they are made from: endpoints for real pods, and for each replica of a workload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from auditor.model.addresses import IPAddress, unmapped
from auditor.model.labels import Labels
from auditor.model.ports import FIRST_PORT, LAST_PORT, ContainerPort, Protocol
from auditor.model.snapshot import Endpoint, EndpointKind
from auditor.parsing.fields import Fields
from auditor.parsing.labels import read_labels
from auditor.parsing.makers import given_labels

FINISHED = ("Succeeded", "Failed")
PROTOCOLS: Mapping[str, Protocol] = {protocol.value: protocol for protocol in Protocol}
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob")


@dataclass(frozen=True, slots=True)
class Owner:
    """The controller of an object: its kind and name in the same namespace."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class PodObject:
    """A Pod: its endpoint, and its controller if it has one."""

    endpoint: Endpoint
    owner: Owner | None
    finished: bool


@dataclass(frozen=True, slots=True)
class Ordinals:
    """The numbers by which a controller tells its pods apart: from ``start``, in their names or in a label alone."""

    start: int
    names_pods: bool


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload object. ``replicas`` None: one for each node. ``ordinals`` None: its pods are all the same.
    ``selector`` holds matchLabels, or the template's labels without them.
    """

    kind: str
    namespace: str
    name: str
    template: Endpoint
    replicas: int | None
    selector: Labels
    owner: Owner | None
    ordinals: Ordinals | None = None


def read_address(fields: Fields, text: str, *steps: str | int) -> IPAddress | None:
    """The address that ``text`` is, an IPv4 address inside IPv6 as IPv4; a problem when it is none."""
    try:
        address = ip_address(text)
    except ValueError:
        fields.note(f"{text!r} is not a valid IP address", *steps)
        return None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        fields.note(f"{text!r} is an address of one link only: it can't have a zone", *steps)
        return None
    return unmapped(address)


def one_per_family(addresses: list[IPAddress]) -> tuple[IPAddress, ...]:
    """The first address of each family, in order."""
    first: dict[int, IPAddress] = {}
    for address in addresses:
        first.setdefault(address.version, address)
    return tuple(first.values())


def read_owner(metadata: Fields) -> Owner | None:
    """The owner reference that is the controller, or None."""
    for reference in metadata.maps("ownerReferences"):
        if reference.flag("controller"):
            return Owner(reference.text("kind") or "", reference.text("name") or "")
    return None


def read_pod(fields: Fields, namespace: str, name: str) -> PodObject:
    """The Pod that ``fields`` are."""
    metadata, status = fields.section("metadata"), fields.section("status")
    spec = fields.section("spec")
    owner = read_owner(metadata)
    endpoint = Endpoint(
        name=f"{namespace}/{name}",
        kind=EndpointKind.POD,
        namespace=namespace,
        labels=read_labels(metadata, "labels"),
        addresses=_read_addresses(status),
        ports=_read_ports(spec),
        node=spec.text("nodeName") or "",
        host_network=spec.flag("hostNetwork"),
        workload=str(owner or ""),
    )
    return PodObject(endpoint, owner, status.text("phase") in FINISHED)


def _read_addresses(status: Fields) -> tuple[IPAddress, ...]:
    found = [read_address(item, text, "ip") for item in status.maps("podIPs") if (text := item.text("ip"))]
    if not found and (text := status.text("podIP")):
        found = [read_address(status, text, "podIP")]
    return one_per_family([address for address in found if address is not None])


def _read_ports(spec: Fields) -> tuple[ContainerPort, ...]:
    """The ports of all containers and of restartable init containers, which run as long as the pod (pod spec, sidecar
    containers).
    """
    sidecars = [
        container for container in spec.maps("initContainers") if container.value.get("restartPolicy") == "Always"
    ]
    ports = []
    for container in (*spec.maps("containers"), *sidecars):
        for port in container.maps("ports"):
            protocol = port.text("protocol") or Protocol.TCP
            number = port.number("containerPort")
            if protocol not in PROTOCOLS:
                port.note(f"must be TCP, UDP or SCTP, not {protocol!r}", "protocol")
            elif number is None:
                if port.value.get("containerPort") is None:
                    port.note("a container's port needs a containerPort")
            elif not FIRST_PORT <= number <= LAST_PORT:
                port.note(f"{number} is outside {FIRST_PORT}-{LAST_PORT}", "containerPort")
            else:
                host_port = port.number("hostPort") or 0
                ports.append(ContainerPort(PROTOCOLS[protocol], number, port.text("name") or "", host_port))
    return tuple(dict.fromkeys(ports))


def read_workload(fields: Fields, kind: str, namespace: str, name: str) -> Workload:
    """The workload that ``fields`` are: of any kind with a pod template in its spec, or in that of its jobs."""
    spec = fields.section("spec")
    owner = read_owner(fields.section("metadata"))
    if spec.value.get("jobTemplate") is not None:
        spec = spec.section("jobTemplate").section("spec")
    template = spec.section("template")
    pod_spec = template.section("spec")
    labels = read_labels(template.section("metadata"), "labels")
    given = given_labels(fields.text("apiVersion") or "", kind, name)
    endpoint = Endpoint(
        name=f"{namespace}/{name}",
        kind=EndpointKind.POD,
        namespace=namespace,
        labels={**labels, **given.known},
        ports=_read_ports(pod_spec),
        node=pod_spec.text("nodeName") or "",
        host_network=pod_spec.flag("hostNetwork"),
        workload=f"{kind}/{name}",
        unknown_labels=given.unknown.difference(labels),
    )
    selector = spec.section("selector").value
    match_labels = selector.get("matchLabels")
    chosen = match_labels if isinstance(match_labels, dict) else selector
    ordinals = _read_ordinals(spec, kind)
    replicas = _replicas(spec, kind)
    if ordinals is not None and not ordinals.names_pods:
        replicas = spec.number("completions") or replicas  # one for each index, though not all at a time
    return Workload(kind, namespace, name, endpoint, replicas, _texts(chosen) or labels, owner, ordinals)


def _read_ordinals(spec: Fields, kind: str) -> Ordinals | None:
    if kind == "StatefulSet":
        return Ordinals(spec.section("ordinals").number("start") or 0, names_pods=True)
    indexed = kind in ("Job", "CronJob") and spec.value.get("completionMode") == "Indexed"
    return Ordinals(0, names_pods=False) if indexed else None


def _texts(labels: Mapping[str, object]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if isinstance(value, str)}


def _replicas(spec: Fields, kind: str) -> int | None:
    if kind.endswith("DaemonSet"):
        return None
    if spec.value.get("parallelism") is not None or spec.value.get("completions") is not None:
        parallelism, completions = spec.number("parallelism"), spec.number("completions")
        wanted = 1 if parallelism is None else parallelism
        return wanted if completions is None else min(wanted, completions)
    replicas = spec.number("replicas")
    return 1 if replicas is None else replicas
