"""Policies and pods as manifests, and how much room there is for them."""

from __future__ import annotations

import pytest

from auditor.cluster.kubernetes.objects import NAME, RUN_LABEL, PodOptions
from auditor.cluster.kubernetes.policies import policy_manifest, read_live_policy
from auditor.cluster.kubernetes.preflight.capacity import room_for_pods
from auditor.cluster.kubernetes.session.cleanup import Deletion, delete_leftovers
from auditor.cluster.kubernetes.session.leftovers import find_leftovers
from auditor.cluster.kubernetes.session.scratch_namespaces import ScratchNamespaces, _containers, namespace_prefix
from auditor.model.snapshot import Endpoint, EndpointKind, Namespace
from tests.lab import scenarios
from tests.unit.kubernetes.living import RUN, LivingStore
from tests.unit.kubernetes.store import Store, split
from tests.unit.kubernetes.test_objects import as_some_enforcers_see_it


@pytest.mark.parametrize("name", scenarios.with_truth())
def test_a_policy_written_is_the_policy_that_was_read(name):
    snapshot = scenarios.read(name).snapshot
    assert [read_live_policy(policy_manifest(policy, {"a": "b"})) for policy in snapshot.policies] == list(
        snapshot.policies
    )


def test_ports_of_one_name_go_into_containers_of_their_own():
    ports = [
        {"name": "web", "containerPort": 80},
        {"name": "web", "containerPort": 81},
        {"name": "more", "containerPort": 82},
    ]
    made = _containers({"name": "agent", "image": "x", "ports": ports})
    assert [(each["name"], each["ports"]) for each in made] == [
        ("agent", [ports[0], ports[2]]),
        ("agent-1", [ports[1]]),
    ]


def test_a_pod_without_ports_has_one_container():
    assert _containers({"name": "agent", "ports": []}) == [{"name": "agent", "ports": []}]


def node(name, *, pods="10", ready="True", **spec):
    conditions = [{"type": "Ready", "status": ready}]
    return "/api/v1/nodes", {
        "metadata": {"name": name},
        "spec": spec,
        "status": {"allocatable": {"pods": pods}, "conditions": conditions},
    }


def pod(name, on, phase="Running"):
    item = {"metadata": {"name": name, "namespace": "x"}, "spec": {"nodeName": on}, "status": {"phase": phase}}
    return "/api/v1/namespaces/x/pods", item


WINDOWS = node("windows")
WINDOWS[1]["metadata"]["labels"] = {"kubernetes.io/os": "windows"}


async def test_room_is_what_is_left_on_nodes_that_take_pods():
    store = Store(
        node("worker"),
        node("tainted", taints=[{"key": "x", "effect": "NoSchedule"}]),
        node("cordoned", unschedulable=True),
        node("away", ready="Unknown"),
        WINDOWS,
        node("full", pods="3"),
        pod("one", "worker"),
        pod("two", "full"),
        pod("done", "worker", "Succeeded"),
    )
    assert await room_for_pods(store) == {"worker": 7}


async def test_only_namespaces_with_the_label_and_the_name_of_the_run_are_deleted(monkeypatch):
    monkeypatch.setattr("auditor.cluster.kubernetes.session.scratch_namespaces.PAUSE", 0.0)

    def namespace(name):
        return "/api/v1/namespaces", {"metadata": {"name": name, "labels": {RUN_LABEL: "11111111"}}}

    store = Store(namespace("netpol-conf-11111111"), namespace("netpol-conf-11111111-a"), namespace("copied-labels"))
    assert await ScratchNamespaces(store, "11111111", PodOptions()).clear(20, but="netpol-conf-11111111") == []
    assert store.names("namespaces") == ["copied-labels", "netpol-conf-11111111"]


HOME = namespace_prefix(RUN)
PLACES = (f"{HOME}-0-a", f"{HOME}-1-b")
SIMILAR = ("web", "web-1", "web-2", "db", "web-1-x")


