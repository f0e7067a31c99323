"""Addresses and ranges where a name is asked for: the endpoint that has the address, or a peer outside."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

from auditor.model.addresses import IPNetwork
from auditor.model.errors import UsageError
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot
from auditor.policy.outside import PREFIX, peer_holding

MOST_NAMED = 3


def endpoint_at(snapshot: Snapshot, text: str) -> Endpoint | None:
    """The endpoint that ``text`` means, an address, a range or ``outside``; None where it is none of these.

    ``snapshot`` has its peers outside. A single address outside is an endpoint of its own, not yet in ``snapshot``.
    Raises UsageError for a range that rules split, and for an address that is a Service's.
    """
    peers = [endpoint for endpoint in snapshot.endpoints if endpoint.ranges]
    if (named := next((peer for peer in peers if peer.name == text), None)) is not None:
        return named
    if text == PREFIX:
        return peers[0] if len(peers) == 1 else _refuse(text, peers)
    try:
        network = ip_network(text)
    except ValueError:
        return None
    return _at(snapshot, peers, text, network)


def _at(snapshot: Snapshot, peers: Sequence[Endpoint], text: str, network: IPNetwork) -> Endpoint:
    is_one = network.prefixlen == network.max_prefixlen
    address = network.network_address
    for endpoint in snapshot.endpoints:
        if is_one and not endpoint.ranges and address in endpoint.addresses:
            return endpoint
    for service in snapshot.services:
        if is_one and address in service.cluster_ips:
            raise UsageError(f"{text} is the ClusterIP of {service.full_name}: write {service.full_name}")
    peer = peer_holding(peers, network)
    if peer is None:
        return _refuse(
            text, [each for each in peers if any(block.cidr.version == network.version for block in each.ranges)]
        )
    return Endpoint(text, EndpointKind.HOST, addresses=(address,)) if is_one else peer


def _refuse(text: str, peers: Sequence[Endpoint]) -> Endpoint:
    """Raise UsageError that says which of ``peers`` ``text`` may be."""
    if not peers:
        raise UsageError(f"{text}: no pod of the input has an address of this family")
    more = " or another" if len(peers) > MOST_NAMED else ""
    named = " or ".join(repr(peer.name) for peer in peers[:MOST_NAMED])
    raise UsageError(f"rules of the input split {text!r}: name one address, or {named}{more}")
