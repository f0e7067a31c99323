"""The pure rules: what agrees with an expectation, what was observed, what is late and what unstable."""

import pytest

from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Observed, Verdict
from auditor.probing.attempts import Answer, AttemptResult, agrees, wants_retest
from auditor.probing.merging import find_flapping, is_late, lost_where, observe, relapsed

ALLOWED, DENIED = Verdict.ALLOWED, Verdict.DENIED
TRIES = {
    "A": AttemptResult(Answer.ALLOWED, "token", 1.5),
    "R": AttemptResult(Answer.REFUSED, "tcp-reset"),
    "D": AttemptResult(Answer.DROPPED, "timeout"),
    "M": AttemptResult(Answer.MISDELIVERED, "wrong-identity: b/x"),
    "E": AttemptResult(Answer.ERROR, "EMFILE"),
}


def tries(letters):
    return [TRIES[letter] for letter in letters]


@pytest.mark.parametrize(
    ("expected", "letter", "agreed", "again"),
    [
        (ALLOWED, "A", True, False),
        (ALLOWED, "R", False, True),
        (ALLOWED, "D", False, True),
        (ALLOWED, "M", False, True),
        (ALLOWED, "E", None, True),
        (DENIED, "A", False, True),
        (DENIED, "R", True, False),
        (DENIED, "D", True, False),
        (DENIED, "M", False, True),
        (DENIED, "E", None, True),
        (None, "A", None, False),
        (None, "D", None, False),
        (None, "M", None, False),
        (None, "E", None, True),
    ],
)
def test_agreement(expected, letter, agreed, again):
    assert agrees(expected, TRIES[letter]) is agreed
    assert wants_retest(expected, TRIES[letter]) is again


@pytest.mark.parametrize(
    ("expected", "letters", "unproven", "verdict", "outcome"),
    [
        (ALLOWED, "A", "", Observed.ALLOWED, "token"),
        (ALLOWED, "A", "dead", Observed.ALLOWED, "token"),
        (DENIED, "R", "", Observed.REFUSED, "tcp-reset"),
        (DENIED, "R", "dead", Observed.INCONCLUSIVE, "dead"),
        (DENIED, "D", "", Observed.DROPPED, "timeout"),
        (DENIED, "D", "dead", Observed.INCONCLUSIVE, "dead"),
        (ALLOWED, "M", "", Observed.MISDELIVERED, "wrong-identity: b/x"),
        (ALLOWED, "M", "dead", Observed.INCONCLUSIVE, "dead"),
        (ALLOWED, "E", "", Observed.INCONCLUSIVE, "EMFILE"),
        (DENIED, "E", "", Observed.INCONCLUSIVE, "EMFILE"),
        # a failure afterwards takes nothing from what agreed, but a difference that could not be retested is no finding
        (ALLOWED, "AE", "", Observed.ALLOWED, "token"),
        (DENIED, "DE", "", Observed.DROPPED, "timeout"),
        (DENIED, "AE", "", Observed.INCONCLUSIVE, "could not be retested: EMFILE"),
        (ALLOWED, "DEE", "", Observed.INCONCLUSIVE, "could not be retested: EMFILE"),
        (ALLOWED, "EA", "", Observed.ALLOWED, "token"),
        (ALLOWED, "DEDD", "", Observed.DROPPED, "timeout"),
        (ALLOWED, "DA", "", Observed.ALLOWED, "token"),
        (None, "DE", "", Observed.DROPPED, "timeout"),
    ],
)
def test_observation(expected, letters, unproven, verdict, outcome):
    observation = observe(expected, tries(letters), unproven)
    assert (observation.verdict, observation.outcome) == (verdict, outcome)
    assert observation.attempts == len(letters)
    assert [seen is Observed.INCONCLUSIVE for seen in observation.history] == [letter == "E" for letter in letters]
    assert observation.milliseconds == (1.5 if verdict is Observed.ALLOWED else None)


@pytest.mark.parametrize(("arrived", "outcome"), [(True, "reply-lost"), (False, "request-lost"), (None, "timeout")])
def test_where_a_datagram_was_lost(arrived, outcome):
    assert lost_where(TRIES["D"], arrived=arrived).outcome == outcome


@pytest.mark.parametrize("expected", [ALLOWED, DENIED, None])
@pytest.mark.parametrize("arrived", [True, False, None])
def test_a_datagram_that_arrived_against_the_policy_is_allowed_traffic(expected, arrived):
    answer = Answer.ALLOWED if arrived and expected is DENIED else Answer.DROPPED
    assert lost_where(TRIES["D"], expected, arrived=arrived).answer is answer


@pytest.mark.parametrize(
    ("expected", "letters", "late", "again"),
    [
        (ALLOWED, "A", False, False),
        (ALLOWED, "D", False, False),
        (ALLOWED, "DDD", False, False),
        (ALLOWED, "DA", True, False),
        (ALLOWED, "DEA", True, False),
        (ALLOWED, "EA", False, False),
        (ALLOWED, "AE", False, False),
        (ALLOWED, "AD", False, True),
        (ALLOWED, "AED", False, True),
        (ALLOWED, "DAD", False, True),
        (ALLOWED, "DADA", True, True),
        (DENIED, "AD", True, False),
        (DENIED, "AR", True, False),
        (DENIED, "DA", False, True),
        (DENIED, "DR", False, False),
        (None, "ADA", False, False),
    ],
)
def test_late_and_relapsed(expected, letters, late, again):
    assert is_late(expected, tries(letters)) is late
    assert relapsed(expected, tries(letters)) is again


def cell(number):
    return Cell("a/x", "a/y", Protocol.TCP, number, Family.IPV4)


@pytest.mark.parametrize(
    ("histories", "shaky"),
    [
        (("A", "DDD"), set()),
        (("A", "DA", "DDA"), set()),
        (("A", "DAD", "DA", "DD"), {1, 2}),
        (("AD", "A", "DA"), {0, 2}),
        (("ADAAA", "A"), {0}),
    ],
)
def test_one_relapse_makes_late_cells_unstable_too(histories, shaky):
    by_cell = {cell(number): tries(letters) for number, letters in enumerate(histories)}
    assert find_flapping(dict.fromkeys(by_cell, ALLOWED), by_cell).unstable == {cell(number) for number in shaky}


def test_the_relapse_of_a_cell_that_is_judged_anew_speaks_against_no_other():
    by_cell = {cell(number): tries(letters) for number, letters in enumerate(("ADA", "DA", "DAD"))}
    found = find_flapping(dict.fromkeys(by_cell, ALLOWED), by_cell)
    assert found.without([cell(0)]).unstable == {cell(1), cell(2)}
    assert found.without([cell(0), cell(2)]).unstable == set()
