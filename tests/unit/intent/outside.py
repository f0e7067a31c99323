"""Whom nobody names and whom a change may cut off all the same: chosen at random, apart from what the code looks at."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from auditor.model.snapshot import Endpoint, EndpointKind, Namespace

ADDRESSES = (
    ("9.9.9.9", "2620:fe::9"),
    ("130.14.29.110", "2a00:1450::1"),
    ("203.0.113.77", "2001:db8:ffff::77"),
    ("172.18.0.200", "fd00:172:18::200"),
    ("10.99.0.1", "fd12::1"),
)
NEW = Namespace.of("somewhere-new")


def with_outsiders(random, snapshot):
    """``snapshot`` with hosts outside, a pod of another namespace, and DNS."""
    first, second = random.choice(ADDRESSES)
    there = {str(address) for end in snapshot.endpoints for address in end.addresses}
    host = Endpoint(
        "host/outsider",
        EndpointKind.HOST,
        addresses=tuple(ip_address(text) for text in (first, second) if text not in there),
    )
    pods = [
        Endpoint("somewhere-new/stranger", EndpointKind.POD, NEW.name, addresses=_addresses(random, 90)),
        Endpoint(
            "kube-system/coredns", EndpointKind.POD, "kube-system", {"k8s-app": "kube-dns"}, _addresses(random, 91)
        ),
    ]
    namespaces = {**snapshot.namespaces, NEW.name: NEW, "kube-system": Namespace.of("kube-system")}
    return replace(snapshot, endpoints=(*snapshot.endpoints, host, *pods), namespaces=namespaces)


def _addresses(random, number):
    known = (ip_address(f"10.244.9.{number}"), ip_address(f"fd00:10:244:9::{number}"))
    return known if random.random() < 0.5 else ()
