"""From what courses saw to the scorecard: features, scenarios, convergence, and what the enforcer behaves like."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from auditor.diagnosis.search import diagnose
from auditor.model.policy import NetworkPolicy
from auditor.model.report import CellResult, Summary
from auditor.model.scenario import Scenario
from auditor.model.scorecard import Change, Convergence, FeatureScore, ScenarioScore, Scorecard
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell, Result
from auditor.run.conformance.behaviour import behaviour
from auditor.run.conformance.course import Outcome, merged
from auditor.run.conformance.features import cells_by_feature
from auditor.run.conformance.prepared_scenarios import Trial

FAULTS = (Result.LEAK, Result.OUTAGE, Result.UNSTABLE, Result.MISDELIVERED)
REFUSED = "its point is that its manifests are refused: there is nothing to run"


def score(trials: Sequence[Trial], outcomes: Sequence[Outcome], scenarios: Sequence[Scenario], *, subject: str) -> Scorecard:
    """The scorecard of all ``outcomes`` together. ``trials`` are those of ``scenarios`` that were run."""
    snapshot = merged([outcome.snapshot for outcome in outcomes])
    results = {result.cell: result for outcome in outcomes for result in outcome.results}
    seconds = {name: taken for outcome in outcomes for name, taken in outcome.seconds.items()}
    diagnosis = diagnose(snapshot, list(results.values()), _previous(trials, snapshot))
    return Scorecard(
        subject=subject,
        run_id=secrets.token_hex(4),
        behaviour=behaviour(list(results.values()), diagnosis),
        features=_features(snapshot, trials, results),
        scenarios=_scenarios(scenarios, trials, results),
        convergence=_convergence(trials, seconds),
        summary=Summary.of(tuple(results.values())),
        diagnosis=diagnosis,
        facts=tuple(dict.fromkeys(fact for outcome in outcomes for fact in outcome.facts)) if len(outcomes) == 1 else (),
        attempts=sum(outcome.attempts for outcome in outcomes),
    )


def _previous(trials: Iterable[Trial], snapshot: Snapshot) -> list[NetworkPolicy]:
    """The policies of before the changes, all trials together: what a stale enforcer still has."""
    changed = [trial for trial in trials if trial.previous_policies is not None]
    gone = {namespace for trial in changed for namespace in trial.snapshot.namespaces}
    kept = [policy for policy in snapshot.policies if policy.namespace not in gone]
    return kept + [policy for trial in changed for policy in trial.previous_policies or ()]


def _features(snapshot: Snapshot, trials: Sequence[Trial], results: Mapping[Cell, CellResult]) -> tuple[FeatureScore, ...]:
    scenario_of = {cell: trial.scenario.name for trial in trials for cell in trial.truth}
    return tuple(
        FeatureScore(
            feature=feature.name,
            title=feature.title,
            scenarios=tuple(dict.fromkeys(scenario_of[cell] for cell in cells)),
            summary=Summary.of(tuple(results[cell] for cell in cells)),
        )
        for feature, cells in cells_by_feature(snapshot, list(results), trials).items()
    )


def _scenarios(scenarios: Sequence[Scenario], trials: Sequence[Trial], results: Mapping[Cell, CellResult]) -> tuple[ScenarioScore, ...]:
    trial_of = {trial.scenario.name: trial for trial in trials}
    found = []
    for scenario in scenarios:
        trial = trial_of.get(scenario.name)
        found.append(
            ScenarioScore(scenario.name, scenario.title, Summary.of(()), REFUSED)
            if trial is None
            else _scenario(trial, [results[cell] for cell in trial.truth])
        )
    return tuple(found)


def _scenario(trial: Trial, results: Sequence[CellResult]) -> ScenarioScore:
    summary = Summary.of(tuple(results))
    unseen = Result.INCONCLUSIVE if summary.inconclusive else Result.SKIPPED
    reasons = Counter(result.observation.outcome for result in results if result.result is unseen)
    return ScenarioScore(
        name=trial.scenario.name,
        title=trial.scenario.title,
        summary=summary,
        reason=reasons.most_common(1)[0][0] if summary.inconclusive or summary.skipped == summary.cells else "",
        departures=tuple(replace(result, cell=trial.names.original(result.cell)) for result in results if result.result in FAULTS),
    )


def _convergence(trials: Sequence[Trial], seconds: Mapping[str, float | None]) -> tuple[Convergence, ...]:
    found = []
    for change in Change:
        names = [trial.scenario.name for trial in trials if trial.step is not None and trial.step.change is change]
        taken = {name: seconds[name] for name in names if name in seconds}
        if taken:
            in_time = {name: each for name, each in taken.items() if each is not None}
            found.append(Convergence(change, in_time, tuple(name for name, each in taken.items() if each is None)))
    return tuple(found)
