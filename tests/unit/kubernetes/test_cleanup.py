from __future__ import annotations

import pytest

from auditor.cluster.kubernetes.objects import (
    LONGEST_LEASE_SECONDS,
    NAME,
    RUN_LABEL,
    Anchor,
    PodOptions,
    anchor_manifest,
    config_map_manifest,
    lease_manifest,
    pod_manifest,
)
from auditor.cluster.kubernetes.session.cleanup import Deletion, delete_leftovers
from auditor.cluster.kubernetes.session.leftovers import find_leftovers
from auditor.cluster.kubernetes.session.scratch_namespaces import namespace_prefix
from auditor.model.errors import ClusterError, UsageError
from auditor.model.probe_pod import ProbePod
from tests.unit.kubernetes.store import Store

LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"
CONFIG_MAPS, PODS = "/api/v1/namespaces/{}/configmaps", "/api/v1/namespaces/{}/pods"
DEAD, ALIVE = "11111111", "22222222"


def run(store, namespace, run_id, name=NAME):
    lease = lease_manifest(namespace, name, run_id, f"somebody, run {run_id}", "2026-01-01T12:00:00Z")
    anchor = Anchor(name, store.put(LEASES.format(namespace), lease)["metadata"]["uid"])
    store.put(CONFIG_MAPS.format(namespace), config_map_manifest(namespace, run_id, anchor, "source"))
    store.put(
        PODS.format(namespace), pod_manifest(ProbePod("x", namespace, {}, (), "", ()), 0, run_id, anchor, PodOptions())
    )


@pytest.fixture
def store():
    """A run that died an hour ago in prod, one that goes on in dev, and objects that only look like ours."""
    made = Store(*(("/api/v1/namespaces", {"metadata": {"name": name}}) for name in ("dev", "prod")))
    run(made, "prod", DEAD)
    made.put(PODS.format("prod"), {"metadata": {"name": "web", "namespace": "prod", "labels": {RUN_LABEL: DEAD}}})
    made.put(
        PODS.format("prod"),
        {"metadata": {"name": f"{NAME}-{DEAD}-7", "namespace": "prod", "labels": {RUN_LABEL: ALIVE}}},
    )
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
    assert found.alive == {("dev", ALIVE)}
    assert found.holders["prod", DEAD] == f"somebody, run {DEAD}"


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
    assert await delete_leftovers(store, found.chosen(None, 0)) == Deletion()
    assert set(store.objects) == rest


async def test_what_took_its_place_is_not_deleted(store):
    found = await find_leftovers(store)
    place = f"{PODS.format('prod')}/{NAME}-{DEAD}-0-x"
    store.objects[place]["metadata"].update(uid="another", ownerReferences=[])
    assert await delete_leftovers(store, found.chosen(None, 0)) == Deletion()
    assert store.objects[place]["metadata"]["uid"] == "another"


async def test_what_can_not_be_deleted_and_what_stays_is_told(store):
    found = await find_leftovers(store)
    store.denied = {("delete", "leases", "prod")}
    (line,) = (await delete_leftovers(store, found.chosen(None, 0))).failures
    assert line.startswith(f"Lease prod/{NAME} could not be deleted: ")
    stubborn = {
        "metadata": {**store.objects[f"{PODS.format('dev')}/{NAME}-{ALIVE}-0-x"]["metadata"], "ownerReferences": []}
    }

    def come_back(method, _path):
        if method == "GET":
            store.objects[f"{PODS.format('dev')}/{NAME}-{ALIVE}-0-x"] = stubborn

    store.before = come_back
    (line,) = (await delete_leftovers(store, found.chosen(ALIVE, 0), patience=0)).failures
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
    for name, own in (
        (f"netpol-conf-{DEAD}", labels),
        (f"netpol-conf-{DEAD}-3-x", labels),
        ("prod-labelled", labels),
        ("netpol-conf", {}),
    ):
        store.put("/api/v1/namespaces", {"metadata": {"name": name, "labels": own}})
    found = await find_leftovers(store)
    ours = [item for item in found.chosen(DEAD, 0) if item.kind == "Namespace"]
    assert sorted(told(ours)) == [f"Namespace netpol-conf-{DEAD}", f"Namespace netpol-conf-{DEAD}-3-x"]
    assert {item.place for item in ours} == {f"netpol-conf-{DEAD}", f"netpol-conf-{DEAD}-3-x"}
    assert await delete_leftovers(store, found.chosen(DEAD, 0)) == Deletion()
    left = [
        path.removeprefix("/api/v1/namespaces/") for path in store.objects if path.startswith("/api/v1/namespaces/")
    ]
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
    assert ("dev", started) in found.alive
    assert started not in {item.run_id for item in found.chosen(None, 0)}


