"""Further probe pods that tell causes apart: which are asked for, and that they lead to the truth and never away from
it. What they would show is the tests' own evaluator's.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from random import Random

import pytest

from auditor.diagnosis.evidence import Evidence
from auditor.diagnosis.search import diagnose
from auditor.model.diagnosis import Alternative, Diagnosis, Fault
from auditor.model.dialect import Dialect, Enforcement
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.probe_pod import MOST_COPIES, Copy, Room
from auditor.model.verdict import ProbingOutcome, Verdict
from auditor.policy.evaluator import evaluate
from auditor.probing.sites import ProbeSite
from auditor.run.deciding import MOST_CELLS, Deciders, choose_deciders, is_open
from auditor.run.expectation import AuditState, Expectation
from tests.lab import scenarios
from tests.lab.confusion import observe
from tests.lab.naming import World, injected, is_named, seen

PODS = 4


def state_of(world, results):
    outcome = ProbingOutcome({each.cell: each.observation for each in results})
    return AuditState(Expectation.of(evaluate(world.snapshot), world.cells, {}), outcome, world.previous)


def sites_of(world):
    ends = [end for end in world.snapshot.endpoints if end.selectable and end.addresses]
    return [ProbeSite(end.name, end.addresses, (end.name,), node=end.node) for end in ends]


def decided(world, enforcement, pods=PODS):
    """What an audit of ``world`` under ``enforcement`` says before and after the pods that it has come, whether each is
    true, and what it asked for.
    """
    results = observe(world, enforcement, Random(1))
    before = diagnose(world.snapshot, results, world.previous)
    room = Room(pods, frozenset(world.nodes))
    asked = choose_deciders(state_of(world, results), before, sites_of(world), room)
    wider = with_copies(world, asked)
    more = observe(replace(wider, cells=asked.cells), enforcement, Random(2))
    results = [*results, *more]
    after = diagnose(wider.snapshot, results, world.previous)
    truth, evidence = injected(enforcement), Evidence(wider.snapshot, results, world.previous)
    return before, after, asked, is_named(truth, before, evidence), is_named(truth, after, evidence)


def with_copies(world, asked):
    made = []
    for number, copy in enumerate(asked.copies):
        like = world.snapshot.endpoint(copy.like)
        addresses = [ip_address(f"10.244.200.{number + 2}"), ip_address(f"fd00:10:244:c8::{number + 2:x}")]
        own = tuple(one for one in addresses if one.version in {each.version for each in like.addresses})
        made.append(replace(like, name=copy.name, node=copy.node, addresses=own))
    snapshot = replace(world.snapshot, endpoints=(*world.snapshot.endpoints, *made))
    return replace(world, snapshot=snapshot, cells=(*world.cells, *asked.cells))


TIED = [
    # Faults of which one pod alone shows something: it is the node's, the policy's or the pod's.
    ("rule-06-end-port", "enforces-nothing@node-2"),
    ("rule-06-end-port", "enforces-nothing@x/client"),
]


@pytest.mark.parametrize(("name", "enforcer"), TIED)
def test_further_pods_leave_fewer_causes_and_the_true_one_among_them(name, enforcer):
    world = World.of(scenarios.read(name))
    before, after, asked, true_before, true_after = decided(world, Enforcement.parse((enforcer,)))
    assert true_before
    assert true_after
    assert len(after.hypotheses) < len(before.hypotheses)
    assert 1 <= len(asked.copies) <= MOST_COPIES
    assert len(asked.cells) <= MOST_CELLS * len(asked.copies)
    ends = {end.name for end in world.snapshot.endpoints}
    for copy in asked.copies:
        assert copy.name not in ends
        assert (copy.like in ends, copy.node in world.nodes) == (True, True)
        assert copy.name == f"{copy.like}@{copy.node}"
    new = {copy.name for copy in asked.copies}
    assert all({cell.source, cell.destination} & new for cell in asked.cells)


def test_a_pod_and_its_node_are_told_apart_by_another_on_that_node():
    world = World.of(scenarios.read("rule-06-end-port"))
    said = {}
    for enforcer in ("enforces-nothing@node-2", "enforces-nothing@x/client"):
        _, after, *_ = decided(world, Enforcement.parse((enforcer,)))
        said[enforcer] = {str(faults[0].scope) for faults in after.hypotheses}
    assert said == {
        "enforces-nothing@node-2": {"node node-2"},
        "enforces-nothing@x/client": {"pod x/client"},
    }


def test_none_comes_where_there_is_no_room_nobody_to_be_like_or_nothing_to_part():
    world = World.of(scenarios.read("rule-06-end-port"))
    results = observe(world, Enforcement.parse(("enforces-nothing@node-2",)), Random(1))
    diagnosis, state, sites = diagnose(world.snapshot, results), state_of(world, results), sites_of(world)
    room = Room(PODS, frozenset(world.nodes))
    assert len(choose_deciders(state, diagnosis, sites, room).copies) == MOST_COPIES
    assert len(choose_deciders(state, diagnosis, sites, room._replace(pods=1)).copies) == 1
    assert choose_deciders(state, diagnosis, sites, Room()) == Deciders()
    assert choose_deciders(state, diagnosis, sites, room._replace(pods=0)) == Deciders()
    assert choose_deciders(state, diagnosis, [replace(one, agent=False) for one in sites], room) == Deciders()
    assert choose_deciders(state, replace(diagnosis, alternatives=(), certain=True), sites, room) == Deciders()


def test_pods_do_not_come_where_all_causes_say_the_same_of_them():
    world = World.of(scenarios.read("seed-extra-dash"))
    results = observe(world, Enforcement.parse(("enforces-nothing",)), Random(1))
    diagnosis = diagnose(world.snapshot, results)
    assert diagnosis.alternatives
    room = Room(PODS, frozenset(world.nodes))
    certain = replace(diagnosis, certain=True)
    assert choose_deciders(state_of(world, results), certain, sites_of(world), room) == Deciders()


def test_what_is_not_certain_has_to_show_at_a_further_pod_as_well():
    """A deleted policy that still shuts one pod looks like a fault of its node, until there is another such pod."""
    world = World.of(scenarios.read("demo"))
    old = NetworkPolicy("dev", "old", LabelSelector((("app", "web"),)), frozenset({Direction.EGRESS}))

    def seen_under_old(snapshot, cells):
        enforced = evaluate(replace(snapshot, policies=(*snapshot.policies, old)))
        matrix = evaluate(snapshot)
        return [seen(matrix, cell, passed=enforced.verdict(*cell) is Verdict.ALLOWED) for cell in cells]

    results = seen_under_old(world.snapshot, world.cells)
    diagnosis = diagnose(world.snapshot, results)
    assert (diagnosis.certain, diagnosis.alternatives) == (False, ())
    assert is_open(diagnosis)
    room = Room(PODS, frozenset(world.nodes))
    asked = choose_deciders(state_of(world, results), diagnosis, sites_of(world), room)
    assert [copy.name for copy in asked.copies] == ["dev/web@node-1"]
    wider = with_copies(world, asked)
    assert diagnose(wider.snapshot, [*results, *seen_under_old(wider.snapshot, asked.cells)]).certain is False


def test_nothing_is_asked_of_further_pods_where_nothing_fits_or_only_one_cause_does():
    assert not is_open(None)
    assert not is_open(Diagnosis("none", "look"))
    one = (Fault(Dialect.SPEC),)
    assert not is_open(Diagnosis("one", "look", one))
    assert is_open(Diagnosis("one", "look", one, certain=False))
    assert is_open(Diagnosis("one", "look", one, alternatives=(Alternative((), "the other"),)))


def test_what_came_and_what_did_not_is_told():
    asked = Deciders((Copy("a/x@n2", "a/x", "n2"), Copy("a/y@n2", "a/y", "n2")))
    assert asked.told({"a/x@n2"}, ["a/y@n2: refused"]) == (
        "1 further probe pod came to find the cause: a/x@n2, like a/x on node n2; a further probe pod to find "
        "the cause could not be had: a/y@n2: refused"
    )
    assert asked.told((), ["gone"]) == "a further probe pod to find the cause could not be had: gone"
