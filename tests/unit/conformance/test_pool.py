"""Scenarios on pods and in namespaces of others: who stands where, and that each means the same there."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from auditor.model.snapshot import Namespace, Snapshot
from auditor.policy.evaluator import evaluate
from auditor.run.conformance.pool import PooledNamespace, PooledPod, seat
from auditor.run.conformance.renaming import in_namespaces, readdressed
from auditor.run.conformance.waves import divided, make_waves
from tests.unit.conformance.shipped import prepared_scenarios

NODES = ("a", "b", "c")
OTHERWISE = {"app": "other", "role": "x"}


def pool_of(prepared, nodes):
    return [
        PooledNamespace(
            name,
            {**namespace.own_labels, **OTHERWISE},
            tuple(
                PooledPod(replace(pod, node=nodes[pod.node]), pod.labels, {}, 0.0)
                for pod in prepared.pods
                if pod.namespace == name
            ),
        )
        for name, namespace in prepared.snapshot.namespaces.items()
    ]


def pool_and_later(nodes=NODES):
    own, later = divided([each for each in prepared_scenarios() if not each.snapshot.admin_policies])
    (wave,) = make_waves(own, dict.fromkeys(nodes, 200))
    return [pooled for each in own for pooled in pool_of(each, wave.nodes[each.scenario.name])], list(later)


def rounds(nodes=NODES):
    """Each round of scenarios with their seats and the pool that they find."""
    pool, later = pool_and_later(nodes)
    found = []
    while seats := seat(later, pool):
        seated = [each for each in later if each.scenario.name in seats]
        found.append((seated, seats, pool))
        after = {one.name: one for each in seated for one in seats[each.scenario.name].after(each)}
        pool = [after.get(pooled.name, pooled) for pooled in pool]
        later = [each for each in later if each not in seated]
    assert later == []
    return found


@pytest.mark.parametrize("nodes", [NODES, NODES[:2], NODES[:1]])
def test_all_scenarios_that_need_no_pods_of_their_own_find_a_seat_in_two_rounds(nodes):
    assert len(rounds(nodes)) == 2


def test_no_two_scenarios_share_a_namespace_or_a_pod_and_each_has_as_many_nodes_as_it_says():
    for seated, seats, _ in rounds():
        taken = [pooled.name for each in seats.values() for pooled in each.namespaces.values()]
        pods = [pod.endpoint.name for each in seats.values() for pod in each.pods.values()]
        assert max(Counter(taken).values()) == max(Counter(pods).values()) == 1
        for prepared in seated:
            there = seats[prepared.scenario.name]
            assert set(there.namespaces) == set(prepared.snapshot.namespaces)
            assert set(there.pods) == {pod.name for pod in prepared.pods}
            assert len(set(there.nodes.values())) == len({pod.node for pod in prepared.pods})
            for pod in prepared.pods:
                assert there.pods[pod.name].endpoint.node == there.nodes[pod.node]
                assert there.pods[pod.name].endpoint.namespace == there.namespaces[pod.namespace].name


def test_what_a_scenario_leaves_behind_has_its_labels_and_other_pods_there_none():
    seated, seats, pool = rounds()[0]
    known = {pooled.name: pooled for pooled in pool}
    idle = 0
    for prepared in seated:
        there = seats[prepared.scenario.name]
        called = {pod.endpoint.name: name for name, pod in there.pods.items()}
        for pooled in there.after(prepared):
            (name,) = [name for name, each in there.namespaces.items() if each.name == pooled.name]
            assert pooled.labels == prepared.snapshot.namespaces[name].own_labels
            assert [pod.endpoint for pod in pooled.pods] == [pod.endpoint for pod in known[pooled.name].pods]
            for pod in pooled.pods:
                own = called.get(pod.endpoint.name)
                assert pod.labels == (prepared.snapshot.endpoint(own).labels if own else {})
                idle += own is None
    assert idle


def as_it_stands(prepared, there):
    """What the cluster really has of ``prepared``, idle pods included, and the pod of each of its endpoints."""
    pooled = list(there.after(prepared))
    pods = [replace(pod.endpoint, labels=pod.labels) for each in pooled for pod in each.pods]
    others = [endpoint for endpoint in prepared.snapshot.endpoints if not endpoint.selectable]
    called = {name: each.name for name, each in there.namespaces.items()}
    now = {name: pod.endpoint for name, pod in there.pods.items()}
    there_now = [
        replace(now[end.name], name=end.name) if end.name in now else end for end in prepared.snapshot.endpoints
    ]
    policies = readdressed(prepared.snapshot.policies, prepared.snapshot.endpoints, there_now)
    snapshot = Snapshot(
        namespaces={each.name: Namespace.of(each.name, each.labels) for each in pooled},
        endpoints=(*pods, *others),
        policies=in_namespaces(policies, lambda name: called.get(name, name)),
    )
    return snapshot, {name: pod.endpoint.name for name, pod in there.pods.items()}


def test_each_scenario_means_the_same_where_it_stands():
    compared = 0
    for seated, seats, _ in rounds():
        for prepared in seated:
            snapshot, pods = as_it_stands(prepared, seats[prepared.scenario.name])
            matrix = evaluate(snapshot)
            for cell, verdict in prepared.truth.items():
                if cell.source in pods and cell.destination in pods:
                    there = cell._replace(source=pods[cell.source], destination=pods[cell.destination])
                    assert matrix.verdict(*there) is verdict, (prepared.scenario.name, cell)
                    compared += 1
    assert compared > 1000
