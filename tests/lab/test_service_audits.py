"""Whole audits through Services on the lab: what is found, what is named, and what a denial rests on."""

import asyncio
from dataclasses import replace

import pytest

from auditor.cluster.lab import lab as lab_module
from auditor.cluster.lab import service_rules
from auditor.cluster.lab.lab import Lab
from auditor.model.dialect import Enforcement
from auditor.model.service_seen import Way
from auditor.model.verdict import Conclusion, Observed, Result, Verdict
from auditor.probing.options import NoProgress
from auditor.report.conclusion import conclude
from auditor.run.audit import audit
from auditor.run.planning import AuditOptions
from tests.lab.auditing import HASTY, nodes_of
from tests.lab.lab_rig import INGRESS, NODES, deny, labelled, pod, pods, receive, rule, world
from tests.lab.service_matrix import ServiceRow, judge
from tests.marking import slow

WEB, DB, SHUT = "a/web", "a/db", "a/shut"
SNAPSHOT = world(
    receive(rule(pods(labelled(app="web"))), app="db"),
    deny(INGRESS, app="shut"),
    endpoints=(
        pod(WEB, "n0", 10, {"app": "web"}),
        pod(DB, "n1", 11, {"app": "db"}),
        pod(SHUT, "n1", 12, {"app": "shut"}),
    ),
)
OPTIONS = AuditOptions(services=True, probing=replace(HASTY, timeout=0.6))


def audited(*enforcers, snapshot=SNAPSHOT):
    async def main():
        async with Lab(snapshot, nodes=NODES, enforcement=Enforcement.parse(enforcers)) as lab:
            report = await audit(lab, "a test", OPTIONS, NoProgress())
            return report, lab, nodes_of(lab)

    return asyncio.run(main())


def test_under_the_specification_everything_is_as_expected_and_every_way_is_tried():
    report, lab, nodes = audited()
    row = ServiceRow("small")
    judge(row, Enforcement(), report.services, nodes, lab)
    assert row.wrong == []
    assert conclude(report) is Conclusion.PASS
    assert {each.cell.way for each in report.services.results} == set(Way)
    itself = [each for each in report.services.results if each.cell.source == each.cell.backend == SHUT]
    assert {each.observation.verdict for each in itself if each.cell.way is Way.CLUSTER_IP} == {Observed.ALLOWED}
    assert all(each.seen for each in itself if each.cell.way is Way.CLUSTER_IP)


@pytest.mark.parametrize("dialect", ["service-snat", slow("service-skips-policy@n1")])
def test_a_fault_of_the_way_is_found_and_named_and_cells_stay_as_they_are(dialect):
    report, lab, nodes = audited(dialect)
    row = ServiceRow("small")
    judge(row, Enforcement.parse((dialect,)), report.services, nodes, lab)
    assert row.wrong == []
    assert report.summary.faults == 0
    assert conclude(report) is Conclusion.FAIL
    assert str(report.services.diagnosis.fault).partition("@")[0] in dialect


@pytest.mark.slow
def test_what_differs_without_the_service_too_is_not_counted_again():
    report, _, _ = audited("ignores-ingress")
    assert report.summary.leaks > 0
    assert report.services.faults == ()
    assert any(each.as_without for each in report.services.results)
    assert report.services.diagnosis is None


def test_where_a_node_translates_nothing_its_denials_have_no_verdict(monkeypatch):
    """The fault that a denial through a Service must never be taken for."""
    right = lab_module.service_rulesets

    def dead_on_n0(topology, snapshot, services):
        return tuple(each for each in right(topology, snapshot, services) if each[0] != topology.nodes["n0"])

    monkeypatch.setattr(lab_module, "service_rulesets", dead_on_n0)
    report, _, _ = audited()
    by_n0 = [each for each in report.services.results if each.cell.way is Way.CLUSTER_IP and each.cell.source == WEB]
    denied = [each for each in by_n0 if each.expected is Verdict.DENIED]
    assert denied
    assert {each.result for each in denied} == {Result.INCONCLUSIVE}
    assert {"on node n0" in each.observation.outcome for each in denied} == {True}
    elsewhere = [each for each in report.services.results if each.cell.source != WEB and not each.cell.at]
    assert {each.result for each in elsewhere} == {Result.MATCH}
    assert conclude(report) is not Conclusion.PASS


@pytest.mark.slow
def test_where_nodes_offer_no_node_ports_these_have_no_verdict_and_cluster_ips_have(monkeypatch):
    monkeypatch.setattr(service_rules._Rules, "_add_node_port", lambda *_: None)
    report, _, _ = audited()
    by_port = [each for each in report.services.results if each.cell.at]
    assert by_port
    assert {each.result for each in by_port} == {Result.INCONCLUSIVE}
    assert {"NodePort of node" in each.observation.outcome for each in by_port} == {True}
    assert {each.result for each in report.services.results if not each.cell.at} == {Result.MATCH}
    assert report.services.diagnosis is None
    assert conclude(report) is Conclusion.INCONCLUSIVE
