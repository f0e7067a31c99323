"""An enforcer that tells pods apart by their names without the last part, and what our own names make of it: the audit
must not bring about what it finds.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from auditor.cluster.kubernetes import objects
from auditor.model.verdict import Conclusion, Result
from auditor.probing.options import NoProgress
from auditor.report.conclusion import conclude
from auditor.run.audit import audit
from auditor.run.planning import AuditOptions, plan
from tests.lab import scenarios
from tests.lab.auditing import HASTY
from tests.lab.naming import World
from tests.lab.unknown_faults import SharedByNamePrefix
from tests.lab.unknown_packets import UnknownLab

pytestmark = pytest.mark.lab


def as_probe_pods(snapshot):
    """``snapshot`` with the names that probe pods have, a run's numbers in the order of its pods."""
    numbers = iter(range(len(snapshot.endpoints)))
    ends = (
        replace(end, name=f"{end.namespace}/{objects.pod_name('0a1b2c3d', next(numbers))}") if end.selectable else end
        for end in snapshot.endpoints
    )
    return replace(snapshot, endpoints=tuple(ends))


@pytest.mark.parametrize(("apart", "found"), [(objects.apart, set()), (str, {Result.LEAK, Result.OUTAGE})])
async def test_our_names_share_nothing_and_those_of_before_did(monkeypatch, apart, found):
    monkeypatch.setattr(objects, "apart", apart)
    scenario = scenarios.read("demo")
    snapshot = as_probe_pods(scenario.snapshot)
    world = World("demo", snapshot, plan(snapshot, AuditOptions())[1].cells, None)
    async with UnknownLab(snapshot, scenario.nodes) as lab:
        await lab.play(world, SharedByNamePrefix(snapshot))
        report = await audit(lab, "demo", AuditOptions(probing=HASTY), NoProgress())
    faults = {one.result for one in report.cells} & {Result.LEAK, Result.OUTAGE}
    assert faults <= found
    assert bool(faults) is bool(found)
    assert (conclude(report) is Conclusion.FAIL) is bool(found)
