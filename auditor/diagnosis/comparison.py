"""Expectation against observation, cell by cell."""

from __future__ import annotations

from collections.abc import Collection

from auditor.model.verdict import Note, Observation, Observed, Result, Verdict

NO_VERDICT = {Observed.SKIPPED: Result.SKIPPED, Observed.INCONCLUSIVE: Result.INCONCLUSIVE}


def compare(expected: Verdict, notes: Collection[Note], observation: Observation, *, unstable: bool = False) -> Result:
    """How ``observation`` compares with ``expected``.

    What could not be observed is said first; where the specification defines nothing, nothing counts as a fault; an
    answer that changed is ``unstable`` whatever it was last.
    """
    if observation.verdict in NO_VERDICT:
        return NO_VERDICT[observation.verdict]
    if Note.UNDEFINED in notes:
        return Result.UNDEFINED
    if unstable:
        return Result.UNSTABLE
    if observation.verdict is Observed.MISDELIVERED:
        return Result.MISDELIVERED
    return _of_verdicts(expected, notes, allowed=observation.verdict is Observed.ALLOWED)


def _of_verdicts(expected: Verdict, notes: Collection[Note], *, allowed: bool) -> Result:
    if allowed == (expected is Verdict.ALLOWED):
        return Result.MATCH
    if allowed:
        return Result.LEAK
    return Result.CNI_DEPENDENT if Note.CNI_DEPENDENT in notes else Result.OUTAGE