async def test_a_run_whose_lease_we_may_not_see_is_left_alone_unless_it_is_named(store):
    store.denied = {("list", "leases", ""), ("list", "leases", "dev"), ("list", "leases", "prod")}
    found = await find_leftovers(store)
    assert told(found.objects) == [*LEFT[1:2], *GOING_ON[1:2], *LEFT[2:], *GOING_ON[2:]]
    assert found.chosen(None, 0) == ()
    assert told(found.chosen(ALIVE, 0)) == GOING_ON[1:]
    assert found.holders["dev", ALIVE] == f"run {ALIVE}, whose Lease may not be listed"
    assert "namespace dev: may not list leases.coordination.k8s.io there" in found.unseen


async def test_a_run_that_comes_to_life_again_meanwhile_is_left_alone(store):
    found = await find_leftovers(store)
    store._touch(store.objects[f"{LEASES.format('prod')}/{NAME}"]["metadata"])
    (line,) = (await delete_leftovers(store, found.chosen(None, 0))).failures
    assert line == f"Lease prod/{NAME} was renewed or replaced meanwhile: run {DEAD} is left alone"
    assert {f"{LEASES.format('prod')}/{NAME}", f"{PODS.format('prod')}/{NAME}-{DEAD}-0-x"} <= set(store.objects)
    store._touch(store.objects[f"{LEASES.format('prod')}/{NAME}"]["metadata"])
    assert await delete_leftovers(store, found.chosen(DEAD, 0)) == Deletion()
    assert f"{LEASES.format('prod')}/{NAME}" not in store.objects


def touch(store, namespace, name=NAME):
    """Somebody renews the Lease of this name."""
    store._touch(store.objects[f"{LEASES.format(namespace)}/{name}"]["metadata"])


async def test_a_run_that_somebody_claims_in_another_namespace_is_protected_nowhere_else(store):
    lease = lease_manifest("dev", f"{NAME}-{DEAD}", DEAD, "mallory", "2026-01-01T12:00:00Z")
    lease["spec"]["leaseDurationSeconds"] = 2**31 - 1
    store.put(LEASES.format("dev"), lease)
    found = await find_leftovers(store)
    assert told(found.chosen(None, 0)) == LEFT
    assert found.alive == {("dev", ALIVE), ("dev", DEAD)}
    assert await delete_leftovers(store, found.chosen(None, 0)) == Deletion()


async def test_a_run_that_somebody_calls_dead_in_another_namespace_goes_on(store):
    lease = lease_manifest("prod", f"{NAME}-{ALIVE}", ALIVE, "mallory", "2026-01-01T12:00:00Z")
    store.put(LEASES.format("prod"), lease)["metadata"].update(
        managedFields=[], creationTimestamp="2026-01-01T11:00:00Z"
    )
    chosen = told((await find_leftovers(store)).chosen(None, 0))
    assert sorted(chosen) == sorted([*LEFT, f"Lease prod/{NAME}-{ALIVE}"])


@pytest.mark.parametrize("names", [(NAME, f"{NAME}-44444444"), (f"{NAME}-44444444", NAME)])
async def test_a_run_that_somebody_calls_dead_beside_its_own_lease_goes_on(store, names):
    own, dead = names
    run(store, "prod", "44444444", own)
    lease = lease_manifest("prod", dead, "44444444", "mallory", "2026-01-01T12:00:00Z")
    lease["spec"]["leaseDurationSeconds"] = 0
    store.pass_time(seconds=10)
    if dead == NAME:
        del store.objects[f"{LEASES.format('prod')}/{NAME}"]
    store.put(LEASES.format("prod"), lease)["metadata"].update(
        managedFields=[], creationTimestamp="2026-01-01T11:00:00Z"
    )
    found = await find_leftovers(store)
    assert ("prod", "44444444") in found.alive
    assert "44444444" not in {item.run_id for item in found.chosen(None, 0)}


async def test_a_run_with_a_sign_of_life_elsewhere_has_longer_to_give_one_here(store):
    """A renewal may be late in one of two hundred namespaces."""
    run(store, "prod", "44444444", f"{NAME}-44444444")
    run(store, "dev", "44444444", f"{NAME}-44444444")
    for seconds, chosen in ((60, []), (LONGEST_LEASE_SECONDS, ["prod"])):
        store.pass_time(seconds=seconds)
        touch(store, "dev", f"{NAME}-44444444")
        found = (await find_leftovers(store)).chosen(None, 0)
        assert sorted({item.namespace for item in found if item.run_id == "44444444"}) == chosen


async def test_where_its_lease_is_gone_a_run_that_lives_elsewhere_keeps_what_is_new(store):
    run(store, "prod", "44444444", f"{NAME}-44444444")
    run(store, "dev", "44444444", f"{NAME}-44444444")
    del store.objects[f"{LEASES.format('prod')}/{NAME}-44444444"]
    assert "44444444" not in {item.run_id for item in (await find_leftovers(store)).chosen(None, 0)}
    store.pass_time(seconds=LONGEST_LEASE_SECONDS + 1)
    touch(store, "dev", f"{NAME}-44444444")
    gone = [item for item in (await find_leftovers(store)).chosen(None, 0) if item.run_id == "44444444"]
    assert {item.namespace for item in gone} == {"prod"}


