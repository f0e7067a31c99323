"""The lab's network and its enforcement of the specification, with real packets."""

import pytest

from auditor.model.dialect import Enforcement
from auditor.model.errors import ClusterError
from auditor.model.labels import LabelSelector
from auditor.model.snapshot import Endpoint, EndpointKind
from tests.lab.lab_rig import (
    AGENT,
    EGRESS,
    ENDPOINTS,
    INGRESS,
    NODES,
    UDP,
    block,
    deny,
    labelled,
    listening,
    make_agent_importable,
    namespaces,
    pod,
    pods,
    policy,
    port,
    receive,
    rigged,
    rule,
    send,
    world,
)

from auditor.cluster.lab.lab import Lab  # isort: skip

pytestmark = pytest.mark.lab


@pytest.fixture(autouse=True)
def _agent(monkeypatch):
    make_agent_importable(monkeypatch)


async def test_everyone_reaches_everyone_and_each_is_seen_by_its_own_address():
    async with rigged(world()) as rig:
        for source in rig.lab.sites:
            for destination in rig.lab.sites:
                for number, family in enumerate((4, 6)):
                    for protocol, port_number in (("tcp", 80), ("udp", 53)):
                        answer = await rig.outcome(source.name, destination.name, protocol, port_number, family)
                        assert answer == f"{destination.name} {source.addresses[number]}"


async def test_sites_cover_every_endpoint_once():
    async with rigged(world()) as rig:
        covered = [name for site in rig.lab.sites for name in site.endpoints]
        assert sorted(covered) == sorted(endpoint.name for endpoint in ENDPOINTS)
        assert {site.name for site in rig.lab.sites} == {
            "a/web",
            "a/db",
            "b/client",
            "b/web",
            "host/out",
            "node/n0",
            "node/n1",
        }


async def test_a_port_without_a_listener_refuses():
    async with rigged(world()) as rig:
        assert await rig.outcome("a/web", "a/db", "tcp", 99) == "refused"
        assert await rig.outcome("a/web", "a/db", "udp", 99) == "refused"


async def test_there_is_no_way_out():
    async with rigged(world()) as rig:
        for address in ("198.51.100.1", "2001:db8:ffff::1", "10.244.0.99"):
            assert (await rig.ask("a/web", "try", address=address, port=80)).startswith(("unreachable", "dropped"))


async def test_isolation_is_per_direction_and_replies_come_back():
    async with rigged(world(deny(INGRESS, app="web"))) as rig:
        assert await rig.reaches("a/web", "a/db")
        assert await rig.reaches("a/web", "a/db", "udp", 53, 6)
        assert await rig.is_silent("a/db", "a/web")
        assert await rig.is_silent("host/out", "a/web", "udp", 53, 6)


async def test_a_pod_under_deny_all_reaches_itself_and_its_own_node_and_no_other():
    async with rigged(world(policy(LabelSelector(), INGRESS, EGRESS))) as rig:
        assert await rig.reaches("a/web", "a/web")
        assert await rig.reaches("a/web", "node/n0", "udp", 53)
        assert await rig.reaches("node/n0", "a/web")
        assert await rig.is_silent("node/n0", "a/db")
        assert await rig.is_silent("a/web", "b/shared")


async def test_named_ports_are_each_destinations_own():
    sql = rule(ports=[port(name="sql"), port(protocol=UDP, name="sql")])
    async with rigged(world(send(sql, app="web"))) as rig:
        assert await rig.reaches("a/web", "a/db", "tcp", 5432)
        assert await rig.reaches("a/web", "a/db", "udp", 53)
        assert await rig.reaches("a/web", "b/web", "tcp", 81)
        assert await rig.is_silent("a/web", "b/web", "tcp", 5432)
        assert await rig.is_silent("a/web", "b/client", "tcp", 5432)
        assert await rig.is_silent("a/web", "host/out", "tcp", 5432)


async def test_except_subtracts_within_its_own_peer_only():
    cut = block("10.244.0.0/16", "10.244.0.0/24")
    async with rigged(world(receive(rule(cut, block("203.0.113.0/24")), app="db"))) as rig:
        assert await rig.is_silent("a/web", "a/db")
        assert await rig.reaches("b/web", "a/db")
        assert await rig.reaches("host/out", "a/db")
        assert await rig.is_silent("host/out", "a/db", "tcp", 80, 6)
        await rig.lab.program(Enforcement(), policies=[receive(rule(cut, block("10.244.0.10/32")), app="db")])
        assert await rig.reaches("a/web", "a/db")
        assert await rig.is_silent("b/client", "a/db")


