"""The shipped scenarios, prepared, and what a run under a dialect would see of them, by the tests' own evaluator."""

from __future__ import annotations

from functools import cache

from auditor.diagnosis.comparison import compare
from auditor.model.dialect import Dialect, Enforcement, Enforcer
from auditor.model.report import CellResult
from auditor.model.verdict import Observation, Observed, Verdict
from auditor.policy.evaluator import evaluate
from auditor.run.conformance.confining import prepare_confined
from auditor.run.conformance.prepared_scenarios import PreparedScenario, prepare_scenarios
from auditor.run.conformance.scenario_run import ScenarioOutcome, merged
from tests.lab import scenarios
from tests.oracle.evaluator import AmbiguousPrediction, verdict

SEEN = {Verdict.ALLOWED: Observed.ALLOWED, Verdict.DENIED: Observed.DROPPED}


@cache
def prepared_scenarios() -> tuple[PreparedScenario, ...]:
    return tuple(prepare_scenarios([scenarios.read(name) for name in scenarios.names()], "{name}."))


@cache
def confined_scenarios() -> tuple[PreparedScenario, ...]:
    """Those with policies of administrators, in run ``11111111``."""
    every = [scenarios.read(name) for name in scenarios.names()]
    chosen = [each for each in every if each.snapshot.admin_policies]
    return tuple(prepare_confined(chosen, "{name}.", "11111111", len(every)))


def outcome(dialect: Dialect, *chosen: PreparedScenario, seconds=None, open_seconds=None) -> ScenarioOutcome:
    """What a run over ``chosen`` would see under ``dialect`` everywhere."""
    snapshot = merged([prepared.snapshot for prepared in chosen])
    matrix = evaluate(snapshot)
    results = [_result(prepared, cell, matrix, dialect) for prepared in chosen for cell in prepared.truth]
    return ScenarioOutcome(snapshot, tuple(results), seconds or {}, open_seconds=open_seconds or {})


def _result(prepared, cell, matrix, dialect):
    expected, notes = matrix.verdict(*cell), matrix.notes(*cell)
    seen = Observation(SEEN[_judged(prepared, cell, dialect) or Verdict.ALLOWED], "")
    return CellResult(cell, expected, seen, compare(expected, notes, seen), notes)


def _judged(prepared, cell, dialect):
    ends = prepared.snapshot.endpoint(cell.source), prepared.snapshot.endpoint(cell.destination)
    enforcement = Enforcement(Enforcer(dialect))
    try:
        return verdict(
            prepared.snapshot, *ends, *cell[2:], enforcement=enforcement, previous_policies=prepared.previous_policies
        )
    except AmbiguousPrediction:
        return Verdict.ALLOWED
