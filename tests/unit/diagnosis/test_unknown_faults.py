"""What the diagnosis says of faults that it does not know: hardly ever something false."""

from __future__ import annotations

from collections import Counter

import pytest

from auditor.model.verdict import Result
from tests.lab import scenarios
from tests.lab.naming import FOUND, World
from tests.lab.unknown_faults import COULD_BE, FALSE, MOST_FALSE, SAID_NOTHING, UNKNOWN, Enforcer, results, said
from tests.marking import slow

FEW = ("rule-06-end-port", "seed-three-tier")
ALL = scenarios.with_truth()


@pytest.mark.parametrize("name", [*FEW, *map(slow, sorted({*ALL} - {*FEW}))])
def test_without_a_fault_the_enforcer_of_these_tests_keeps_the_specification(name):
    world = World.of(scenarios.read(name))
    found = results(world, Enforcer(world.snapshot))
    assert not [result for result in found if result.result in FOUND]
    assert any(result.result is Result.MATCH for result in found)


@pytest.mark.parametrize("names", [FEW, slow(tuple(ALL))], ids=len)
def test_of_faults_that_it_does_not_know_the_diagnosis_says_hardly_anything_false(names):
    worlds = [World.of(scenarios.read(name)) for name in names]
    answers = [said(world, kind(world.snapshot)) for world in worlds for kind in UNKNOWN]
    shown = Counter(answer[0] for answer in answers if answer is not None)
    assert shown[SAID_NOTHING] + shown[COULD_BE] > 10
    assert shown[FALSE] <= max(1, MOST_FALSE * shown.total())
