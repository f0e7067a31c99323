"""From a snapshot to the network that the supervisor builds: namespaces, links, routes, as input for ``ip -batch``.

A fabric joins the nodes and the external hosts; each pod hangs on its node; all links are point to point and routed.
Each end of a link knows the other by a fixed link-local address with a fixed neighbour entry, so no packet is ever
spent on finding a neighbour and no table shared with the rest of the machine fills up. The fabric has no way out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import TypedDict

from auditor.cluster.lab.addresses import AddressSet
from auditor.model.addresses import IPAddress
from auditor.model.errors import ClusterError
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Snapshot
from auditor.probing.sites import ProbeSite

_NEXT_HOPS = {Family.IPV4: "169.254.1.1", Family.IPV6: "fe80::1"}
"""Whoever is at the other end of a link, on every link."""

_EVERYWHERE = {Family.IPV4: "0.0.0.0/0", Family.IPV6: "::/0"}


class NamespacePlan(TypedDict):
    """One network namespace for the supervisor. ``%N%`` in ``batch`` stands for the namespace with that index.

    ``stage`` orders the work: batches of one stage run side by side. ``forwards``: whether it is a router.
    """

    name: str
    stage: int
    forwards: bool
    batch: str


@dataclass(frozen=True, slots=True)
class PodLink:
    """A pod on the pod network: where it hangs. ``namespace`` is the index of its network namespace."""

    pod: Endpoint
    interface: str
    namespace: int


@dataclass(frozen=True, slots=True)
class Topology:
    """The network of a snapshot.

    ``nodes`` maps each node's bare name to the index of its namespace and ``node_addresses`` to its addresses;
    ``site_namespaces`` maps a site's name likewise. The fabric is namespace 0. ``nodes_without_endpoints`` are places
    for agents as well, which belong to no endpoint.
    """

    namespaces: tuple[NamespacePlan, ...]
    nodes: dict[str, int]
    node_addresses: dict[str, tuple[IPAddress, ...]]
    links: tuple[PodLink, ...]
    sites: tuple[ProbeSite, ...]
    nodes_without_endpoints: tuple[ProbeSite, ...]
    site_namespaces: dict[str, int]
    families: frozenset[Family]

    @property
    def cluster(self) -> AddressSet:
        """Every address of a node or pod."""
        nodes = [address for addresses in self.node_addresses.values() for address in addresses]
        return AddressSet.of([*nodes, *(address for link in self.links for address in link.pod.addresses)])


def build_topology(snapshot: Snapshot, nodes: Sequence[str]) -> Topology:
    """Lay out ``snapshot`` on ``nodes`` (bare names).

    Raises ClusterError when an endpoint has no address, a pod has no such node, or two endpoints claim one address.
    """
    _check(snapshot, nodes)
    families = frozenset(family for endpoint in snapshot.endpoints for family in endpoint.families)
    node_addresses = {node: _node_addresses(snapshot, node, number, families) for number, node in enumerate(nodes)}
    pods = [
        endpoint for endpoint in snapshot.endpoints if endpoint.kind is EndpointKind.POD and not endpoint.host_network
    ]
    hosts = [endpoint for endpoint in snapshot.endpoints if endpoint.kind is EndpointKind.HOST]
    links = tuple(PodLink(pod, f"pod{number}", 1 + len(nodes) + number) for number, pod in enumerate(pods))
    batches: list[list[str]] = [["link set lo up"] for _ in range(1 + len(nodes) + len(pods) + len(hosts))]
    for number, node in enumerate(nodes, start=1):
        behind = [address for link in links if link.pod.node == node for address in link.pod.addresses]
        _connect(batches, (0, f"node{number}", ()), (number, "uplink", node_addresses[node]), behind)
    for link in links:
        parent = nodes.index(link.pod.node)
        _connect(
            batches,
            (1 + parent, link.interface, node_addresses[nodes[parent]]),
            (link.namespace, "eth0", link.pod.addresses),
        )
    for number, host in enumerate(hosts, start=1 + len(nodes) + len(pods)):
        _connect(batches, (0, f"host{number}", ()), (number, "eth0", host.addresses))
    sites = _sites(snapshot, node_addresses)
    names = ["fabric", *(f"node/{node}" for node in nodes), *(endpoint.name for endpoint in [*pods, *hosts])]
    return Topology(
        namespaces=tuple(
            NamespacePlan(
                name=name,
                stage=min(index, 1) if index <= len(nodes) else 2,
                forwards=index <= len(nodes),
                batch=_text(batch),
            )
            for index, (name, batch) in enumerate(zip(names, batches, strict=True))
        ),
        nodes={node: number for number, node in enumerate(nodes, start=1)},
        node_addresses=node_addresses,
        links=links,
        sites=tuple(site for site in sites if site.endpoints),
        nodes_without_endpoints=tuple(site for site in sites if not site.endpoints),
        site_namespaces={name: index for index, name in enumerate(names) if index},
        families=families,
    )


def with_one_more(topology: Topology, pod: Endpoint) -> tuple[Topology, list[tuple[int, str]]]:
    """``topology`` with one more ``pod`` on one of its nodes, in a namespace that comes last; and what is to be carried
    out for it in namespaces that are there already, in that order (index, batch).
    """
    node, index = topology.nodes[pod.node], len(topology.namespaces)
    link = PodLink(pod, f"pod{len(topology.links)}", index)
    own = topology.node_addresses[pod.node]
    batches: list[list[str]] = [[] for _ in range(index)] + [["link set lo up"]]
    batches[0] += [_route(str(address), f"node{node}", (), Family(address.version)) for address in pod.addresses]
    _connect(batches, (node, link.interface, own), (index, "eth0", pod.addresses))
    site = _site(topology.node_addresses, pod.name, pod.addresses, (pod.name,), pod.node, pod.node)
    plan = NamespacePlan(name=pod.name, stage=2, forwards=False, batch=_text(batches[index]))
    wider = replace(
        topology,
        namespaces=(*topology.namespaces, plan),
        links=(*topology.links, link),
        sites=(*topology.sites, site),
        site_namespaces={**topology.site_namespaces, pod.name: index},
    )
    return wider, [(number, _text(batches[number])) for number in (0, node)]


def _text(batch: Sequence[str]) -> str:
    return "\n".join(batch) + "\n"


def _check(snapshot: Snapshot, nodes: Sequence[str]) -> None:
    owners: dict[IPAddress, str] = {}
    for endpoint in snapshot.endpoints:
        if not endpoint.addresses:
            raise ClusterError(f"lab: {endpoint.name} has no address: place the snapshot before building it")
        if endpoint.kind is not EndpointKind.HOST and endpoint.node not in nodes:
            raise ClusterError(
                f"lab: {endpoint.name} is on node {endpoint.node!r}, which is not one of {', '.join(nodes)}"
            )
        owner = (
            f"node/{endpoint.node}" if endpoint.kind is EndpointKind.NODE or endpoint.host_network else endpoint.name
        )
        for address in endpoint.addresses:
            if owners.setdefault(address, owner) != owner:
                raise ClusterError(
                    f"lab: {endpoint.name} and {owners[address]} both have the address {address}: give each its own"
                )


def _node_addresses(snapshot: Snapshot, node: str, number: int, families: frozenset[Family]) -> tuple[IPAddress, ...]:
    residents = _residents(snapshot, node)
    if residents:
        return tuple(dict.fromkeys(address for endpoint in residents for address in endpoint.addresses))
    usual: tuple[IPAddress, ...] = (IPv4Address(f"172.18.0.{number + 2}"), IPv6Address(f"fd00:172:18::{number + 2}"))
    return tuple(address for address in usual if Family(address.version) in families)


def _residents(snapshot: Snapshot, node: str) -> list[Endpoint]:
    """The endpoints that share the node's own network namespace, the node itself first."""
    residents = [e for e in snapshot.endpoints if e.node == node and (e.kind is EndpointKind.NODE or e.host_network)]
    return sorted(residents, key=lambda endpoint: endpoint.kind is not EndpointKind.NODE)


