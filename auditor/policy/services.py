"""Services: what a connection to one becomes, since policies see the backend pod and its port, not the Service's
address.
"""

from __future__ import annotations

from dataclasses import dataclass

from auditor.model.addresses import IPAddress
from auditor.model.policy import Direction, IPBlock, NetworkPolicy
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Endpoint, EndpointKind, Service, Snapshot


@dataclass(frozen=True, slots=True)
class ServiceRoute:
    """One way that a connection to a Service can go: to ``backend`` on port ``number``."""

    backend: Endpoint
    number: int


def find_service(snapshot: Snapshot, name: str) -> Service:
    """The Service called ``NAMESPACE/NAME``; KeyError when there is none."""
    for service in snapshot.services:
        if f"{service.namespace}/{service.name}" == name:
            return service
    raise KeyError(name)


def backends(snapshot: Snapshot, service: Service) -> tuple[Endpoint, ...]:
    """The pods that ``service`` selects; none for a Service without a selector, whose endpoints are managed by hand."""
    if service.selector is None:
        return ()
    return tuple(
        endpoint
        for endpoint in snapshot.endpoints
        if endpoint.kind is EndpointKind.POD
        and endpoint.namespace == service.namespace
        and all(endpoint.labels.get(key) == value for key, value in service.selector.items())
    )


def translate(snapshot: Snapshot, service: Service, request: PortRequest) -> tuple[ServiceRoute, ...]:
    """Where a connection to ``request``, a port of ``service`` by number or name, can end; a named target port resolves
    per backend.

    Empty when the Service has no such port, or no backend that declares the target.
    """
    ways: list[ServiceRoute] = []
    for port in service.ports:
        asked = port.name == request.name if request.name else port.number == request.number
        if not asked or port.protocol is not request.protocol:
            continue
        for backend in backends(snapshot, service):
            numbers = (port.target,) if isinstance(port.target, int) else backend.resolve(port.protocol, port.target)
            ways.extend(ServiceRoute(backend, number) for number in numbers)
    return tuple(ways)


def blocks_that_cover(
    snapshot: Snapshot, service: Service, source: Endpoint
) -> tuple[tuple[NetworkPolicy, IPBlock, IPAddress], ...]:
    """The ipBlocks in egress rules for ``source`` that hold a ClusterIP of ``service``: whether they count is up to the
    CNI.

    The address is rewritten, usually before policy is applied (concept page, "Behavior of ipBlock selectors").
    """
    return tuple(
        (policy, peer.ip_block, address)
        for policy in snapshot.policies
        if source.selectable and policy.namespace == source.namespace and policy.pod_selector.matches(source.labels)
        for rule in policy.rules(Direction.EGRESS)
        for peer in rule.peers
        if peer.ip_block is not None
        for address in service.cluster_ips
        if address in peer.ip_block.cidr and not any(address in excepted for excepted in peer.ip_block.excepts)
    )
