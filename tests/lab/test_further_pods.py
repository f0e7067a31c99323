"""Pods that come to a lab that is up, and audits that have some come to tell causes apart: with real packets."""

from __future__ import annotations

import pytest

from auditor.cluster.lab.lab import Lab
from auditor.model.dialect import Enforcement
from auditor.model.verdict import Result, Verdict
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.run.audit import audit
from auditor.run.planning import AuditOptions
from tests.lab import scenarios
from tests.lab.auditing import was_disturbed
from tests.marking import slow

pytestmark = pytest.mark.lab

NAME = "rule-06-end-port"
OPTIONS = AuditOptions(probing=ProbingOptions(timeout=0.3, retests=1, settle=0.3, late_isolation=0.2))


async def audited(enforcer: str):
    scenario = scenarios.read(NAME)
    for _ in range(3):
        lab = Lab(scenario.snapshot, nodes=scenario.nodes, enforcement=Enforcement.parse((enforcer,)), spare=2)
        async with lab:
            report = await audit(lab, NAME, OPTIONS, NoProgress())
        if not was_disturbed(report):
            break
    return report


@pytest.mark.parametrize(
    ("enforcer", "place"),
    [slow("enforces-nothing@node-2", "node node-2"), ("enforces-nothing@x/client", "pod x/client")],
)
async def test_further_pods_tell_a_node_from_a_pod_and_from_a_policy(enforcer, place):
    report = await audited(enforcer)
    assert {str(faults[0].scope) for faults in report.diagnosis.hypotheses} == {place}
    assert report.diagnosis.contradictions == report.diagnosis.unexplained == ()
    new = {"x/client@node-1", "x/client@node-2"}
    assert {end.name for end in report.endpoints} >= new
    (told,) = [fact for fact in report.facts if "find the cause" in fact]
    assert told.startswith("2 further probe pods came to find the cause: x/client@node-")
    own = [each for each in report.cells if new & {each.cell.source, each.cell.destination}]
    assert {(each.result, each.expected) for each in own} <= {
        (Result.MATCH, Verdict.DENIED),
        (Result.MATCH, Verdict.ALLOWED),
        (Result.LEAK, Verdict.DENIED),
    }
    leaking = {each.cell.source for each in own if each.result is Result.LEAK}
    assert leaking == ({"x/client@node-2"} if "node-2" in enforcer else set())
