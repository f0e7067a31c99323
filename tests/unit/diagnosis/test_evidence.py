"""What speaks against a hypothesis, at the bounds."""

from types import SimpleNamespace

import pytest

from auditor.diagnosis.evidence import Evidence, Fit
from auditor.diagnosis.predictors import Prediction
from auditor.model.diagnosis import Fault
from auditor.model.dialect import Dialect

LATE, LOSSY = Dialect.SLOW, Dialect.FLAKY


@pytest.mark.parametrize(
    ("dialect", "differing", "changing", "against", "unlikely"),
    [
        (LOSSY, 0b1100, 0b1100, 0, 0),  # two closed and two seen to change: as many may be chance
        (LOSSY, 0b1000, 0b1000, 0b0111, 0),  # three closed
        (LOSSY, 0, 0, 0b1111, 0),
        (LATE, 0b1100, 0, 0b0011, 0),  # as many closed as open to the end: it would have closed all
        (LATE, 0b1000, 0, 0, 0b1000),
        (LATE, 0b1100, 0b1000, 0, 0b0100),
    ],
)
def test_what_chance_would_have_to_close(dialect, differing, changing, against, unlikely):
    evidence = Evidence.__new__(Evidence)
    evidence.predictor = SimpleNamespace(specification=0)
    evidence.differing, evidence.changing = differing, changing
    said = evidence._against_chance((Fault(dialect),), Prediction(allowed=0b1111, varying=0b1111))
    assert said == (against, unlikely)


def fit(*dialects, explained=0, contradictions=0, unexplained=0, changing=0, varying=0):
    """A fit of so many cells, numbered one after the other but for those that change, which are the first explained."""
    bits = [(1 << number) - 1 for number in (explained, contradictions, unexplained, changing, varying)]
    apart = bits[1] << explained, bits[2] << explained + contradictions
    return Fit(
        faults=tuple(Fault(dialect) for dialect in dialects),
        prediction=Prediction(allowed=0, varying=bits[4]),
        explained=bits[0],
        contradictions=apart[0],
        unexplained=apart[1],
        changing=bits[3],
        surprise=0.0,
        price=0.0,
    )


@pytest.mark.parametrize(
    ("numbers", "credible"),
    [
        ({"explained": 1}, True),
        ({}, False),
        ({"explained": 20, "contradictions": 1}, True),
        ({"explained": 19, "contradictions": 1}, False),
        ({"explained": 20, "unexplained": 1}, True),
        ({"explained": 19, "unexplained": 1}, False),
        ({"explained": 40, "contradictions": 2, "unexplained": 2}, True),
    ],
)
def test_one_fault_explains_nearly_all(numbers, credible):
    assert fit(LOSSY, **numbers).is_credible is credible


@pytest.mark.parametrize(
    ("numbers", "credible"),
    [
        ({"explained": 40}, True),
        ({"explained": 400, "contradictions": 1}, False),
        ({"explained": 400, "unexplained": 1}, False),
        ({"explained": 40, "changing": 2, "varying": 40}, True),
        ({"explained": 40, "changing": 2, "varying": 41}, False),
        ({"explained": 40, "varying": 41}, True),
    ],
)
def test_two_faults_explain_all_and_more_than_a_few_that_change(numbers, credible):
    assert fit(LATE, LOSSY, **numbers).is_credible is credible
