"""The report for programs: ``audit.report/v1``, described by ``auditor/schemas/report.schema.json``.

One item per line in each list, so that the document stays readable with line tools and two of them can be compared with
``diff``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

import msgspec

from auditor import __version__
from auditor.history.identity import finding_id, stable_reason, workloads_of
from auditor.model.diagnosis import Alternative, Diagnosis, Fault, Unexercised
from auditor.model.draw import Draw
from auditor.model.lint import Place
from auditor.model.noticing import Noticing
from auditor.model.report import CellResult, Finding, Report, UntestedPolicy
from auditor.model.snapshot import Endpoint
from auditor.model.standing import Comparison, Departed, Standing
from auditor.model.verdict import Cell
from auditor.report.cause import pods_on_named_nodes
from auditor.report.conclusion import conclude
from auditor.report.documents import write_json
from auditor.report.intent_as_json import finding_item
from auditor.report.lint_as_json import place_item
from auditor.report.lookups import lookups_item
from auditor.report.reached import reached_item
from auditor.report.services import connection_item, services_item

SCHEMA = "audit.report/v1"
ITEMS_PER_WRITE = 1000


def render(report: Report, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    write_json(_document(report), stream)


def _document(report: Report) -> Iterator[str]:
    lists: dict[str, Iterable[Any]] = {
        "findings": map(_finding, report.findings),
        "cells": map(_cell, report.cells),
        "endpoints": map(_endpoint, report.endpoints),
        "facts": report.facts,
        "untested": map(_untested, report.policies.untested),
        "deciding_nothing": (
            {"policy": name, "direction": each.lower()} for name, each in report.policies.deciding_nothing
        ),
        "unexercised": map(_unexercised, report.unexercised),
        "lint": map(msgspec.to_builtins, report.lint),
        "intent": map(finding_item, report.intent),
        **({} if report.services is None else {"service_cells": map(connection_item, report.services.results)}),
    }
    separator = "{\n"
    for key, value in _head(report).items():
        yield f'{separator}"{key}": {_encode(value)}'
        separator = ",\n"
    for key, items in lists.items():
        yield f'{separator}"{key}": ['
        yield from _pieces(items)
        yield "]"
    yield "\n}\n"


def _pieces(items: Iterable[Any]) -> Iterator[str]:
    separator = "\n"
    lines: list[str] = []
    for item in items:
        lines.append(separator + _encode(item))
        separator = ",\n"
        if len(lines) == ITEMS_PER_WRITE:
            yield "".join(lines)
            lines.clear()
    yield "".join(lines)


_encoder = msgspec.json.Encoder()


def _encode(value: object) -> str:
    try:
        return _encoder.encode(value).decode()
    except UnicodeEncodeError:  # half of a surrogate pair, as in the name of a file that is not UTF-8
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))


def _head(report: Report) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "version": __version__,
        "run": report.run_id,
        **({"began": report.began} if report.began else {}),
        "subject": report.subject,
        "conclusion": conclude(report),
        "summary": _summary(report),
        "min_coverage": report.min_coverage,
        "attempts": report.attempts,
        "seconds": {name: round(duration, 3) for name, duration in report.seconds.items()},
        **({"api": report.api} if report.api else {}),
        **({"surroundings": report.surroundings} if report.surroundings is not None else {}),
        **({"comparison": comparison_item(report.comparison)} if report.comparison is not None else {}),
        **({"noticing": _noticing(report.noticing)} if report.noticing is not None else {}),
        **({"draw": _draw(report.draw)} if report.draw is not None else {}),
        **({"services": services_item(report.services)} if report.services is not None else {}),
        **({"dns": lookups_item(report.dns)} if report.dns is not None else {}),
        **({"reached": reached_item(report.reached)} if report.reached is not None else {}),
        **({"diagnosis": _diagnosis(report)} if report.diagnosis is not None else {}),
    }


def _summary(report: Report) -> dict[str, Any]:
    summary, policies = report.summary, report.policies
    return {
        **msgspec.to_builtins(summary),
        "coverage": round(summary.coverage, 6),
        "policies": policies.in_scope,
        "policies_tested": policies.tested,
        "policies_accepted": len(policies.accepted),
        "policies_without_pods": policies.without_pods,
        "parts_unexercised": len(report.unexercised),
    }


def _draw(draw: Draw) -> dict[str, int]:
    return {
        "seed": draw.seed,
        "of": draw.of,
        "places": len(draw.places),
        "tried": len(draw.tried),
        "runs": draw.runs,
    }


def _noticing(noticing: Noticing) -> dict[str, Any]:
    return {**msgspec.to_builtins(noticing), "share": round(noticing.share, 6)}


def cause_fields(diagnosis: Diagnosis) -> dict[str, Any]:
    """What every document with a diagnosis says of it, as the schemas have it."""
    return {
        "title": diagnosis.title,
        "advice": diagnosis.advice,
        "faults": list(map(_fault, diagnosis.faults)),
        "alternatives": list(map(_alternative, diagnosis.alternatives)),
        "certain": diagnosis.certain,
        "explained": len(diagnosis.explained),
    }


def _diagnosis(report: Report) -> dict[str, Any]:
    diagnosis = report.diagnosis
    assert diagnosis is not None  # noqa: S101 - asked for where there is one
    pods = pods_on_named_nodes(report)
    return {
        **cause_fields(diagnosis),
        "contradictions": list(map(_place, diagnosis.contradictions)),
        "unexplained": list(map(_place, diagnosis.unexplained)),
        "discriminating": list(map(_place, diagnosis.discriminating)),
        **({"pods": pods} if pods else {}),
    }


def _alternative(alternative: Alternative) -> dict[str, Any]:
    return {"title": alternative.title, "faults": list(map(_fault, alternative.faults))}


def _fault(fault: Fault) -> dict[str, Any]:
    entry: dict[str, Any] = {"dialect": fault.dialect, "scope": fault.scope.kind}
    if fault.scope.name:
        entry["name"] = fault.scope.name
    return entry


def comparison_item(comparison: Comparison) -> dict[str, Any]:
    """How findings stand against earlier runs, as the schemas have it."""
    return {
        "against": comparison.against,
        "fail_on": comparison.fail_on,
        "failing": len(comparison.failing),
        "findings": list(map(_standing, comparison.standings)),
        "departed": list(map(_departed, comparison.departed)),
        "changes": comparison.changes,
        "expired_suppressions": comparison.expired,
        "unused_suppressions": comparison.unused,
    }


def _standing(each: Standing) -> dict[str, Any]:
    return {
        "id": each.id,
        "kind": each.kind,
        "title": each.title,
        "age": each.age,
        "connections": dict(each.connections),
        "evidence": each.evidence,
        "since": each.since,
        "nights": each.nights,
        "examples": each.examples,
        "suppressions": each.accepted,
        "changes": each.changes,
    }


def _departed(each: Departed) -> dict[str, Any]:
    return {
        "id": each.id,
        "kind": each.kind,
        "title": each.title,
        "age": each.age,
        "began": each.began,
        "reasons": each.reasons,
        "changes": each.changes,
    }


def _untested(each: UntestedPolicy) -> dict[str, Any]:
    return {
        "policy": each.policy,
        "direction": each.direction.lower(),
        "connections": each.connections,
        "reasons": each.reasons,
        "accepted": each.accepted,
    }


def _unexercised(part: Unexercised) -> dict[str, Any]:
    return {"policy": part.policy, "place": part.place, "part": part.what, "reason": part.reason}


def _place(cell: Cell) -> dict[str, Any]:
    return {
        "source": cell.source,
        "destination": cell.destination,
        "protocol": cell.protocol,
        "port": cell.port,
        "family": str(cell.family),
    }


def _cell(each: CellResult) -> dict[str, Any]:
    cell, seen = each.cell, each.observation
    entry: dict[str, Any] = {
        **_place(cell),
        "expected": each.expected,
        "observed": seen.verdict,
        "outcome": seen.outcome,
        "attempts": seen.attempts,
        "result": each.result,
        "notes": each.notes,
    }
    if len(set(seen.history)) > 1:
        entry["history"] = seen.history
    if seen.milliseconds is not None:
        entry["milliseconds"] = round(seen.milliseconds, 3)
    return entry


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding_id(finding.kind, stable_reason(finding.expected_by)),
        "kind": finding.kind,
        "title": finding.title,
        "expected_by": finding.expected_by,
        "reproduce": finding.reproduce,
        "advice": finding.advice,
        **({"filters": {each.lower(): names for each, names in finding.filters.items()}} if finding.filters else {}),
        **({"places": [place_item(place) for place in places]} if (places := _in_files(finding)) else {}),
        "cells": [_cell(each) for each in finding.cells],
    }


def _in_files(finding: Finding) -> list[Place]:
    return [place for place in finding.places if place.line]


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": endpoint.name,
        "kind": endpoint.kind,
        "addresses": [str(address) for address in endpoint.addresses],
    }
    if endpoint.node:
        entry["node"] = endpoint.node
    if endpoint.workload:
        entry["workload"] = endpoint.workload
    entry["stands_for"] = workloads_of(endpoint)
    if endpoint.host_network:
        entry["host_network"] = True
    return entry
