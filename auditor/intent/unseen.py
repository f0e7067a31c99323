"""Whom a change may cut off without anybody noticing: those outside the cluster, DNS, and pods that the input lacks.

They stand in for all of their kind while a change is evaluated, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network

from auditor.model.addresses import IPAddress, IPNetwork
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Namespace, Snapshot

MARK = "~"
"""No name of Kubernetes has it."""
SOMEWHERE = ("1.1.1.1", "2606:4700:4700::1111")
MOST_ADDRESSES = 24
"""So many stand for all addresses outside; ranges beyond that have none of their own."""
POD_NETWORK_PREFIXES = {4: 16, 6: 48}
"""How wide a cluster's addresses for pods usually are."""
DNS = Endpoint(
    f"kube-system/{MARK}dns",
    EndpointKind.POD,
    "kube-system",
    {"k8s-app": "kube-dns"},
)
STRANGER = Endpoint(f"{MARK}elsewhere/{MARK}pod", EndpointKind.POD, f"{MARK}elsewhere")


def is_unseen(endpoint: Endpoint) -> bool:
    """Whether ``endpoint`` only stands for others that the input lacks."""
    return endpoint.name.rpartition("/")[2].startswith(MARK)


def called(name: str) -> str:
    """``name``, in words where it stands for others."""
    if MARK not in name:
        return name
    if name == DNS.name:
        return "DNS in kube-system"
    if name == STRANGER.name:
        return "pods of other namespaces"
    return f"addresses outside the cluster, such as {name.partition(MARK)[2]}"


def with_unseen(snapshot: Snapshot) -> Snapshot:
    """``snapshot`` with all who may be there without being in it."""
    hosts = [
        Endpoint(f"host/{MARK}{address}", EndpointKind.HOST, addresses=(address,)) for address in _outside(snapshot)
    ]
    pods = [STRANGER]
    if not any(each.labels.get("k8s-app") == "kube-dns" for each in snapshot.endpoints):
        pods.append(DNS)
    namespaces = {name: Namespace.of(name) for name in (pod.namespace for pod in pods)}
    return replace(
        snapshot,
        endpoints=(*snapshot.endpoints, *hosts, *pods),
        namespaces={**namespaces, **snapshot.namespaces},
    )


def _outside(snapshot: Snapshot) -> list[IPAddress]:
    """Addresses outside the cluster: one for each set of ipBlocks that hold any together."""
    blocks = list(dict.fromkeys(_blocks(snapshot.policies)))
    taken = {address for endpoint in snapshot.endpoints for address in endpoint.addresses}
    pods = pod_network(snapshot) or ()
    found: dict[tuple[IPNetwork, ...], IPAddress] = {}
    for address in (*map(ip_address, SOMEWHERE), *_borders(blocks)):
        if address in taken or any(address in network for network in pods):
            continue
        key = (ip_network(f"{address}/0", strict=False), *(block for block in blocks if address in block))
        if len(found) < MOST_ADDRESSES:
            found.setdefault(key, address)
    return list(found.values())


def _blocks(policies: Iterable[NetworkPolicy]) -> Iterator[IPNetwork]:
    for policy in policies:
        for direction in Direction:
            for rule in policy.rules(direction):
                for peer in rule.peers:
                    if peer.ip_block is not None:
                        yield peer.ip_block.cidr
                        yield from peer.ip_block.excepts


def _borders(blocks: Iterable[IPNetwork]) -> Iterator[IPAddress]:
    """Addresses on both sides of the borders of ``blocks``, and one further inside."""
    for block in blocks:
        first, last = int(block.network_address), int(block.broadcast_address)
        for number in (first + 1, last, first, last + 1, first - 1, (first + last) // 2):
            if 0 <= number < 1 << block.max_prefixlen:
                yield type(block.network_address)(number)


def pod_network(snapshot: Snapshot) -> tuple[IPNetwork, ...] | None:
    """The ranges of addresses that pods seem to have, one for each family: as wide as usual where nothing else is in
    it. None where a pod's addresses are not known.
    """
    pods = [endpoint for endpoint in snapshot.endpoints if endpoint.selectable]
    if not pods or not all(pod.addresses for pod in pods):
        return None
    others = [address for each in snapshot.endpoints if not each.selectable for address in each.addresses]
    found = []
    for family in Family:
        own = [address for pod in pods if (address := pod.address(family)) is not None]
        if own:
            network = _around(own, others)
            if network is None:
                return None
            found.append(network)
    return tuple(found)


def _around(own: list[IPAddress], others: list[IPAddress]) -> IPNetwork | None:
    """The usual range that holds all of ``own`` and none of ``others``; None where there is no such."""
    network: IPNetwork = ip_network(f"{own[0]}/{POD_NETWORK_PREFIXES[own[0].version]}", strict=False)
    fits = all(address in network for address in own) and not any(address in network for address in others)
    return network if fits else None
