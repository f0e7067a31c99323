from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from ipaddress import ip_address

import pytest

from auditor.cluster.kubernetes import live as module
from auditor.cluster.kubernetes.live import NO_LONGER_ALIKE
from auditor.cluster.kubernetes.objects import DEFAULT_IMAGE
from auditor.cluster.kubernetes.session.lease import Moment
from auditor.model.errors import ClusterError
from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Family
from auditor.model.verdict import Cell
from tests.unit.kubernetes.living import (
    NAMES,
    PROBES,
    WORKLOADS,
    live,
    namespace,
    ours,
    pod,
    policy,
    running,
    snapshot,
    until,
    world,
)

ENDPOINTS = tuple(replace(one, name=name) for one, name in zip(WORKLOADS, NAMES, strict=True))
CELLS = [Cell(one, other, Protocol.TCP, 80, Family.IPV4) for one in NAMES for other in NAMES if one != other]
SLICES = "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices"


def piece(store, conditions, *, kind="Pod", service="shop"):
    """An EndpointSlice with the first probe pod of prod in it."""
    name = min(path.rpartition("/")[2] for path in ours(store) if "/prod/pods/" in path)
    return {
        "metadata": {"name": "shop-x7", "namespace": "prod", "labels": {"kubernetes.io/service-name": service}},
        "endpoints": [{"conditions": conditions, "targetRef": {"kind": kind, "name": name, "namespace": "prod"}}],
    }


def when_listed(store, make):
    """Puts an EndpointSlice there as soon as slices are asked for."""

    def before(method, path):
        if path == SLICES and f"{SLICES}/shop-x7" not in store.objects:
            store.put(SLICES, make(store))

    store.before = before


@pytest.mark.parametrize("conditions", [{"ready": True}, {}, {"ready": None}])
async def test_a_service_that_takes_a_probe_pod_for_a_backend_ends_it_at_once(conditions):
    store = world()
    when_listed(store, lambda store: piece(store, conditions))
    probes = tuple(probe for probe in PROBES if probe.namespace == "prod")
    with pytest.raises(
        ClusterError, match="Service prod/shop takes probe pods for backends, so all in namespace prod were"
    ):
        await live(store, probes=probes).__aenter__()
    assert ours(store) == []


@pytest.mark.parametrize(
    "details", [{"conditions": {"ready": False, "serving": True}}, {"conditions": {"ready": True}, "kind": "Node"}]
)
async def test_what_gets_no_traffic_is_no_reason_to_end(details):
    store = world()
    when_listed(store, lambda store: piece(store, **details))
    async with live(store) as cluster:
        assert len(cluster.sites) == 3


async def test_slices_without_endpoints_are_passed_over():
    store = world((SLICES, {"metadata": {"name": "x", "namespace": "prod"}, "endpoints": None}))
    async with live(store) as cluster:
        assert len(cluster.sites) == 3


async def test_an_address_that_a_probe_pod_has_got_is_not_taken_for_its_nodes():
    async with live(world()) as cluster:
        taken = str(cluster.sites[0].addresses[0])
        own = {"node-1": (taken, "10.0.0.0"), "node-2": ("10.0.1.0", "10.0.1.1")}
        cluster._deployment = replace(cluster._deployment, inner_addresses=own)
        assert cluster.inner_addresses == {"node-1": ["10.0.0.0"], "node-2": ["10.0.1.0", "10.0.1.1"]}


async def test_the_image_that_really_ran_is_told():
    store = world()

    def start(number, _pod):
        status = running(number)
        (agent,) = status["containerStatuses"]
        return {**status, "containerStatuses": [{**agent, "imageID": f"docker.io/library/python@sha256:{number:064x}"}]}

    store.start = start
    async with live(store) as cluster:
        (fact,) = cluster.facts
    assert fact.startswith(f"image {DEFAULT_IMAGE} is not the same on all nodes: sha256:{1:064x} on ")


async def test_hosts_outside_are_sites_without_an_agent_and_what_got_no_probe_pod_is_absent():
    store = world()
    outside = pod("host/example", "", "192.0.2.1")
    outside = replace(outside, kind=EndpointKind.HOST, labels={}, node="", namespace="")
    stand_ins = tuple(Endpoint(probe.name, EndpointKind.POD, probe.namespace, probe.labels) for probe in PROBES)
    async with live(
        store, snapshot=snapshot((*stand_ins, outside)), absent={"prod/db": "no room"}, facts=("a fact",)
    ) as cluster:
        assert {site.name: site.agent for site in cluster.sites} == {
            "dev/api": True,
            "prod/web": True,
            "host/example": False,
        }
        assert cluster.absent == {"prod/db": "no room"}
        assert list(cluster.facts) == ["a fact"]
        assert len([path for path in ours(store) if "/pods/" in path]) == 2


class Stream:
    """An exec stream to an agent."""

    def __init__(self, *place):
        self.place = place
        self.closed = False

    async def close(self):
        self.closed = True


