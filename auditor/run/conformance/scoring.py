"""From what courses saw to the scorecard: features, scenarios, convergence, and what the enforcer behaves like, in one
sentence in the words of the list of dialects.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from auditor.diagnosis.evidence import is_telling
from auditor.diagnosis.search import diagnose
from auditor.diagnosis.sentences import PLACES
from auditor.model.diagnosis import Diagnosis, Fault, Hypothesis, ScopeKind
from auditor.model.dialect import Dialect
from auditor.model.policy import NetworkPolicy
from auditor.model.report import CellResult, Summary
from auditor.model.scenario import Scenario
from auditor.model.scorecard import (
    ChangeKind,
    Convergence,
    FeatureScore,
    ScenarioConnection,
    ScenarioScore,
    Scorecard,
)
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell, Observed, Result, Verdict
from auditor.model.words import pluralize
from auditor.run.conformance.features import ISOLATED_START, REUSED_PODS, Feature, cells_by_feature
from auditor.run.conformance.prepared_scenarios import PreparedScenario
from auditor.run.conformance.scenario_run import ScenarioOutcome, merged
from auditor.run.conformance.services_scored import connections_through, feature_through, said_of_services

FAULTS = (Result.LEAK, Result.OUTAGE, Result.UNSTABLE, Result.MISDELIVERED)
OF_ONE_SCENARIO = frozenset({ScopeKind.NAMESPACE, ScopeKind.POLICY, ScopeKind.POD, ScopeKind.PEER})
"""Scopes that lie within one scenario here: they would say which scenario differs, and not how."""
REFUSED = "its point is that its manifests are refused: there is nothing to run"


def score(
    prepared_scenarios: Sequence[PreparedScenario],
    outcomes: Sequence[ScenarioOutcome],
    scenarios: Sequence[Scenario],
    *,
    subject: str,
) -> Scorecard:
    """The scorecard of all ``outcomes`` together. ``prepared_scenarios`` are those of ``scenarios`` that were run."""
    snapshot = merged([outcome.snapshot for outcome in outcomes])
    results = {result.cell: result for outcome in outcomes for result in outcome.results}
    late = {cell: each for outcome in outcomes for cell, each in outcome.open_seconds.items()}
    seconds = {name: taken for outcome in outcomes for name, taken in outcome.seconds.items()}
    previous = _previous(prepared_scenarios, snapshot)
    diagnosis = diagnose(snapshot, list(results.values()), previous, without=OF_ONE_SCENARIO)
    reused = _reused(outcomes, results)
    shown = cells_by_feature(snapshot, list(results), prepared_scenarios)
    through = connections_through(outcomes, prepared_scenarios)
    if reused:
        shown[REUSED_PODS] = tuple(reused)
    return Scorecard(
        subject=subject,
        run_id=secrets.token_hex(4),
        behaviour=behaviour(list(results.values()), diagnosis)
        + _at_start(late)
        + _on_reused(reused)
        + said_of_services(outcomes),
        features=(
            *_features(
                shown, prepared_scenarios, results, {ISOLATED_START: _late_results(results, late), REUSED_PODS: reused}
            ),
            *feature_through(through),
        ),
        scenarios=_scenarios(scenarios, prepared_scenarios, results),
        convergence=_convergence(prepared_scenarios, seconds),
        summary=Summary.of(tuple(results.values())),
        diagnosis=diagnosis,
        facts=tuple(dict.fromkeys(fact for outcome in outcomes for fact in outcome.facts))
        if len(outcomes) == 1
        else (),
        attempts=sum(outcome.attempts for outcome in outcomes),
        connections=(*_connections(shown, prepared_scenarios, results), *through),
    )


def _previous(prepared_scenarios: Iterable[PreparedScenario], snapshot: Snapshot) -> list[NetworkPolicy]:
    """The policies of before the changes, all scenarios together: what a stale enforcer still has."""
    changed = [prepared for prepared in prepared_scenarios if prepared.previous_policies is not None]
    gone = {namespace for prepared in changed for namespace in prepared.snapshot.namespaces}
    kept = [policy for policy in snapshot.policies if policy.namespace not in gone]
    return kept + [policy for prepared in changed for policy in prepared.previous_policies or ()]


def _features(
    shown: Mapping[Feature, Collection[Cell]],
    prepared_scenarios: Sequence[PreparedScenario],
    results: Mapping[Cell, CellResult],
    otherwise: Mapping[Feature, Mapping[Cell, CellResult]],
) -> tuple[FeatureScore, ...]:
    """``otherwise``: the features for which what was seen in the end is not what counts, and what does."""
    scenario_of = {cell: prepared.scenario.name for prepared in prepared_scenarios for cell in prepared.truth}
    return tuple(
        FeatureScore(
            feature=feature.name,
            title=feature.title,
            scenarios=tuple(dict.fromkeys(scenario_of[cell] for cell in cells)),
            summary=Summary.of(tuple(otherwise.get(feature, results)[cell] for cell in cells)),
        )
        for feature, cells in shown.items()
    )


def _late_results(results: Mapping[Cell, CellResult], late: Mapping[Cell, float]) -> dict[Cell, CellResult]:
    """``results`` where connections of new pods that were closed too ``late``, after so many seconds, are faults."""
    return {**results, **{cell: _closed_late(results[cell], late[cell]) for cell in late if cell in results}}


def _reused(outcomes: Iterable[ScenarioOutcome], results: Mapping[Cell, CellResult]) -> dict[Cell, CellResult]:
    """What was seen on pods that had been those of other scenarios, unless new ones are no better."""
    seen = {cell: each for outcome in outcomes for cell, each in outcome.reused.items()}
    return {
        cell: each
        for cell, each in seen.items()
        if each.result is Result.MATCH or (each.result in FAULTS and results[cell].result is Result.MATCH)
    }


def _on_reused(reused: Mapping[Cell, CellResult]) -> str:
    wrong = sum(each.result in FAULTS for each in reused.values())
    return (
        f"; {pluralize(wrong, 'connection')} departed on pods that had been under other policies, and not on new ones"
        if wrong
        else ""
    )


def _at_start(late: Mapping[Cell, float]) -> str:
    return f"; new pods are open for up to {max(late.values()):.1f} s" if late else ""


def _closed_late(result: CellResult, seconds: float) -> CellResult:
    """``result`` of a connection that is closed by now, and was not for so long; unless it is a fault as it is."""
    if result.result is not Result.MATCH:
        return result
    return replace(result, observation=result.observation.closed_after(seconds), result=Result.UNSTABLE)


def _connections(
    shown: Mapping[Feature, Collection[Cell]],
    prepared_scenarios: Iterable[PreparedScenario],
    results: Mapping[Cell, CellResult],
) -> Iterator[ScenarioConnection]:
    features: dict[Cell, list[str]] = {}
    for feature, cells in shown.items():
        for cell in cells:
            features.setdefault(cell, []).append(feature.name)
    for prepared in prepared_scenarios:
        for cell in prepared.truth:
            seen = replace(results[cell], cell=prepared.names.original(cell))
            yield ScenarioConnection(prepared.scenario.name, seen, tuple(features.get(cell, ())))


def _scenarios(
    scenarios: Sequence[Scenario], prepared_scenarios: Sequence[PreparedScenario], results: Mapping[Cell, CellResult]
) -> tuple[ScenarioScore, ...]:
    prepared_of = {prepared.scenario.name: prepared for prepared in prepared_scenarios}
    found = []
    for scenario in scenarios:
        prepared = prepared_of.get(scenario.name)
        found.append(
            ScenarioScore(scenario.name, scenario.title, Summary.of(()), REFUSED)
            if prepared is None
            else _scenario(prepared, [results[cell] for cell in prepared.truth])
        )
    return tuple(found)


def _scenario(prepared: PreparedScenario, results: Sequence[CellResult]) -> ScenarioScore:
    summary = Summary.of(tuple(results))
    unseen = Result.INCONCLUSIVE if summary.inconclusive else Result.SKIPPED
    reasons = Counter(result.observation.outcome for result in results if result.result is unseen)
    return ScenarioScore(
        name=prepared.scenario.name,
        title=prepared.scenario.title,
        summary=summary,
        reason=reasons.most_common(1)[0][0] if summary.inconclusive or summary.skipped == summary.cells else "",
        departures=tuple(
            replace(result, cell=prepared.names.original(result.cell)) for result in results if result.result in FAULTS
        ),
    )


def _convergence(
    prepared_scenarios: Sequence[PreparedScenario], seconds: Mapping[str, float | None]
) -> tuple[Convergence, ...]:
    found = []
    for change in ChangeKind:
        names = [
            prepared.scenario.name
            for prepared in prepared_scenarios
            if prepared.step is not None and prepared.step.change is change
        ]
        taken = {name: seconds[name] for name in names if name in seconds}
        if taken:
            in_time = {name: each for name, each in taken.items() if each is not None}
            found.append(Convergence(change, in_time, tuple(name for name, each in taken.items() if each is None)))
    return tuple(found)


MOST_ALTERNATIVES = 2


def behaviour(results: Sequence[CellResult], diagnosis: Diagnosis | None) -> str:
    """The sentence: ``this CNI behaves like: spec except ignores-end-port``; with what was not seen of it, as it may
    lie there.
    """
    telling = [result for result in results if is_telling(result)]
    if not telling and diagnosis is None:
        return "nothing was observed of this CNI"
    unseen = sum(result.result is Result.INCONCLUSIVE for result in results)
    doubt = (
        f"; {unseen:,} of {pluralize(unseen + len(telling), 'connection')} {'is' if unseen == 1 else 'are'} "
        "inconclusive"
        if unseen
        else ""
    )
    return f"this CNI behaves like: {_likeness(telling, diagnosis)}{doubt}"


def _likeness(telling: Sequence[CellResult], diagnosis: Diagnosis | None) -> str:
    if diagnosis is None:
        if all(result.expected is Verdict.ALLOWED for result in telling):
            return f"{Dialect.SPEC} (or {Dialect.ENFORCES_NOTHING}: no connection that should be denied was observed)"
        seen = {result.observation.verdict for result in telling}
        rejects = Observed.REFUSED in seen and Observed.DROPPED not in seen
        return f"{Dialect.REJECTS} (spec; what it denies, it answers)" if rejects else str(Dialect.SPEC)
    if not diagnosis.faults:
        return f"nothing that is known ({diagnosis.title})"
    text = _in_dialects(diagnosis.faults)
    if diagnosis.alternatives:
        others = [_in_dialects(alternative.faults) for alternative in diagnosis.alternatives]
        more = len(others) - MOST_ALTERNATIVES
        text += (
            f" (or {', or '.join(others[:MOST_ALTERNATIVES])}{f', or {more} more' if more > 0 else ''}: no connection "
            "tells them apart)"
        )
    if diagnosis.unexplained:
        text += f"; that leaves {pluralize(len(diagnosis.unexplained), 'difference')} unexplained"
    return text


def _in_dialects(faults: Hypothesis) -> str:
    if faults == (Fault(Dialect.ENFORCES_NOTHING),):
        return str(Dialect.ENFORCES_NOTHING)
    kind = "except" if any(fault.is_fault for fault in faults) else "with"
    return f"{Dialect.SPEC} {kind} {' and '.join(map(_in_dialect, faults))}"


def _in_dialect(fault: Fault) -> str:
    if fault.scope.kind is ScopeKind.CLUSTER:
        return str(fault.dialect)
    return str(fault.dialect) + PLACES[fault.scope.kind].format(fault.scope.name)
