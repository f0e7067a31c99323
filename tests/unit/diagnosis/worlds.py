"""A small cluster for tests: web, api and db in prod, one pod elsewhere, a host, and a policy on db."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, IPBlock, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import ContainerPort, Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Namespace, Snapshot


def labels(**pairs: str) -> LabelSelector:
    return LabelSelector(tuple(sorted(pairs.items())))


def pod(name: str, address: str, *ports: ContainerPort, node: str = "node-1") -> Endpoint:
    namespace, _, app = name.partition("/")
    return Endpoint(name, EndpointKind.POD, namespace, {"app": app}, (ip_address(address),), ports, node)


DB_POLICY = NetworkPolicy(
    "prod",
    "db",
    labels(app="db"),
    frozenset({Direction.INGRESS}),
    ingress=(
        Rule((Peer(labels(app="api"), line=12),), (PolicyPort(Protocol.TCP, 3306, line=15),), line=11),
        Rule(
            (Peer(ip_block=IPBlock(ip_network("192.168.5.0/24"), (ip_network("192.168.5.11/32"),)), line=20),),
            (),
            line=19,
        ),
    ),
    file="db.yaml",
    line=1,
)

SHOP = Snapshot(
    {name: Namespace.of(name) for name in ("prod", "dev")},
    (
        pod("prod/web", "10.244.0.2"),
        pod("prod/api", "10.244.0.3"),
        pod("prod/db", "10.244.1.2", ContainerPort(Protocol.TCP, 3306, "sql"), node="node-2"),
        pod("dev/api", "10.244.1.3", node="node-2"),
        Endpoint("host/backup", EndpointKind.HOST, addresses=(ip_address("192.168.5.10"),)),
        Endpoint("host/other", EndpointKind.HOST, addresses=(ip_address("192.168.5.11"),)),
        Endpoint("node/node-2", EndpointKind.NODE, addresses=(ip_address("172.18.0.3"),), node="node-2"),
    ),
    (DB_POLICY,),
)


def with_policies(*policies: NetworkPolicy) -> Snapshot:
    return replace(SHOP, policies=policies)
