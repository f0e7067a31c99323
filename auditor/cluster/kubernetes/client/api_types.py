"""The few fields of each kind that matter, decoded from raw bodies and encoded again for a saved snapshot.

What these types leave out (environment, annotations, managed fields, images) is never decoded, and so never saved
either. They mean what ``auditor.parsing`` means by the same fields of a file; a test holds the two together. Fields
that the API server leaves out when they are empty have that default here.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any, Self

import msgspec

from auditor.model.addresses import IPAddress, unmapped
from auditor.model.ports import ContainerPort, Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Namespace, Service, ServicePort
from auditor.parsing.pods import FINISHED, Owner, PodObject, one_per_family
from auditor.parsing.services import HEADLESS, LOCAL, outside_ips, source_ranges


class Record(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Base of all: camelCase names, what is empty left out."""


class OwnerReference(Record, frozen=True):
    """metav1 OwnerReference."""

    kind: str
    name: str
    controller: bool = False


class Metadata(Record, frozen=True):
    """metav1 ObjectMeta."""

    name: str
    namespace: str = ""
    labels: dict[str, str] = {}
    owner_references: list[OwnerReference] = []


class NamespaceRecord(Record, frozen=True):
    """v1 Namespace."""

    metadata: Metadata

    def value(self) -> Namespace:
        return Namespace.of(self.metadata.name, self.metadata.labels)


class PortRecord(Record, frozen=True):
    """v1 ContainerPort."""

    container_port: int
    name: str = ""
    protocol: str = "TCP"
    host_port: int = 0


class Container(Record, frozen=True):
    """v1 Container, init containers included."""

    name: str = ""
    restart_policy: str = ""
    ports: list[PortRecord] = []


class PodSpec(Record, frozen=True):
    """v1 PodSpec."""

    containers: list[Container] | None = None
    init_containers: list[Container] = []
    node_name: str = ""
    host_network: bool = False


class PodIP(Record, frozen=True):
    """v1 PodIP."""

    ip: str = ""


class PodStatus(Record, frozen=True):
    """v1 PodStatus."""

    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: list[PodIP] = msgspec.field(default_factory=list, name="podIPs")


class PodRecord(Record, frozen=True):
    """v1 Pod."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def value(self) -> PodObject:
        metadata, spec, status = self.metadata, self.spec, self.status
        listed = [pod_ip.ip for pod_ip in status.pod_ips if pod_ip.ip] or ([status.pod_ip] if status.pod_ip else [])
        owner = next((Owner(owner.kind, owner.name) for owner in metadata.owner_references if owner.controller), None)
        endpoint = Endpoint(
            name=f"{metadata.namespace}/{metadata.name}",
            kind=EndpointKind.POD,
            namespace=metadata.namespace,
            labels=metadata.labels,
            addresses=one_per_family([_address(text) for text in listed]),
            ports=self._ports(),
            node=spec.node_name,
            host_network=spec.host_network,
            workload=str(owner or ""),
        )
        return PodObject(endpoint, owner, status.phase in FINISHED)

    def _ports(self) -> tuple[ContainerPort, ...]:
        sidecars = [container for container in self.spec.init_containers if container.restart_policy == "Always"]
        ports = [
            ContainerPort(Protocol(port.protocol), port.container_port, port.name, port.host_port)
            for container in (*(self.spec.containers or ()), *sidecars)
            for port in container.ports
        ]
        return tuple(dict.fromkeys(ports))


class NodeAddress(Record, frozen=True):
    """v1 NodeAddress."""

    type: str
    address: str


class Condition(Record, frozen=True):
    """v1 NodeCondition and PodCondition."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class NodeSpec(Record, frozen=True):
    """v1 NodeSpec."""

    unschedulable: bool = False
    pod_cidrs: list[str] = msgspec.field(default_factory=list, name="podCIDRs")


class NodeInfo(Record, frozen=True):
    """v1 NodeSystemInfo."""

    kubelet_version: str = ""
    kernel_version: str = ""
    os_image: str = ""
    container_runtime_version: str = ""


class NodeStatus(Record, frozen=True):
    """v1 NodeStatus."""

    addresses: list[NodeAddress] = []
    conditions: list[Condition] = []
    node_info: NodeInfo = NodeInfo()


