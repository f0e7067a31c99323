"""Plan and preflight of an audit of a live cluster, until they agree."""

from __future__ import annotations

from dataclasses import replace

from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.reading import LiveSnapshot
from auditor.probe_pods.choice import Mode
from auditor.report.preflight_as_table import describe
from auditor.run import live_settling
from auditor.run.live import Outlook
from auditor.run.live_plan import LiveOptions, plan_live
from auditor.run.live_settling import settle
from tests.oracle.clusters import cluster, pod, policy
from tests.unit.kubernetes.store import Store
from tests.unit.kubernetes.test_preflight import held, quota

WORKLOADS = cluster(
    pod("aaa/other-1", {"app": "other"}, "10.0.1.1", node="n1"),
    pod("prod/web-1", {"app": "web"}, "10.0.0.1", node="n1"),
    pod("prod/db-1", {"app": "db"}, "10.0.0.2", node="n2"),
    pod("zzz/other-1", {"app": "other"}, "10.0.2.1", node="n2"),
    policies=[policy("prod/db", {"app": "db"}, ingress=[])],
)
FULL = quota({"pods": "0"})


def world(*objects):
    return Store(*(("/api/v1/namespaces", {"metadata": {"name": name}}) for name in WORKLOADS.namespaces), *objects)


def full(namespace):
    metadata = {**FULL["metadata"], "namespace": namespace}
    return f"/api/v1/namespaces/{namespace}/resourcequotas", {**FULL, "metadata": metadata}


async def settled(store, *namespaces, snapshot=WORKLOADS, **said):
    options = LiveOptions(ConnectionOptions(), namespaces, **said)
    live = LiveSnapshot(snapshot, ready_nodes=frozenset({"n1", "n2"}))
    return await settle(store, live, plan_live(live, options), options)


def places(plan, found):
    return {probe.namespace for probe in plan.probes if probe.name not in found.refused}


APART = replace(WORKLOADS, policies=(*WORKLOADS.policies, policy("prod/web", {"app": "web"}, egress=[])))


async def test_a_pod_of_another_namespace_stands_for_those_of_one_that_takes_no_probe_pods():
    usual, found = await settled(world(), "prod", snapshot=APART)
    assert places(usual, found) == {"aaa", "prod"}
    plan, found = await settled(world(full("aaa")), "prod", snapshot=APART)
    assert places(plan, found) == {"prod", "zzz"}
    assert (found.refused, found.left_out) == ({}, ())
    assert {name for probe in plan.probes for name in probe.stands_for} == {
        endpoint.name for endpoint in WORKLOADS.endpoints
    }


async def test_where_all_are_audited_what_was_left_out_is_told_though_nothing_is_to_be_put_there_any_more():
    plan, found = await settled(world(held("aaa")), snapshot=APART)
    assert "aaa" not in places(plan, found)
    assert found.left_out[0].startswith("left out: namespace aaa: somebody has been auditing here")
    assert found.refused == {}
    assert found.obstacles == ()


async def test_where_no_other_namespace_has_such_pods_they_are_refused():
    plan, found = await settled(world(full("aaa"), full("zzz")), "prod", snapshot=APART)
    assert places(plan, found) == {"prod"}
    assert [reason for reason in found.refused.values() if "quota small leaves 0 of pods" in reason]
    assert found.obstacles == ()


async def test_every_pod_means_every_pod_that_can_be_stood_for():
    plan, found = await settled(world(full("aaa")), snapshot=APART, mode=Mode.ALL_PODS)
    assert [probe.namespace for probe in plan.probes] == ["prod", "prod", "zzz"]
    assert found.refused == {}


async def test_nothing_is_planned_twice_where_nothing_is_closed(monkeypatch):
    monkeypatch.setattr(live_settling, "plan_live", None)
    _, found = await settled(world(), "prod")
    assert found.closed == {}


async def test_in_place_a_namespace_whose_pods_may_not_be_joined_costs_itself():
    store = world(held("zzz"))
    store.denied = {("patch", "pods/ephemeralcontainers", "aaa")}
    plan, found = await settled(store, snapshot=APART, in_place=True)
    assert {namespace for namespace, _ in plan.members.values()} == {"prod"}
    assert (found.refused, found.obstacles) == ({}, ())
    assert sorted(line.split(":")[1] for line in found.left_out) == [" namespace aaa", " namespace zzz"]
    (reason,) = plan.absent.values()
    assert reason.startswith("namespace aaa: may not join pods; missing permission: {")


async def test_in_place_where_no_pod_may_be_joined_that_is_an_obstacle():
    store = world()
    store.denied = {("patch", "pods/ephemeralcontainers", "prod")}
    plan, found = await settled(store, "prod", snapshot=APART, in_place=True)
    (obstacle,) = found.obstacles
    assert obstacle.startswith("no pod can be joined: namespace prod: may not join pods; missing permission: {")
    assert list(describe(Outlook(plan, found, in_place=True)))[-1].endswith("can be joined: a run can't start")


async def test_a_preflight_in_place_says_which_pods_get_what_and_that_it_stays():
    plan, found = await settled(world(), "prod", snapshot=APART, in_place=True)
    assert list(describe(Outlook(plan, found, in_place=True))) == [
        "ok        pod prod/db-1 would list an ephemeral container until recreated",
        "ok        pod prod/web-1 would list an ephemeral container until recreated",
        (
            "left out  aaa/other-1: none of its pods is in an audited namespace, so nothing is put into them: "
            "-n aaa or -n zzz audits it, too"
        ),
        "2 of 2 pods in 1 namespace can be joined: a run can start",
    ]
    assert found.can_start([probe for probe in plan.probes if probe.name in plan.members])


async def test_in_place_where_there_is_no_pod_to_join_the_reason_is_told():
    asleep = replace(APART, endpoints=tuple(replace(endpoint, addresses=()) for endpoint in APART.endpoints))
    _, found = await settled(world(), "prod", snapshot=asleep, in_place=True)
    assert found.obstacles == ("no pod can be joined: none of its pods runs",)
