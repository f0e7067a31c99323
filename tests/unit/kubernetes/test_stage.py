"""Policies and pods as manifests, and how much room there is for them."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from auditor.cluster.kubernetes.client.errors import ForbiddenError
from auditor.cluster.kubernetes.objects import NAME, RUN_LABEL, PodOptions
from auditor.cluster.kubernetes.policies import policy_manifest, read_live_policy
from auditor.cluster.kubernetes.preflight.capacity import room_for_pods
from auditor.cluster.kubernetes.session.cleanup import Deletion, delete_leftovers
from auditor.cluster.kubernetes.session.first_tries import ASK, TRY
from auditor.cluster.kubernetes.session.leftovers import find_leftovers
from auditor.cluster.kubernetes.session.scratch_namespaces import (
    ScratchNamespaces,
    _containers,
    namespace_prefix,
    place_of,
)
from auditor.model.errors import ClusterError
from auditor.model.ports import Protocol
from auditor.model.probe_pod import AfterStart
from auditor.model.scorecard import ChangeKind
from auditor.model.service_seen import OwnPort, OwnService
from auditor.model.snapshot import Endpoint, EndpointKind, Namespace
from auditor.run.conformance.cluster_testbed import ClusterTestbed
from auditor.run.conformance.prepared_scenarios import prepare_scenarios
from auditor.run.conformance.waves import Wave
from tests.lab import scenarios
from tests.unit.kubernetes.living import RUN, LivingStore, running
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


async def test_only_namespaces_with_the_label_and_the_name_of_the_run_are_deleted():
    def namespace(name):
        return "/api/v1/namespaces", {"metadata": {"name": name, "labels": {RUN_LABEL: "11111111"}}}

    store = Store(namespace("netpol-conf-11111111"), namespace("netpol-conf-11111111-a"), namespace("copied-labels"))
    assert await ScratchNamespaces(store, "11111111", PodOptions()).clear(20, but="netpol-conf-11111111") == ([], [])
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


async def test_pods_that_are_deleted_are_waited_for_and_others_stay():
    store = LivingStore()
    stage, _ = await staged(store)
    before = len(created(store))
    await stage.delete_pods([f"{PLACES[0]}/web-1", f"{PLACES[1]}/db"], 5)
    left = {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in created(store)}
    assert len(left) == before - 2
    assert not {(PLACES[0], "web-1-x"), (PLACES[1], "db-x")} & left
    assert (PLACES[0], "web-x") in left


async def test_a_pod_that_somebody_keeps_ends_the_run_and_is_named():
    store = LivingStore()
    stage, _ = await staged(store)
    deleted, send = [], store.send

    async def keep(method, question, *more, **named):
        if method == "DELETE":
            deleted.append(question.path)
            return b"{}"
        return await send(method, question, *more, **named)

    store.send = keep
    with pytest.raises(ClusterError, match=f"pod {PLACES[0]}/web-x was deleted and is still there after 0.05 s"):
        await stage.delete_pods([f"{PLACES[0]}/web"], 0.05)
    assert deleted == [f"/api/v1/namespaces/{PLACES[0]}/pods/web-x"]


def prepared_with(change, *names):
    """The first scenario, of those with ``names`` if any, in which ``change`` is made, with names of the run's
    namespaces.
    """
    every = [scenarios.read(name) for name in names or scenarios.with_truth()]
    prepared = prepare_scenarios([each for each in every if not each.snapshot.admin_policies], f"{HOME}-{{number}}-")
    return next(each for each in prepared if each.step is not None and each.step.change is change)


async def stood_up(store, prepared, monkeypatch):
    """A testbed with ``prepared`` on it as it begins."""
    monkeypatch.setattr("auditor.run.conformance.cluster_testbed.HANDLED_SECONDS", 0.0)
    monkeypatch.setattr("auditor.cluster.kubernetes.session.scratch_namespaces.PAUSE", 0.0)
    stage = ScratchNamespaces(store, RUN, PodOptions())
    await stage.create_namespaces([Namespace.of(HOME)])
    nodes = {prepared.scenario.name: dict.fromkeys(prepared.scenario.nodes, "node-1")}
    testbed = ClusterTestbed(stage, [prepared], nodes)
    await testbed.set_up(5, lambda _: None)
    return testbed


def labels_of(store, pod):
    namespace, name = place_of(pod)
    return store.objects[f"/api/v1/namespaces/{namespace}/pods/{name}"]["metadata"]["labels"]


@pytest.mark.parametrize(("again", "told"), [(True, "1 of 1 pod"), (False, "0 of 1 pod")])
async def test_a_pod_is_replaced_by_one_of_other_labels_until_the_address_is_back_or_enough_were_tried(
    monkeypatch, again, told
):
    prepared, store = prepared_with(ChangeKind.POD_REPLACED), LivingStore()
    testbed = await stood_up(store, prepared, monkeypatch)
    addresses = {site.name: site.addresses for site in testbed.sites}
    ((old, new),) = [
        pair
        for pair in zip(prepared.step.before.endpoints, prepared.step.after.endpoints, strict=True)
        if len({*pair}) > 1
    ]
    kept = int(str(addresses[new.name][0]).rpartition(".")[2])
    first = store.started
    store.start = lambda number, _pod: running(kept if again and number == first + 2 else number + 100)
    assert labels_of(store, new.name).items() >= old.labels.items()
    await testbed.change(prepared)
    assert store.started == first + 2
    assert labels_of(store, new.name).items() >= new.labels.items()
    assert {key for key in old.labels if key not in new.labels} & labels_of(store, new.name).keys() == set()
    (fact,) = testbed.facts
    assert fact == f"{told} that replaced others got the address of the old one"
    (site,) = [site for site in testbed.sites if site.name == new.name]
    assert (site.addresses == addresses[new.name]) is again
    assert {pod.name: pod.addresses for pod in testbed.actual(prepared).snapshot.endpoints}[new.name] == site.addresses


async def test_a_pod_that_comes_tries_from_its_start_on_what_it_is_told_and_tells_it_to_who_asks_inside(monkeypatch):
    asked = []

    class Said:
        async def receive(self):
            return b"[3.5, [[0.04, 2.5], [0.05, null]]]\n"

        async def close(self):
            asked.append("closed")

    async def open_exec(_api, *place):
        asked.append(place)
        return Said()

    monkeypatch.setattr("auditor.cluster.kubernetes.session.scratch_namespaces.open_exec", open_exec)
    prepared, store = prepared_with(ChangeKind.POD_CREATED), LivingStore()
    testbed = await stood_up(store, prepared, monkeypatch)
    (new,) = {end.name for end in prepared.snapshot.endpoints} - {end.name for end in prepared.start.endpoints}
    cells = [cell for cell in prepared.changed if cell.source == new][:2]
    testbed.try_from_start({new: {cell: (ip_address("10.0.0.9"), 80 + n) for n, cell in enumerate(cells)}})
    assert await testbed.open_after_start() == {}
    await testbed.change(prepared)
    namespace, name = place_of(new)
    pods = {item["metadata"]["name"]: item for item in created(store) if item["metadata"]["namespace"] == namespace}
    for other, item in pods.items():
        *_, code, first, second = ["", *item["spec"]["containers"][0]["command"]]
        assert ((first, second) == ("10.0.0.9|80", "10.0.0.9|81")) is (other == name)
        assert code.startswith(TRY) is (other == name)
    assert await testbed.open_after_start() == {
        cells[0]: AfterStart(3.5, 0.04, 2.5),
        cells[1]: AfterStart(3.5, 0.05, None),
    }
    assert asked == [(namespace, name, "agent", ("python3", "-ISc", ASK)), "closed"]
    assert testbed.facts == ["1 new pod tried what should be closed from 0.05 s after the start on, or earlier"]


@pytest.mark.parametrize("name", ["rule-09-ip-block-and-pods", ""])
async def test_policies_that_follow_the_address_of_a_new_pod_are_known(monkeypatch, name):
    prepared = prepared_with(ChangeKind.POD_CREATED, *filter(None, [name]))
    testbed = await stood_up(LivingStore(), prepared, monkeypatch)
    assert testbed.followed_addresses == set()
    await testbed.change(prepared)
    assert testbed.followed_addresses == ({name} if name else set())


async def test_the_last_peer_of_a_rule_is_there_until_it_is_deleted(monkeypatch):
    prepared, store = prepared_with(ChangeKind.LAST_PEER_DELETED), LivingStore()
    testbed = await stood_up(store, prepared, monkeypatch)
    (gone,) = {end.name for end in prepared.start.endpoints} - {end.name for end in prepared.snapshot.endpoints}
    assert gone in {site.name for site in testbed.sites}
    assert Wave([prepared], {prepared.scenario.name: dict.fromkeys(prepared.scenario.nodes, "n")}).pods["n"] == 4
    await testbed.change(prepared)
    assert {site.name for site in testbed.sites} == {end.name for end in prepared.snapshot.endpoints}
    assert not any(item["metadata"]["name"] == place_of(gone)[1] for item in created(store))
    assert list(testbed.facts) == []


async def test_a_service_of_a_conformance_run_leads_to_one_pod_of_it_alone():
    store = LivingStore()
    stage = ScratchNamespaces(store, RUN, PodOptions(numbered=True))
    await stage.create_namespaces(map(Namespace.of, (HOME, *PLACES)))
    pods = [Endpoint(f"{place}/{name}", EndpointKind.POD, place, {"app": name}) for place in PLACES for name in SIMILAR]
    running = await stage.start_pods(pods, (), 20, lambda _: None)
    chosen = f"{PLACES[1]}/web-1"
    own = OwnService(chosen, (OwnPort(Protocol.TCP, 10001, 80),))
    (made,) = await stage.expose([own], {chosen: running[chosen]})
    assert (made.namespace, stage.refused_services) == (PLACES[1], [])
    (service,) = [item for path, item in store.objects.items() if split(path)[1] == "services"]
    assert service["metadata"]["namespace"] == PLACES[1]
    wanted = service["spec"]["selector"].items()
    behind = [item["metadata"]["name"] for item in created(store) if wanted <= item["metadata"]["labels"].items()]
    assert behind == [place_of(chosen)[1]]


async def test_who_may_not_see_whether_services_lead_anywhere_gets_none_and_the_reason():
    store = LivingStore()
    stage, running = await staged(store)

    def refuse(method, path):
        if (method, path.rpartition("/")[2]) == ("GET", "endpointslices"):
            raise ForbiddenError("you may not list endpointslices.discovery.k8s.io")

    store.before = refuse
    chosen = f"{PLACES[0]}/db"
    own = OwnService(chosen, (OwnPort(Protocol.TCP, 10001, 80),))
    assert await stage.expose([own], {chosen: running[chosen]}) == [None]
    assert stage.refused_services == ["you may not list endpointslices.discovery.k8s.io"]