class NodeRecord(Record, frozen=True):
    """v1 Node."""

    metadata: Metadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def is_ready(self) -> bool:
        """Whether it runs pods that are made for Linux, and takes new ones."""
        if self.spec.unschedulable or self.metadata.labels.get("kubernetes.io/os", "linux") != "linux":
            return False
        return any(item.type == "Ready" and item.status == "True" for item in self.status.conditions)

    @property
    def inner_addresses(self) -> tuple[IPAddress, ...]:
        """The addresses that come before any pod's in the node's own networks of pods: Flannel's overlay has the first,
        the bridge or gateway that host-local IPAM leaves out the second.
        """
        networks = (ip_network(text, strict=False).network_address for text in self.spec.pod_cidrs)
        return tuple(first + each for first in networks for each in (0, 1))

    @property
    def _internal(self) -> list[NodeAddress]:
        return [item for item in self.status.addresses if item.type == "InternalIP"]

    def without_noise(self) -> Self:
        """This node with no address but those that count, and nothing that changes by the minute."""
        return msgspec.structs.replace(self, spec=NodeSpec(), status=NodeStatus(self._internal))

    def value(self) -> Endpoint:
        name = self.metadata.name
        internal = [_address(item.address) for item in self._internal if item.address]
        return Endpoint(
            f"node/{name}",
            EndpointKind.NODE,
            labels=self.metadata.labels,
            addresses=one_per_family(internal),
            node=name,
        )


class ServicePortRecord(Record, frozen=True):
    """v1 ServicePort."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str | None = None
    node_port: int = 0


class ServiceSpec(Record, frozen=True):
    """v1 ServiceSpec."""

    type: str = ""
    selector: dict[str, str] = {}
    ports: list[ServicePortRecord] = []
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: list[str] = msgspec.field(default_factory=list, name="clusterIPs")
    publish_not_ready_addresses: bool = False
    external_traffic_policy: str = ""
    internal_traffic_policy: str = ""
    external_ips: list[str] = msgspec.field(default_factory=list, name="externalIPs")
    load_balancer_ip: str = msgspec.field(default="", name="loadBalancerIP")
    load_balancer_source_ranges: list[str] = []


class LoadBalancerIngress(Record, frozen=True):
    """v1 LoadBalancerIngress."""

    ip: str = ""


class LoadBalancerStatus(Record, frozen=True):
    """v1 LoadBalancerStatus."""

    ingress: list[LoadBalancerIngress] = []


class ServiceStatus(Record, frozen=True):
    """v1 ServiceStatus."""

    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class ServiceRecord(Record, frozen=True):
    """v1 Service."""

    metadata: Metadata
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()

    @property
    def is_external_name(self) -> bool:
        return self.spec.type == "ExternalName"

    def value(self) -> Service:
        spec = self.spec
        given = spec.cluster_ips or [spec.cluster_ip]
        addresses = tuple(_address(text) for text in given if text not in (HEADLESS, ""))
        ports = tuple(
            ServicePort(Protocol(port.protocol), port.port, port.target_port or port.port, port.name, port.node_port)
            for port in spec.ports
        )
        plain = msgspec.to_builtins(spec)
        return Service(
            self.metadata.namespace,
            self.metadata.name,
            spec.selector or None,
            ports,
            addresses,
            publish_not_ready=spec.publish_not_ready_addresses,
            kind=spec.type or "ClusterIP",
            headless=given[0] == HEADLESS,
            outside_ips=outside_ips(plain, msgspec.to_builtins(self.status)),
            external_local=spec.external_traffic_policy == LOCAL,
            internal_local=spec.internal_traffic_policy == LOCAL,
            source_ranges=source_ranges(plain),
        )


class ListMetadata(Record, frozen=True):
    """metav1 ListMeta."""

    resource_version: str = ""
    continue_token: str = msgspec.field(default="", name="continue")


class RawList(Record, frozen=True):
    """One page of any list, its items not decoded yet. Go writes an empty list as null here and there; an answer
    without any is not a list.
    """

    metadata: ListMetadata
    items: list[msgspec.Raw] | None


class GroupVersion(Record, frozen=True):
    """metav1 GroupVersionForDiscovery."""

    version: str


class Group(Record, frozen=True):
    """metav1 APIGroup."""

    name: str
    preferred_version: GroupVersion
    versions: list[GroupVersion] = []

    @property
    def served(self) -> tuple[GroupVersion, ...]:
        """The versions that can be asked for, the preferred one first."""
        return (self.preferred_version, *self.versions)


class GroupList(Record, frozen=True):
    """The answer to GET /apis."""

    groups: list[Group] = []


class Resource(Record, frozen=True):
    """metav1 APIResource."""

    name: str


class ResourceList(Record, frozen=True):
    """The answer to GET /apis/GROUP/VERSION."""

    resources: list[Resource] = []


def saved(record: Record, kind: str) -> dict[str, Any]:
    """``record`` as a manifest of ``kind``."""
    kept = record.without_noise() if isinstance(record, NodeRecord) else record
    return {"apiVersion": "v1", "kind": kind, **msgspec.to_builtins(kept)}


def _address(text: str) -> IPAddress:
    return unmapped(ip_address(text))
