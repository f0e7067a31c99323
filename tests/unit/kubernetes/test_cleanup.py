from __future__ import annotations

import pytest

from auditor.cluster.kubernetes.cleanup import delete_leftovers, find_leftovers
from auditor.cluster.kubernetes.objects import (
    NAME,
    RUN_LABEL,
    Anchor,
    PodOptions,
    config_map_manifest,
    lease_manifest,
    pod_manifest,
)
from auditor.model.errors import ClusterError, UsageError
from auditor.model.probe_pod import ProbePod
from tests.unit.kubernetes.store import Store

LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"
CONFIG_MAPS, PODS = "/api/v1/namespaces/{}/configmaps", "/api/v1/namespaces/{}/pods"
DEAD, ALIVE = "11111111", "22222222"


def run(store, namespace, run_id):
    uid = store.put(LEASES.format(namespace), lease_manifest(namespace, NAME, run_id, f"somebody, run {run_id}", "2026-01-01T12:00:00Z"))[
        "metadata"
    ]["uid"]
    store.put(CONFIG_MAPS.format(namespace), config_map_manifest(namespace, run_id, Anchor(NAME, uid), "source"))
    store.put(PODS.format(namespace), pod_manifest(ProbePod("x", namespace, {}, (), "", ()), 0, run_id, Anchor(NAME, uid), PodOptions()))


@pytest.fixture
def store():
    """A run that died an hour ago in prod, one that goes on in dev, and objects that only look like ours."""
    made = Store(*(("/api/v1/namespaces", {"metadata": {"name": name}}) for name in ("dev", "prod")))
    run(made, "prod", DEAD)
    made.put(PODS.format("prod"), {"metadata": {"name": "web", "namespace": "prod", "labels": {RUN_LABEL: DEAD}}})
    made.put(PODS.format("prod"), {"metadata": {"name": f"{NAME}-{DEAD}-7", "namespace": "prod", "labels": {RUN_LABEL: ALIVE}}})
    made.put(LEASES.format("prod"), {"metadata": {"name": "other", "namespace": "prod", "labels": {RUN_LABEL: DEAD}}})
    made.put(PODS.format("prod"), {"metadata": {"name": f"{NAME}-{DEAD}-8", "namespace": "prod"}})
    made.pass_time(hours=1)
    run(made, "dev", ALIVE)
    return made


def told(objects):
    return [str(item) for item in objects]


LEFT = [f"Lease prod/{NAME}", f"ConfigMap prod/{NAME}-{DEAD}", f"Pod prod/{NAME}-{DEAD}-0-x"]
GOING_ON = [f"Lease dev/{NAME}", f"ConfigMap dev/{NAME}-{ALIVE}", f"Pod dev/{NAME}-{ALIVE}-0-x"]


async def test_what_is_ours_is_found_and_what_only_looks_like_it_is_not(store):
    found = await find_leftovers(store)
    assert sorted(told(found.objects)) == sorted(LEFT + GOING_ON)
    assert found.alive == {ALIVE}
    assert found.holders[DEAD] == f"somebody, run {DEAD}"


async def test_pods_that_go_by_the_names_of_earlier_versions_are_found(store):
    path = f"{PODS.format('prod')}/{NAME}-{DEAD}-0-x"
    old = store.objects.pop(path)
    old["metadata"]["name"] = f"{NAME}-{DEAD}-0"
    store.objects[path.removesuffix("-x")] = old
    assert f"Pod prod/{NAME}-{DEAD}-0" in told((await find_leftovers(store)).chosen(None, 0))


async def test_only_dead_runs_are_chosen_unless_one_is_named(store):
    found = await find_leftovers(store)
    assert told(found.chosen(None, 0)) == LEFT
    assert told(found.chosen(ALIVE, 0)) == GOING_ON
    assert told(found.chosen(None, 3600)) == LEFT
    assert not found.chosen(None, 3601)
    assert not found.chosen("33333333", 0)


async def test_what_is_chosen_is_deleted_and_nothing_else(store):
    rest = set(store.objects) - {
        f"{LEASES.format('prod')}/{NAME}",
        f"{CONFIG_MAPS.format('prod')}/{NAME}-{DEAD}",
        f"{PODS.format('prod')}/{NAME}-{DEAD}-0-x",
    }
    found = await find_leftovers(store)
    assert await delete_leftovers(store, found.chosen(None, 0)) == ()
    assert set(store.objects) == rest


async def test_what_took_its_place_is_not_deleted(store):
    found = await find_leftovers(store)
    place = f"{PODS.format('prod')}/{NAME}-{DEAD}-0-x"
    store.objects[place]["metadata"].update(uid="another", ownerReferences=[])
    assert await delete_leftovers(store, found.chosen(None, 0)) == ()
    assert store.objects[place]["metadata"]["uid"] == "another"


