"""Who is asked to show that packets get from node to node, held against every connection that there is."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from random import Random

import pytest

from auditor.model.ports import Protocol
from auditor.model.verdict import Verdict
from auditor.policy.evaluator import evaluate
from auditor.probing.crossings import NO_VOLUNTEERS, Crossing
from auditor.probing.plan import choose_ports, plan_cells
from auditor.run.expectation import Expectation
from auditor.run.volunteers import MOST_PAIRS, choose_volunteers
from tests.strategies import LAB_SHAPE, random_snapshot

SEEDS = range(20)


def crossing(ends, cell):
    source, destination = ends.get(cell.source), ends.get(cell.destination)
    if source is None or destination is None or source.node == destination.node:
        return None
    return Crossing(source.node, destination.node, cell.protocol, cell.family)


def looked_at(seed):
    """A small cluster, what is demanded of all its connections, and a few of them that are audited."""
    random = Random(seed)
    snapshot = random_snapshot(random, replace(LAB_SHAPE, pods=8, policies=8))
    pods = [end for end in snapshot.endpoints if end.selectable and end.node and end.addresses]
    cells = plan_cells(pods, pods, choose_ports(snapshot))
    sources, destinations = random.sample(pods, 2), random.sample(pods, 2)
    audited = plan_cells(sources, destinations, choose_ports(snapshot))
    return {end.name: end for end in pods}, Expectation.of(evaluate(snapshot), cells, {}), audited


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_may_be_tried_between_nodes_with_denials_alone_is_tried(seed):
    ends, expectation, audited = looked_at(seed)
    demanded, everything = {}, {}
    for cell in audited:
        demanded.setdefault(crossing(ends, cell), set()).add(expectation.demanded(cell))
    for cell in expectation.verdicts:
        if expectation.demanded(cell) is Verdict.ALLOWED:
            everything.setdefault(crossing(ends, cell), []).append(cell)
    nodes = {each.nodes for each, verdicts in demanded.items() if each and Verdict.ALLOWED not in verdicts}
    chosen = choose_volunteers(expectation, {}, audited)
    made = {}
    for cell in chosen.cells:
        assert expectation.demanded(cell) is Verdict.ALLOWED, cell
        made.setdefault(crossing(ends, cell), []).append(cell)
    assert all(each.nodes in nodes and len(cells) <= MOST_PAIRS for each, cells in made.items())
    for (one, other, family), protocol, turn in product(nodes, (Protocol.TCP, Protocol.UDP), (1, -1)):
        each = Crossing(*(one, other)[::turn], protocol, family)
        if Verdict.ALLOWED not in demanded.get(each, ()):
            assert (each in made) == (each in everything), each


def test_some_of_these_clusters_have_volunteers_and_some_have_none():
    chosen = [choose_volunteers(expectation, {}, audited) for _, expectation, audited in map(looked_at, SEEDS)]
    assert {bool(one.cells) for one in chosen} == {True, False}
    assert NO_VOLUNTEERS in chosen


@pytest.mark.parametrize("seed", SEEDS[:8])
def test_what_failed_does_not_volunteer(seed):
    _, expectation, audited = looked_at(seed)
    failed = {cell.source: "gone" for cell in choose_volunteers(expectation, {}, audited).cells}
    for cell in choose_volunteers(expectation, failed, audited).cells:
        assert failed.keys().isdisjoint(cell[:2])
