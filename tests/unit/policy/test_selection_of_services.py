"""Services and pods by their kind, as kubectl names them, where endpoints are selected."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from auditor.model.ports import Protocol
from auditor.model.snapshot import Service, ServiceEndpoint, ServicePort
from auditor.policy.selection import select
from tests.oracle.clusters import cluster, host, node, pod

PORTS = (ServicePort(Protocol.TCP, 80, 80),)
WORLD = cluster(
    pod("prod/web", {"app": "web"}, "10.0.0.2"),
    pod("prod/db", {"app": "db"}, "10.0.0.3"),
    pod("dev/web", {"app": "web"}, "10.0.0.4"),
    node("one", "192.168.0.1"),
    host("office", "203.0.113.7"),
)
SERVICES = (
    Service("prod", "front", {"app": "web"}, PORTS),
    Service("dev", "front", {"app": "web"}, PORTS),
    Service("prod", "hand", None, PORTS, endpoints=(
        ServiceEndpoint(ip_address("192.168.0.1")), ServiceEndpoint(ip_address("10.9.9.9"), pod="prod/db"),
    )),
    Service("prod", "nobody", None, PORTS),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("service/prod/front", ["prod/web"]),
        ("svc/front", ["prod/web", "dev/web"]),
        ("services/dev/front", ["dev/web"]),
        ("svc/prod/*", ["prod/web", "prod/db", "node/one"]),
        ("service/prod/hand", ["prod/db", "node/one"]),
        ("service/prod/nobody", []),
        ("service/prod/none", []),
        ("pod/prod/db", ["prod/db"]),
        ("po/web", ["prod/web", "dev/web"]),
        ("pods/prod/*", ["prod/web", "prod/db"]),
        ("pod/office", []),
        ("pod/one", []),
    ],
)
def test_by_kind(text, names):
    assert [each.name for each in select(WORLD.endpoints, text, SERVICES)] == names


def test_a_namespace_called_as_a_kind_comes_first():
    world = cluster(pod("svc/front"), pod("prod/web", {"app": "web"}))
    assert [each.name for each in select(world.endpoints, "svc/front", SERVICES)] == ["svc/front"]
