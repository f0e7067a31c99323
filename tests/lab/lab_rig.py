"""A small cluster in the lab with an agent at every site, for tests that ask one question at a time."""

import asyncio
import json
import os
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

from auditor.cluster.lab.lab import Lab
from auditor.model.dialect import Enforcement
from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.model.policy import Direction, IPBlock, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import ContainerPort, Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Namespace, Snapshot

ROOT = Path(__file__).parents[2]
AGENT = "tests.lab.lab_agent"
INGRESS, EGRESS = Direction.INGRESS, Direction.EGRESS
TCP, UDP = Protocol.TCP, Protocol.UDP
NODES = ("n0", "n1")
SILENCE = 0.5
PATIENCE = 10.0


def pod(name, node, number, labels=None, ports=(), host_network=False):
    namespace = name.split("/")[0]
    where = NODES.index(node)
    addresses = (
        (f"172.18.0.{where + 2}", f"fd00:172:18::{where + 2}")
        if host_network
        else (f"10.244.{where}.{number}", f"fd00:10:244:{where}::{number}")
    )
    return Endpoint(
        name,
        EndpointKind.POD,
        namespace,
        labels or {},
        tuple(map(ip_address, addresses)),
        tuple(ports),
        node,
        host_network=host_network,
    )


def outside(name, *addresses):
    return Endpoint(f"host/{name}", EndpointKind.HOST, addresses=tuple(map(ip_address, addresses)))


def node_endpoint(node):
    where = NODES.index(node)
    addresses = (ip_address(f"172.18.0.{where + 2}"), ip_address(f"fd00:172:18::{where + 2}"))
    return Endpoint(f"node/{node}", EndpointKind.NODE, addresses=addresses, node=node)


ENDPOINTS = (
    pod("a/web", "n0", 10, {"app": "web", "tier": "front"}),
    pod("a/db", "n1", 11, {"app": "db"}, [ContainerPort(TCP, 5432, "sql"), ContainerPort(UDP, 53, "sql")]),
    pod("b/client", "n0", 12, {"app": "client"}),
    pod("b/web", "n1", 13, {"app": "web"}, [ContainerPort(TCP, 81, "sql")]),
    pod("b/shared", "n1", 0, {"app": "web"}, host_network=True),
    outside("out", "203.0.113.10", "2001:db8::10"),
    node_endpoint("n0"),
)


def world(*policies, endpoints=ENDPOINTS):
    namespaces = {"a": Namespace.of("a", {"team": "red"}), "b": Namespace.of("b", {"team": "blue"})}
    return Snapshot(namespaces, tuple(endpoints), policies)


def labelled(*requirements, **labels):
    return LabelSelector(tuple(sorted(labels.items())), tuple(requirements))


def not_in(key, *values):
    return Requirement(key, Operator.NOT_IN, values)


def policy(selector, *directions, ingress=(), egress=(), name="policy", namespace="a"):
    return NetworkPolicy(namespace, name, selector, frozenset(directions), tuple(ingress), tuple(egress))


def deny(direction, name="deny", namespace="a", **labels):
    return policy(labelled(**labels), direction, name=name, namespace=namespace)


def receive(*rules, name="receive", **labels):
    return policy(labelled(**labels), INGRESS, ingress=rules, name=name)


def send(*rules, name="send", **labels):
    return policy(labelled(**labels), EGRESS, egress=rules, name=name)


def pods(selector):
    return Peer(pod_selector=selector)


def namespaces(selector, pod_selector=None):
    return Peer(namespace_selector=selector, pod_selector=pod_selector)


def block(cidr, *excepts):
    return Peer(ip_block=IPBlock(ip_network(cidr), tuple(map(ip_network, excepts))))


def rule(*peers, ports=()):
    return Rule(peers, tuple(ports))


def port(number=None, end=None, protocol=TCP, name=None):
    return PolicyPort(protocol, number, end, name)


class Rig:
    """A lab that is up, with an agent at every site, each listening on the same few ports."""

    def __init__(self, lab, channels):
        self.lab = lab
        self.channels = channels

    async def ask(self, site, do, **arguments):
        await self.channels[site].send(json.dumps({"do": do, **arguments}).encode() + b"\n")
        # wait_for() of Python 3.11 loses a cancellation that comes with the answer.
        async with asyncio.timeout(PATIENCE + 5):
            return json.loads(await self.channels[site].receive())

    async def outcome(self, source, destination, protocol="tcp", port=80, family=4, patience=PATIENCE, **more):
        address = next(
            site for site in self.lab.sites if site.name == destination or destination in site.endpoints
        ).addresses[family == 6]
        assert address.version == Family(family)
        return await self.ask(
            source, "try", address=str(address), port=port, protocol=protocol, timeout=patience, **more
        )

    async def reaches(self, source, destination, protocol="tcp", port=80, family=4, **more):
        """True when the destination answered; waits for long, since a loaded machine may be slow to answer."""
        answer = await self.outcome(source, destination, protocol, port, family, **more)
        return answer.split()[0] == next(s.name for s in self.lab.sites if destination in (s.name, *s.endpoints))

    async def is_silent(self, source, destination, protocol="tcp", port=80, family=4, **more):
        """True when nothing at all came back."""
        return await self.outcome(source, destination, protocol, port, family, patience=SILENCE, **more) == "dropped"


async def listening(lab, sites=None):
    channels = {site.name: await lab.open(site) for site in sites or lab.sites}
    rig = Rig(lab, channels)
    for name in channels:
        assert await rig.ask(name, "listen", name=name, tcp=[80, 81, 5432], udp=[53, 80]) == "listening"
    return rig


@asynccontextmanager
async def rigged(snapshot, enforcement=(), previous_policies=None):
    enforcement = Enforcement.parse(tuple(enforcement))
    async with Lab(
        snapshot, nodes=NODES, enforcement=enforcement, previous_policies=previous_policies, agent=AGENT
    ) as lab:
        rig = await listening(lab)
        yield rig
        for channel in rig.channels.values():
            await channel.close()


def make_agent_importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