async def staged(store):
    """A stage with pods of similar names in each of two namespaces, and what runs of them."""
    stage = ScratchNamespaces(store, RUN, PodOptions())
    await stage.create_namespaces(map(Namespace.of, (HOME, *PLACES)))
    pods = [Endpoint(f"{place}/{name}", EndpointKind.POD, place, {"app": name}) for place in PLACES for name in SIMILAR]
    return stage, await stage.start_pods(pods, (), 20, lambda _: None)


def created(store):
    return [item for path, item in store.objects.items() if split(path)[1] == "pods" and path.count("/") > 4]


async def test_names_of_pods_of_a_conformance_run_are_unique_without_their_last_part():
    store = LivingStore()
    _, running = await staged(store)
    assert set(running) == {f"{place}/{name}" for place in PLACES for name in SIMILAR}
    assert {endpoint.name for endpoint in running.values()} == set(running)
    seen = {
        (item["metadata"]["namespace"], as_some_enforcers_see_it(item["metadata"]["name"])) for item in created(store)
    }
    assert len(seen) == len(created(store)) == len(PLACES) * len(SIMILAR)


async def test_of_each_pod_that_runs_it_is_known_how_its_link_is_watched():
    stage, running = await staged(LivingStore())
    assert stage.reached.keys() == running.keys()
    assert all(pod.node_addresses for pod in stage.reached.values())
    assert (await stage.heard(set(running))).keys() == running.keys()


async def test_pods_of_a_conformance_run_have_a_controller_in_their_namespace_that_is_there():
    store = LivingStore()
    await staged(store)
    store.collect_garbage()
    assert len(created(store)) == len(PLACES) * len(SIMILAR)
    for item in created(store):
        (owner,) = item["metadata"]["ownerReferences"]
        anchor = store.objects[
            f"/apis/coordination.k8s.io/v1/namespaces/{item['metadata']['namespace']}/leases/{owner['name']}"
        ]
        assert owner["controller"] is True
        assert owner["uid"] == anchor["metadata"]["uid"]
        assert (owner["kind"], owner["apiVersion"]) == ("Lease", "coordination.k8s.io/v1")


async def test_a_pod_of_a_conformance_run_is_relabelled_and_opened_under_the_name_that_it_has(monkeypatch):
    opened = []

    async def open_exec(_api, *place):
        opened.append(place)
        raise ConnectionError

    monkeypatch.setattr("auditor.cluster.kubernetes.session.scratch_namespaces.open_exec", open_exec)
    store = LivingStore()
    stage, _ = await staged(store)
    with pytest.raises(ConnectionError):
        await stage.open(f"{PLACES[0]}/web-1")
    asked = []
    store.before = lambda method, path: asked.append((method, path))
    with pytest.raises(KeyError):
        await stage.relabel_pod(f"{PLACES[0]}/web-1", {"app": "web-1"}, {"app": "other"})
    (method, path) = asked[0]
    namespace, name = path.split("/")[4], path.split("/")[6]
    assert (method, (namespace, name)) == ("PATCH", opened[0][:2])
    assert f"/api/v1/namespaces/{namespace}/pods/{name}" in store.objects


async def test_the_anchors_of_a_conformance_run_that_goes_on_are_no_sign_of_death():
    store = LivingStore()
    await staged(store)
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases"
    store.put(
        leases,
        {
            "metadata": {"name": NAME, "namespace": HOME, "labels": {RUN_LABEL: RUN}},
            "spec": {"leaseDurationSeconds": 30},
        },
    )
    store.pass_time(minutes=2)
    store._touch(store.objects[f"{leases}/{NAME}"]["metadata"])
    found = await find_leftovers(store)
    assert found.objects
    assert found.chosen(None, 0) == ()
    store.pass_time(minutes=2)
    found = await find_leftovers(store)
    assert set(found.chosen(None, 0)) == set(found.objects)
    assert await delete_leftovers(store, found.chosen(None, 0)) == Deletion()