async def test_what_can_not_be_deleted_and_what_stays_is_told(store):
    found = await find_leftovers(store)
    store.denied = {("delete", "leases", "prod")}
    (line,) = await delete_leftovers(store, found.chosen(None, 0))
    assert line.startswith(f"Lease prod/{NAME} could not be deleted: ")
    stubborn = {"metadata": {**store.objects[f"{PODS.format('dev')}/{NAME}-{ALIVE}-0-x"]["metadata"], "ownerReferences": []}}

    def come_back(method, _path):
        if method == "GET":
            store.objects[f"{PODS.format('dev')}/{NAME}-{ALIVE}-0-x"] = stubborn

    store.before = come_back
    (line,) = await delete_leftovers(store, found.chosen(ALIVE, 0), patience=0)
    assert line == f"Pod dev/{NAME}-{ALIVE}-0-x was deleted and is still there after 0 s"


async def test_only_some_namespaces_and_only_where_we_may_look(store):
    assert told((await find_leftovers(store, ["dev"])).objects) == GOING_ON
    store.denied = {("list", kind, "") for kind in ("leases", "configmaps", "pods")} | {("list", "pods", "dev")}
    found = await find_leftovers(store)
    assert sorted(told(found.objects)) == sorted(LEFT + GOING_ON[:2])
    assert found.unseen == ("namespace dev: may not list pods there",)
    store.denied.add(("list", "namespaces", ""))
    with pytest.raises(ClusterError, match="say where to look with -n"):
        await find_leftovers(store)


async def test_a_namespace_that_is_not_there_has_not_been_cleaned(store):
    with pytest.raises(UsageError, match=r"https://server \(context test\): there is no namespace 'prd' \(-n prd\)"):
        await find_leftovers(store, ["dev", "prd"])
    store.denied = {("get", "namespaces", name) for name in ("dev", "prd")}
    assert told((await find_leftovers(store, ["dev", "prd"])).objects) == GOING_ON


async def test_namespaces_of_a_conformance_run_go_with_it(store):
    labels = {RUN_LABEL: DEAD}
    for name, own in ((f"netpol-conf-{DEAD}", labels), (f"netpol-conf-{DEAD}-3-x", labels), ("prod-labelled", labels), ("netpol-conf", {})):
        store.put("/api/v1/namespaces", {"metadata": {"name": name, "labels": own}})
    found = await find_leftovers(store)
    ours = [item for item in found.chosen(DEAD, 0) if item.kind == "Namespace"]
    assert sorted(told(ours)) == [f"Namespace netpol-conf-{DEAD}", f"Namespace netpol-conf-{DEAD}-3-x"]
    assert {item.place for item in ours} == {f"netpol-conf-{DEAD}", f"netpol-conf-{DEAD}-3-x"}
    assert await delete_leftovers(store, found.chosen(DEAD, 0)) == ()
    left = [path.removeprefix("/api/v1/namespaces/") for path in store.objects if path.startswith("/api/v1/namespaces/")]
    assert sorted(name for name in left if "/" not in name) == ["dev", "netpol-conf", "prod", "prod-labelled"]


async def test_a_run_that_begins_while_we_look_is_seen_to_be_going_on(store):
    started = "33333333"

    def begin(method, path):
        if path == "/api/v1/pods" and not any(started in each for each in store.objects):
            run(store, "dev", started)

    store.before = begin
    del store.objects[f"{LEASES.format('dev')}/{NAME}"]
    found = await find_leftovers(store)
    assert started in {item.run_id for item in found.objects}
    assert started in found.alive
    assert started not in {item.run_id for item in found.chosen(None, 0)}


async def test_a_run_whose_lease_we_may_not_see_is_left_alone_unless_it_is_named(store):
    store.denied = {("list", "leases", ""), ("list", "leases", "dev"), ("list", "leases", "prod")}
    found = await find_leftovers(store)
    assert told(found.objects) == [*LEFT[1:2], *GOING_ON[1:2], *LEFT[2:], *GOING_ON[2:]]
    assert found.chosen(None, 0) == ()
    assert told(found.chosen(ALIVE, 0)) == GOING_ON[1:]
    assert found.holders[ALIVE] == f"run {ALIVE}, whose Lease may not be listed"
    assert "namespace dev: may not list leases.coordination.k8s.io there" in found.unseen


async def test_a_run_that_comes_to_life_again_meanwhile_is_left_alone(store):
    found = await find_leftovers(store)
    store._touch(store.objects[f"{LEASES.format('prod')}/{NAME}"]["metadata"])
    (line,) = await delete_leftovers(store, found.chosen(None, 0))
    assert line == f"Lease prod/{NAME} was renewed or replaced meanwhile: run {DEAD} is left alone"
    assert {f"{LEASES.format('prod')}/{NAME}", f"{PODS.format('prod')}/{NAME}-{DEAD}-0-x"} <= set(store.objects)
    store._touch(store.objects[f"{LEASES.format('prod')}/{NAME}"]["metadata"])
    assert await delete_leftovers(store, found.chosen(DEAD, 0)) == ()
    assert f"{LEASES.format('prod')}/{NAME}" not in store.objects
