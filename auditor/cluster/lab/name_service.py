"""The DNS of a lab: which pods answer, behind which Service, and for which names."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from auditor.cluster.lab.service_rules import NETWORKS
from auditor.model.dns_seen import DNS_PLACES, DNS_PORT
from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, Family, Service, ServicePort, Snapshot

DOMAIN = "cluster.local"
KNOWN_NAME = f"kubernetes.default.svc.{DOMAIN}"
DNS_PODS = " or ".join(f"namespace {namespace}, label {key}={value}" for namespace, (key, value) in DNS_PLACES)
NUMBER = 10
"""Which address of the Services' network the DNS has, by custom."""


def dns_service(snapshot: Snapshot, families: Collection[Family]) -> Service | None:
    """The Service of the cluster's DNS: the one that ``snapshot`` has or, where pods are there and no Service, one such
    as clusters have; None without pods. It has an address of each of ``families``.
    """
    for namespace, (key, value) in DNS_PLACES:
        if not any(_is_dns(pod, namespace, key, value) for pod in snapshot.endpoints):
            continue
        known = next((each for each in snapshot.services if _leads_there(each, namespace, key, value)), None)
        ports = tuple(ServicePort(protocol, DNS_PORT, DNS_PORT) for protocol in (Protocol.UDP, Protocol.TCP))
        service = known or Service(namespace, "kube-dns", {key: value}, ports)
        own = {address.version for address in service.cluster_ips}
        given = tuple(NETWORKS[family][NUMBER] for family in sorted(families) if family not in own)
        return replace(service, cluster_ips=(*service.cluster_ips, *given))
    return None


def _is_dns(pod: Endpoint, namespace: str, key: str, value: str) -> bool:
    return pod.selectable and pod.namespace == namespace and pod.labels.get(key) == value


def _leads_there(service: Service, namespace: str, key: str, value: str) -> bool:
    asked = {port.protocol for port in service.ports if port.number == DNS_PORT}
    selects = service.selector is not None and service.selector.get(key) == value
    return service.namespace == namespace and selects and not service.headless and Protocol.UDP in asked


def known_names(services: Iterable[Service]) -> dict[str, list[str]]:
    """The names that the DNS has, each with its addresses."""
    names = {
        f"{service.name}.{service.namespace}.svc.{DOMAIN}": [str(address) for address in service.cluster_ips]
        for service in services
        if service.cluster_ips
    }
    return {KNOWN_NAME: [str(network[1]) for network in NETWORKS.values()], **names}
