"""Services in the lab, as kube-proxy has them on every node: a table of its own, beside what polices packets and
independent of it.

The destination is translated where a packet enters a node's stack, from pods and from outside, and where the node sends
one itself. What comes by a NodePort leaves with the node's address as its source, unless externalTrafficPolicy is
Local, and so does what a pod sends to itself. A headless Service is not translated: nothing is here for it.

This reads Services by itself, as the lab does with policies.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from auditor.model.addresses import IPAddress, IPNetwork
from auditor.model.ports import Protocol
from auditor.model.service_seen import OwnService, Way
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Service, ServiceEndpoint, ServicePort, Snapshot

POD_LINKS = "pod*"
"""The node's ends of the links to its pods, as nftables matches them."""
TABLE = "inet services"
MASQUERADE = "0x4000"
"""The packet mark, kube-proxy's own, of what leaves with the node's address as its source."""
NETWORKS: Mapping[Family, IPNetwork] = {
    Family.IPV4: IPv4Network("10.96.0.0/16"),
    Family.IPV6: IPv6Network("fd00:10:96::/112"),
}
"""Where ClusterIPs are given out from."""
FIRST_NODE_PORT = 30000
CARRIED = (Protocol.TCP, Protocol.UDP)


class End(NamedTuple):
    """Where a Service sends packets, and the bare name of the node that this is on, empty outside."""

    address: IPAddress
    port: int
    node: str


def ends_of(snapshot: Snapshot, service: Service, port: ServicePort) -> tuple[End, ...]:
    """Where ``port`` of ``service`` leads: to pods that its selector matches or, without one, where EndpointSlices
    say.
    """
    if service.selector is None:
        nodes = {address: end.node for end in snapshot.endpoints for address in end.addresses}
        return tuple(
            End(each.address, each.number or port.number, nodes.get(each.address, ""))
            for each in service.endpoints
            if each.number is None or (each.protocol is port.protocol and each.name == port.name)
        )
    return tuple(
        End(address, number, pod.node)
        for pod in snapshot.endpoints
        if pod.kind is EndpointKind.POD and _is_behind(service, pod)
        for number in _numbers(pod, port)
        for address in pod.addresses
    )


def _is_behind(service: Service, pod: Endpoint) -> bool:
    wanted = service.selector or {}
    return pod.namespace == service.namespace and all(pod.labels.get(key) == value for key, value in wanted.items())


def _numbers(pod: Endpoint, port: ServicePort) -> Iterable[int]:
    if isinstance(port.target, int):
        return (port.target,)
    return (each.number for each in pod.ports if each.name == port.target and each.protocol is port.protocol)


def own_services(snapshot: Snapshot, wanted: Sequence[OwnService], families: Collection[Family]) -> list[Service]:
    """The Services ``wanted``, each leading to its backend alone, at addresses of ``families`` that no endpoint of
    ``snapshot`` has.
    """
    by_name = {endpoint.name: endpoint for endpoint in snapshot.endpoints}
    taken = {address for endpoint in snapshot.endpoints for address in endpoint.addresses}
    free = {
        family: (address for address in network.hosts() if address not in taken)
        for family, network in NETWORKS.items()
        if family in families
    }
    node_ports = itertools.count(FIRST_NODE_PORT)
    return [
        Service(
            by_name[each.backend].namespace,
            f"audit-{number}",
            None,
            tuple(
                ServicePort(
                    port.protocol,
                    port.number,
                    port.target,
                    f"port-{port.number}",
                    0 if each.way is Way.CLUSTER_IP else next(node_ports),
                )
                for port in each.ports
            ),
            tuple(next(addresses) for addresses in free.values()),
            external_local=each.way is Way.NODE_PORT_LOCAL,
            endpoints=tuple(
                ServiceEndpoint(address, port.protocol, port.target, f"port-{port.number}", each.backend)
                for port in each.ports
                for address in by_name[each.backend].addresses
            ),
        )
        for number, each in enumerate(wanted)
    ]


def clear() -> str:
    """Takes the table away, whether or not there is one."""
    return f"table {TABLE}\ndelete table {TABLE}\n"


def service_ruleset(snapshot: Snapshot, services: Iterable[Service], node: str, own: Sequence[IPAddress]) -> str:
    """The table of the node called ``node``, with the addresses ``own``."""
    rules = _Rules(node, {Family(address.version): address for address in own})
    for service in services:
        for port in service.ports if not service.headless else ():
            if port.protocol in CARRIED:
                rules.add(service, port, ends_of(snapshot, service, port))
    return rules.render()


