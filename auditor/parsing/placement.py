"""Nodes and addresses for a cluster that exists only in files, by rule, so that reading it twice gives the same
cluster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

from auditor.model.addresses import IPAddress
from auditor.model.errors import UsageError
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Snapshot

FIRST_HOST = 2
MOST_PODS = 250
MOST_NODES = 250


def node_address(number: int, family: Family) -> IPAddress:
    """The address of node ``number``, counted from 0."""
    return ip_address(
        f"172.18.0.{number + FIRST_HOST}" if family is Family.IPV4 else f"fd00:172:18::{number + FIRST_HOST:x}"
    )


def pod_address(node: int, number: int, family: Family) -> IPAddress:
    """The address of pod ``number`` on node ``node``, both counted from 0."""
    host = number + FIRST_HOST
    return ip_address(f"10.244.{node}.{host}" if family is Family.IPV4 else f"fd00:10:244:{node:x}::{host:x}")


def place(snapshot: Snapshot, nodes: Sequence[str], families: Sequence[Family], *, node_endpoints: bool) -> Snapshot:
    """``snapshot`` with a node for every pod, round-robin, and addresses of ``families`` for every pod and node.

    What a pod says of its node and addresses stays. Nodes are endpoints only with ``node_endpoints``. Raises UsageError
    for a pod on an unknown node, one pod too many on a node, too many nodes, or an address that two endpoints have.
    """
    if len(nodes) > MOST_NODES:
        raise UsageError(f"{len(nodes)} nodes are more than {MOST_NODES}, for which there are addresses: give fewer")
    on_nodes = _Placement(snapshot, nodes, families)
    placed = [
        on_nodes.pod(endpoint) if endpoint.kind is EndpointKind.POD else endpoint
        for endpoint in snapshot.endpoints
        if endpoint.kind is not EndpointKind.NODE
    ]
    if node_endpoints:
        placed += [
            Endpoint(f"node/{name}", EndpointKind.NODE, addresses=on_nodes.node_addresses(number), node=name)
            for number, name in enumerate(nodes)
        ]
    _refuse_shared(placed)
    return replace(snapshot, endpoints=tuple(placed))


class _Placement:
    """Hands out nodes and addresses, in order."""

    def __init__(self, snapshot: Snapshot, nodes: Sequence[str], families: Sequence[Family]) -> None:
        self._given = {address for endpoint in snapshot.endpoints for address in endpoint.addresses}
        self._nodes = nodes
        self._families = families
        self._taken: Counter[int] = Counter()
        self._turn = 0

    def node_addresses(self, number: int) -> tuple[IPAddress, ...]:
        return tuple(node_address(number, family) for family in self._families)

    def pod(self, pod: Endpoint) -> Endpoint:
        """``pod`` with its node and addresses."""
        number = self._node(pod)
        addresses = self.node_addresses(number) if pod.host_network else pod.addresses or self._next(number)
        return replace(pod, node=self._nodes[number], addresses=addresses)

    def _node(self, pod: Endpoint) -> int:
        if pod.node in self._nodes:
            return self._nodes.index(pod.node)
        if pod.node:
            raise UsageError(f"{pod.name} runs on node {pod.node!r}, which is not one of {', '.join(self._nodes)}")
        self._turn += 1
        return (self._turn - 1) % len(self._nodes)

    def _next(self, node: int) -> tuple[IPAddress, ...]:
        """The next addresses on ``node`` of which no pod says that they are its own."""
        for number in range(self._taken[node], MOST_PODS):
            addresses = tuple(pod_address(node, number, family) for family in self._families)
            if self._given.isdisjoint(addresses):
                self._taken[node] = number + 1
                return addresses
        raise UsageError(f"more than {MOST_PODS} pods on node {self._nodes[node]!r}: give the scenario more nodes")


def _refuse_shared(endpoints: Sequence[Endpoint]) -> None:
    """Raise UsageError if two endpoints have one address; only a node and its hostNetwork pods may."""
    owners: dict[IPAddress, str] = {}
    for endpoint in endpoints:
        for address in endpoint.addresses:
            owner = endpoint.node if endpoint.host_network or endpoint.kind is EndpointKind.NODE else endpoint.name
            if owners.setdefault(address, owner) != owner:
                raise UsageError(
                    f"{endpoint.name} and {owners[address]} both have the address {address}: give one of them another"
                )
