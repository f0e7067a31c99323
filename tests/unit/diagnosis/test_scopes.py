"""Single faults in the scopes that no lab can be given: observations are made filter by filter, by the tests' own
evaluator.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from random import Random

import pytest

from auditor.diagnosis.comparison import compare
from auditor.diagnosis.evidence import Evidence
from auditor.diagnosis.search import diagnose
from auditor.model.diagnosis import Fault, Scope, ScopeKind
from auditor.model.dialect import Dialect, Enforcement, Enforcer
from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.report import CellResult
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Observation, Observed, Result, Verdict
from auditor.policy.evaluator import evaluate
from tests.lab import confusion
from tests.lab.naming import World, seen
from tests.marking import slow, some
from tests.oracle import evaluator as oracle
from tests.oracle.clusters import cluster, pod, policy
from tests.oracle.matching import Packet

INSIDE = {
    ScopeKind.SOURCE_NODE: lambda pod, direction, packet: (pod.node, direction) == ("node-1", Direction.EGRESS),
    ScopeKind.DESTINATION_NODE: lambda pod, direction, packet: (pod.node, direction) == ("node-1", Direction.INGRESS),
    ScopeKind.NAMESPACE: lambda pod, direction, packet: pod.namespace == "space-0",
    ScopeKind.FAMILY: lambda pod, direction, packet: str(packet.family) == "IPv6",
    ScopeKind.PROTOCOL: lambda pod, direction, packet: packet.protocol == "TCP",
}
NAMES = {
    ScopeKind.SOURCE_NODE: "node-1",
    ScopeKind.DESTINATION_NODE: "node-1",
    ScopeKind.NAMESPACE: "space-0",
    ScopeKind.FAMILY: "IPv6",
    ScopeKind.PROTOCOL: "TCP",
}
DIALECTS = (
    Dialect.IGNORES_UDP,
    Dialect.IGNORES_IPV6,
    Dialect.BLOCKS_SELF,
    Dialect.BLOCKS_OWN_NODE,
    Dialect.FIRST_POLICY_ONLY,
    Dialect.IGNORES_PORTS,
    Dialect.LABEL_KEY_ONLY,
    Dialect.ISOLATES_BOTH_DIRECTIONS,
)
SEEDS = range(12)
CELLS = 60


@cache
def random_world(seed: int, *, size: int) -> World:
    """A random cluster, made once for all faults that it is looked at under."""
    return World.random(seed, size=size)


def observe(world: World, fault: Fault) -> list[CellResult]:
    """What is seen of ``world`` where the filters inside the scope of ``fault`` have its dialect."""
    matrix = evaluate(world.snapshot)
    results = []
    for cell in world.cells:
        source, destination = world.snapshot.endpoint(cell.source), world.snapshot.endpoint(cell.destination)
        packet = Packet(source, destination, cell.protocol, cell.port, cell.family)
        filters = ((source, destination, Direction.EGRESS), (destination, source, Direction.INGRESS))
        passes = all(_passes(world, *ends, packet, fault) for ends in filters)
        results.append(seen(matrix, cell, passed=passes))
    return results


def _passes(world, pod, other, direction, packet, fault):
    inside = pod.selectable and INSIDE[fault.scope.kind](pod, direction, packet)
    enforcement = Enforcement(Enforcer(fault.dialect if inside else Dialect.SPEC))
    return oracle.filter_passes(pod, other, direction, packet, oracle.World(world.snapshot, enforcement, None, True))


def named(world, results):
    """Whether one fault that explains every cell is what is said of ``results``."""
    diagnosis = diagnose(world.snapshot, results)
    evidence = Evidence(world.snapshot, results)
    return any(len(said) == 1 and not evidence.fit(said).errors for said in diagnosis.hypotheses if said)


@pytest.mark.parametrize(
    ("dialect", "kind"),
    some(pair for pair in product(DIALECTS, INSIDE) if pair != (Dialect.IGNORES_UDP, ScopeKind.PROTOCOL)),
)
def test_a_fault_in_any_scope_is_named_also_where_half_of_the_cells_say_nothing(dialect, kind):
    fault = Fault(dialect, Scope(kind, NAMES[kind]))
    for seed in SEEDS:
        world = random_world(seed, size=CELLS)
        results = observe(world, fault)
        dice = Random(seed)
        half = [result for result in results if dice.random() < 0.5]
        if differing(half):
            assert named(world, results), f"seed {seed}: {diagnose(world.snapshot, results).title}"
            assert named(world, half), f"seed {seed}: {diagnose(world.snapshot, half).title}"
            return
    pytest.fail("no cluster shows it")


def differing(results):
    return sum(result.result is not Result.MATCH for result in results)


def astray(results, dice, share):
    """``results``, of which a share is seen to be what it isn't."""
    return [_flipped(result) if dice.random() < share else result for result in results]


