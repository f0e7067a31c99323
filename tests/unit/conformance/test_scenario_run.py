"""A run on a testbed where not every pod has come to run."""

from __future__ import annotations

from auditor.model.ports import Protocol
from auditor.model.scenario import Scenario
from auditor.model.scorecard import Score
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Result, Verdict
from auditor.probing.options import NoProgress
from auditor.run.conformance.prepared_scenarios import prepare_scenarios
from auditor.run.conformance.scenario_run import run_scenarios
from auditor.run.conformance.scoring import score
from auditor.run.conformance.testbed import ActualState
from tests.oracle.clusters import cluster, host, pod
from tests.unit.probing.world import SWIFT, World

REASON = "its pod did not start within 180 s: Pending"


class HalfTestbed:
    """Pods a/0 and a/1 of one scenario run, and a/2 doesn't; a host is not to be had."""

    facts = ()

    def __init__(self):
        self._world = World(2)
        self.sites = self._world.sites
        self.witnesses = self._world.witnesses
        self.open = self._world.open
        self.absent = {"host/outside": "a host outside the cluster, of which none is at hand"}
        self.failed = {"a/2": REASON}

    async def change(self, prepared):
        """No scenario has one."""

    @staticmethod
    def actual(prepared):
        return ActualState(prepared.snapshot)


def prepared_scenarios():
    pods = [pod(f"a/{number}", {}, f"10.0.0.{number + 1}", node="n") for number in range(3)]
    ends = (*pods, host("outside", "192.168.5.10"))
    snapshot = cluster(*ends)
    cells = [
        Cell(one.name, other.name, Protocol.TCP, 80, Family.IPV4)
        for one in ends
        for other in ends
        if "a/" in one.name + other.name
    ]
    truth = dict.fromkeys(cells, Verdict.ALLOWED)
    return prepare_scenarios([Scenario("one", "title", "one.yaml", ("n",), (Family.IPV4,), snapshot, truth=truth)], "")


async def test_a_pod_that_never_ran_leaves_its_scenario_open():
    chosen = prepared_scenarios()
    outcome = await run_scenarios(HalfTestbed(), chosen, SWIFT, NoProgress())
    found = {result.cell[:2]: result for result in outcome.results}
    assert found["a/0", "a/1"].result is Result.MATCH
    for ends in (("a/0", "a/2"), ("a/2", "a/1"), ("a/2", "a/2")):
        assert (found[ends].result, found[ends].observation.outcome) == (Result.INCONCLUSIVE, REASON)
    assert {found[ends].result for ends in (("a/0", "host/outside"), ("host/outside", "a/2"))} == {Result.SKIPPED}
    card = score(chosen, [outcome], [prepared.scenario for prepared in chosen], subject="x")
    assert card.score is Score.INCONCLUSIVE
    assert card.scenarios[0].reason == REASON
    assert card.summary.inconclusive == 5
