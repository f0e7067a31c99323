"""Services: what a connection to one becomes, since policies see the backend pod and its port, not the Service's
address.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from auditor.model.addresses import IPAddress
from auditor.model.policy import Direction, IPBlock, NetworkPolicy
from auditor.model.ports import PortRequest
from auditor.model.snapshot import HOST_PORT, Endpoint, EndpointKind, Service, ServiceEndpoint, ServicePort, Snapshot
from auditor.policy.selection import is_backend

ANY_ADDRESS = ip_address("0.0.0.0")  # noqa: S104 - of a pod whose address is not known; it is known by its name


@dataclass(frozen=True, slots=True)
class ServiceRoute:
    """One way that a connection to a Service can go: to ``backend`` on port ``number``."""

    backend: Endpoint
    number: int


def find_service(snapshot: Snapshot, name: str) -> Service:
    """The Service called ``NAMESPACE/NAME``; KeyError when there is none."""
    for service in snapshot.services:
        if service.place == name:
            return service
    raise KeyError(name)


def backends(snapshot: Snapshot, service: Service) -> tuple[Endpoint, ...]:
    """The pods that ``service`` selects; none for a Service without a selector, whose endpoints are managed by hand."""
    if service.selector is None:
        return ()
    return tuple(endpoint for endpoint in snapshot.endpoints if is_backend(service, endpoint))


def translate(snapshot: Snapshot, service: Service, request: PortRequest) -> tuple[ServiceRoute, ...]:
    """Where a connection to ``request``, a port of ``service`` by number or name, can end; a named target port resolves
    per backend.

    A headless Service is not proxied: clients talk to the pods themselves, on the very port they ask for; one asked for
    by name is the target port, as DNS says in SRV records. Empty when the Service has no such port, or no backend that
    declares the target.
    """
    if service.selector is None:
        return tuple(_by_hand(snapshot, service, request))
    if service.headless and not request.name:
        return tuple(ServiceRoute(backend, request.number) for backend in backends(snapshot, service))
    ways: list[ServiceRoute] = []
    for port in asked_for(service, request):
        for backend in backends(snapshot, service):
            numbers = (port.target,) if isinstance(port.target, int) else backend.resolve(port.protocol, port.target)
            ways.extend(ServiceRoute(backend, number) for number in numbers)
    return tuple(ways)


def asked_for(service: Service, request: PortRequest) -> tuple[ServicePort, ...]:
    """The ports of ``service`` that ``request`` means."""
    return tuple(
        port
        for port in service.ports
        if port.protocol is request.protocol
        and (port.name == request.name if request.name else port.number == request.number)
    )


def own_port(service: Service, request: PortRequest) -> PortRequest | None:
    """The port of ``service`` whose nodePort is ``request``; None where it is one of its own."""
    if request.name or asked_for(service, request):
        return None
    own = (port for port in service.ports if port.node_port == request.number and port.protocol is request.protocol)
    return next((PortRequest(port.protocol, number=port.number) for port in own), None)


def _by_hand(snapshot: Snapshot, service: Service, request: PortRequest) -> Iterator[ServiceRoute]:
    """Where the EndpointSlices of ``service`` send ``request``: ports are matched by their names."""
    if service.headless and not request.name:
        for address, pod in dict.fromkeys((each.address, each.pod) for each in service.endpoints):
            yield ServiceRoute(endpoint_at(snapshot, address, pod), request.number)
        return
    for port in asked_for(service, request):
        for each in service.endpoints:
            if each.number is None or (each.name == port.name and each.protocol is port.protocol):
                target = port.target if isinstance(port.target, int) else port.number
                yield ServiceRoute(endpoint_at(snapshot, each.address, each.pod), each.number or target)


def endpoint_at(snapshot: Snapshot, address: IPAddress, pod: str = "") -> Endpoint:
    """The endpoint with ``address``: the ``pod`` of that name, a pod on the pod network, a node, or any other; a host
    of its own where the input has none.
    """
    there = [end for end in snapshot.endpoints if address in end.addresses or (pod and end.name == pod)]
    unknown = Endpoint(f"host/{address}", EndpointKind.HOST, addresses=(address,))
    return min(there, key=lambda end: (end.name != pod, end.host_network, end.kind), default=unknown)


def behind(snapshot: Snapshot, destination: Endpoint, request: PortRequest) -> tuple[Service, PortRequest] | None:
    """The Service that answers at ``destination`` on ``request``, with the port of its own that it means: a nodePort of
    a node, or a port of an address that a Service has for itself; then a pod's hostPort on a node, as a Service. None
    for anything else.
    """
    on_node = destination.kind is EndpointKind.NODE or destination.host_network
    if request.name or destination.selectable:
        return None
    for service in snapshot.services:
        its_own = not {*service.cluster_ips, *service.outside_ips}.isdisjoint(destination.addresses)
        for port in service.ports:
            is_its = (on_node and port.node_port == request.number) or (its_own and port.number == request.number)
            if is_its and port.protocol is request.protocol:
                return service, PortRequest(port.protocol, number=port.number)
    return (found, request) if on_node and (found := _by_host_port(snapshot, destination, request)) else None


def _by_host_port(snapshot: Snapshot, node: Endpoint, request: PortRequest) -> Service | None:
    """The pod that ``node`` has ``request`` as a hostPort of: the one that runs there or else, of those of which nobody
    knows where they run, the first.
    """
    offers = [
        (pod, port)
        for pod in snapshot.endpoints
        if pod.selectable and pod.node in ("", node.node)
        for port in pod.ports
        if (port.protocol, port.host_port) == (request.protocol, request.number)
    ]
    if not offers:
        return None
    pod, port = min(offers, key=lambda each: not each[0].node)
    address = next(iter(pod.addresses), ANY_ADDRESS)
    return Service(
        pod.namespace,
        pod.name.partition("/")[2],
        None,
        (ServicePort(port.protocol, request.number, port.number, node_port=request.number),),
        kind=HOST_PORT,
        endpoints=(ServiceEndpoint(address, number=port.number, protocol=port.protocol, pod=pod.name),),
    )


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
        if source.is_selected_by(policy)
        for rule in policy.rules(Direction.EGRESS)
        for peer in rule.peers
        if peer.ip_block is not None
        for address in service.cluster_ips
        if address in peer.ip_block
    )