def _flipped(result):
    allowed = result.observation.verdict is Observed.ALLOWED
    seen = Observation(Observed.DROPPED if allowed else Observed.ALLOWED, "")
    return replace(result, observation=seen, result=compare(result.expected, (), seen))


@pytest.mark.parametrize("seed", [9, 16, 18])
def test_a_cause_is_told_only_if_it_explains_most_of_what_differs(seed):
    """A few cells of anything look like those of some fault."""
    world = random_world(seed, size=200)
    results = astray(observe(world, Fault(Dialect.SPEC, Scope(ScopeKind.FAMILY, "IPv6"))), Random(seed), 0.08)
    diagnosis = diagnose(world.snapshot, results)
    assert not diagnosis.faults or 3 * len(diagnosis.explained) >= 2 * differing(results), diagnosis.title


@pytest.mark.parametrize("seed", [7, 16, 22])
def test_odd_cells_beside_one_fault_are_no_second_fault(seed):
    world = random_world(seed, size=400)
    results = observe(world, Fault(Dialect.ISOLATES_BOTH_DIRECTIONS, Scope(ScopeKind.NAMESPACE, "space-0")))
    diagnosis = diagnose(world.snapshot, astray(results, Random(seed), 0.02))
    assert len(diagnosis.faults) < 2, diagnosis.title
    assert diagnosis.unexplained


@pytest.mark.parametrize("dialect", [Dialect.IGNORES_UDP, Dialect.IGNORES_IPV6, Dialect.IGNORES_PORTS])
@pytest.mark.parametrize("seed", [2, slow(8), slow(11)])
def test_a_few_unstable_cells_do_not_make_a_leaky_enforcer_a_slow_or_lossy_one(dialect, seed):
    """What stays open for good and what is closed for good can't both be the doing of an enforcer that is about to
    close everything.
    """
    world = random_world(seed, size=300)
    results = observe(world, Fault(dialect, Scope(ScopeKind.NAMESPACE, "space-0")))
    assert sum(result.result is Result.LEAK for result in results) > 5
    dice = Random(seed)
    odd = set(dice.sample([result.cell for result in results if result.result is Result.MATCH], 3))
    results = [replace(result, result=Result.UNSTABLE) if result.cell in odd else result for result in results]
    diagnosis = diagnose(world.snapshot, results)
    assert dialect in {fault.dialect for faults in diagnosis.hypotheses for fault in faults}, diagnosis.title
    assert not {Dialect.SLOW, Dialect.FLAKY} & {fault.dialect for fault in diagnosis.faults}


def test_outages_that_last_are_not_put_down_to_losses_because_one_cell_changes():
    """That one connection came and went doesn't make an enforcer lossy that drops all others of this pod for good."""
    client, *servers = (pod(f"a/{number}", {"n": str(number)}, f"10.0.0.{number}", node="n") for number in range(1, 12))
    snapshot = cluster(client, *servers)
    results = []
    for number, server in enumerate(servers):
        cell = Cell(client.name, server.name, Protocol.TCP, 80, Family.IPV4)
        kind = Result.UNSTABLE if number == 0 else Result.OUTAGE
        results.append(CellResult(cell, Verdict.ALLOWED, Observation(Observed.DROPPED, ""), kind))
    for source, destination in zip(servers, (*servers[1:], servers[0]), strict=True):
        cell = Cell(source.name, destination.name, Protocol.TCP, 80, Family.IPV4)
        results.append(CellResult(cell, Verdict.ALLOWED, Observation(Observed.ALLOWED, ""), Result.MATCH))
    title = diagnose(snapshot, results).title
    assert title.startswith("in part (1 connection is left unexplained): all traffic of pod a/1 is dropped")


