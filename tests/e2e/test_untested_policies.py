"""A PodDisruptionBudget as production has it keeps the only pod of a policy from being stood in for: nothing tells of
that policy.
"""

from __future__ import annotations

import pytest

from tests.e2e import world
from tests.e2e.auditing import run_audit

POLICY = f"{world.PROD}/db"
PASS, INCONCLUSIVE = 0, 3


@pytest.fixture
def budgeted(spec, kubectl):
    """db may have one pod less, in the place of the absolute number that its budget has otherwise."""
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"namespace": world.PROD, "name": "db"},
    }
    selector = {"matchLabels": {"app": "db"}}
    kubectl.run("delete", "pdb", "db", "-n", world.PROD)
    kubectl.apply([{**budget, "spec": {"maxUnavailable": 1, "selector": selector}}])
    yield
    kubectl.run("delete", "pdb", "db", "-n", world.PROD)
    kubectl.apply([{**budget, "spec": {"minAvailable": 1, "selector": selector}}])


def test_a_policy_whose_only_pod_has_a_budget_is_no_pass_unless_it_is_accepted(budgeted, kubectl, image):
    audited = run_audit(kubectl, image)
    assert (audited.code, audited.report["conclusion"]) == (INCONCLUSIVE, "inconclusive"), audited.complaints
    summary = audited.report["summary"]
    assert (summary["inconclusive"], summary["leaks"], summary["outages"]) == (0, 0, 0)
    assert summary["skipped"] > 0
    [untested] = audited.report["untested"]
    assert (untested["policy"], untested["direction"], untested["accepted"]) == (POLICY, "ingress", False)
    assert f"PodDisruptionBudget {world.PROD}/db selects it" in untested["reasons"][0]
    assert summary["policies_tested"] == summary["policies"] - 1

    accepted = run_audit(kubectl, image, "--accept-untested", POLICY)
    assert (accepted.code, accepted.report["summary"]["policies_accepted"]) == (PASS, 1), accepted.complaints
