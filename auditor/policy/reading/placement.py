"""Nodes and addresses for a cluster that exists only in files, by rule, so that reading it twice gives the same cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

from auditor.model.errors import UsageError
from auditor.model.snapshot import Endpoint, EndpointKind, Family, IPAddress, Snapshot

FIRST_HOST = 2
MOST_PODS = 250
MOST_NODES = 250


def node_address(number: int, family: Family) -> IPAddress:
    """The address of node ``number``, counted from 0."""
    return ip_address(f"172.18.0.{number + FIRST_HOST}" if family is Family.IPV4 else f"fd00:172:18::{number + FIRST_HOST:x}")


def pod_address(node: int, number: int, family: Family) -> IPAddress:
    """The address of pod ``number`` on node ``node``, both counted from 0."""
    host = number + FIRST_HOST
    return ip_address(f"10.244.{node}.{host}" if family is Family.IPV4 else f"fd00:10:244:{node:x}::{host:x}")


def place(snapshot: Snapshot, nodes: Sequence[str], families: Sequence[Family], *, node_endpoints: bool) -> Snapshot:
    """``snapshot`` with a node for every pod, round-robin, and addresses of ``families`` for every pod and node.

    What a pod says of its node and addresses stays. Nodes are endpoints only with ``node_endpoints``. Raises UsageError for a pod on an
    unknown node, one pod too many on a node, too many nodes, or an address that two endpoints have.
    """
    if len(nodes) > MOST_NODES:
        raise UsageError(f"{len(nodes)} nodes are more than {MOST_NODES}, for which there are addresses: give fewer")
    given = {address for endpoint in snapshot.endpoints for address in endpoint.addresses}
    taken: Counter[int] = Counter()
    turn = 0
    placed: list[Endpoint] = []
    for endpoint in snapshot.endpoints:
        if endpoint.kind is EndpointKind.NODE:
            continue
        if endpoint.kind is EndpointKind.HOST:
            placed.append(endpoint)
            continue
        if endpoint.node and endpoint.node not in nodes:
            raise UsageError(f"{endpoint.name} runs on node {endpoint.node!r}, which is none of {', '.join(nodes)}")
        if not endpoint.node:
            number, turn = turn % len(nodes), turn + 1
        else:
            number = nodes.index(endpoint.node)
        addresses = endpoint.addresses
        if endpoint.host_network:
            addresses = tuple(node_address(number, family) for family in families)
        elif not addresses:
            while not addresses or not given.isdisjoint(addresses):
                addresses = tuple(pod_address(number, taken[number], family) for family in families)
                taken[number] += 1
                if taken[number] > MOST_PODS:
                    raise UsageError(f"more than {MOST_PODS} pods on node {nodes[number]!r}: give the scenario more nodes")
        placed.append(replace(endpoint, node=nodes[number], addresses=addresses))
    if node_endpoints:
        placed += [
            Endpoint(f"node/{name}", EndpointKind.NODE, addresses=tuple(node_address(number, family) for family in families), node=name)
            for number, name in enumerate(nodes)
        ]
    _refuse_shared(placed)
    return replace(snapshot, endpoints=tuple(placed))


def _refuse_shared(endpoints: Sequence[Endpoint]) -> None:
    """Raise UsageError if two endpoints have one address; only a node and its hostNetwork pods may."""
    owners: dict[IPAddress, str] = {}
    for endpoint in endpoints:
        for address in endpoint.addresses:
            owner = endpoint.node if endpoint.host_network or endpoint.kind is EndpointKind.NODE else endpoint.name
            if owners.setdefault(address, owner) != owner:
                raise UsageError(f"{endpoint.name} and {owners[address]} both have the address {address}: give one of them another")
