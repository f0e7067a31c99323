"""Which Services a run makes of its own, one for each backend, and which connections go through them.

A Service with several backends would leave it open which of them a verdict is about. Each of ours has one probe pod
behind it, so every verdict is about a pair of endpoints, like those without Services.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from auditor.model.ports import Protocol
from auditor.model.report import CellResult
from auditor.model.service_seen import MOST_NODE_PORTS, MOST_PORTS, OwnPort, OwnService, ServiceCell, Way
from auditor.model.snapshot import Endpoint, EndpointKind, Service
from auditor.model.verdict import Cell
from auditor.model.words import pluralize
from auditor.probing.sites import ProbeSite

MOST_BACKENDS = 100
MOST_CONNECTIONS = 4000
FIRST_NUMBER = 10001
"""The first port of our Services: no backend's own, so that judging by the Service's port shows."""


def plan_services(results: Sequence[CellResult], sites: Mapping[str, ProbeSite]) -> tuple[OwnService, ...]:
    """The Services to make: for each pod at whose site an agent answers, on ports that ``results`` tried without."""
    by_backend: defaultdict[str, list[CellResult]] = defaultdict(list)
    for each in results:
        site = sites.get(each.cell.destination)
        if site is not None and site.answers and site.node and not site.is_node:
            by_backend[each.cell.destination].append(each)
    ports = {backend: _ports(tried) for backend, tried in list(by_backend.items())[:MOST_BACKENDS]}
    ports = {backend: chosen for backend, chosen in ports.items() if chosen}
    for_nodes = _one_per_node(ports, sites)
    inside = [OwnService(backend, chosen) for backend, chosen in ports.items()]
    outside = [
        OwnService(backend, ports[backend], way)
        for backend in _few(ports, for_nodes)
        for way in (Way.NODE_PORT, Way.NODE_PORT_LOCAL)
    ]
    proving = [OwnService(backend, ports[backend], proof=True) for backend in for_nodes]
    return (*inside, *outside, *proving)


def _ports(tried: Sequence[CellResult]) -> tuple[OwnPort, ...]:
    """The ports of one backend that are worth trying: those that let different sources in."""
    let_in: defaultdict[tuple[Protocol, int], set[tuple[str, str]]] = defaultdict(set)
    for each in tried:
        let_in[each.cell.protocol, each.cell.port].add((each.cell.source, each.expected))
    distinct: dict[frozenset[tuple[str, str]], tuple[Protocol, int]] = {}
    for port, sources in let_in.items():
        distinct.setdefault(frozenset(sources), port)
    chosen = list(distinct.values())
    chosen += [port for port in let_in if port not in chosen and port[0] not in {protocol for protocol, _ in chosen}]
    # One of TCP at least, as datagrams prove less.
    chosen.sort(key=lambda port: port[0] is not Protocol.TCP)
    kept = [port for port in chosen if port[0] is not Protocol.SCTP][:MOST_PORTS]
    return tuple(OwnPort(protocol, FIRST_NUMBER + index, number) for index, (protocol, number) in enumerate(kept))


def _one_per_node(ports: Mapping[str, tuple[OwnPort, ...]], sites: Mapping[str, ProbeSite]) -> list[str]:
    """A backend of each node that listens on TCP."""
    of_node: dict[str, str] = {}
    for backend, chosen in ports.items():
        if any(port.protocol is Protocol.TCP for port in chosen):
            of_node.setdefault(sites[backend].node, backend)
    return list(of_node.values())


def _few(ports: Mapping[str, tuple[OwnPort, ...]], for_nodes: Sequence[str]) -> list[str]:
    """The backends that get NodePorts: one of each node first."""
    return list(dict.fromkeys((*for_nodes, *ports)))[:MOST_NODE_PORTS]


def services_at_most(count: int) -> str:
    """What Services a run with ``count`` probe pods would make: which ports are worth trying shows only in the run."""
    with_ports = min(count, MOST_NODE_PORTS)
    return (
        f"up to {pluralize(2 * count + 2 * with_ports, 'Service')} that lead to its own probe pods alone, with up to "
        f"{pluralize(2 * with_ports * MOST_PORTS, 'NodePort')} between them; they go with the run's Lease"
    )


@dataclass(frozen=True, slots=True)
class MadeService:
    """A Service of ours as it is in the cluster: ``service`` has its addresses and NodePorts."""

    own: OwnService
    service: Service

    @property
    def fronts(self) -> Iterator[tuple[OwnPort, int]]:
        """Each port, with the NodePort that leads to it, 0 for none."""
        numbers = {(port.protocol, port.number): port.node_port for port in self.service.ports}
        for port in self.own.ports:
            yield port, numbers.get((port.protocol, port.number), 0)


def connections(
    made: Sequence[MadeService],
    results: Sequence[CellResult],
    sites: Mapping[str, ProbeSite],
    nodes: Mapping[str, Endpoint],
) -> dict[ServiceCell, CellResult]:
    """What to try through the Services ``made``: the connections of ``results``, each with the result without the
    Service.
    """
    by_end: defaultdict[tuple[str, Protocol, int], list[CellResult]] = defaultdict(list)
    for each in results:
        if (site := sites.get(each.cell.source)) and site.agent:
            by_end[each.cell.destination, each.cell.protocol, each.cell.port].append(each)
    # A denial by another node's port needs the proof that this node has any: a backend of its own shows that.
    with_node_ports = sorted({sites[one.own.backend].node for one in made if one.own.way is Way.NODE_PORT})
    return {
        cell: each
        for one in made
        for port, node_port in one.fronts
        for each in by_end[one.own.backend, port.protocol, port.target]
        for cell in _cells(one, port, node_port, each.cell, (sites, nodes, with_node_ports))
    }


def bounded(
    found: Mapping[ServiceCell, CellResult], made: Sequence[MadeService], sites: Mapping[str, ProbeSite]
) -> tuple[Mapping[ServiceCell, CellResult], list[str]]:
    """What of ``found`` is tried, and what is not, in words."""
    backends = {each.cell.destination for each in found.values()}
    with_node_ports = {one.own.backend for one in made if one.own.way is not Way.CLUSTER_IP}
    told = []
    pods = {name for name, site in sites.items() if site.node and not site.is_node}
    if len(backends) < len(pods):
        told.append(f"through Services, {len(backends):,} of {pluralize(len(pods), 'pod')} were tried as backends")
    if len(with_node_ports) < len(backends):
        told.append(
            f"NodePorts were tried in front of {len(with_node_ports)} of {pluralize(len(backends), 'pod')} alone"
        )
    if len(found) <= MOST_CONNECTIONS:
        return found, told
    chosen = _of_each_kind(found, sites)
    told.append(
        f"{len(found):,} connections through Services would be too many to try: one of each kind was, {len(chosen):,}"
    )
    return chosen, told


def _cells(
    one: MadeService,
    port: OwnPort,
    node_port: int,
    cell: Cell,
    places: tuple[Mapping[str, ProbeSite], Mapping[str, Endpoint], Sequence[str]],
) -> Iterator[ServiceCell]:
    sites, nodes, others = places
    if one.own.way is Way.CLUSTER_IP:
        # Outside the cluster, nobody knows the way to a ClusterIP.
        address = next((each for each in one.service.cluster_ips if each.version == cell.family), None)
        if address is not None and sites[cell.source].node:
            yield ServiceCell(*cell, one.own.way, str(address), port.number)
        return
    at_backend = sites[one.own.backend].node
    elsewhere = next((name for name in others if name != at_backend), "")
    for name in (at_backend, elsewhere if one.own.way is Way.NODE_PORT else ""):
        there = nodes[name].address(cell.family) if name in nodes else None
        if node_port and there is not None and cell.source != f"node/{name}":
            yield ServiceCell(*cell, one.own.way, str(there), node_port, name)


def _of_each_kind(
    found: Mapping[ServiceCell, CellResult], sites: Mapping[str, ProbeSite]
) -> dict[ServiceCell, CellResult]:
    kinds: dict[object, ServiceCell] = {}
    for cell, each in found.items():
        node = sites[cell.source].node
        relation = (cell.source == cell.backend, node)
        kinds.setdefault((cell.backend, cell.way, cell.at, cell.number, cell.family, relation, each.expected), cell)
    return {cell: found[cell] for cell in list(kinds.values())[:MOST_CONNECTIONS]}


def node_endpoints(endpoints: Iterable[Endpoint], sites: Iterable[ProbeSite]) -> dict[str, Endpoint]:
    """The nodes as endpoints, by their bare names: those of ``endpoints``, and those that ``sites`` are on."""
    found = {end.node: end for end in endpoints if end.kind is EndpointKind.NODE}
    for site in sites:
        addresses = site.addresses if site.is_node else site.neighbour_addresses
        if site.node and addresses and site.node not in found:
            found[site.node] = Endpoint(
                f"node/{site.node}", EndpointKind.NODE, addresses=tuple(addresses), node=site.node
            )
    return found