@pytest.mark.parametrize(
    "owners", [[], [{"apiVersion": "v1", "kind": "ConfigMap", "name": f"{NAME}-{DEAD}", "uid": "x"}]]
)
async def test_what_no_lease_of_an_audit_owns_is_named_and_left_alone(store, owners):
    labels = {RUN_LABEL: DEAD}
    store.put(
        PODS.format("prod"),
        {"metadata": {"name": f"{NAME}-{DEAD}-9-x", "namespace": "prod", "labels": labels, "ownerReferences": owners}},
    )
    found = await find_leftovers(store)
    assert told(found.chosen(DEAD, 0)) == told(found.chosen(None, 0)) == LEFT
    (line,) = found.strangers
    assert (
        line
        == f"Pod prod/{NAME}-{DEAD}-9-x has the label and the name of an audit, but no Lease of one owns it: left alone"
    )


def keep(store, *paths, finalizer="example.com/keep"):
    for path in paths:
        store.objects[path]["metadata"]["finalizers"] = [finalizer]


async def test_what_somebody_s_finalizer_keeps_is_told_and_is_no_failure_of_ours(store, monkeypatch):
    monkeypatch.setattr("auditor.cluster.kubernetes.session.cleanup.HELD_PATIENCE", 0.0)
    pod = f"{PODS.format('prod')}/{NAME}-{DEAD}-0-x"
    keep(store, pod, f"{LEASES.format('prod')}/{NAME}")
    said = "is deleted, and kept by the finalizer example.com/keep, which is not ours: its owner has to remove it"
    done = await delete_leftovers(store, (await find_leftovers(store)).chosen(None, 0), patience=3600)
    assert done == Deletion((), (f"Lease prod/{NAME} {said}", f"Pod prod/{NAME}-{DEAD}-0-x {said}"))
    assert f"{CONFIG_MAPS.format('prod')}/{NAME}-{DEAD}" not in store.objects
    # Nothing is done twice, or waited for.
    store.pass_time(days=1)
    store.requests.clear()
    assert await delete_leftovers(store, (await find_leftovers(store)).chosen(DEAD, 0), patience=3600) == done
    assert not [method for method, _ in store.requests if method == "DELETE"]


async def test_a_finalizer_of_the_garbage_collector_is_waited_for(store, monkeypatch):
    monkeypatch.setattr("auditor.cluster.kubernetes.session.cleanup.HELD_PATIENCE", 0.0)
    keep(store, f"{PODS.format('prod')}/{NAME}-{DEAD}-0-x", finalizer="foregroundDeletion")
    done = await delete_leftovers(store, (await find_leftovers(store)).chosen(None, 0), patience=0.5)
    assert done == Deletion((f"Pod prod/{NAME}-{DEAD}-0-x was deleted and is still there after 0.5 s",))


async def test_a_namespace_that_has_been_on_its_way_out_for_long_is_the_cluster_s_affair(store):
    name = f"{namespace_prefix(DEAD)}-3-x"
    store.put(
        "/api/v1/namespaces",
        {"metadata": {"name": name, "labels": {RUN_LABEL: DEAD}, "deletionTimestamp": "2026-01-01T12:00:00Z"}},
    )
    chosen = [item for item in (await find_leftovers(store)).chosen(None, 0) if item.kind == "Namespace"]
    done = await delete_leftovers(store, chosen, patience=3600)
    assert done.failures == ()
    assert done.kept == (
        f"Namespace {name} has been on its way out since 2026-01-01 12:00:00 UTC: its conditions say what keeps it",
    )


async def test_of_a_conformance_run_that_goes_on_not_one_namespace_is_taken(store):
    home, place = namespace_prefix(ALIVE), f"{namespace_prefix(ALIVE)}-3-x"
    for name in (home, place):
        store.put("/api/v1/namespaces", {"metadata": {"name": name, "labels": {RUN_LABEL: ALIVE}}})
    store.put(LEASES.format(home), lease_manifest(home, NAME, ALIVE, "somebody", "2026-01-01T12:00:00Z"))
    store.put(LEASES.format(place), anchor_manifest(place, ALIVE))
    store.pass_time(seconds=LONGEST_LEASE_SECONDS + 5)
    touch(store, home)
    for where in ([], [place], [home]):
        found = await find_leftovers(store, where)
        assert {item.place for item in found.objects} & {home, place}
        assert not {item.place for item in found.chosen(None, 0)} & {home, place}
    store.denied = {("list", "leases", ""), ("list", "leases", home)}
    assert (await find_leftovers(store, [place])).chosen(None, 0) == ()
    store.denied = set()
    store.pass_time(minutes=5)
    found = await find_leftovers(store)
    touch(store, home)
    done = await delete_leftovers(
        store, [item for item in found.chosen(None, 0) if item.run_id == ALIVE and item.place in (home, place)]
    )
    assert done.failures == (f"Lease {home}/{NAME} was renewed or replaced meanwhile: run {ALIVE} is left alone",)
    assert f"{LEASES.format(place)}/{NAME}-{ALIVE}-owner" in store.objects
    assert {f"/api/v1/namespaces/{home}", f"/api/v1/namespaces/{place}"} <= set(store.objects)
