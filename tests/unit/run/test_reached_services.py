"""Which Services of the users can be connected to."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from auditor.model.errors import UsageError
from auditor.model.ports import Protocol
from auditor.model.snapshot import Service, ServicePort, Snapshot
from auditor.run.reached_services import _facts, named_services

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


def test_where_no_connection_can_be_tried_that_is_a_fact_and_so_is_what_befell_the_agents():
    assert list(_facts((), (), ["agent of a/api was restarted"], "3 pods")) == [
        "no connection to Services could be tried: none of 3 pods has an address of the same family as these",
        "agent of a/api was restarted",
    ]
    assert next(iter(_facts((), (), [], "0 pods"))) == "no connection to Services could be tried: no probe pod asks"