@pytest.fixture
def streams(monkeypatch):
    opened = []

    async def open_exec(_api, *place):
        await asyncio.sleep(0)
        opened.append(Stream(*place))
        return opened[-1]

    monkeypatch.setattr(module, "open_exec", open_exec)
    return opened


async def test_an_agent_is_started_in_the_probe_pod_of_its_site(streams):
    store = world()
    async with live(store) as cluster:
        await until(lambda: len(streams) == 3)
        for site in cluster.sites:
            stream = await cluster.open(site)
            namespace, name, *rest = stream.place
            labels = store.objects[f"/api/v1/namespaces/{namespace}/pods/{name}"]["metadata"]["labels"]
            assert f"{namespace}/{labels['app']}" == site.name
            assert rest == ["agent", ("python3", "-IS", "/netpol-audit/agent.py")]
        assert len(streams) == 3
        again = await cluster.open(cluster.sites[0])
        assert again is streams[3]
    assert not any(stream.closed for stream in streams)


async def test_agents_that_nobody_asked_for_are_ended(streams):
    store = world()
    async with live(store) as cluster:
        await until(lambda: len(streams) == 3)
        used = await cluster.open(cluster.sites[1])
    assert [stream.closed for stream in streams] == [stream is not used for stream in streams]


async def test_one_that_can_not_be_started_is_told_to_who_asks(monkeypatch):
    async def open_exec(*_):
        raise ClusterError("the kubelet is gone")

    monkeypatch.setattr(module, "open_exec", open_exec)
    async with live(world()) as cluster:
        with pytest.raises(ClusterError, match="the kubelet is gone"):
            await cluster.open(cluster.sites[0])


async def test_what_changed_while_probe_pods_started_is_in_the_snapshot():
    store = world()
    store.before = lambda method, path: (
        store.put(*policy("new", "web"))
        if method == "POST" and "pods" in path and not store.names("networkpolicies")
        else None
    )
    async with live(store) as cluster:
        assert [each.name for each in cluster.snapshot.policies] == ["new"]
        assert all(endpoint.addresses for endpoint in cluster.snapshot.endpoints)
        assert list(await cluster.changes()) == []


async def test_a_change_comes_with_the_endpoints_as_they_are():
    store = world()
    async with live(store) as cluster:
        store.put(*policy("new", "web"))
        (state,) = await cluster.changes()
        assert state.endpoints == cluster.snapshot.endpoints
        assert cluster.failed == {}


async def test_a_pod_that_a_policy_tells_apart_from_its_probe_pod_is_no_longer_audited():
    store = world()
    second = replace(
        WORKLOADS[1],
        name="prod/db-2",
        labels={"app": "db", "tier": "cache"},
        addresses=pod("x/y", "", "10.1.0.9").addresses,
    )
    probes = tuple(
        replace(probe, stands_for=(*probe.stands_for, "prod/db-2")) if probe.name == "prod/db" else probe
        for probe in PROBES
    )
    async with live(store, workloads=snapshot((*WORKLOADS, second)), probes=probes) as cluster:
        store.put(*policy("harmless", "web"))
        await cluster.changes()
        assert cluster.failed == {}
        store.put(*policy("cache", podSelector={"matchLabels": {"tier": "cache"}}))
        await cluster.changes()
        assert cluster.failed == {"prod/db": NO_LONGER_ALIKE}


async def test_so_it_is_where_only_an_unreadable_policy_selects_some_of_the_pods():
    store = world()
    second = replace(
        WORKLOADS[1],
        name="prod/db-2",
        labels={"app": "db", "tier": "cache"},
        addresses=pod("x/y", "", "10.1.0.9").addresses,
    )
    probes = tuple(
        replace(probe, stands_for=(*probe.stands_for, "prod/db-2")) if probe.name == "prod/db" else probe
        for probe in PROBES
    )
    async with live(store, workloads=snapshot((*WORKLOADS, second)), probes=probes) as cluster:
        store.put(*policy("cache", podSelector={"matchLabels": {"tier": "cache"}}, somethingNew=1))
        await cluster.changes()
        assert cluster.failed == {"prod/db": NO_LONGER_ALIKE}


async def test_a_namespace_that_goes_leaves_a_cluster_that_can_be_judged():
    store = world()
    async with live(store) as cluster:
        store.delete("/api/v1/namespaces/dev")
        store.put(*namespace("new"))
        for state in await cluster.changes():
            assert {"dev", "prod"} <= state.namespaces.keys()


async def test_a_lease_that_is_lost_is_said(monkeypatch):
    monkeypatch.setattr("auditor.cluster.kubernetes.session.lease.RENEW_EVERY", 0.001)
    store = world()
    async with live(store) as cluster:
        store.delete("/apis/coordination.k8s.io/v1/namespaces/prod/leases/netpol-audit")
        await until(lambda: cluster.facts)
        assert list(cluster.facts) == ["namespace prod: the Lease of this run was deleted, and its probe pods with it"]
        assert all("/dev/" in path for path in ours(store))
    assert ours(store) == []