@dataclass(slots=True)
class _Rules:
    """What one node translates: chains by name, and which chain a packet goes to by what it is sent to."""

    node: str
    own: Mapping[Family, IPAddress]
    chains: dict[str, list[str]] = field(default_factory=dict)
    fronts: dict[Family, list[str]] = field(default_factory=dict)
    node_ports: dict[Family, list[str]] = field(default_factory=dict)
    themselves: dict[Family, dict[IPAddress, None]] = field(default_factory=dict)

    def add(self, service: Service, port: ServicePort, ends: Sequence[End]) -> None:
        for family in self.own:
            of_family = [end for end in ends if end.address.version == family]
            here = [end for end in of_family if end.node == self.node]
            name = f"to{len(self.chains)}"
            self.chains[name] = list(_balanced(here if service.internal_local else of_family, family))
            self.themselves.setdefault(family, {}).update(dict.fromkeys(end.address for end in here))
            addresses = [address for address in service.cluster_ips if address.version == family]
            front = f"{port.protocol.lower()} . {port.number} : goto {name}"
            self.fronts.setdefault(family, []).extend(f"{address} . {front}" for address in addresses)
            if port.node_port and addresses:
                self._add_node_port(service, port, (name, here), family)

    def _add_node_port(
        self, service: Service, port: ServicePort, inside: tuple[str, Sequence[End]], family: Family
    ) -> None:
        name, here = inside
        if service.external_local:
            # What pods send there is traffic inside the cluster, to any backend; what comes from outside stays here.
            lines = [f'iifname "{POD_LINKS}" goto {name}', *_balanced(here, family)]
        else:
            lines = [f"meta mark set {MASQUERADE}", f"goto {name}"]
        outside = f"by{len(self.chains)}"
        self.chains[outside] = lines
        of_port = f"{port.protocol.lower()} . {port.node_port} : goto {outside}"
        self.node_ports.setdefault(family, []).append(of_port)

    def render(self) -> str:
        lines = [f"table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{"]
        for name, body in self.chains.items():
            lines += [f"chain {name} {{", *body, "}"]
        # Chains that are jumped to come first: nft reads from top to bottom.
        translate = list(self._translating())
        for hook in ("prerouting", "output"):
            lines += [f"chain {hook} {{", f"type nat hook {hook} priority -100; policy accept;", *translate, "}"]
        postrouting = "type nat hook postrouting priority 100; policy accept;"
        lines += ["chain postrouting {", postrouting, *self._masquerading(), "}", "}", ""]
        return "\n".join(lines)

    def _translating(self) -> Iterator[str]:
        for family, name in ((Family.IPV4, "ip"), (Family.IPV6, "ip6")):
            if fronts := self.fronts.get(family):
                yield f"{name} daddr . meta l4proto . th dport vmap {{ {', '.join(fronts)} }}"
            if node_ports := self.node_ports.get(family):
                yield (f"{name} daddr {self.own[family]} meta l4proto . th dport vmap {{ {', '.join(node_ports)} }}")

    def _masquerading(self) -> Iterator[str]:
        for family, name in ((Family.IPV4, "ip"), (Family.IPV6, "ip6")):
            if family in self.own:
                yield f"meta nfproto ipv{family.value} meta mark {MASQUERADE} snat {name} to {self.own[family]}"
            if themselves := self.themselves.get(family):
                yield (
                    f"{name} saddr . {name} daddr {{ {pairs(themselves)} }} ct status dnat "
                    f"snat {name} to {self.own[family]}"
                )


def pairs(addresses: Iterable[IPAddress]) -> str:
    """Each of ``addresses`` as the source of what is sent to itself, as elements of a set."""
    return ", ".join(f"{address} . {address}" for address in addresses)


def _balanced(ends: Sequence[End], family: Family) -> Iterator[str]:
    """Rules that send each connection to one of ``ends``; where there is none, nothing arrives."""
    name = "ip" if family is Family.IPV4 else "ip6"
    for left in range(len(ends), 0, -1):
        address, port, _ = ends[len(ends) - left]
        to = f"[{address}]:{port}" if family is Family.IPV6 else f"{address}:{port}"
        chance = f"numgen random mod {left} 0 " if left > 1 else ""
        yield f"{chance}meta l4proto {{ tcp, udp }} dnat {name} to {to}"
    if not ends:
        yield "drop"
