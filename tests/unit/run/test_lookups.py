"""Who is asked for a name, of what resolv.conf has, and by whom."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import ClassVar

import pytest

from auditor.model.dns_seen import LookupCell, LookupExpectation, NameService
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.ports import Protocol
from auditor.model.report import CellResult
from auditor.model.service_seen import ServiceCell, Way
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Namespace, Service, ServicePort, Snapshot
from auditor.model.verdict import Observation, Observed, ProbingOutcome, Result, Verdict
from auditor.policy.evaluator import evaluate
from auditor.policy.lookups import DnsReading
from auditor.probing.lookup_run import LookupOutcome
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.probing.service_run import ServiceOutcome
from auditor.probing.session import Resolvers
from auditor.probing.sites import NO_WITNESSES, ProbeSite
from auditor.run import services
from auditor.run.expectation import AuditState, Expectation
from auditor.run.lookups import Standing, _demands, judged_lookup, look_names_up, lookup_cells
from auditor.run.reached_services import reach_services
from auditor.run.services import through_services

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
    cells = [cell for _, cell in lookup_cells([site], NameService(), {site.name: Resolvers([server], [])})]
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
    cells = lookup_cells(sites, NameService("name", ("10.96.0.10", "10.244.0.4")), {})
    found = _demands(DnsReading(snapshot, snapshot), cells)
    assert {(cell.source, cell.address) for cell in found} == {(each.name, "10.244.0.4") for each in pods[:3]}


class Watched:
    """A cluster in which nobody asks, and something changes once."""

    sites = ()
    witnesses = NO_WITNESSES
    failed: ClassVar[dict[str, str]] = {}
    inner_addresses: ClassVar[dict[str, list[str]]] = {}
    open = None

    def __init__(self):
        self.snapshot = self.workloads = Snapshot({}, (), ())
        self.states = [self.snapshot]

    async def changes(self):
        states, self.states = self.states, []
        return states

    async def name_service(self):
        return NameService()

    async def expose(self, _wanted):
        return []


async def through(cluster, state):
    await through_services(cluster, state, ProbingOptions(), NoProgress())


async def reach(cluster, state):
    await reach_services(cluster, state, [], [], ProbingOptions(), NoProgress())


async def look_up(cluster, state):
    await look_names_up(cluster, state, [], ProbingOptions(), NoProgress())


@pytest.mark.parametrize("part", [through, reach, look_up])
async def test_what_changed_during_one_part_makes_the_next_outdated_too(part):
    cluster = Watched()
    state = AuditState(Expectation.of(evaluate(cluster.snapshot), [], {}), ProbingOutcome({}))
    await part(cluster, state)
    assert await state.is_outdated(cluster)
    unchanged = replace(state, _since=type(state._since)())
    await part(cluster, unchanged)
    assert not await unchanged.is_outdated(cluster)


@pytest.mark.parametrize("seen", [Observed.ALLOWED, Observed.DROPPED])
def test_what_a_pod_is_answered_that_was_told_apart_from_what_it_stands_for_says_nothing(seen):
    cell = LookupCell("a/api", Protocol.UDP, "10.96.0.10", Family.IPV4)
    outcome = LookupOutcome({cell: Observation(seen, "as it came")})
    for verdict in Verdict:
        state = Standing({("a/api", Family.IPV4)}, changed=False, failed={"a/api": "was relabelled"})
        found = judged_lookup(cell, LookupExpectation(verdict, "kube-system/dns"), outcome, state)
        assert (found.result, found.observation.outcome) == (Result.INCONCLUSIVE, "was relabelled")


@pytest.mark.parametrize("end", ["a/web", "a/db"])
async def test_so_it_is_through_services(monkeypatch, end):
    names, observed = ("a/web", "a/db"), Observation(Observed.ALLOWED, "token")
    cell = ServiceCell(*names, Protocol.TCP, 80, Family.IPV4, Way.CLUSTER_IP, "10.96.0.7", 80)
    pods = tuple(Endpoint(name, EndpointKind.POD, "a", {"app": name[2:]}, HERE[:1]) for name in names)
    shut = NetworkPolicy("a", "shut", LabelSelector(), frozenset({Direction.INGRESS}))
    cluster = Watched()
    cluster.states, cluster.failed = [], {end: "was relabelled"}
    cluster.snapshot = Snapshot({"a": Namespace.of("a", {})}, pods, (shut,))
    state = AuditState(Expectation.of(evaluate(cluster.snapshot), [], {}), ProbingOutcome({}))
    without = CellResult(cell.direct, Verdict.DENIED, replace(observed, verdict=Observed.DROPPED), Result.MATCH)

    async def probed(*_):
        return ServiceOutcome({cell: observed})

    monkeypatch.setattr(services, "connections", lambda *_: {cell: without})
    monkeypatch.setattr(services, "bounded", lambda found, *_: (found, ()))
    monkeypatch.setattr(services, "_probe", probed)
    for failed, result in ((cluster.failed, Result.INCONCLUSIVE), ({}, Result.LEAK)):
        cluster.failed = failed
        (found,) = (await through_services(cluster, state, ProbingOptions(), NoProgress()))[0].results
        assert found.result is result
