from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, IPBlock, NetworkPolicy, Peer, Rule
from auditor.model.ports import PortRequest, Protocol
from auditor.model.snapshot import Service, ServicePort
from auditor.policy.services import backends, blocks_that_cover, find_service, translate
from tests.unit.diagnosis.worlds import SHOP

SQL = ServicePort(Protocol.TCP, 80, "sql", "front")
SERVICE = Service("prod", "db", {"app": "db"}, (SQL, ServicePort(Protocol.UDP, 53, 5353)), (ip_address("10.96.0.7"),))
WORLD = replace(SHOP, services=(SERVICE,))


def ways(request, service=SERVICE):
    return [(way.backend.name, way.number) for way in translate(WORLD, service, request)]


def test_a_named_target_port_resolves_on_the_backend():
    assert ways(PortRequest(Protocol.TCP, 80)) == [("prod/db", 3306)]


def test_a_service_port_is_asked_for_by_name_too():
    assert ways(PortRequest(Protocol.TCP, name="front")) == [("prod/db", 3306)]


def test_protocols_are_kept_apart():
    assert ways(PortRequest(Protocol.UDP, 53)) == [("prod/db", 5353)]
    assert ways(PortRequest(Protocol.TCP, 53)) == []
    assert ways(PortRequest(Protocol.TCP, 3306)) == []


def test_backends_are_pods_of_the_own_namespace_with_all_labels():
    assert [end.name for end in backends(WORLD, replace(SERVICE, selector={"app": "api"}))] == ["prod/api"]
    assert backends(WORLD, replace(SERVICE, selector={"app": "api", "tier": "x"})) == ()
    assert backends(WORLD, replace(SERVICE, selector=None)) == ()


def test_a_backend_that_does_not_declare_the_target_gets_nothing():
    assert ways(PortRequest(Protocol.TCP, 80), replace(SERVICE, selector={"app": "web"})) == []


def test_services_are_found_by_name():
    assert find_service(WORLD, "prod/db") is SERVICE
    with pytest.raises(KeyError):
        find_service(WORLD, "dev/db")


@pytest.mark.parametrize(
    ("block", "covers"), [("10.96.0.0/12", True), ("10.0.0.0/8", False), ("192.168.0.0/16", False)]
)
def test_blocks_over_the_cluster_ip_are_told(block, covers):
    excepts = (ip_network("10.96.0.0/12"),) if block == "10.0.0.0/8" else ()
    rule = Rule((Peer(ip_block=IPBlock(ip_network(block), excepts)),), ())
    policy = NetworkPolicy("prod", "out", LabelSelector(), frozenset({Direction.EGRESS}), egress=(rule,))
    world = replace(WORLD, policies=(policy,))
    assert bool(blocks_that_cover(world, SERVICE, world.endpoint("prod/web"))) is covers
    assert blocks_that_cover(world, SERVICE, world.endpoint("dev/api")) == ()
    assert blocks_that_cover(world, SERVICE, world.endpoint("host/backup")) == ()
