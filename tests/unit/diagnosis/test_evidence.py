"""What of the cells that chance closes speaks against a hypothesis."""

from types import SimpleNamespace

import pytest

from auditor.diagnosis.evidence import Evidence
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
