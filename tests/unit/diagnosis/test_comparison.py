from __future__ import annotations

import pytest

from auditor.diagnosis.comparison import compare
from auditor.model.verdict import Note, Observation, Observed, Result, Verdict

A, D = Verdict.ALLOWED, Verdict.DENIED
SEEN = Observed


@pytest.mark.parametrize(
    ("expected", "observed", "notes", "unstable", "result"),
    [
        (A, SEEN.ALLOWED, (), False, Result.MATCH),
        (D, SEEN.DROPPED, (), False, Result.MATCH),
        (D, SEEN.REFUSED, (), False, Result.MATCH),
        (D, SEEN.ALLOWED, (), False, Result.LEAK),
        (A, SEEN.DROPPED, (), False, Result.OUTAGE),
        (A, SEEN.REFUSED, (), False, Result.OUTAGE),
        (A, SEEN.MISDELIVERED, (), False, Result.MISDELIVERED),
        (D, SEEN.MISDELIVERED, (), False, Result.MISDELIVERED),
        (A, SEEN.DROPPED, (), True, Result.UNSTABLE),
        (A, SEEN.ALLOWED, (), True, Result.UNSTABLE),
        (A, SEEN.DROPPED, (Note.CNI_DEPENDENT,), False, Result.CNI_DEPENDENT),
        (A, SEEN.ALLOWED, (Note.CNI_DEPENDENT,), False, Result.MATCH),
        (A, SEEN.DROPPED, (Note.UNDEFINED,), False, Result.UNDEFINED),
        (D, SEEN.ALLOWED, (Note.UNDEFINED,), True, Result.UNDEFINED),
        (A, SEEN.INCONCLUSIVE, (), False, Result.INCONCLUSIVE),
        (D, SEEN.INCONCLUSIVE, (), True, Result.INCONCLUSIVE),
        (D, SEEN.INCONCLUSIVE, (Note.UNDEFINED,), False, Result.INCONCLUSIVE),
        (D, SEEN.SKIPPED, (), False, Result.SKIPPED),
    ],
)
def test_how_an_observation_compares(expected, observed, notes, unstable, result):
    assert compare(expected, notes, Observation(observed, ""), unstable=unstable) is result