async def test_host_network_pods_are_out_of_reach_of_selectors():
    async with rigged(world(deny(INGRESS, namespace="b"), receive(rule(namespaces(LabelSelector())), app="db"))) as rig:
        assert await rig.reaches("a/web", "b/shared")
        assert await rig.reaches("b/web", "a/db")
        # From its own node the pod is open anyway; seen from the other node's pod, the hostNetwork pod is no peer.
        await rig.lab.program(Enforcement(), policies=[receive(rule(namespaces(LabelSelector())), app="web")])
        assert await rig.is_silent("node/n1", "a/web")


async def test_the_whole_of_both_address_families_is_a_block():
    async with rigged(world(receive(rule(block("0.0.0.0/0"), block("::/0")), app="db"))) as rig:
        assert await rig.reaches("host/out", "a/db")
        assert await rig.reaches("host/out", "a/db", "tcp", 80, 6)


async def test_policies_of_one_pod_add_up():
    first = receive(rule(pods(labelled(app="web")), ports=[port(80)]), name="first", app="db")
    second = receive(rule(namespaces(labelled(team="blue")), ports=[port(81)]), name="second", app="db")
    async with rigged(world(first, second)) as rig:
        assert await rig.reaches("a/web", "a/db", "tcp", 80)
        assert await rig.is_silent("a/web", "a/db", "tcp", 81)
        assert await rig.reaches("b/client", "a/db", "tcp", 81)
        assert await rig.is_silent("b/client", "a/db", "tcp", 80)


async def test_a_connection_does_not_outlive_the_rules_that_allowed_it():
    async with rigged(world()) as rig:
        await rig.lab.program(Enforcement(), policies=[receive(rule(), app="db")])
        assert await rig.reaches("a/web", "a/db", "udp", 53, source_port=20000)
        assert await rig.reaches("a/web", "a/db", hold="open", patience=1)
        assert (await rig.ask("a/web", "again", hold="open")).startswith("a/db")
        await rig.lab.program(Enforcement(), policies=[deny(INGRESS, app="db")])
        assert await rig.is_silent("a/web", "a/db", "udp", 53, source_port=20000)
        assert await rig.ask("a/web", "again", hold="open") == "TimeoutError"
        await rig.lab.program(Enforcement(), policies=[])
        assert await rig.reaches("a/web", "a/db", "udp", 53, source_port=20000)


async def test_two_hundred_pods_on_four_nodes_come_up():
    names = tuple(f"n{number}" for number in range(4))
    endpoints = [_numbered(number) for number in range(200)]
    snapshot = world(receive(rule(pods(labelled(third="0"))), third="1"), endpoints=endpoints)
    async with Lab(snapshot, nodes=names, agent=AGENT) as lab:
        assert len(lab.sites) == 200
        rig = await listening(lab, [lab.sites[number] for number in (0, 1, 2, 196, 199)])
        assert await rig.reaches("a/p0", "a/p1")
        assert await rig.reaches("a/p199", "a/p0", "udp", 53, 6)
        assert await rig.is_silent("a/p2", "a/p196")
        assert await rig.reaches("a/p0", "a/p196")


def _numbered(number):
    return pod_on(number % 4, f"a/p{number}", number // 4 + 2, {"third": str(number % 3)})


def pod_on(node, name, number, labels):
    made = pod(name, NODES[0], number, labels)
    v4, v6 = (
        type(address)(int(address) + (node << shift)) for address, shift in zip(made.addresses, (8, 64), strict=True)
    )
    return Endpoint(name, EndpointKind.POD, "a", labels, (v4, v6), node=f"n{node}")


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        (
            Endpoint("a/lost", EndpointKind.POD, "a", addresses=ENDPOINTS[0].addresses[:1], node="n9"),
            "a/lost is on node 'n9'",
        ),
        (Endpoint("a/bare", EndpointKind.POD, "a", node="n0"), "a/bare has no address"),
        (
            Endpoint("a/twin", EndpointKind.POD, "a", addresses=ENDPOINTS[0].addresses, node="n0"),
            "a/twin and a/web both have the address",
        ),
    ],
)
def test_a_snapshot_that_cannot_be_laid_out_is_refused(endpoint, said):
    with pytest.raises(ClusterError, match=said):
        Lab(world(endpoints=(*ENDPOINTS, endpoint)), nodes=NODES)


def test_an_enforcer_on_an_unknown_node_is_refused():
    with pytest.raises(ClusterError, match="no node 'n7'"):
        Lab(world(), nodes=NODES, enforcement=Enforcement.parse(("stateless@n7",)))
