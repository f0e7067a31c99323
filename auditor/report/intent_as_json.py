"""The findings of an intent for programs: ``audit.intent-report/v1``, described by
``auditor/schemas/intent-report.schema.json``.
"""

from __future__ import annotations

from typing import Any, TextIO

from auditor.model.intent import CellGroup, IntentFinding, IntentReport, IntentRule, ProposedChange, UncheckedOutside
from auditor.report.documents import write_json_value
from auditor.report.skipped import left_out_json

SCHEMA = "audit.intent-report/v1"
MOST_EXAMPLES = 10


def render(report: IntentReport, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    document = {
        "schema": SCHEMA,
        "intent": report.intent,
        "subject": report.subject,
        "rules": report.rules,
        "policies": report.policies,
        "conclusion": report.conclusion,
        "findings": [finding_item(finding) for finding in report.findings],
        "unknown_policies": list(report.unknown),
        **left_out_json(report.left_out),
        **({"doubts": list(report.doubts)} if report.doubts else {}),
        **({"not_checked": [_unchecked(each) for each in report.not_checked]} if report.not_checked else {}),
    }
    write_json_value(document, stream)


def finding_item(finding: IntentFinding) -> dict[str, Any]:
    """One finding, as the schema has it."""
    rule, example = finding.rule, finding.example
    return {
        "kind": finding.kind,
        "rule": _rule(rule),
        "title": finding.title,
        "pairs": finding.pairs,
        "cells": [_group(group) for group in finding.groups],
        "example": None if example is None else {**example._asdict(), "family": str(example.family)},
        "because": list(finding.because),
        "change": None if finding.change is None else _change(finding.change),
        "changes_tried": finding.tried,
        "decided_before": list(finding.decided_before),
        "also_closes": None
        if finding.closes is None
        else {
            "title": finding.closes.title,
            "pairs": finding.closes.pairs,
            "examples": list(finding.closes.examples),
        },
    }


def _rule(rule: IntentRule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "verdict": rule.verdict,
        "closing": rule.closing,
        "file": rule.file,
        "line": rule.line,
    }


def _unchecked(unchecked: UncheckedOutside) -> dict[str, Any]:
    examples = [
        {"source": source, "destination": destination} for source, destination in unchecked.pairs[:MOST_EXAMPLES]
    ]
    return {"rule": _rule(unchecked.rule), "pairs": len(unchecked.pairs), "examples": examples}


def _group(group: CellGroup) -> dict[str, Any]:
    ports = [{"protocol": port.protocol, "port": port.first, "end_port": port.last} for port in group.ports]
    families = [str(family) for family in group.families]
    return {
        "sources": list(group.sources),
        "destinations": list(group.destinations),
        "ports": ports,
        "families": families,
    }


def _change(change: ProposedChange) -> dict[str, Any]:
    policies = [policy.full_name for edit in change.edits if (policy := edit.before or edit.after) is not None]
    return {"title": change.title, "yaml": change.yaml, "policies": policies, "unspecified_pairs": change.unspecified}
