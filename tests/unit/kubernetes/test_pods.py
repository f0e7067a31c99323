from __future__ import annotations

import asyncio

import pytest

from auditor.cluster.kubernetes.session import pods as module
from auditor.model.errors import ClusterError
from tests.unit.kubernetes.living import EXPIRED, NAMES, live, ours, running, world
from tests.unit.kubernetes.store import split


def waiting(reason, message=""):
    return {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": reason, "message": message}}}]}


def only(app, status):
    """A kubelet that starts all pods but those of ``app``."""
    return lambda number, pod: status if pod["metadata"]["labels"].get("app") == app else running(number)


def refusing(app, code, reason, message):
    return lambda pod: (code, (reason, message)) if app in ("", pod["metadata"]["labels"].get("app")) else pod


async def test_all_run_and_nothing_of_them_stays():
    store = world()
    async with live(store) as cluster:
        assert {site.name for site in cluster.sites if site.agent} == set(NAMES)
        assert cluster.failed == {}
        pods = [item for path, item in store.objects.items() if split(path)[1] == "pods"]
        assert len(pods) == 3
        assert store.names("configmaps") == [f"netpol-audit-{'1' * 8}"] * 2
    assert ours(store) == []
    assert list(cluster.farewell) == []


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (waiting("ErrImagePull", "no such\nimage"), "its probe pod can't run: ErrImagePull: no such image"),
        (waiting("CreateContainerConfigError"), "its probe pod can't run: CreateContainerConfigError"),
        (
            {"phase": "Failed", "reason": "Evicted", "message": "low on memory"},
            "its probe pod can't run: Evicted: low on memory",
        ),
        (
            {"phase": "Running", "containerStatuses": [{"state": {"terminated": {"exitCode": 127}}}]},
            "its probe pod can't run: it ended with exit code 127",
        ),
    ],
)
async def test_what_will_never_run_has_failed_at_once_and_the_rest_goes_on(status, reason):
    store = world()
    store.start = only("db", status)
    async with live(store, start_seconds=3600.0) as cluster:
        assert cluster.failed == {"prod/db": reason}
        assert {site.name for site in cluster.sites} == {"dev/api", "prod/web"}
    assert ours(store) == []


async def test_what_has_no_place_until_the_timeout_has_failed_with_the_schedulers_words():
    store = world()
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available",
    }
    store.start = only("db", {"phase": "Pending", "conditions": [condition]})
    async with live(store, start_seconds=2.0) as cluster:
        assert cluster.failed == {
            "prod/db": "its probe pod did not start within 2 s: Unschedulable: 0/3 nodes are available"
        }
    assert ours(store) == []


async def test_a_pod_without_an_address_does_not_run_yet():
    store = world()
    store.start = only("db", {**running(9), "podIP": "", "podIPs": []})
    async with live(store, start_seconds=2.0) as cluster:
        assert cluster.failed == {"prod/db": "its probe pod did not start within 2 s: Running"}


@pytest.mark.parametrize("when", ["before it is listed", "later"])
async def test_a_pod_that_somebody_deletes_before_it_runs_has_failed_at_once(when):
    store = world()

    def start(number, pod):
        if pod["metadata"]["labels"].get("app") != "db":
            return running(number)
        path = f"/api/v1/namespaces/prod/pods/{pod['metadata']['name']}"
        if when == "later":
            asyncio.get_running_loop().call_later(0.1, store.delete, path)
        else:
            store.delete(path)
        return None

    store.start = start
    async with live(store, start_seconds=3600.0) as cluster:
        assert cluster.failed == {"prod/db": "its probe pod was deleted by someone before it ran"}


@pytest.mark.parametrize(
    "answer", [(403, "Forbidden", 'pods "x" is forbidden: exceeded quota: small'), (422, "Invalid", "bad port")]
)
async def test_one_that_is_refused_has_failed_and_the_rest_goes_on(answer):
    store = world()
    store.admit = refusing("db", *answer)
    async with live(store) as cluster:
        assert list(cluster.failed) == ["prod/db"]
        assert cluster.failed["prod/db"].startswith("its probe pod was refused: ")
        assert answer[2] in cluster.failed["prod/db"]
        assert len(cluster.sites) == 2
    assert ours(store) == []


async def test_where_all_are_refused_the_reason_is_told_at_once_and_nothing_stays():
    store = world()
    store.admit = refusing("", 403, "Forbidden", "pods is forbidden: exceeded quota: small")
    with pytest.raises(ClusterError, match=r"no probe pod could be started: .*exceeded quota: small$"):
        await live(store, start_seconds=3600.0).__aenter__()
    assert ours(store) == []


