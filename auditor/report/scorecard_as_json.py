"""The scorecard for programs: ``audit.scorecard/v1``, described by ``auditor/schemas/scorecard.schema.json``."""

from __future__ import annotations

from typing import Any, TextIO

import msgspec

from auditor import __version__
from auditor.model.diagnosis import Diagnosis
from auditor.model.report import CellResult
from auditor.model.scorecard import Convergence, FeatureScore, ScenarioScore, Scorecard
from auditor.model.standing import Comparison
from auditor.report.as_json import cause_fields, comparison_item
from auditor.report.documents import write_json_value

SCHEMA = "audit.scorecard/v1"


def render(card: Scorecard, stream: TextIO) -> None:
    """Write ``card`` to ``stream``."""
    document = {
        "schema": SCHEMA,
        "version": __version__,
        "run": card.run_id,
        **({"began": card.began} if card.began else {}),
        "subject": card.subject,
        "conclusion": card.score,
        "behaviour": card.behaviour,
        "summary": msgspec.to_builtins(card.summary),
        **({"diagnosis": _diagnosis(card.diagnosis)} if card.diagnosis is not None else {}),
        **(
            {"comparison": msgspec.to_builtins(comparison_item(card.comparison))} if card.comparison is not None else {}
        ),
        "features": list(map(_feature, card.features)),
        "scenarios": list(map(_scenario, card.scenarios)),
        "convergence": list(map(_convergence, card.convergence)),
        "facts": list(card.facts),
        "seconds": {name: round(seconds, 3) for name, seconds in card.seconds.items()},
        "attempts": card.attempts,
        **({"api": dict(card.api)} if card.api else {}),
        **({"versions": dict(card.versions)} if card.versions else {}),
    }
    write_json_value(document, stream)


def _comparison(comparison: Comparison | None) -> dict[str, Any]:
    return {} if comparison is None else {"comparison": msgspec.to_builtins(comparison_item(comparison))}


def _diagnosis(diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        **cause_fields(diagnosis),
        "contradictions": len(diagnosis.contradictions),
        "unexplained": len(diagnosis.unexplained),
    }


def _feature(feature: FeatureScore) -> dict[str, Any]:
    return {
        "feature": feature.feature,
        "title": feature.title,
        "score": feature.score,
        "scenarios": list(feature.scenarios),
        "summary": msgspec.to_builtins(feature.summary),
    }


def _scenario(scenario: ScenarioScore) -> dict[str, Any]:
    return {
        "scenario": scenario.name,
        "title": scenario.title,
        "score": scenario.score,
        **({"reason": scenario.reason} if scenario.reason else {}),
        "summary": msgspec.to_builtins(scenario.summary),
        "departures": list(map(_cell, scenario.departures)),
    }


def _cell(each: CellResult) -> dict[str, Any]:
    cell = each.cell
    return {
        "source": cell.source,
        "destination": cell.destination,
        "protocol": cell.protocol,
        "port": cell.port,
        "family": str(cell.family),
        "expected": each.expected,
        "observed": each.observation.verdict,
        "outcome": each.observation.outcome,
        "result": each.result,
    }


def _convergence(convergence: Convergence) -> dict[str, Any]:
    return {
        "change": convergence.change,
        "seconds": {name: round(seconds, 3) for name, seconds in convergence.seconds.items()},
        "late": list(convergence.late),
    }
