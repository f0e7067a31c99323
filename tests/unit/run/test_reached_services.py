"""Which Services of the users can be connected to."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from auditor.model.errors import UsageError
from auditor.model.ports import Protocol
from auditor.model.snapshot import Service, ServicePort, Snapshot
from auditor.run.reached_services import named_services

TCP = ServicePort(Protocol.TCP, 80, 80)
DB = Service("prod", "db", {"app": "db"}, (TCP,), (ip_address("10.96.0.7"),))
SNAPSHOT = Snapshot(
    {},
    (),
    services=(
        DB,
        replace(DB, name="headless", headless=True, cluster_ips=()),
        replace(DB, name="udp", ports=(replace(TCP, protocol=Protocol.UDP),)),
    ),
    absent={"service/prod/other": "is an ExternalName"},
)


def test_each_is_taken_once():
    assert named_services(SNAPSHOT, ["prod/db", "prod/db"]) == (DB,)
    assert named_services(SNAPSHOT, []) == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("prod/gone", "there is no such Service"),
        ("db", "there is no such Service"),
        ("prod/other", "is an ExternalName"),
        ("prod/headless", "has no ClusterIP"),
        ("prod/udp", "has no TCP port"),
    ],
)
def test_others_are_refused_with_the_reason(name, said):
    with pytest.raises(UsageError, match=f"--service {name}: .*{said}"):
        named_services(SNAPSHOT, [name])
