"""Policies of administrators that conformance makes: held to its own pods, owned by its own namespace, in the kinds
that are there, and taken back.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from auditor.cluster.kubernetes.admin_policies import PREFIX, RESOURCES, ServedKind, read_live_admin_policy
from auditor.cluster.kubernetes.admin_policy_manifests import admin_policy_manifest
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.objects import NAME, RUN_LABEL
from auditor.cluster.kubernetes.session.cleanup import Deletion, delete_leftovers
from auditor.cluster.kubernetes.session.leftovers import find_leftovers
from auditor.cluster.kubernetes.session.scratch_admin_policies import ScratchAdminPolicies
from auditor.model.admin_policy import Action, AdminTier
from auditor.model.errors import ClusterError, UsageError
from auditor.model.policy import Direction
from auditor.policy.evaluator import evaluate
from auditor.policy.traits import admin_selects
from auditor.probing.options import NoProgress
from auditor.run.conformance.admin_kinds import at_free_priorities, in_served_kinds
from auditor.run.conformance.admin_section import NOT_SERVED, one_default_each, plan_admin_section
from auditor.run.conformance.confining import prepare_confined, reaches_beyond
from auditor.run.conformance.on_cluster import ClusterConformanceOptions, conform_on_cluster
from auditor.run.conformance.scenario_run import merged
from tests.lab import scenarios
from tests.unit.conformance.shipped import confined_scenarios
from tests.unit.kubernetes.living import RUN
from tests.unit.kubernetes.store import Store

HOME = f"netpol-conf-{RUN}"
NAMES = ("first-match", "networks-and-nodes", "older-kinds", "tiers-in-order")
CONFINED = ("first-match", "older-kinds", "tiers-in-order")
CLUSTER, ADMIN, BASELINE = (
    ServedKind("ClusterNetworkPolicy", "v1beta1"),
    ServedKind("AdminNetworkPolicy", "v1alpha1"),
    ServedKind("BaselineAdminNetworkPolicy", "v1alpha1"),
)
SERVED = {each.kind: each for each in (CLUSTER, ADMIN, BASELINE)}
VERSIONS = {"v1beta1": ["clusternetworkpolicies"], "v1alpha1": ["adminnetworkpolicies", "baselineadminnetworkpolicies"]}


def read(*names):
    return [scenarios.read(f"rule-16-{name}") for name in names or NAMES]


def policies_of(*names):
    return [policy for scenario in read(*names) for policy in scenario.snapshot.admin_policies]


@pytest.fixture
def store():
    """A cluster that serves all three kinds, with the first namespace of a run."""
    made = Store(("/api/v1/namespaces", {"metadata": {"name": HOME, "labels": {RUN_LABEL: RUN}}}))
    made.serves = VERSIONS
    return made


@pytest.mark.parametrize("served", [(CLUSTER,), (ADMIN, BASELINE), (CLUSTER, ADMIN, BASELINE)], ids=len)
def test_a_policy_written_is_the_policy_that_was_read_in_every_kind_that_can_say_it(served):
    kinds = {each.kind: each for each in served}
    chosen = [(each, in_served_kinds(each.snapshot.admin_policies, kinds)) for each in read(*CONFINED)]
    here = [
        replace(each, snapshot=replace(each.snapshot, admin_policies=policies)) for each, policies in chosen if policies
    ]
    assert len(here) == len(CONFINED)
    for prepared in prepare_confined(here, "{number}-", RUN, 0):
        for policy in prepared.snapshot.admin_policies:
            item = admin_policy_manifest(policy, kinds[policy.kind], {"a": "b"})
            assert read_live_admin_policy(item, kinds[policy.kind]) == policy


def test_what_a_kind_cannot_say_is_not_said():
    (guard, later, default) = policies_of("tiers-in-order")
    assert in_served_kinds([guard, later, default], ["AdminNetworkPolicy"]) is None
    old = in_served_kinds([guard, later, default], SERVED.keys() - {"ClusterNetworkPolicy"})
    assert [policy.kind for policy in old] == ["AdminNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy"]
    passing = replace(default, ingress=tuple(replace(rule, action=Action.PASS) for rule in default.ingress))
    assert in_served_kinds([passing], SERVED.keys() - {"ClusterNetworkPolicy"}) is None
    assert in_served_kinds([default, default], SERVED.keys() - {"ClusterNetworkPolicy"}) is None


def test_priorities_keep_their_order_and_are_nobody_elses():
    guard, later, default = policies_of("tiers-in-order")
    taken = {(AdminTier.ADMIN, number) for number in range(5, 20)} | {(AdminTier.BASELINE, 3)}
    placed = at_free_priorities([guard, later, default], taken)
    assert [policy.priority for policy in placed] == [20, 21, 500]
    assert at_free_priorities([guard], {(AdminTier.ADMIN, number) for number in range(1001)}) is None


@pytest.mark.parametrize("prepared", confined_scenarios(), ids=lambda each: each.scenario.name)
def test_confined_it_means_the_same_and_is_for_its_own_pods_alone(prepared):
    matrix = evaluate(prepared.snapshot)
    assert {cell: matrix.verdict(*cell) for cell in prepared.truth} == dict(prepared.truth)
    others = scenarios.read(prepared.scenario.name).snapshot
    for policy in prepared.snapshot.admin_policies:
        assert not any(admin_selects(policy, others.namespaces, endpoint) for endpoint in others.endpoints)
        peers = [peer for way in Direction for rule in policy.rules(way) for peer in rule.peers]
        chosen = [each for each in (policy, *peers) if each.namespace_selector is not None]
        assert len(chosen) == 1 + len(peers) or reaches_beyond([policy])
        asked = [(each.namespace_selector, each.pod_selector) for each in chosen]
        for namespaces, pods in asked:
            assert (RUN_LABEL, RUN) in namespaces.match_labels
            assert pods.is_empty or (RUN_LABEL, RUN) in pods.match_labels


def test_side_by_side_each_still_means_the_same():
    every = confined_scenarios()
    matrix = evaluate(merged([prepared.snapshot for prepared in every]))
    for prepared in every:
        assert {cell: matrix.verdict(*cell) for cell in prepared.truth} == dict(prepared.truth)


def test_two_policies_that_must_have_one_name_are_never_there_together():
    elders = prepare_confined(read("older-kinds", "first-match", "older-kinds"), "{number}-", RUN, 0)
    assert [[each.names.prefix for each in group] for group in one_default_each(elders)] == [["0-", "1-"], ["2-"]]


def made(store):
    return sorted(path.rpartition("/")[2] for path in store.objects if path.startswith(PREFIX))


async def put(store):
    prepared = prepare_confined(read("older-kinds", "tiers-in-order"), f"{HOME}-{{number}}-", RUN, 7)
    administrators = ScratchAdminPolicies(store, RUN, SERVED)
    await administrators.put([policy for each in prepared for policy in each.snapshot.admin_policies])
    return administrators


OURS = [
    "default",
    f"{NAME}-{RUN}-7-no-bots",
    *(f"{NAME}-{RUN}-8-{name}" for name in ("default-deny", "guard", "later")),
]


async def test_each_has_the_runs_label_a_name_of_its_own_and_the_runs_namespace_as_its_owner(store):
    await put(store)
    assert made(store) == OURS
    uid = store.objects[f"/api/v1/namespaces/{HOME}"]["metadata"]["uid"]
    for path, item in store.objects.items():
        if path.startswith(PREFIX):
            assert item["metadata"]["labels"][RUN_LABEL] == RUN
            (owner,) = item["metadata"]["ownerReferences"]
            assert (owner["kind"], owner["name"], owner["uid"]) == ("Namespace", HOME, uid)
    store.remove(f"/api/v1/namespaces/{HOME}")
    assert made(store) == []


async def test_only_the_runs_own_are_taken_back(store):
    administrators = await put(store)
    spec = {"metadata": {"name": "copied-labels", "labels": {RUN_LABEL: RUN}}, "spec": {}}
    store.put(CLUSTER.question.path, spec)
    assert await administrators.take_back() == []
    assert made(store) == ["copied-labels"]


async def test_what_can_not_be_taken_back_is_named(store, monkeypatch):
    monkeypatch.setattr("auditor.cluster.kubernetes.session.scratch_admin_policies.PAUSE", 0.01)
    administrators = await put(store)
    store.objects[f"{CLUSTER.question.path}/{OURS[2]}"]["metadata"]["finalizers"] = ["example.com/keep"]
    assert await administrators.take_back(0.02) == [f"ClusterNetworkPolicy {OURS[2]}"]


async def test_without_the_first_namespace_nothing_is_put(store):
    store.remove(f"/api/v1/namespaces/{HOME}")
    with pytest.raises(ClusterError, match=f"namespace {HOME} of this run is gone"):
        await put(store)


async def test_where_no_kind_is_served_it_is_skipped_loudly(store):
    store.serves = {}
    section = await plan_admin_section(store, read())
    assert (section.scenarios, section.served) == ((), {})
    (fact,) = section.facts
    assert fact.startswith("SKIPPED 4 scenarios (rule-16-first-match, ")
    assert fact.endswith(NOT_SERVED)


async def test_scenarios_that_reach_beyond_pods_are_skipped_and_counted(store):
    section = await plan_admin_section(store, read())
    assert [each.name for each in section.scenarios] == [f"rule-16-{name}" for name in CONFINED]
    skipped, told = section.facts
    assert skipped.startswith("SKIPPED 1 scenario (rule-16-networks-and-nodes): networks and nodes can't be held")
    assert told.endswith(
        "as AdminNetworkPolicy v1alpha1, BaselineAdminNetworkPolicy v1alpha1, ClusterNetworkPolicy v1beta1"
    )
    places = [(each.tier, each.priority) for one in section.scenarios for each in one.snapshot.admin_policies]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("verb", ["create", "delete", "list"])
@pytest.mark.parametrize("resource", RESOURCES)
async def test_a_right_that_is_missing_is_named_before_anything_is_created(store, verb, resource):
    store.denied = {(verb, resource, "")}
    with pytest.raises(ClusterError, match=rf"resources: \[{resource}\], verbs: \[{verb}\].*audit rbac --conformance"):
        await plan_admin_section(store, read())
    assert made(store) == []


async def test_somebodys_baseline_policy_is_not_replaced(store):
    store.put(BASELINE.question.path, {"metadata": {"name": "default"}, "spec": {}})
    section = await plan_admin_section(store, read("older-kinds"))
    kinds = [policy.kind for scenario in section.scenarios for policy in scenario.snapshot.admin_policies]
    assert kinds == ["AdminNetworkPolicy", "ClusterNetworkPolicy"]
    store.serves = {"v1alpha1": VERSIONS["v1alpha1"]}
    section = await plan_admin_section(store, read("older-kinds", "first-match"))
    assert [each.name for each in section.scenarios] == ["rule-16-first-match"]
    assert section.facts[0].startswith("SKIPPED 1 scenario (rule-16-older-kinds): they need kinds of policies")


async def test_without_the_switch_it_is_skipped_with_the_switchs_name():
    options = ClusterConformanceOptions(ConnectionOptions(), "image")
    with pytest.raises(UsageError, match=r"SKIPPED 1 scenario \(rule-16-first-match\).*--admin-policies runs them"):
        await conform_on_cluster(read("first-match"), options, NoProgress())


async def test_cleanup_finds_them_by_their_label_and_leaves_what_only_looks_like_ours(store):
    await put(store)
    stranger = {"metadata": {"name": f"{NAME}-{RUN}-x", "labels": {RUN_LABEL: RUN}}, "spec": {}}
    store.put(CLUSTER.question.path, stranger)
    found = await find_leftovers(store)
    (line,) = found.strangers
    assert line.startswith(
        f"ClusterNetworkPolicy {NAME}-{RUN}-x has the label and the name of an audit, but no namespace"
    )
    assert len([item for item in found.chosen(None, 0) if item.place == HOME]) == 1 + len(OURS)
    assert await delete_leftovers(store, found.chosen(None, 0)) == Deletion()
    assert made(store) == [f"{NAME}-{RUN}-x"]


async def test_cleanup_finds_them_where_their_namespace_is_gone(store):
    await put(store)
    del store.objects[f"/api/v1/namespaces/{HOME}"]
    found = await find_leftovers(store)
    assert sorted(item.name for item in found.chosen(None, 0)) == OURS
    assert await delete_leftovers(store, found.chosen(None, 0)) == Deletion()
    assert made(store) == []


async def test_cleanup_leaves_those_of_a_run_that_goes_on(store):
    await put(store)
    lease = {"metadata": {"name": NAME, "namespace": HOME, "labels": {RUN_LABEL: RUN}}}
    times = {"renewTime": "2026-01-01T12:00:00.000000Z", "leaseDurationSeconds": 30, "holderIdentity": f"x, run {RUN}"}
    store.put(f"/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases", {**lease, "spec": times})
    found = await find_leftovers(store)
    assert found.chosen(None, 0) == ()
    assert found.strangers == ()


async def test_cleanup_without_the_right_to_list_them_goes_on(store):
    await put(store)
    store.denied = {("list", resource, "") for resource in RESOURCES}
    found = await find_leftovers(store)
    assert {item.kind for item in found.objects} == {"Namespace"}
