"""Who is asked for a name, of what resolv.conf has, and by whom."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from auditor.model.dns_seen import NameService
from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Service, ServicePort, Snapshot
from auditor.policy.lookups import DnsReading
from auditor.probing.session import Resolvers
from auditor.probing.sites import ProbeSite
from auditor.run.lookups import _cells, _demands

HERE = (ip_address("10.244.0.1"), ip_address("fd00::1"))


@pytest.mark.parametrize(
    ("server", "asked"),
    [
        ("10.96.0.10", {Family.IPV4}),
        ("fd00::a", {Family.IPV6}),
        ("fe80::1", {Family.IPV6}),
        ("fe80::1%eth0", set()),
        ("dns.example", set()),
        ("", set()),
    ],
)
def test_servers_are_asked_that_have_an_address_which_means_the_same_everywhere(server, asked):
    site = ProbeSite("a/api", HERE, ("a/api",))
    cells = [cell for _, cell in _cells([site], NameService(), {site.name: Resolvers([server], [])})]
    assert {(cell.family, cell.protocol) for cell in cells} == {
        (family, protocol) for family in asked for protocol in (Protocol.UDP, Protocol.TCP)
    }


def test_what_a_pod_of_the_dns_asks_itself_is_not_judged_however_many_there_are():
    pods = tuple(
        Endpoint(
            f"kube-system/dns-{number}",
            EndpointKind.POD,
            "kube-system",
            {"dns": "yes"},
            (ip_address(f"10.244.0.{number}"),),
        )
        for number in range(1, 5)
    )
    ports = tuple(ServicePort(protocol, 53, 53) for protocol in (Protocol.UDP, Protocol.TCP))
    service = Service("kube-system", "dns", {"dns": "yes"}, ports, (ip_address("10.96.0.10"),))
    snapshot = Snapshot({}, pods, (), (service,))
    sites = [ProbeSite(each.name, each.addresses, (each.name,)) for each in pods]
    cells = _cells(sites, NameService("name", ("10.96.0.10", "10.244.0.4")), {})
    found = _demands(DnsReading(snapshot, snapshot), cells)
    assert {(cell.source, cell.address) for cell in found} == {(each.name, "10.244.0.4") for each in pods[:3]}
