"""The predictions of every dialect in every scope, held against the tests' own evaluator on random clusters."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from random import Random

import pytest
from hypothesis import given, settings

from auditor.diagnosis.cells import Cells
from auditor.diagnosis.predictors import Predictor
from auditor.model.diagnosis import Fault, Scope, ScopeKind
from auditor.model.dialect import Dialect, Enforcement, Enforcer
from auditor.model.verdict import Cell, Verdict
from auditor.policy.matrix import common_families, governed
from tests.marking import slow, some
from tests.oracle.evaluator import AmbiguousPrediction, before_convergence, may_flake
from tests.oracle.evaluator import verdict as oracle
from tests.strategies import Shape, boundaries_in_policies, random_policies, random_snapshot, snapshots

SMALL = Shape(pods=6, policies=6)
TIERED = Shape(pods=6, policies=4, admin_policies=5)
PORTS = 12
SEEDS = 60
NODE = Scope(ScopeKind.NODE, "node-1")


def all_cells(snapshot, random):
    """Cells of a snapshot, without those of hostNetwork pods, for which nothing is defined."""
    ports = sorted(boundaries_in_policies(snapshot))
    ports = random.sample(ports, min(PORTS, len(ports)))
    ends = [end for end in snapshot.endpoints if not end.host_network]
    return [
        Cell(source.name, destination.name, protocol, port, family)
        for source, destination in product(ends, ends)
        if governed(source, destination)
        for family in common_families(source, destination)
        for protocol, port in ports
    ]


def judged(snapshot, cell, enforcement, previous=None):
    ends = (snapshot.endpoint(cell.source), snapshot.endpoint(cell.destination))
    try:
        return oracle(
            snapshot,
            *ends,
            cell.protocol,
            cell.port,
            cell.family,
            enforcement=before_convergence(enforcement),
            previous_policies=previous,
        )
    except AmbiguousPrediction:
        return None


def differences(snapshot, cells, predictor, faults, enforcement, previous=None):
    """The cells on which prediction and oracle are of two minds."""
    prediction = predictor.predict(faults)
    timed = any(fault.dialect in (Dialect.FLAKY, Dialect.SLOW) for fault in faults)
    wrong = []
    for number, cell in enumerate(cells):
        expected = judged(snapshot, cell, enforcement, previous)
        varies, allowed = bool(prediction.varying >> number & 1), bool(prediction.allowed >> number & 1)
        right = varies if expected is None else allowed == (expected is Verdict.ALLOWED) and (not varies or timed)
        if not right:
            wrong.append((str(cell), expected, allowed, varies))
    return wrong


@cache
def world(seed):
    """A cluster, other policies that it may have had before, its cells and their predictor."""
    random = Random(seed)
    snapshot = random_snapshot(random, TIERED if seed % 2 else SMALL)
    previous = random_policies(random, SMALL, list(snapshot.endpoints))
    cells = all_cells(snapshot, random)
    return snapshot, previous, cells, Predictor(Cells(snapshot, cells), previous)


@pytest.mark.parametrize("enough", [1, slow(4)])
@pytest.mark.parametrize("dialect", some(Dialect))
def test_every_dialect_everywhere_and_on_one_node(dialect, enough):
    shown = 0
    for seed in range(SEEDS):
        if shown >= enough and seed >= enough:
            break
        snapshot, previous, cells, predictor = world(seed)
        prediction = predictor.predict((Fault(dialect),))
        differs = prediction.allowed != predictor.specification or prediction.varying
        shown += bool(differs)
        if (differs and shown <= enough) or seed < enough:
            assert (
                differences(snapshot, cells, predictor, (Fault(dialect),), Enforcement(Enforcer(dialect)), previous)
                == []
            )
            on_node = Enforcement(on_node={"node-1": Enforcer(dialect)})
            assert differences(snapshot, cells, predictor, (Fault(dialect, NODE),), on_node, previous) == []
    assert bool(shown) == (dialect not in (Dialect.SPEC, Dialect.REJECTS))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_flaky_enforcers_may_drop(seed):
    snapshot, _, _cells, predictor = world(seed)
    enforcement = Enforcement(on_node={"node-1": Enforcer(Dialect.FLAKY, 0.5)})
    prediction = predictor.predict((Fault(Dialect.FLAKY, NODE),))
    may = predictor.cells.where(
        lambda cell: may_flake(snapshot.endpoint(cell.source), snapshot.endpoint(cell.destination), enforcement)
    )
    assert prediction.varying == may & predictor.specification
    assert prediction.allowed == predictor.specification


@pytest.mark.parametrize("seed", [*range(30), *map(slow, range(30, 60))])
def test_two_dialects_on_two_nodes(seed):
    random = Random(seed)
    snapshot = random_snapshot(random, TIERED if seed % 2 else SMALL)
    cells = all_cells(snapshot, random)
    one, other = random.sample([dialect for dialect in Dialect if dialect is not Dialect.STALE], 2)
    faults = (Fault(one, NODE), Fault(other, Scope(ScopeKind.NODE, "node-2")))
    enforcement = Enforcement(on_node={"node-1": Enforcer(one), "node-2": Enforcer(other)})
    assert differences(snapshot, cells, Predictor(Cells(snapshot, cells)), faults, enforcement) == []


@settings(max_examples=60)
@given(snapshots(SMALL))
def test_without_faults_the_specification_is_predicted(snapshot):
    cells = all_cells(snapshot, Random(1))
    assert differences(snapshot, cells, Predictor(Cells(snapshot, cells)), (), Enforcement()) == []


@pytest.mark.parametrize("seed", range(20))
def test_a_fault_of_one_policy_is_that_of_a_cluster_whose_other_policies_are_read_well(seed):
    """A policy that is not in force at all is the same as one that isn't there."""
    random = Random(seed)
    snapshot = random_snapshot(random, SMALL)
    cells = all_cells(snapshot, random)
    victim = random.choice(snapshot.policies)
    rest = replace(snapshot, policies=tuple(policy for policy in snapshot.policies if policy is not victim))
    without = Predictor(Cells(rest, cells)).specification
    fault = Fault(Dialect.ENFORCES_NOTHING, Scope(ScopeKind.POLICY, victim.full_name))
    assert Predictor(Cells(snapshot, cells)).predict((fault,)).allowed == without


@pytest.mark.parametrize("seed", range(20))
def test_a_scope_holds_inside_it_and_nowhere_else(seed):
    random = Random(seed)
    snapshot = random_snapshot(random, SMALL)
    cells = all_cells(snapshot, random)
    predictor = Predictor(Cells(snapshot, cells))
    dialect = random.choice([Dialect.IGNORES_PORTS, Dialect.LABEL_KEY_ONLY, Dialect.ISOLATES_BOTH_DIRECTIONS])
    everywhere = predictor.predict((Fault(dialect),)).allowed
    for kind, name, inside in (
        (ScopeKind.FAMILY, "IPv6", lambda cell: str(cell.family) == "IPv6"),
        (ScopeKind.PROTOCOL, "UDP", lambda cell: cell.protocol == "UDP"),
        (
            ScopeKind.NAMESPACE,
            "space-0",
            lambda cell: cell.source.startswith("space-0/") and cell.destination.startswith("space-0/"),
        ),
    ):
        mask = predictor.cells.where(inside)
        limited = predictor.predict((Fault(dialect, Scope(kind, name)),)).allowed
        assert limited & mask == everywhere & mask
        if kind is not ScopeKind.NAMESPACE:
            assert limited & ~mask == predictor.specification & ~mask
