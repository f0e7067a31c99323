"""What the diagnosis says of faults that it does not know: hardly ever something false."""

from __future__ import annotations

import pytest

from auditor.model.diagnosis import Fault, Scope, ScopeKind
from auditor.model.dialect import Dialect
from auditor.model.verdict import Result
from tests.lab import scenarios
from tests.lab.naming import FOUND, World
from tests.lab.unknown_faults import (
    COULD_BE,
    FALSE,
    MOST_FALSE,
    SAID_NOTHING,
    UNKNOWN,
    DefaultDenyWins,
    Enforcer,
    answers,
    describes,
    results,
    share_false,
    world_named,
)
from tests.marking import slow

FEW = ("rule-06-end-port", "seed-three-tier")
ALL = [name for name in scenarios.with_truth() if not scenarios.read(name).snapshot.admin_policies]
"""The enforcers of these tests know NetworkPolicies alone."""


@pytest.mark.parametrize("name", [*FEW, *map(slow, sorted({*ALL} - {*FEW}))])
def test_without_a_fault_the_enforcer_of_these_tests_keeps_the_specification(name):
    world = World.of(scenarios.read(name))
    found = results(world, Enforcer(world.snapshot))
    assert not [result for result in found if result.result in FOUND]
    assert any(result.result is Result.MATCH for result in found)


def test_of_faults_that_it_does_not_know_the_diagnosis_says_hardly_anything_false():
    """In a few scenarios; ``make lab-matrix`` looks at all of them."""
    found = [answer for name in FEW for answer in answers(world_named(name))]
    assert sum(answer.what in (SAID_NOTHING, COULD_BE) for answer in found) > 10
    assert share_false(found) <= max(MOST_FALSE, 1 / len(found))  # of few answers one is more than that


@pytest.mark.slow
def test_in_a_larger_cluster_most_unknown_faults_get_no_cause_and_all_of_them_show():
    found = answers(world_named("bazaar"))
    assert {answer.enforcer for answer in found} == {kind.__name__ for kind in UNKNOWN}
    assert sum(answer.what == SAID_NOTHING for answer in found) > len(UNKNOWN) / 2
    assert not [answer for answer in found if answer.what == FALSE or answer.hasty]


@pytest.mark.parametrize(
    ("dialect", "scope", "is_so"),
    [
        (Dialect.SHUTS_PODS, Scope(ScopeKind.NAMESPACE, "shop"), True),
        (Dialect.SHUTS_PODS, Scope(ScopeKind.NAMESPACE, "pay"), False),
        (Dialect.SHUTS_PODS, Scope(), False),
        (Dialect.STATELESS, Scope(ScopeKind.NAMESPACE, "shop"), False),
    ],
)
def test_what_only_says_what_becomes_of_traffic_is_true_where_that_is_so_of_every_packet(dialect, scope, is_so):
    world = world_named("bazaar")
    assert describes(world, DefaultDenyWins(world.snapshot), [Fault(dialect, scope)]) is is_so
