"""The shipped scenarios as trials, and what a course under a dialect would see of them, by the tests' own evaluator."""

from __future__ import annotations

from functools import cache

from auditor.diagnosis.comparison import compare
from auditor.model.dialect import Dialect, Enforcement, Enforcer
from auditor.model.report import CellResult
from auditor.model.verdict import Observation, Observed, Verdict
from auditor.policy.evaluator import evaluate
from auditor.run.conformance.course import Outcome, merged
from auditor.run.conformance.prepared_scenarios import Trial, make_trials
from tests.lab import scenarios
from tests.oracle.evaluator import AmbiguousPrediction, verdict

SEEN = {Verdict.ALLOWED: Observed.ALLOWED, Verdict.DENIED: Observed.DROPPED}


@cache
def trials() -> tuple[Trial, ...]:
    return tuple(make_trials([scenarios.read(name) for name in scenarios.names()], "{name}."))


def outcome(dialect: Dialect, *chosen: Trial, seconds=None) -> Outcome:
    """What a course over ``chosen`` would see under ``dialect`` everywhere."""
    snapshot = merged([trial.snapshot for trial in chosen])
    matrix = evaluate(snapshot)
    results = [_result(trial, cell, matrix, dialect) for trial in chosen for cell in trial.truth]
    return Outcome(snapshot, tuple(results), seconds or {})


def _result(trial, cell, matrix, dialect):
    expected, notes = matrix.verdict(*cell), matrix.notes(*cell)
    seen = Observation(SEEN[_judged(trial, cell, dialect) or Verdict.ALLOWED], "")
    return CellResult(cell, expected, seen, compare(expected, notes, seen), notes)


def _judged(trial, cell, dialect):
    ends = trial.snapshot.endpoint(cell.source), trial.snapshot.endpoint(cell.destination)
    enforcement = Enforcement(Enforcer(dialect))
    try:
        return verdict(trial.snapshot, *ends, *cell[2:], enforcement=enforcement, previous_policies=trial.previous_policies)
    except AmbiguousPrediction:
        return Verdict.ALLOWED
