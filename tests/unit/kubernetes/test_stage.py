"""Policies and pods as manifests, and how much room there is for them."""

from __future__ import annotations

import pytest

from auditor.cluster.kubernetes.objects import RUN_LABEL, PodOptions
from auditor.cluster.kubernetes.policies import read_live_policy
from auditor.cluster.kubernetes.policy_manifest import policy_manifest
from auditor.cluster.kubernetes.room import room_for_pods
from auditor.cluster.kubernetes.stage import Stage, _containers
from tests.lab import scenarios
from tests.unit.kubernetes.store import Store


@pytest.mark.parametrize("name", scenarios.with_truth())
def test_a_policy_written_is_the_policy_that_was_read(name):
    snapshot = scenarios.read(name).snapshot
    assert [read_live_policy(policy_manifest(policy, {"a": "b"})) for policy in snapshot.policies] == list(snapshot.policies)


def test_ports_of_one_name_go_into_containers_of_their_own():
    ports = [{"name": "web", "containerPort": 80}, {"name": "web", "containerPort": 81}, {"name": "more", "containerPort": 82}]
    made = _containers({"name": "agent", "image": "x", "ports": ports})
    assert [(each["name"], each["ports"]) for each in made] == [("agent", [ports[0], ports[2]]), ("agent-1", [ports[1]])]


def test_a_pod_without_ports_has_one_container():
    assert _containers({"name": "agent", "ports": []}) == [{"name": "agent", "ports": []}]


def node(name, *, pods="10", ready="True", **spec):
    conditions = [{"type": "Ready", "status": ready}]
    return "/api/v1/nodes", {"metadata": {"name": name}, "spec": spec, "status": {"allocatable": {"pods": pods}, "conditions": conditions}}


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
    monkeypatch.setattr("auditor.cluster.kubernetes.stage.PAUSE", 0.0)

    def namespace(name):
        return "/api/v1/namespaces", {"metadata": {"name": name, "labels": {RUN_LABEL: "11111111"}}}

    store = Store(namespace("netpol-conf-11111111"), namespace("netpol-conf-11111111-a"), namespace("copied-labels"))
    assert await Stage(store, "11111111", PodOptions()).clear(20, but="netpol-conf-11111111") == []
    assert store.names("namespaces") == ["copied-labels", "netpol-conf-11111111"]
