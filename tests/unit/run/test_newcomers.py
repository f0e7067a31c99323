"""Which newcomers are asked for, and what they try."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from random import Random

import pytest

from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.verdict import Verdict
from auditor.policy.evaluator import evaluate
from auditor.policy.explain import decide
from auditor.probing.plan import choose_ports, plan_cells
from auditor.probing.sites import ProbeSite
from auditor.run.expectation import Expectation
from auditor.run.newcomers import MOST_CELLS, MOST_NEWCOMERS, choose_newcomers
from tests.strategies import LAB_SHAPE, random_snapshot


def looked_at(seed):
    """A small cluster, what is demanded of all its connections, and a place for each of its pods."""
    snapshot = random_snapshot(Random(seed), replace(LAB_SHAPE, pods=8, policies=8))
    pods = [end for end in snapshot.endpoints if end.selectable and end.node and end.addresses]
    expectation = Expectation.of(evaluate(snapshot), plan_cells(pods, pods, choose_ports(snapshot)), {})
    return snapshot, expectation, [ProbeSite(end.name, end.addresses, (end.name,), node=end.node) for end in pods]


def only(snapshot, cell):
    return [each for each in Direction if not decide(snapshot, cell).allowed(each)]


@pytest.mark.parametrize("seed", range(12))
def test_only_what_a_pods_own_rules_alone_close_is_tried_at_one_pod_of_each_node(seed):
    snapshot, expectation, sites = looked_at(seed)
    assert choose_newcomers(expectation, sites) == ()  # nobody is new
    sites = [replace(site, created=1.0) for site in sites]
    chosen = choose_newcomers(expectation, sites)
    nodes = {site.name: site.node for site in sites}
    assert len({nodes[one.like] for one in chosen}) == len(chosen) <= MOST_NEWCOMERS
    for one in chosen:
        assert one.sends or one.receives
        assert max(len(one.sends), len(one.receives)) <= MOST_CELLS
        for cell in (*one.sends, *one.receives):
            assert (cell.protocol, expectation.demanded(cell)) == (Protocol.TCP, Verdict.DENIED)
        assert all(cell.source == one.like and only(snapshot, cell) == [Direction.EGRESS] for cell in one.sends)
        assert all(
            cell.destination == one.like and only(snapshot, cell) == [Direction.INGRESS] for cell in one.receives
        )


def test_most_clusters_have_some():
    chosen = []
    for seed in range(12):
        _, expectation, sites = looked_at(seed)
        chosen += choose_newcomers(expectation, [replace(site, created=1.0) for site in sites])
    assert len(chosen) >= 12
    assert any(one.sends for one in chosen)
    assert any(one.receives for one in chosen)


def test_hosts_outside_are_never_tried():
    _, expectation, sites = looked_at(1)
    outside = [replace(site, created=1.0, agent=False) for site in sites]
    assert choose_newcomers(expectation, [*outside, ProbeSite("host", (ip_address("192.0.2.9"),), ("host",))]) == ()
