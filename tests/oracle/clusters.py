"""Small clusters in few words, for tests that show one rule at a time.

Notation: a pod is called ``NAMESPACE/POD``; labels are dicts; a port is ``TCP/80``, ``TCP/80-90``, ``TCP/http`` or
``TCP/*`` as ``PolicyPort`` prints it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network

from auditor.model.labels import Labels, LabelSelector, Operator, Requirement
from auditor.model.policy import Direction, IPBlock, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import ContainerPort, Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Namespace, Service, Snapshot

EVERYTHING = Rule()
"""The rule ``{}``."""
ALL = LabelSelector()
"""The selector ``{}``."""


def pod(
    name: str,
    labels: Labels | None = None,
    *addresses: str,
    ports: Iterable[str] = (),
    node: str = "",
    host_network: bool = False,
) -> Endpoint:
    """A pod; ``ports`` are named ones, written ``http=TCP/80``."""
    namespace = name.partition("/")[0]
    found = tuple(ip_address(address) for address in addresses)
    return Endpoint(
        name, EndpointKind.POD, namespace, labels or {}, found, tuple(map(_container_port, ports)), node, host_network
    )


def host(name: str, *addresses: str) -> Endpoint:
    return Endpoint(f"host/{name}", EndpointKind.HOST, addresses=tuple(ip_address(address) for address in addresses))


def node(name: str, *addresses: str) -> Endpoint:
    return Endpoint(
        f"node/{name}", EndpointKind.NODE, addresses=tuple(ip_address(address) for address in addresses), node=name
    )


def cluster(
    *endpoints: Endpoint,
    policies: Iterable[NetworkPolicy] = (),
    labels: Mapping[str, Labels] | None = None,
    services: Iterable[Service] = (),
) -> Snapshot:
    """A snapshot; ``labels`` are those of namespaces, which need no mention otherwise."""
    policies = tuple(policies)
    names = (
        {endpoint.namespace for endpoint in endpoints if endpoint.namespace}
        | {policy.namespace for policy in policies}
        | set(labels or {})
    )
    namespaces = {name: Namespace.of(name, (labels or {}).get(name)) for name in sorted(names)}
    return Snapshot(namespaces, endpoints, policies, tuple(services))


def policy(
    name: str,
    subject: Labels | LabelSelector = ALL,
    *,
    ingress: Iterable[Rule] | None = None,
    egress: Iterable[Rule] | None = None,
) -> NetworkPolicy:
    """The policy ``NAMESPACE/NAME`` which isolates ``subject`` in the directions that are given, be it with no rule."""
    namespace, _, bare_name = name.partition("/")
    directions = {Direction.INGRESS: ingress is not None, Direction.EGRESS: egress is not None}
    return NetworkPolicy(
        namespace,
        bare_name,
        subject if isinstance(subject, LabelSelector) else having(subject),
        frozenset(direction for direction, given in directions.items() if given),
        tuple(ingress or ()),
        tuple(egress or ()),
    )


def rule(*items: Peer | str) -> Rule:
    """A rule from peers and ports in any order."""
    return Rule(
        tuple(item for item in items if isinstance(item, Peer)),
        tuple(_policy_port(item) for item in items if isinstance(item, str)),
    )


def pods(selector: Labels | LabelSelector, namespaces: Labels | LabelSelector | None = None) -> Peer:
    """A peer with a podSelector and, if given, a namespaceSelector beside it."""
    return Peer(_selector(selector), None if namespaces is None else _selector(namespaces))


def namespaces(selector: Labels | LabelSelector) -> Peer:
    """A peer with a namespaceSelector alone."""
    return Peer(namespace_selector=_selector(selector))


def block(cidr: str, *excepts: str) -> Peer:
    return Peer(ip_block=IPBlock(ip_network(cidr), tuple(ip_network(text) for text in excepts)))


def having(labels: Labels) -> LabelSelector:
    """The selector of matchLabels."""
    return LabelSelector(tuple(sorted(labels.items())))


def where(key: str, operator: Operator, *values: str) -> LabelSelector:
    """The selector of one matchExpression."""
    return LabelSelector(match_expressions=(Requirement(key, operator, tuple(sorted(values))),))


def _selector(selector: Labels | LabelSelector) -> LabelSelector:
    return selector if isinstance(selector, LabelSelector) else having(selector)


def _container_port(text: str) -> ContainerPort:
    name, _, port = text.partition("=")
    protocol, _, number = port.partition("/")
    return ContainerPort(Protocol(protocol), int(number), name)


def _policy_port(text: str) -> PolicyPort:
    protocol, _, port = text.partition("/")
    if port == "*":
        return PolicyPort(Protocol(protocol))
    first, dash, last = port.partition("-")
    if not first.isdigit():
        return PolicyPort(Protocol(protocol), name=port)
    return PolicyPort(Protocol(protocol), int(first), int(last) if dash else None)
