"""Random small clusters and policies, dense enough that nearly every rule meets something.

Labels, port numbers and addresses come from tiny alphabets, so that selectors match often, ranges overlap and ipBlocks
hit pods. All randomness goes through one ``random.Random``: ``random_snapshot`` takes it from the caller, for bulk and
for the lab; ``snapshots`` lets hypothesis play it, so that failures shrink."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from random import Random

from hypothesis import strategies as st

from auditor.model.addresses import IPAddress, IPNetwork
from auditor.model.admin_policy import Action, AdminPeer, AdminPolicy, AdminRule, AdminTier
from auditor.model.labels import NAMESPACE_NAME_LABEL, LabelSelector, Operator, Requirement
from auditor.model.policy import Direction, IPBlock, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import FIRST_PORT, LAST_PORT, ContainerPort, PortRange, Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Namespace, Snapshot

KEYS = ("app", "tier")
VALUES = ("", "x", "y")
PORT_NAMES = ("http", "dns")
PORT_NUMBERS = (FIRST_PORT, 53, 80, 81, 8080, LAST_PORT)
PORT_RANGES = ((80, 80), (80, 81), (53, 8080), (FIRST_PORT, LAST_PORT))
EPHEMERAL_CUT = (1000, 40000)
"""Covers a part of the ports that clients connect from, so that what a stateless enforcer does becomes a matter of
luck.
"""
PROTOCOLS = (Protocol.TCP, Protocol.TCP, Protocol.TCP, Protocol.UDP, Protocol.UDP, Protocol.SCTP)
DUAL, IPV4_ONLY, IPV6_ONLY = (Family.IPV4, Family.IPV6), (Family.IPV4,), (Family.IPV6,)
FAMILY_MIX = (DUAL, DUAL, DUAL[::-1], IPV4_ONLY, IPV6_ONLY)
HOST_ADDRESSES = (
    ("203.0.113.10", "2001:db8::10"),
    ("192.168.5.10", "2001:db8:5::10"),
    ("198.51.100.7", "2001:db8:7::7"),
)
WIDE_BLOCKS = (
    "0.0.0.0/0",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "10.244.0.0/16",
    "10.244.0.0/24",
    "172.18.0.0/24",
    "203.0.113.0/24",
)
WIDE_BLOCKS_6 = ("::/0", "fd00::/16", "fd00:10:244::/48", "fd00:10:244:0::/64", "fd00:172:18::/64", "2001:db8::/32")


@dataclass(frozen=True)
class Shape:
    """How large a cluster is and what may occur in it.

    ``families`` are the combinations that pods, nodes and hosts have, primary first; one for all is what the lab needs.
    ``host_network`` and ``addressless`` are shares of pods; ``cuts_ephemeral`` allows port ranges that
    ``EPHEMERAL_CUT`` describes."""

    namespaces: int = 2
    pods: int = 4
    policies: int = 4
    nodes: int = 2
    hosts: int = 1
    node_endpoints: bool = True
    families: tuple[tuple[Family, ...], ...] = FAMILY_MIX
    host_network: float = 0.1
    addressless: float = 0.0
    cuts_ephemeral: bool = True
    admin_policies: int = 0


LAB_SHAPE = Shape(families=(DUAL,), cuts_ephemeral=False)
"""What can be built in the lab: every endpoint has both addresses, and every dialect has a definite prediction."""


@st.composite
def snapshots(draw: st.DrawFn, shape: Shape = Shape()) -> Snapshot:
    """Clusters of at most the size of ``shape``."""
    size = replace(
        shape,
        namespaces=draw(st.integers(1, shape.namespaces)),
        pods=draw(st.integers(1, shape.pods)),
        nodes=draw(st.integers(1, shape.nodes)),
        hosts=draw(st.integers(0, shape.hosts)),
        policies=draw(st.integers(0, shape.policies)),
        admin_policies=draw(st.integers(0, shape.admin_policies)) if shape.admin_policies else 0,
    )
    random = draw(st.randoms(use_true_random=False))
    return random_snapshot(random, size)


def random_snapshot(random: Random, shape: Shape = Shape()) -> Snapshot:
    """A cluster of exactly the size of ``shape``."""
    namespaces = {name: Namespace.of(name, random_labels(random)) for name in namespace_names(shape)}
    nodes = [_node(random, shape, number) for number in range(shape.nodes)]
    pods = [_pod(random, shape, number, nodes) for number in range(shape.pods)]
    hosts = [_host(random, shape, number) for number in range(shape.hosts)]
    endpoints = [*pods, *hosts, *(nodes if shape.node_endpoints else ())]
    policies = random_policies(random, shape, [*pods, *hosts, *nodes])
    admin_policies = random_admin_policies(random, shape, [*pods, *hosts, *nodes])
    return Snapshot(namespaces, tuple(endpoints), policies, admin_policies=admin_policies)


def random_admin_policies(random: Random, shape: Shape, endpoints: list[Endpoint]) -> tuple[AdminPolicy, ...]:
    """As many as ``shape`` says of both tiers, some of one priority; a rule in thirty has a field nobody knows."""
    blocks = [ip_network(text) for text in (*WIDE_BLOCKS, *WIDE_BLOCKS_6)]
    blocks += [ip_network(address) for endpoint in endpoints for address in endpoint.addresses]
    return tuple(
        AdminPolicy(
            random.choice(("ClusterNetworkPolicy", "AdminNetworkPolicy")),
            f"admin-{number}",
            random.choice(tuple(AdminTier)),
            random.choice((0, 7, 7, 10, 50, 1000)),
            _namespace_selector(random, shape) if random.random() < 0.2 else LabelSelector(),
            _selector(random) if random.random() < 0.3 else LabelSelector(),
            tuple(_admin_rule(random, shape, blocks, Direction.INGRESS) for _ in range(random.choice((0, 1, 2, 3)))),
            tuple(_admin_rule(random, shape, blocks, Direction.EGRESS) for _ in range(random.choice((0, 1, 2, 3)))),
        )
        for number in range(shape.admin_policies)
    )


def _admin_rule(random: Random, shape: Shape, blocks: list[IPNetwork], direction: Direction) -> AdminRule:
    peers = tuple(_admin_peer(random, shape, blocks, direction) for _ in range(random.choice((1, 1, 2))))
    by_address = any(peer.networks or peer.nodes is not None for peer in peers)
    ports: list[PolicyPort] = []
    for port in (_port(random, shape) for _ in range(random.choice((0, 0, 0, 1, 2)))):
        if port.name is None and port.number is not None:
            ports.append(port)
        elif not by_address:
            ports += [PolicyPort(protocol, name=port.name or "http") for protocol in Protocol]
    return AdminRule(random.choice(tuple(Action)), peers, tuple(ports))


def _admin_peer(random: Random, shape: Shape, blocks: list[IPNetwork], direction: Direction) -> AdminPeer:
    if random.random() < 0.03:
        return AdminPeer(unknown="moons")
    form = random.choice(("pods", "namespaces", "networks", "nodes"))
    if direction is Direction.EGRESS and form == "networks":
        return AdminPeer(networks=tuple(IPBlock(block) for block in random.sample(blocks, random.choice((1, 2)))))
    if direction is Direction.EGRESS and form == "nodes":
        return AdminPeer(nodes=_selector(random))
    pods = _selector(random) if form == "pods" else LabelSelector()
    return AdminPeer(_namespace_selector(random, shape) if random.random() < 0.5 else LabelSelector(), pods)


def random_policies(random: Random, shape: Shape, endpoints: list[Endpoint]) -> tuple[NetworkPolicy, ...]:
    """As many policies as ``shape`` says, in no order of names, with ipBlocks around the addresses of ``endpoints``."""
    blocks: list[IPNetwork] = [ip_network(text) for text in (*WIDE_BLOCKS, *WIDE_BLOCKS_6)]
    blocks += [ip_network(address) for endpoint in endpoints for address in endpoint.addresses]
    names = [f"policy-{number}" for number in range(shape.policies)]
    random.shuffle(names)
    return tuple(_policy(random, shape, name, blocks) for name in names)


def namespace_names(shape: Shape) -> tuple[str, ...]:
    return tuple(f"space-{number}" for number in range(shape.namespaces))


def random_labels(random: Random) -> dict[str, str]:
    return {key: random.choice(VALUES) for key in KEYS if random.random() < 0.7}


def boundary_ports(atoms: tuple[PortRange, ...]) -> list[tuple[Protocol, int]]:
    """The first and last port of every atom."""
    return sorted({(atom.protocol, port) for atom in atoms for port in (atom.first, atom.last)})


def boundaries_in_policies(snapshot: Snapshot) -> set[tuple[Protocol, int]]:
    """Both sides of every edge that any rule or declared port draws, for every protocol, whatever an evaluator makes of
    them.
    """
    edges = {FIRST_PORT, LAST_PORT}
    for policy in (*snapshot.policies, *snapshot.admin_policies):
        for rule in (*policy.ingress, *policy.egress):
            for port in rule.ports:
                if port.number is not None:
                    edges |= {
                        port.number - 1,
                        port.number,
                        (port.end_port or port.number),
                        (port.end_port or port.number) + 1,
                    }
    for endpoint in snapshot.endpoints:
        edges |= {declared.number + step for declared in endpoint.ports for step in (-1, 0, 1)}
    return {(protocol, edge) for protocol in Protocol for edge in edges if FIRST_PORT <= edge <= LAST_PORT}


def _addresses(families: tuple[Family, ...], text: str, text_6: str) -> tuple[IPAddress, ...]:
    return tuple(ip_address(text if family is Family.IPV4 else text_6) for family in families)


def _node(random: Random, shape: Shape, number: int) -> Endpoint:
    name = f"node-{number + 1}"
    addresses = _addresses(random.choice(shape.families), f"172.18.0.{number + 2}", f"fd00:172:18::{number + 2:x}")
    labels = random_labels(random) if shape.admin_policies else {}
    return Endpoint(f"node/{name}", EndpointKind.NODE, labels=labels, addresses=addresses, node=name)


def _host(random: Random, shape: Shape, number: int) -> Endpoint:
    text, text_6 = HOST_ADDRESSES[number % len(HOST_ADDRESSES)]
    return Endpoint(
        f"host/host-{number}", EndpointKind.HOST, addresses=_addresses(random.choice(shape.families), text, text_6)
    )


def _pod(random: Random, shape: Shape, number: int, nodes: list[Endpoint]) -> Endpoint:
    namespace = random.choice(namespace_names(shape))
    place = random.randrange(len(nodes))
    on_host = random.random() < shape.host_network
    addresses = nodes[place].addresses
    if not on_host:
        addresses = _addresses(
            random.choice(shape.families), f"10.244.{place}.{number + 2}", f"fd00:10:244:{place:x}::{number + 2:x}"
        )
    known = random.random() >= shape.addressless
    return Endpoint(
        f"{namespace}/pod-{number}",
        EndpointKind.POD,
        namespace,
        random_labels(random),
        addresses if known else (),
        _container_ports(random),
        nodes[place].node if known or random.random() < 0.5 else "",
        on_host,
    )


def _container_ports(random: Random) -> tuple[ContainerPort, ...]:
    count = random.randrange(4)
    ports = {
        ContainerPort(random.choice(PROTOCOLS), random.choice(PORT_NUMBERS), random.choice(("", *PORT_NAMES)))
        for _ in range(count)
    }
    return tuple(sorted(ports))


def _policy(random: Random, shape: Shape, name: str, blocks: list[IPNetwork]) -> NetworkPolicy:
    directions = random.choice(([Direction.INGRESS], [Direction.EGRESS], list(Direction)))
    return NetworkPolicy(
        random.choice(namespace_names(shape)),
        name,
        random.choice((LabelSelector(), _selector(random), _selector(random))),
        frozenset(directions),
        tuple(_rule(random, shape, blocks) for _ in range(random.randrange(4))),
        tuple(_rule(random, shape, blocks) for _ in range(random.randrange(4))),
    )


def _rule(random: Random, shape: Shape, blocks: list[IPNetwork]) -> Rule:
    peers = tuple(_peer(random, shape, blocks) for _ in range(random.choice((0, 1, 1, 2, 3))))
    return Rule(peers, tuple(_port(random, shape) for _ in range(random.choice((0, 1, 1, 2, 3)))))


def _peer(random: Random, shape: Shape, blocks: list[IPNetwork]) -> Peer:
    form = random.choice(("block", "pods", "namespaces", "both"))
    if form == "block":
        return Peer(ip_block=_block(random, blocks))
    pods = _selector(random) if form in ("pods", "both") else None
    return Peer(pods, _namespace_selector(random, shape) if form in ("namespaces", "both") else None)


def _block(random: Random, blocks: list[IPNetwork]) -> IPBlock:
    cidr = random.choice(blocks)
    if random.random() < 0.5:
        held = random.choice(blocks).network_address
        cidr = random.choice([block for block in blocks if held in block])
    inner = [block for block in blocks if block != cidr and block.version == cidr.version and block.subnet_of(cidr)]  # type: ignore[arg-type] # the versions agree
    return IPBlock(cidr, tuple(random.sample(inner, min(len(inner), random.randrange(3)))))


def _port(random: Random, shape: Shape) -> PolicyPort:
    protocol = random.choice(PROTOCOLS)
    form = random.choice(("protocol", "name", "name", "number", "number", "range"))
    if form == "protocol":
        return PolicyPort(protocol)
    if form == "name":
        return PolicyPort(protocol, name=random.choice(PORT_NAMES))
    if form == "number":
        return PolicyPort(protocol, random.choice(PORT_NUMBERS))
    first, last = random.choice((*PORT_RANGES, EPHEMERAL_CUT) if shape.cuts_ephemeral else PORT_RANGES)
    return PolicyPort(protocol, first, last)


def _selector(random: Random) -> LabelSelector:
    labels = {key: random.choice(VALUES) for key in KEYS if random.random() < 0.3}
    return LabelSelector(
        tuple(sorted(labels.items())), tuple(_requirement(random) for _ in range(random.choice((0, 0, 1, 1, 2))))
    )


def _namespace_selector(random: Random, shape: Shape) -> LabelSelector:
    if random.random() < 0.3:
        return LabelSelector(((NAMESPACE_NAME_LABEL, random.choice(namespace_names(shape))),))
    return _selector(random)


def _requirement(random: Random) -> Requirement:
    operator = random.choice(tuple(Operator))
    values: tuple[str, ...] = ()
    if operator in (Operator.IN, Operator.NOT_IN):
        values = tuple(sorted(random.sample(VALUES, random.choice((1, 1, 2)))))
    return Requirement(random.choice(KEYS), operator, values)