def test_a_fault_that_shows_only_beside_another_one_on_the_same_node_is_named_with_it():
    """Named ports that match nothing close what nobody sees closed, since egress is open on the node; but not all that
    it should be.
    """
    world = random_world(4, size=300)
    matrix = evaluate(world.snapshot)
    enforcement = Enforcement(on_node={"node-1": Enforcer(Dialect.IGNORES_NAMED_PORTS)})
    results = []
    for cell in world.cells:
        source, destination = world.snapshot.endpoint(cell.source), world.snapshot.endpoint(cell.destination)
        packet = Packet(source, destination, cell.protocol, cell.port, cell.family)
        there = oracle.World(world.snapshot, enforcement, None, True)
        out = source.node == "node-1" or oracle.egress_passes(packet, there)
        results.append(seen(matrix, cell, passed=out and oracle.ingress_passes(packet, there)))
    diagnosis = diagnose(world.snapshot, results)
    assert {fault.dialect for fault in diagnosis.faults} == {Dialect.IGNORES_EGRESS, Dialect.IGNORES_NAMED_PORTS}, (
        diagnosis.title
    )
    assert diagnosis.unexplained == diagnosis.contradictions == ()


@pytest.mark.parametrize("seed", [53, 55])
def test_the_same_two_faults_in_the_other_order_are_no_tie(seed):
    world = random_world(seed, size=300)
    enforcement = Enforcement(
        on_node={"node-1": Enforcer(Dialect.IGNORES_PORTS), "node-2": Enforcer(Dialect.IGNORES_UDP)}
    )
    diagnosis = diagnose(world.snapshot, confusion.observe(world, enforcement, Random(1)))
    ties = [frozenset(map(str, faults)) for faults in diagnosis.hypotheses]
    assert len(set(ties)) == len(ties) > 1


def test_three_faults_are_never_two_for_certain():
    """Any two of the three explain as much, and none of these pairs explains everything: so none is named."""
    names = ("one", "two", "three", "four")
    clients = [pod(f"a/client-{number}", {"app": "client"}, f"10.0.1.{number}", node="n") for number in range(1, 3)]
    servers = [pod(f"a/{name}", {"app": name}, f"10.0.0.{number}", node="n") for number, name in enumerate(names, 1)]
    snapshot = cluster(*clients, *servers, policies=[policy(f"a/{name}", {"app": name}, ingress=[]) for name in names])
    results = []
    for client, name in product(clients, names):
        cell = Cell(client.name, f"a/{name}", Protocol.TCP, 80, Family.IPV4)
        seen, kind = (Observed.DROPPED, Result.MATCH) if name == "four" else (Observed.ALLOWED, Result.LEAK)
        results.append(CellResult(cell, Verdict.DENIED, Observation(seen, ""), kind))
    diagnosis = diagnose(snapshot, results)
    assert diagnosis.title == "no known fault explains 6 leaks"


def test_scopes_that_are_not_asked_for_are_not_named():
    """In conformance a namespace is one scenario: its name says nothing of the enforcer."""
    world = random_world(0, size=300)
    results = observe(world, Fault(Dialect.IGNORES_PORTS, Scope(ScopeKind.NAMESPACE, "space-0")))
    said = diagnose(world.snapshot, results)
    kinds = {fault.scope.kind for faults in said.hypotheses for fault in faults}
    assert ScopeKind.NAMESPACE in kinds
    other = diagnose(world.snapshot, results, without=kinds)
    assert kinds.isdisjoint(fault.scope.kind for faults in other.hypotheses for fault in faults)
