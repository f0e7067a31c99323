"""Services in the lab: packets go where kube-proxy would send them, policed as the same connection without the Service;
and each dialect of the way through them by what it does to single packets.
"""

import asyncio
from dataclasses import replace
from ipaddress import ip_address

import pytest

from auditor.cluster.lab.lab import Lab
from auditor.model.dialect import Enforcement
from auditor.model.snapshot import Service, ServiceEndpoint, ServicePort
from tests.lab.lab_rig import (
    AGENT,
    EGRESS,
    INGRESS,
    NODES,
    TCP,
    UDP,
    block,
    deny,
    labelled,
    listening,
    make_agent_importable,
    pod,
    pods,
    port,
    receive,
    rule,
    send,
    world,
)

ENDPOINTS = (
    pod("a/web", "n0", 10, {"app": "web"}),
    pod("a/db", "n1", 11, {"app": "db"}),
    pod("a/near", "n1", 12, {"app": "near"}),
    pod("b/far", "n0", 13, {"app": "far"}),
)
V4, V6 = "10.96.0.7", "fd00:10:96::7"


def service(app="db", number=443, target=80, *, node_port=0, local=False, protocol=TCP, address=V4, other=V6):
    return Service(
        "a",
        f"{app}-{node_port}",
        {"app": app},
        (ServicePort(protocol, number, target, node_port=node_port),),
        (ip_address(address), ip_address(other)),
        external_local=local,
    )


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    make_agent_importable(monkeypatch)


async def through(rig, source, address, number, protocol="tcp", patience=10.0):
    """Who answered behind ``address`` and where the packet came from, or ``dropped``."""
    return await rig.ask(source, "try", address=address, port=number, protocol=protocol, timeout=patience)


def run(scenario, *policies, services, enforcement=()):
    async def main():
        snapshot = world(*policies, endpoints=ENDPOINTS)
        async with Lab(snapshot, nodes=NODES, enforcement=Enforcement.parse(enforcement), agent=AGENT) as lab:
            await lab.serve(services)
            return await scenario(await listening(lab, [*lab.sites, *lab.witnesses.sites]))

    return asyncio.run(main())


def test_a_cluster_ip_leads_to_its_backend_from_every_node_in_both_families_and_protocols():
    services = (
        service(),
        service(protocol=UDP, number=53, target=53, address="10.96.0.8", other="fd00:10:96::8"),
    )

    async def scenario(rig):
        tcp = [
            await through(rig, source, address, 443)
            for source in ("a/web", "a/near", "a/db", "node/n0", "node/n1")
            for address in (V4, V6)
        ]
        udp = [await through(rig, source, "10.96.0.8", 53, "udp") for source in ("a/web", "a/near")]
        return tcp + udp

    assert {answer.split()[0] for answer in run(scenario, services=services)} == {"a/db"}


def test_a_node_port_is_masqueraded_unless_it_is_local_and_leads_nowhere_where_there_is_no_backend():
    services = (
        service(node_port=30001),
        service(node_port=30002, local=True, address="10.96.0.8", other="fd00:10:96::8"),
    )

    async def scenario(rig):
        return (
            await through(rig, "a/web", "172.18.0.3", 30001),
            await through(rig, "a/web", "172.18.0.2", 30001),
            await through(rig, "a/web", "172.18.0.3", 30002),
            await through(rig, "node/n0", "172.18.0.3", 30002),
            await through(rig, "node/n1", "172.18.0.2", 30002, patience=0.5),
        )

    far, near, local, outside, nowhere = run(scenario, services=services)
    assert far.split() == ["a/db", "172.18.0.3"]
    assert near.split() == ["a/db", "172.18.0.2"]
    assert local.split() == ["a/db", "10.244.0.10"]
    assert outside.split() == ["a/db", "172.18.0.2"]
    assert nowhere == "dropped"


def test_a_service_without_selector_leads_where_its_endpoint_slices_say_and_a_headless_one_is_not_translated():
    by_hand = replace(
        service(),
        selector=None,
        endpoints=(ServiceEndpoint(ip_address("10.244.0.13"), TCP, 80),),
        cluster_ips=(ip_address(V4),),
    )
    headless = replace(service("web"), cluster_ips=(), headless=True)

    async def scenario(rig):
        return await through(rig, "a/db", V4, 443), await rig.reaches("a/db", "a/web")

    by_slice, direct = run(scenario, services=(by_hand, headless))
    assert by_slice.split()[0] == "b/far"
    assert direct


