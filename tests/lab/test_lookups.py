"""Names looked up in the lab, by real packets: what policies mean, what an enforcer makes of it, and what is said."""

import asyncio
from dataclasses import replace

import pytest

from auditor.cluster.lab.lab import Lab
from auditor.model.dialect import Enforcement
from auditor.model.errors import ClusterError
from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.verdict import Observed, Result
from auditor.probing.options import NoProgress
from auditor.run.audit import look
from auditor.run.lookups import look_names_up
from auditor.run.planning import AuditOptions, asked_about
from tests.lab import scenarios
from tests.lab.auditing import HASTY

OPTIONS = replace(HASTY, timeout=1.0)
NAME = "kubernetes.default.svc.cluster.local"


def looked_up(name, *enforcements):
    """What comes of lookups in scenario ``name`` under each of ``enforcements``, once it has been audited without."""

    async def main():
        scenario = scenarios.read(name)
        async with Lab(scenario.snapshot, nodes=scenario.nodes) as lab:
            audit = AuditOptions(probing=OPTIONS)
            seen = await look(lab, audit, NoProgress())
            sources = asked_about(lab.snapshot, audit)[Direction.EGRESS]
            found = []
            for enforcement in enforcements:
                await lab.program(Enforcement.parse(enforcement))
                found.append((await look_names_up(lab, seen.audit_state, sources, OPTIONS, NoProgress()))[0])
            return found

    return asyncio.run(main())


def results(seen, *wanted):
    return {(each.cell.source, each.cell.protocol) for each in seen.results if each.result in wanted}


def test_who_forgot_dns_is_cut_off_and_who_resolves_all_the_same_is_a_leak():
    right, nothing, halved, both = looked_up(
        "seed-forgotten-dns",
        (),
        ("enforces-nothing",),
        ("dns-pair-loses-one@node-1",),
        ("rejects", "dns-pair-loses-one"),
    )
    web = {("prod/web", Protocol.UDP), ("prod/web", Protocol.TCP)}
    others = {(name, protocol) for name in ("prod/api", "dev/api") for protocol in (Protocol.UDP, Protocol.TCP)}
    assert right.name == NAME
    assert results(right, Result.MATCH) == web | others
    assert {(each.cell.source, each.cell.protocol) for each in right.cut_off} == web
    assert {each.expectation.why for each in right.cut_off} == {
        f"egress to kube-system/kube-dns {protocol}/53 is denied by prod/web-egress" for protocol in ("UDP", "TCP")
    }
    assert results(nothing, Result.LEAK) == web
    assert results(nothing, Result.MATCH) == others
    assert not right.pairs_lost
    assert not right.facts
    assert [each.node for each in halved.pairs_lost] == ["node-1"]
    assert [each.node for each in both.pairs_lost] == ["node-1", "node-2"]
    assert not both.faults
    assert both.count(Observed.REFUSED) == 2


@pytest.mark.slow
def test_whose_lookups_are_allowed_and_go_unanswered_is_an_outage():
    right, lost = looked_up("demo", (), ("own-namespace-only",))
    prod = {
        (name, protocol)
        for name in ("prod/web-0", "prod/web-1", "prod/api", "prod/db")
        for protocol in (Protocol.UDP, Protocol.TCP)
    }
    assert not right.is_faulty
    assert not right.cut_off
    assert prod < results(right, Result.MATCH)
    assert results(lost, Result.OUTAGE) == prod


def test_a_scenario_without_dns_is_refused_in_one_line():
    with pytest.raises(ClusterError, match="no pod on the pod network is the cluster's DNS"):
        looked_up("rule-08-both-sides", ())
