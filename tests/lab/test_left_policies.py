"""A single policy that is still enforced though it has been deleted or changed: with real packets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from auditor.cluster.lab.lab import Lab
from auditor.model.dialect import Dialect
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.ports import PortRequest, Protocol
from auditor.model.verdict import Result
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.run.audit import audit
from auditor.run.planning import AuditOptions
from tests.lab import scenarios
from tests.marking import slow

pytestmark = pytest.mark.lab

DEMO = scenarios.read("demo")
DELETED = NetworkPolicy("dev", "old", LabelSelector((("app", "web"),)), frozenset({Direction.EGRESS}))
CHANGED = next(policy for policy in DEMO.snapshot.policies if policy.full_name == "prod/db")
AS_IT_WAS = replace(CHANGED, ingress=())
PORTS = (PortRequest(Protocol.TCP, number=443), *(PortRequest(Protocol.TCP, number=port) for port in (3306, 5432)))


class ForgetfulLab(Lab):
    """A lab whose enforcers have ``policies``, while others are in force."""

    def __init__(self, policies):
        super().__init__(replace(DEMO.snapshot, policies=tuple(policies)), nodes=DEMO.nodes)

    @property
    def snapshot(self):
        return replace(super().snapshot, policies=DEMO.snapshot.policies)


def before(policy):
    """The policies of the cluster before ``policy`` was deleted or changed."""
    others = (each for each in DEMO.snapshot.policies if each.full_name != policy.full_name)
    return (*others, policy)


async def audited(left, former):
    """An audit under enforcers that still have ``left``; ``former``: what it knows of policies before."""
    probing = ProbingOptions(timeout=0.3, retests=1, settle=0.2)
    async with ForgetfulLab(before(left)) as lab:
        report = await audit(lab, "demo", AuditOptions(ports=PORTS, probing=probing, former=former), NoProgress())
    assert {each.result for each in report.cells} == {Result.MATCH, Result.OUTAGE}
    return report.diagnosis


@pytest.mark.parametrize(
    ("left", "said"), [(DELETED, "Deleted since: dev/old."), slow(AS_IT_WAS, "Changed since: prod/db.")]
)
async def test_it_is_named_where_it_is_known(left, said):
    diagnosis = await audited(left, before(left))
    assert diagnosis.faults[0].dialect is Dialect.STALE
    assert diagnosis.advice.startswith(said)
    assert diagnosis.contradictions == diagnosis.unexplained == ()


@pytest.mark.parametrize("left", [slow(DELETED), AS_IT_WAS])
async def test_nothing_else_is_called_the_cause_where_it_is_not_known(left):
    assert not (await audited(left, None)).certain