def test_several_backends_share_the_connections_and_internal_traffic_policy_keeps_them_on_the_node():
    both = replace(service(), selector={})
    inside = replace(
        both, internal_local=True, cluster_ips=(ip_address("10.96.0.9"),), ports=(ServicePort(TCP, 443, 81),)
    )

    async def scenario(rig):
        spread = {(await through(rig, "b/far", V4, 443)).split()[0] for _ in range(40)}
        local = {(await through(rig, "b/far", "10.96.0.9", 443)).split()[0] for _ in range(10)}
        return spread, local

    assert run(scenario, services=(both, inside)) == ({"a/web", "a/db", "a/near"}, {"a/web"})


DENY = deny(INGRESS, name="deny", app="db")
ONLY_NEAR = receive(rule(pods(labelled(app="near"))), app="db")


def test_policies_see_the_backend_and_its_port_and_the_clients_identity():
    only = receive(rule(pods(labelled(app="web")), ports=[port(80)]), name="web", app="db")
    out = send(rule(pods(labelled(app="db")), ports=[port(80)]), name="out", app="web")

    async def scenario(rig):
        return [
            await through(rig, source, V4, 443, patience=patience)
            for source, patience in (("a/web", 10), ("a/near", 0.5), ("b/far", 0.5), ("a/db", 10))
        ]

    web, near, far, itself = run(scenario, only, out, deny(EGRESS, name="shut", app="db"), services=(service(),))
    assert web.split()[0] == itself.split()[0] == "a/db"
    assert (near, far) == ("dropped", "dropped")


FAULTS = [
    # dialect, policies, who tries what, what spec says, what the dialect says
    ("service-skips-policy@n1", (DENY,), ("a/near", V4, 443), False, True),
    ("service-skips-policy", (DENY,), ("a/web", V4, 443), False, False),
    ("service-snat", (receive(rule(pods(labelled(app="web"))), app="db"),), ("a/web", V4, 443), True, False),
    ("service-snat", (ONLY_NEAR,), ("a/near", V4, 443), True, True),
    ("hairpin-policed", (DENY,), ("a/db", V4, 443), True, False),
    ("hairpin-policed", (receive(rule(block("172.18.0.0/16")), app="db"),), ("a/db", V4, 443), True, True),
    ("hairpin-replies-judged", (deny(EGRESS, app="db"),), ("a/db", V4, 443), True, False),
    ("hairpin-replies-judged", (DENY,), ("a/db", V4, 443), True, True),
    ("judges-before-dnat@n0", (send(rule(pods(labelled(app="db"))), app="web"),), ("a/web", V4, 443), True, False),
    (
        "judges-before-dnat",
        (send(rule(block("10.96.0.0/16"), ports=[port(443)]), app="web"),),
        ("a/web", V4, 443),
        False,
        True,
    ),
    ("node-port-skips-policy@n1", (DENY,), ("a/web", "172.18.0.3", 30001), False, True),
    ("node-port-skips-policy", (DENY,), ("a/web", V4, 443), False, False),
]


def test_each_dialect_does_to_packets_what_it_is_defined_to_do_and_nothing_else():
    async def scenario(rig):
        found = []
        for dialect, policies, (source, address, number), right, wrong in FAULTS:
            for enforcement, expected in (((), right), ((dialect,), wrong)):
                await rig.lab.program(Enforcement.parse(enforcement), policies)
                answer = await through(rig, source, address, number, patience=10 if expected else 0.5)
                direct = await rig.outcome(source, "a/db", patience=0.5 if source != "a/db" else 10)
                found.append((dialect, enforcement, answer.split()[0] == "a/db", direct))
        return found

    found = run(scenario, services=(service(node_port=30001),))
    expected = [each for *_, right, wrong in FAULTS for each in (right, wrong)]
    assert [reached for _, _, reached, _ in found] == expected
    # The same connection without the Service fares alike under both.
    assert [direct for *_, direct in found[::2]] == [direct for *_, direct in found[1::2]]


def test_what_goes_wrong_through_services_is_read_beside_any_other_dialect():
    enforcement = Enforcement.parse(("rejects", "service-snat@n0", "stale@n1", "hairpin-policed"))
    assert enforcement.everywhere.dialect == "rejects"
    assert enforcement.path_at("n0") == "service-snat"
    assert enforcement.path_at("n1") == "hairpin-policed"
    assert enforcement.nodes == {"n0", "n1"}
    for wrong in (
        ("service-snat@",),
        ("service-snat@a/web",),
        ("service-snat", "hairpin-policed"),
        ("service-snat:2",),
    ):
        with pytest.raises(ValueError, match="enforcer"):
            Enforcement.parse(wrong)