def _site(  # noqa: PLR0913, PLR0917 - what a site has
    node_addresses: Mapping[str, tuple[IPAddress, ...]],
    name: str,
    addresses: tuple[IPAddress, ...],
    endpoints: tuple[str, ...],
    neighbour: str,
    node: str,
) -> ProbeSite:
    beside = node_addresses.get(neighbour, ())
    return ProbeSite(
        name,
        addresses,
        endpoints,
        neighbour=f"node/{neighbour}" if beside else "",
        neighbour_addresses=beside,
        node=node,
        is_node=bool(node) and name == f"node/{node}",
    )


def _sites(snapshot: Snapshot, node_addresses: dict[str, tuple[IPAddress, ...]]) -> tuple[ProbeSite, ...]:
    """Every place where an agent can run: pods, hosts, then all nodes."""
    nodes, site = list(node_addresses), partial(_site, node_addresses)
    sites = [
        site(
            endpoint.name,
            endpoint.addresses,
            (endpoint.name,),
            endpoint.node or nodes[0] if nodes else "",
            endpoint.node,
        )
        for endpoint in snapshot.endpoints
        if endpoint.kind is not EndpointKind.NODE and not endpoint.host_network
    ]
    for node in nodes:
        # No policy is about what nodes, and hosts outside, have to do with each other.
        another = next((other for other in nodes if other != node), "")
        residents = tuple(endpoint.name for endpoint in _residents(snapshot, node))
        sites.append(site(f"node/{node}", node_addresses[node], residents, another, node))
    return tuple(sites)


_End = tuple[int, str, tuple[IPAddress, ...]]
"""One end of a link: its namespace, its interface and the addresses that live in that namespace (the upper end of the
fabric has none).
"""


def _connect(batches: list[list[str]], upper: _End, lower: _End, behind: Sequence[IPAddress] = ()) -> None:
    """Link ``lower`` to ``upper``, give it its addresses and a default route, and route it, with what is ``behind`` it,
    from ``upper``.
    """
    (above, device, own), (below, peer_device, addresses) = upper, lower
    upper_mac, lower_mac = (f"02:{side}:00:00:{below >> 8:02x}:{below & 255:02x}" for side in ("0a", "0b"))
    families = sorted({Family(address.version) for address in [*addresses, *behind]})
    batches[above] += [
        f"link add {device} address {upper_mac} type veth peer name {peer_device} address {lower_mac} netns %{below}%",
        *_link_up(device, lower_mac, families),
        *(_route(str(address), device, own, Family(address.version)) for address in [*addresses, *behind]),
    ]
    batches[below] += [
        *(
            f"addr add {address} dev {peer_device}" + (" nodad" if address.version == 6 else "")
            for address in addresses
        ),
        *_link_up(peer_device, upper_mac, families),
        *(_route(_EVERYWHERE[family], peer_device, addresses, family) for family in families),
    ]


def _link_up(device: str, peer_mac: str, families: Sequence[Family]) -> list[str]:
    neighbours = [f"neigh add {_NEXT_HOPS[family]} lladdr {peer_mac} dev {device} nud permanent" for family in families]
    return [f"link set {device} up", *neighbours]


def _route(destination: str, device: str, sources: Sequence[IPAddress], family: Family) -> str:
    source = next((f" src {address}" for address in sources if address.version == family), "")
    return f"route add {destination} via {_NEXT_HOPS[family]} dev {device} onlink{source}"
