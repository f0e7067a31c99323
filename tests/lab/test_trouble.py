"""What the audits in trouble are held against: that a wrong answer would be seen as one."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from functools import partial
from random import Random

import pytest

from auditor.cluster.lab.lab import Lab
from auditor.model.dialect import Enforcement
from auditor.model.ports import PortRequest, Protocol
from auditor.model.report import Summary
from auditor.model.verdict import Conclusion, Observation, Observed, Result
from auditor.probing.options import NoProgress
from auditor.run.audit import audit
from tests.lab import scenarios, troubled_lab
from tests.lab.audits_in_trouble import until
from tests.lab.naming import World
from tests.lab.trouble import (
    BROKEN,
    FALSE_FAIL,
    FALSE_PASS,
    INCONCLUSIVE,
    RIGHT_FAIL,
    RIGHT_PASS,
    WRONG,
    Outcome,
    column,
    play,
    table,
)
from tests.lab.trouble_faults import FAULTS
from tests.lab.trouble_worlds import NOTHING, Plan, draw, judge
from tests.lab.troubled_lab import TroubledLab, normal
from tests.marking import slow

pytestmark = pytest.mark.lab

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: reaching into the lab from outside needs root")


def plan(enforcement=NOTHING):
    world = World.of(scenarios.read("seed-deny-all-ingress"))
    return Plan(world, enforcement, (), (), world.snapshot.endpoints[0].name, (PortRequest(Protocol.TCP, number=80),))


async def report_of(one):
    async with Lab(one.world.snapshot, nodes=one.nodes, enforcement=one.enforcement) as lab:
        return await audit(lab, "any", one.options, NoProgress())


def read_as(report, result, seen, *, wrong):
    """``report`` with every cell of the result ``wrong`` said to be ``result``."""
    cells = tuple(
        replace(one, result=result, observation=Observation(seen, "made up")) if one.result is wrong else one
        for one in report.cells
    )
    return replace(report, cells=cells, findings=(), summary=Summary.of(cells))


async def test_a_leak_that_is_read_as_a_denial_makes_a_pass_a_false_one():
    one = plan()
    report = await report_of(one)
    judged = judge(one, report)
    assert (judged.conclusion, judged.missed, judged.invented) == (Conclusion.FAIL, (), ())
    assert column(judged, named=False) == RIGHT_FAIL
    blind = judge(one, read_as(report, Result.MATCH, Observed.DROPPED, wrong=Result.LEAK))
    assert len(blind.missed) == blind.differing > 0
    assert column(blind, named=True) == FALSE_PASS
    left_out = judge(one, read_as(report, Result.SKIPPED, Observed.SKIPPED, wrong=Result.LEAK))
    assert column(left_out, named=True) == FALSE_PASS
    silent = judge(one, read_as(report, Result.INCONCLUSIVE, Observed.INCONCLUSIVE, wrong=Result.LEAK))
    assert column(silent, named=True) == INCONCLUSIVE
    assert silent.told[0] == "made up"


async def test_an_outage_that_nothing_but_the_fault_explains_is_a_false_failure():
    one = plan(Enforcement())
    report = await report_of(one)
    assert column(judge(one, report), named=False) == RIGHT_PASS
    invented = judge(one, read_as(report, Result.OUTAGE, Observed.DROPPED, wrong=Result.MATCH))
    assert column(invented, named=False) == FALSE_FAIL
    assert column(invented, named=True) == RIGHT_FAIL
    unstable = judge(one, read_as(report, Result.UNSTABLE, Observed.DROPPED, wrong=Result.MATCH))
    assert column(unstable, named=False) == FALSE_FAIL
    assert column(unstable, named=True) == RIGHT_FAIL


def has_agent(troubled, site):
    with suppress(ProcessLookupError):
        return troubled.agent(site) > 0
    return False


@AS_ROOT
async def test_every_namespace_of_a_lab_is_found(monkeypatch):
    monkeypatch.setattr(troubled_lab, "GONE_WITHIN", 0.0)
    one = plan()
    async with Lab(one.world.snapshot, nodes=one.nodes) as lab:
        troubled = TroubledLab(lab)
        for site in lab.sites:
            channel = await lab.open(site)
            troubled.inside(troubled.index(site.name), "ip", "route", "get", str(site.addresses[0]))
            assert until(partial(has_agent, troubled, site.name))  # it is being started
            await channel.close()
            with pytest.raises(ProcessLookupError):
                troubled.agent(site.name)
        assert troubled.inner in troubled.left_behind()
    monkeypatch.undo()
    assert troubled.left_behind() == []


@AS_ROOT
@pytest.mark.parametrize(
    "name",
    [
        slow("agent killed"),
        slow("agent stopped for a while"),
        slow("clock wrong"),
        "disk full",
        slow("descriptors short"),
        slow("new connections dead"),
        slow("output torn"),
        slow("none"),
    ],
)
def test_an_audit_in_trouble_says_nothing_wrong(name):
    fault = next(fault for fault in FAULTS if fault.name == name)
    outcome = play(3, 9, fault)
    assert outcome.column not in WRONG, outcome


def test_plans_are_the_same_for_the_same_seed_and_of_every_kind():
    drawn = [draw(Random(number)) for number in range(30)]
    assert [str(draw(Random(number))) for number in range(30)] == list(map(str, drawn))
    assert {str(one.enforcement.everywhere) for one in drawn} == {"spec", "enforces-nothing"}
    assert any(one.enforcement.on_node for one in drawn)
    assert any(one.sources and one.destinations for one in drawn)


def test_reasons_are_counted_without_their_names_and_numbers():
    assert normal("agent of prod/web-1 stood still for 1.2 s: TCP/80 at 10.244.0.2") == normal(
        "agent of node/n-2 stood still for 13 s: UDP/53 at fd00:10:244::7"
    )


def test_the_table_has_a_line_for_each_fault():
    played = [
        Outcome(number, name, INCONCLUSIVE, told=("agent of a/b ended",))
        for number, name in enumerate(["agent killed", "loss on a link", "loss on a link"])
    ]
    lines = table(played).splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [["agent", "killed"], ["loss", "on"], ["all", "·"]]
    assert BROKEN in lines[0]
