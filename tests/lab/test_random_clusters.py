"""Random small clusters: the evaluator, the lab's own reading of the policies, and the packets must agree."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from auditor.cluster.lab.lab import Lab
from auditor.diagnosis.proof import ONLY_ITSELF, UNDEFINED
from auditor.model.dialect import Dialect, Enforcement, Enforcer
from auditor.model.verdict import Conclusion, Result
from auditor.probing.options import NoProgress
from auditor.probing.routes import NO_SCTP
from auditor.report.conclusion import conclude
from auditor.run.audit import audit
from auditor.run.planning import AuditOptions
from tests.lab.auditing import HASTY, audit_under
from tests.marking import slow
from tests.strategies import LAB_SHAPE, random_snapshot

pytestmark = pytest.mark.lab

EXPLAINED = (Result.MATCH, Result.UNDEFINED, Result.SKIPPED)
UNTESTABLE = {NO_SCTP, UNDEFINED, ONLY_ITSELF}
"""Why nothing can tell of a policy though every pod takes part."""
SEEDS = [*range(2), *map(slow, range(2, 30))]
DIALECTS = [dialect for dialect in Dialect if dialect not in (Dialect.SLOW, Dialect.FLAKY, Dialect.STALE)]


def nodes_of(snapshot) -> list[str]:
    return sorted({endpoint.node for endpoint in snapshot.endpoints if endpoint.node})


TIERED = replace(LAB_SHAPE, policies=2, admin_policies=4)


@pytest.mark.parametrize("seed", [0, *map(slow, range(1, 10))])
async def test_packets_agree_with_the_evaluator_with_all_tiers(seed):
    snapshot = random_snapshot(Random(seed), TIERED)
    async with Lab(snapshot, nodes=nodes_of(snapshot)) as lab:
        report = await audit(lab, f"seed {seed}", AuditOptions(probing=HASTY), NoProgress())
    assert [str(result.cell) for result in report.cells if result.result not in EXPLAINED] == []
    assert {result.result for result in report.cells} >= {Result.MATCH}


@pytest.mark.parametrize("seed", SEEDS)
async def test_packets_agree_with_the_evaluator(seed):
    snapshot = random_snapshot(Random(seed), LAB_SHAPE)
    async with Lab(snapshot, nodes=nodes_of(snapshot)) as lab:
        report = await audit(lab, f"seed {seed}", AuditOptions(probing=HASTY), NoProgress())
    assert [str(result.cell) for result in report.cells if result.result not in EXPLAINED] == []
    untestable = {reason for each in report.policies.untested for reason in each.reasons}
    assert untestable <= UNTESTABLE
    assert conclude(report) is (Conclusion.INCONCLUSIVE if untestable else Conclusion.PASS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
async def test_packets_agree_with_what_the_oracle_predicts_for_faulty_enforcers(seed):
    dice = Random(1000 + seed)
    snapshot = random_snapshot(dice, TIERED if seed % 2 else LAB_SHAPE)
    nodes = nodes_of(snapshot)
    async with Lab(snapshot, nodes=nodes) as lab:
        for dialect in dice.sample(DIALECTS, 4):
            enforcement = Enforcement(on_node={dice.choice(nodes): Enforcer(dialect)})
            judgement = await audit_under(lab, enforcement)
            assert judgement.wrong == (), f"seed {seed}, {enforcement}"
