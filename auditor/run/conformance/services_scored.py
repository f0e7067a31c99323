"""What came through Services in a run of conformance, as a feature and as connections of the scenarios."""

from __future__ import annotations

from collections.abc import Iterable

from auditor.model.report import CellResult, Summary
from auditor.model.scorecard import FeatureScore, ScenarioConnection
from auditor.model.service_seen import ServiceResult, Way
from auditor.run.conformance.features import THROUGH_SERVICES
from auditor.run.conformance.prepared_scenarios import PreparedScenario
from auditor.run.conformance.scenario_run import ScenarioOutcome


def connections_through(
    outcomes: Iterable[ScenarioOutcome], prepared_scenarios: Iterable[PreparedScenario]
) -> list[ScenarioConnection]:
    """Those that were tried through Services, by the scenarios' own names, with the way in the place of the backend's
    name alone.
    """
    of = {cell: prepared for prepared in prepared_scenarios for cell in prepared.truth}
    return [
        ScenarioConnection(prepared.scenario.name, _as_cell(each, prepared, outcome), (THROUGH_SERVICES.name,))
        for outcome in outcomes
        if outcome.through is not None
        for each in outcome.through.results
        if not each.as_without and (prepared := of.get(each.cell.direct)) is not None
    ]


def _as_cell(each: ServiceResult, prepared: PreparedScenario, outcome: ScenarioOutcome) -> CellResult:
    cell = each.cell
    at = outcome.snapshot.endpoint(cell.backend).node
    where = "" if not cell.at else " of its own node" if cell.at == at else " of another node"
    way = "a NodePort" if cell.way is Way.NODE_PORT else f"a {cell.way}"
    original = prepared.names.original(cell.direct)
    named = original._replace(destination=f"{original.destination} by {way}{where}")
    return CellResult(named, each.expected, each.observation, each.result)


def feature_through(connections: Iterable[ScenarioConnection]) -> tuple[FeatureScore, ...]:
    """The feature; nothing where nothing was tried."""
    several = list(connections)
    if not several:
        return ()
    scenarios = tuple(dict.fromkeys(each.scenario for each in several))
    summary = Summary.of(tuple(each.result for each in several))
    return (FeatureScore(THROUGH_SERVICES.name, THROUGH_SERVICES.title, scenarios, summary),)


def said_of_services(outcomes: Iterable[ScenarioOutcome]) -> str:
    """What goes wrong there, as the end of a sentence; empty where nothing does."""
    seen = (outcome.through for outcome in outcomes)
    titles = dict.fromkeys(each.diagnosis.title for each in seen if each is not None and each.diagnosis is not None)
    return "".join(f"; {title}" for title in titles)
