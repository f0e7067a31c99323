"""Services, and the EndpointSlices that say where those without a selector lead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, TypeAlias

from auditor.model.addresses import IPAddress, IPNetwork, unmapped
from auditor.model.ports import FIRST_PORT, LAST_PORT, Protocol
from auditor.model.snapshot import Service, ServiceEndpoint, ServicePort
from auditor.parsing.fields import Fields
from auditor.parsing.labels import read_labels
from auditor.parsing.loose_values import mappings, part
from auditor.parsing.paths import Path
from auditor.parsing.pods import read_address

SERVICE_NAME = "kubernetes.io/service-name"
ENDPOINT_KINDS = (("EndpointSlice", "discovery.k8s.io"), ("Endpoints", ""))
"""Kinds and groups of what lists the endpoints of Services: the better one first."""
HEADLESS = "None"
LOCAL = "Local"
Plain: TypeAlias = Mapping[str, Any]


def read_service(fields: Fields, namespace: str, name: str) -> Service | None:
    """The Service that ``fields`` are; None for an ExternalName."""
    spec = fields.section("spec")
    kind = spec.text("type") or "ClusterIP"
    if kind == "ExternalName":
        return None
    given: list[tuple[str, Path]] = [
        (text, ("clusterIPs", number)) for number, text in enumerate(spec.texts("clusterIPs"))
    ]
    given = given or [(spec.text("clusterIP") or "", ("clusterIP",))]
    addresses = [read_address(spec, text, *steps) for text, steps in given if text not in (HEADLESS, "")]
    return Service(
        namespace,
        name,
        read_labels(spec, "selector") if spec.value.get("selector") else None,
        tuple(_read_ports(spec)),
        tuple(address for address in addresses if address is not None),
        publish_not_ready=spec.flag("publishNotReadyAddresses"),
        kind=kind,
        headless=given[0][0] == HEADLESS,
        outside_ips=outside_ips(spec.value, fields.value.get("status")),
        external_local=spec.text("externalTrafficPolicy") == LOCAL,
        internal_local=spec.text("internalTrafficPolicy") == LOCAL,
        source_ranges=source_ranges(spec.value),
    )


def _read_ports(spec: Fields) -> Iterator[ServicePort]:
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
        yield ServicePort(
            Protocol(protocol), number, target or number, port.text("name") or "", port.number("nodePort") or 0
        )


def outside_ips(spec: Plain, status: object) -> tuple[IPAddress, ...]:
    """The externalIPs and the addresses of the load balancer; what is not an address is passed over."""
    texts = [item.get("ip") for item in mappings(part(status, "loadBalancer"), "ingress")]
    external = spec.get("externalIPs")
    texts = [*(external if isinstance(external, list) else ()), spec.get("loadBalancerIP"), *texts]
    return tuple(dict.fromkeys(address for text in texts if (address := _address(text)) is not None))


def source_ranges(spec: Plain) -> tuple[IPNetwork, ...]:
    """The loadBalancerSourceRanges; what is not a range is passed over."""
    ranges = spec.get("loadBalancerSourceRanges")
    found = [_network(text) for text in ranges] if isinstance(ranges, list) else []
    return tuple(network for network in found if network is not None)


def served(value: Plain) -> str:
    """The name of the Service that ``value``, an EndpointSlice or Endpoints, is about."""
    metadata = part(value, "metadata")
    return str(part(part(metadata, "labels"), SERVICE_NAME) or part(metadata, "name") or "")


def read_service_endpoints(value: Plain) -> tuple[ServiceEndpoint, ...]:
    """Where ``value``, an EndpointSlice or Endpoints, sends its Service. What can't be read leads nowhere: such objects
    are mostly made by controllers, and no policy hangs on them.
    """
    if "subsets" in value:
        return tuple(
            found
            for each in mappings(value, "subsets")
            for item in mappings(each, "addresses")
            for found in _endpoints([item.get("ip")], item, mappings(each, "ports"))
        )
    return tuple(
        found
        for item in mappings(value, "endpoints")
        if part(part(item, "conditions"), "ready") is not False
        for found in _endpoints(item.get("addresses"), item, mappings(value, "ports"))
    )


def _endpoints(texts: object, item: Plain, ports: Sequence[Plain]) -> Iterator[ServiceEndpoint]:
    reference = part(item, "targetRef")
    pod = f"{part(reference, 'namespace')}/{part(reference, 'name')}" if part(reference, "kind") == "Pod" else ""
    for address in (_address(text) for text in (texts if isinstance(texts, list) else ())):
        if address is None:
            continue
        for port in ports:
            number, protocol = port.get("port"), port.get("protocol") or Protocol.TCP
            if protocol in tuple(Protocol) and (number is None or isinstance(number, int)):
                yield ServiceEndpoint(address, Protocol(protocol), number, str(port.get("name") or ""), pod)
        if not ports:
            yield ServiceEndpoint(address, pod=pod)


def _address(text: object) -> IPAddress | None:
    try:
        address = ip_address(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return None if address is None else unmapped(address)


def _network(text: object) -> IPNetwork | None:
    try:
        return ip_network(text, strict=False) if isinstance(text, str) else None
    except ValueError:
        return None
