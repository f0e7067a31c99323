"""A run that touches none of a policy's pods says nothing of that policy, and so does its exit code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from auditor.cli.exit_codes import of_report
from auditor.model.admin_policy import Action, AdminPeer, AdminPolicy, AdminRule, AdminTier, full_name_of
from auditor.model.errors import UsageError
from auditor.model.labels import LabelSelector
from auditor.policy.evaluator import evaluate
from auditor.report.headline import headline
from tests.unit.run.test_following import OPTIONS, MovingCluster, audited, isolating

PDB = "a PodDisruptionBudget is in the way"


def lacking(**said):
    """Three pods with a policy for the last, which has no probe pod, for a reason that is ``absent`` or ``failed``."""
    cluster = MovingCluster(policies=[isolating(2)])
    cluster.sites = cluster.sites[:2]
    cluster.absent = {"a/2": said["absent"]} if "absent" in said else {}
    cluster.failed = {"a/2": said["failed"]} if "failed" in said else {}
    return cluster


async def test_a_policy_whose_only_pod_was_left_out_is_no_pass():
    report, _ = await audited(lacking(absent=PDB))
    assert of_report(report) == 3
    why = f"a/isolate-2 (ingress): none of its pods was probed: a/2: {PDB}"
    told = (
        f"nothing shows whether 1 of 1 policy is enforced: {why}; 5 skipped; 4 of 9 connections tested: 4 "
        "allowed, 0 denied"
    )
    assert headline(report) == told


async def test_one_whose_probe_pod_failed_is_named_too():
    report, _ = await audited(lacking(failed="ErrImagePull"))
    assert of_report(report) == 3
    assert headline(report).startswith(
        "nothing shows whether 1 of 1 policy is enforced: a/isolate-2 (ingress): none of its"
    )


async def test_one_that_is_accepted_by_name_is_a_pass_that_says_so():
    report, _ = await audited(lacking(absent=PDB), replace(OPTIONS, accept_untested=frozenset({"a/isolate-2"})))
    assert of_report(report) == 0
    said = "4 of 9 connections tested: 4 allowed, 0 denied, all as expected; 5 were not tested"
    assert headline(report) == f"{said}; 1 policy accepted as untested: a/isolate-2"


async def test_a_policy_that_is_not_there_can_not_be_accepted():
    with pytest.raises(UsageError, match="--accept-untested a/isolate: no policy has this name; write NAMESPACE/NAME"):
        await audited(lacking(absent=PDB), replace(OPTIONS, accept_untested=frozenset({"a/isolate"})))


def guarded(cluster, destination, **said):
    """``cluster`` with an administrators' policy by which ``destination`` lets nobody in."""
    every = LabelSelector()
    deny = AdminRule(Action.DENY, (AdminPeer(every, every, **said),))
    admin = AdminPolicy("ClusterNetworkPolicy", "guard", AdminTier.ADMIN, 0, every, destination, (deny,))
    cluster.snapshot = replace(cluster.snapshot, policies=(), admin_policies=(admin,))
    cluster._enforced = evaluate(cluster.snapshot)
    return cluster


LAST = LabelSelector((("n", "2"),))


async def test_a_policy_of_administrators_needs_a_verdict_too_or_its_name():
    report, _ = await audited(guarded(lacking(absent=PDB), LAST))
    assert of_report(report) == 3
    assert headline(report).startswith(
        "nothing shows whether 1 of 1 policy is enforced: ClusterNetworkPolicy guard (ingress): none of its pods was "
        f"probed: a/2: {PDB}; 5 skipped"
    )
    accepting = replace(OPTIONS, accept_untested=frozenset({full_name_of("ClusterNetworkPolicy/guard")}))
    accepted, _ = await audited(guarded(lacking(absent=PDB), LAST), accepting)
    assert of_report(accepted) == 0
    assert headline(accepted).endswith("1 policy accepted as untested: ClusterNetworkPolicy guard")
    whole, _ = await audited(guarded(MovingCluster(), LAST))
    assert (of_report(whole), whole.policies.tested, whole.policies.deciding_nothing) == (0, 1, ())


async def test_one_that_decides_nothing_here_is_named_in_a_pass():
    cluster = guarded(MovingCluster(), LabelSelector())
    [admin] = cluster.snapshot.admin_policies
    accepts = replace(admin, ingress=(), egress=(replace(admin.ingress[0], peers=(AdminPeer(nodes=LAST),)),))
    cluster.snapshot = replace(cluster.snapshot, admin_policies=(accepts,))
    cluster._enforced = evaluate(cluster.snapshot)
    report, _ = await audited(cluster, replace(OPTIONS, accept_untested=frozenset({admin.full_name})))
    assert of_report(report) == 0
    assert headline(report).endswith(
        "all as expected; 1 policy decides none of them: ClusterNetworkPolicy guard (egress)"
    )
    [fact] = (fact for fact in report.facts if "accepted" in fact)
    assert fact.endswith("guard is accepted as untested (--accept-untested) and need not be: it decides nothing here")


async def test_what_needs_no_acceptance_is_told():
    cluster = MovingCluster(policies=[isolating(2)])
    report, _ = await audited(cluster, replace(OPTIONS, accept_untested=frozenset({"a/isolate-2"})))
    assert of_report(report) == 0
    assert "policy a/isolate-2 is accepted as untested (--accept-untested) and is tested anyway" in report.facts


async def test_a_policy_that_comes_during_the_run_is_in_scope():
    cluster = lacking(absent=PDB)
    cluster._script = iter([[[isolating(1), isolating(2)]]])
    report, _ = await audited(cluster)
    assert (report.policies.in_scope, report.policies.tested) == (2, 1)