def held_by_somebody(store, namespace):
    """A Lease that says that it lasts for ever."""
    labels = {"netpol-audit/run": "99999999"}
    lease = {
        "metadata": {"name": "netpol-audit", "namespace": namespace, "labels": labels},
        "spec": {"leaseDurationSeconds": 2**31 - 1},
    }
    store.put(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", lease)


async def test_a_namespace_that_somebody_holds_is_left_out_and_the_rest_is_audited():
    store = world()
    held_by_somebody(store, "dev")
    async with live(store, facts=("a fact",)) as cluster:
        assert {site.name for site in cluster.sites} == {"prod/db", "prod/web"}
        assert list(cluster.absent) == ["dev/api"]
        assert cluster.absent["dev/api"].startswith("namespace dev: somebody has been auditing here")
        assert cluster.facts[0].startswith("left out: namespace dev: somebody has been auditing here")
        assert cluster.facts[1] == "a fact"
        assert not [path for path in ours(store) if "/dev/" in path]
    assert ours(store) == []
    assert store.names("leases") == ["netpol-audit"]


async def test_a_namespace_that_is_audited_alone_and_held_by_somebody_is_an_error():
    store = world()
    held_by_somebody(store, "prod")
    with pytest.raises(ClusterError, match=r"^namespace prod: somebody has been auditing here"):
        await live(store, audited=frozenset({"prod"})).__aenter__()
    assert ours(store) == []


async def test_a_service_of_one_namespace_that_takes_probe_pods_for_backends_ends_those_alone():
    """A tenant can write an EndpointSlice with any pod in it."""
    store = world()
    when_listed(store, lambda store: piece(store, {"ready": True}))
    async with live(store, facts=("a fact",)) as cluster:
        assert {site.name for site in cluster.sites} == {"dev/api"}
        said = "Service prod/shop takes probe pods for backends, so all in namespace prod were removed at once"
        assert cluster.failed == dict.fromkeys(["prod/db", "prod/web"], said)
        assert cluster.facts[0] == said
        assert not [path for path in ours(store) if "/prod/pods/" in path]
    assert ours(store) == []


async def test_where_the_lease_was_lost_no_probe_pod_counts_any_more():
    store = world()
    async with live(store) as cluster:
        await cluster.changes()
        assert cluster.failed == {}
        store.delete("/apis/coordination.k8s.io/v1/namespaces/prod/leases/netpol-audit")
        cluster._leases._held["prod"].renewed = Moment(
            float("-inf"), 0.0
        )  # as after a night in which the machine slept
        await cluster.changes()
        lost = "namespace prod: the Lease of this run was deleted, and its probe pods with it"
        assert cluster.failed == {"prod/db": lost, "prod/web": lost}


def relabel(store, app, **labels):
    """Somebody gives the probe pod that has this value of the label app other labels, too."""
    for path in ours(store):
        item = copy.deepcopy(store.objects[path])
        if "/pods/" in path and item["metadata"]["labels"].get("app") == app:
            item["metadata"]["labels"] |= labels
            store.objects[path] = item


async def test_a_probe_pod_that_somebody_relabels_has_failed():
    store = world(policy("db", podSelector={"matchLabels": {"role": "primary"}}))
    async with live(store) as cluster:
        relabel(store, "web", unread="1")
        await cluster.changes()
        assert cluster.failed == {}
        relabel(store, "db", role="primary")
        assert list(await cluster.changes()) == []
        said = "somebody changed the label role of its pod during the run, and with it what policies take it for"
        assert cluster.failed == {"prod/db": said}


async def test_where_that_can_not_be_looked_up_it_is_told():
    store = world()
    async with live(store) as cluster:
        store.denied.add(("list", "pods", ""))
        await cluster.changes()
        assert "whether someone relabelled its pods during the run could not be found out: " in cluster.facts[-1]
        store.denied.clear()


async def test_a_new_policy_that_reads_a_label_of_ours_tells_the_probe_pod_apart():
    store = world()
    async with live(store) as cluster:
        absent = {"matchExpressions": [{"key": "app.kubernetes.io/managed-by", "operator": "DoesNotExist"}]}
        store.put(*policy("new", podSelector=absent))
        await cluster.changes()
        assert cluster.failed == dict.fromkeys(["prod/db", "prod/web"], NO_LONGER_ALIKE)


async def test_a_family_that_a_probe_pod_lacks_and_its_workload_has_is_told():
    store = world()
    both = tuple(
        replace(one, addresses=(*one.addresses, ip_address("fd00::1"))) if one.name.endswith("db-1") else one
        for one in WORKLOADS
    )
    async with live(store, workloads=snapshot(both)) as cluster:
        assert list(cluster.facts) == [
            (
                "the probe pod of prod/db has no IPv6 address, but pods that it represents have: "
                "nothing was tried over IPv6"
            )
        ]
