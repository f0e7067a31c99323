"""What becomes of a connection through a Service under a dialect of ``auditor.model.path_dialect``, packet by packet:
which addresses each filter on the way sees. Shares nothing with the lab or the diagnosis but value types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address

from auditor.model.dialect import Enforcement
from auditor.model.path_dialect import PathDialect
from auditor.model.service_seen import ServiceCell, Way
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot
from tests.oracle.evaluator import World, egress_passes, ingress_passes
from tests.oracle.matching import Packet

CLIENT_PORT = 45000


def passes_through_service(
    snapshot: Snapshot, cell: ServiceCell, enforcement: Enforcement, nodes: Mapping[str, Endpoint]
) -> bool:
    """Whether ``cell`` gets through where filters are right but for the path dialects of ``enforcement``."""
    ends = {endpoint.name: endpoint for endpoint in (*snapshot.endpoints, *nodes.values())}
    source, backend = ends[cell.source], ends[cell.backend]
    world = World(snapshot, Enforcement(), None, True)
    packet = Packet(source, backend, cell.protocol, cell.port, cell.family)
    here = source.node if cell.way is Way.CLUSTER_IP else cell.at
    wrong = enforcement.path_at(here)
    at_source = here == source.node
    if wrong is PathDialect.JUDGES_BEFORE_DNAT and cell.way is Way.CLUSTER_IP:
        return _by_its_address(packet, cell, world)
    if at_source and source.name == backend.name:
        return _hairpin(packet, wrong, world, nodes)
    if at_source and wrong is PathDialect.SERVICE_SKIPS_POLICY and source.selectable and backend.node == here:
        return True
    skips = wrong is PathDialect.NODE_PORT_SKIPS_POLICY and cell.way is not Way.CLUSTER_IP and backend.node == here
    if at_source:
        sent = skips or egress_passes(packet, world)
    else:
        sent = egress_passes(replace(packet, destination=nodes[cell.at], port=cell.number), world)
    return sent and (skips or _received(packet, cell, wrong, world, nodes))


def _hairpin(packet: Packet, wrong: PathDialect | None, world: World, nodes: Mapping[str, Endpoint]) -> bool:
    node = _stranger(nodes[packet.source.node])
    if wrong is PathDialect.HAIRPIN_POLICED:
        return ingress_passes(replace(packet, source=node), world)
    if wrong is PathDialect.HAIRPIN_REPLIES_JUDGED:
        return egress_passes(replace(packet, destination=node, port=CLIENT_PORT), world)
    return True


def _received(
    packet: Packet, cell: ServiceCell, wrong: PathDialect | None, world: World, nodes: Mapping[str, Endpoint]
) -> bool:
    here = packet.source.node if cell.way is Way.CLUSTER_IP else cell.at
    crosses = packet.destination.node != here
    if crosses and (cell.way is Way.NODE_PORT or wrong is PathDialect.SERVICE_SNAT):
        return ingress_passes(replace(packet, source=nodes[here]), world)
    return ingress_passes(packet, world)


def _by_its_address(packet: Packet, cell: ServiceCell, world: World) -> bool:
    front = Endpoint("host/front", EndpointKind.HOST, addresses=(ip_address(cell.address),))
    return egress_passes(replace(packet, destination=front, port=cell.number), world) and ingress_passes(packet, world)


def _stranger(node: Endpoint) -> Endpoint:
    """Somebody with the address of ``node`` who is not known to be it."""
    return Endpoint("host/stranger", EndpointKind.HOST, addresses=node.addresses)
