"""What is said of a plan that was not chosen for what it notices is so."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from random import Random

import pytest

from auditor.choice.filter import What
from auditor.choice.misreadings import misreadings
from auditor.choice.whole import ledger_of_plan
from auditor.choice.world import World
from auditor.model.policy import Direction
from auditor.model.snapshot import Endpoint, EndpointKind
from auditor.model.verdict import Cell
from auditor.policy.evaluator import evaluate
from auditor.probe_pods.choice import Mode, ProbeRequest, choose_probe_pods
from auditor.probing.plan import ALWAYS_PROBED
from tests.choosing import claimed_by, differ, read_so
from tests.marking import slow
from tests.oracle.clusters import cluster, pod, pods, policy, rule
from tests.strategies import IPV4_ONLY, Shape, random_snapshot

SHAPE = Shape(namespaces=2, pods=8, policies=5, hosts=0, host_network=0.0, families=(IPV4_ONLY,), node_endpoints=False)


def planned(snapshot, request):
    """The whole plan's probe pods as endpoints, and those of the cluster for which each stands."""
    chosen = choose_probe_pods(snapshot, evaluate(snapshot), request).probe_pods
    addresses = World(snapshot, ()).snapshot.endpoints[0].addresses
    ends = [
        Endpoint(each.name, EndpointKind.POD, each.namespace, each.labels, addresses, each.ports, each.node)
        for each in chosen
    ]
    return ends, {each.name: set(each.stands_for) for each in chosen}


def between(probes, area, direction, names):
    """All that can be tried between ``probes`` through the filters in ``direction`` of those with ``names``."""
    columns = [column for column in area.columns if column.port.protocol in ALWAYS_PROBED]
    for one, other in product(probes, probes):
        if one is not other and (other if direction is Direction.INGRESS else one).name in names:
            for column in columns:
                yield Cell(one.name, other.name, column.port.protocol, column.port.number, column.family)


@pytest.mark.parametrize("seeds", [range(5), slow(range(5, 40))], ids=str)
def test_a_whole_plan_notices_what_its_probe_pods_show_and_nothing_else(seeds):
    told = sum(map(held, seeds), Counter())
    assert min(told[True], told[False]) > 20, told


def held(seed):
    """How many claims there are of what is noticed and of what is not; each is held against the evaluator."""
    snapshot = random_snapshot(Random(seed), SHAPE)
    request = ProbeRequest(("space-0",) if seed % 2 else (), mode=Mode.PER_NODE if seed % 3 else Mode.ONE_PER_CLASS)
    probes, _ = planned(snapshot, request)
    ledger = ledger_of_plan(snapshot, (), request, probes)
    world = World(snapshot, (), None, probes)
    group_of = dict(zip((end.name for end in probes), world.groups.of_endpoint[len(snapshot.endpoints) :], strict=True))
    there = replace(snapshot, endpoints=tuple(probes))
    written, said, told = evaluate(there), claimed_by(ledger), Counter()
    for area in ledger.areas:
        for each in (each for each in snapshot.policies if each.namespace == area.namespace):
            for direction in Direction:
                for misread in misreadings(each, direction):
                    policies = read_so(snapshot.policies, each, direction, misread.reading)
                    read = evaluate(replace(there, policies=policies))
                    for number, kind in enumerate(area.kinds):
                        way = What(each.full_name, direction, misread.what)
                        claimed = said.get((area.namespace, number, way))
                        names = {n for n, g in group_of.items() if any(one.groups >> g & 1 for one in kind)}
                        if claimed is not None:
                            cells = list(between(probes, area, direction, names))
                            assert differ(written, read, cells) is claimed, (way, kind)
                            told[claimed] += 1
    return told


def test_a_probe_pod_is_nobody_s_fellow():
    ends = cluster(
        pod("x/server", {"app": "server"}),
        pod("x/client", {"app": "client"}),
        policies=[policy("x/server", {"app": "server"}, ingress=[rule(pods({"app": "client"}), "TCP/80")])],
    )
    probes, _ = planned(ends, ProbeRequest())
    ledger = ledger_of_plan(ends, (), ProbeRequest(), probes)
    told = ledger.of(ledger.shown)
    assert 0 < told.noticed <= told.ways
    assert not any(each.startswith("x/server, egress: NetworkPolicies are not enforced") for each in told.missed)
    assert "x/client, egress: labels are compared by key alone, everywhere" not in told.missed