async def test_where_the_config_map_is_refused_its_namespace_has_failed():
    store = world()
    store.denied.add(("create", "configmaps", "prod"))
    async with live(store) as cluster:
        assert set(cluster.failed) == {"prod/db", "prod/web"}
        assert all(reason.startswith("namespace prod: ") for reason in cluster.failed.values())


async def test_an_expired_watch_is_begun_anew_while_starting_and_while_removing(monkeypatch):
    store = world()
    store.faults["/api/v1/pods"] += [EXPIRED, EXPIRED]
    async with live(store, start_seconds=5.0) as cluster:
        assert cluster.failed == {}
        store.stuck = True
        store.faults["/api/v1/pods"] += [EXPIRED]
        monkeypatch.setattr(module, "PATIENCE_FOR_REMOVAL", 0.2)
    assert ours(store) == []
    assert store.faults["/api/v1/pods"] == []


async def test_what_does_not_end_by_itself_is_removed_by_force_and_that_is_told(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_FOR_REMOVAL", 0.05)
    store = world()
    async with live(store) as cluster:
        store.stuck = True
    assert list(cluster.farewell) == [
        "3 probe pods did not end within 0.05 s and had to be removed by force: is every node alive?"
    ]
    assert ours(store) == []


async def test_what_a_finalizer_of_somebody_keeps_is_told_and_waited_for_no_longer_than_a_moment(monkeypatch):
    monkeypatch.setattr(module, "HELD_PATIENCE", 0.05)
    monkeypatch.setattr(module, "PATIENCE_FOR_REMOVAL", 3600.0)
    store = world()

    def keep(pod):
        if pod["metadata"]["labels"].get("app") == "db":
            pod["metadata"]["finalizers"] = ["example.com/keep"]
        return pod

    store.admit = keep
    async with asyncio.timeout(60):
        async with live(store) as cluster:
            pass
    (path,) = ours(store)
    said = "is deleted, and kept by the finalizer example.com/keep, which is not ours: its owner has to remove it"
    assert list(cluster.farewell) == [f"Pod prod/{path.rpartition('/')[2]} {said}"]
    assert store.objects[path]["metadata"]["deletionTimestamp"]
    assert not store.names("leases")


async def test_a_finalizer_that_is_soon_taken_away_is_not_told(monkeypatch):
    monkeypatch.setattr(module, "HELD_PATIENCE", 3600.0)
    store = world()

    def keep(pod):
        pod["metadata"]["finalizers"] = ["example.com/brief"]
        return pod

    def let_go(method, path):
        if method == "DELETE" and "/prod/pods" in path:
            asyncio.get_running_loop().call_later(0.1, free)

    def free():
        for path in [path for path in ours(store) if "/pods/" in path]:
            store.delete(path)

    store.admit, store.before = keep, let_go
    async with asyncio.timeout(60):
        async with live(store) as cluster:
            pass
    assert list(cluster.farewell) == []
    assert ours(store) == []


def injecting(app, **spec):
    """Admission that changes pods with this value of the label app, and no others."""
    return lambda pod: {**pod, "spec": {**pod["spec"], **spec}} if pod["metadata"]["labels"].get("app") == app else pod


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"initContainers": [{"name": "istio-init"}]}, "an admission webhook adds the container istio-init"),
        ({"readinessGates": [{"conditionType": "cloud.google.com/load-balancer-neg-ready"}]}, "an admission webhook "),
        ({"hostNetwork": True}, "an admission webhook puts it on its node's network"),
    ],
)
async def test_one_that_admission_makes_into_something_else_is_taken_away_at_once(changes, reason):
    store = world()
    store.admit = injecting("db", **changes)
    async with live(store) as cluster:
        assert list(cluster.failed) == ["prod/db"]
        assert cluster.failed["prod/db"].startswith(reason)
        pods = [item for path, item in store.objects.items() if split(path)[1] == "pods"]
        assert {item["metadata"]["labels"].get("app") for item in pods} == {"api", "web"}
    assert ours(store) == []


async def test_what_admission_made_of_a_pod_is_what_is_audited():
    store = world()

    def relabel(pod):
        pod["metadata"]["labels"]["sidecar"] = "yes"
        return pod

    store.admit = relabel
    async with live(store) as cluster:
        labels = cluster.snapshot.endpoint("prod/db").labels
        assert (labels["app"], labels["sidecar"], cluster.snapshot.endpoint("prod/db").node) == ("db", "yes", "node-1")
