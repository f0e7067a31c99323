"""Lint for programs: ``audit.lint/v1``, described by ``auditor/schemas/lint.schema.json``."""

from __future__ import annotations

from typing import Any, TextIO

from auditor.lint.registry import CHECKS
from auditor.model.lint import LintFinding, LintReport, Place, Severity, Suppression
from auditor.report.documents import write_json_value
from auditor.report.skipped import left_out_json

SCHEMA = "audit.lint/v1"


def render(report: LintReport, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    found = report.sorted
    document = {
        "schema": SCHEMA,
        "subject": report.subject,
        "policies": report.policies,
        "conclusion": report.conclusion,
        "fail_on": report.fail_on,
        "counts": {severity: report.count(severity) for severity in Severity} | {"suppressed": len(found.suppressed)},
        "findings": [_finding(each) for each in found.findings],
        "suppressed": [{**_finding(each), "suppression": _suppression(by)} for each, by in found.suppressed],
        "expired_suppressions": [_suppression(each) for each in found.expired],
        "unused_suppressions": [_suppression(each) for each in found.unused],
        "not_checked": list(report.not_checked),
        **left_out_json(report.left_out),
        **({"doubts": list(report.doubts)} if report.doubts else {}),
    }
    write_json_value(document, stream)


def _finding(finding: LintFinding) -> dict[str, Any]:
    check, place = CHECKS[finding.check], finding.place
    return {
        "check": finding.check,
        "severity": finding.severity,
        **place_item(place),
        "count": finding.count,
        **({"others": [place_item(each) for each in finding.others]} if finding.others else {}),
        **({"selector": finding.selector} if finding.selector else {}),
        "message": finding.message,
        "why": check.why,
        "instead": finding.instead,
        "documentation": check.page,
        "reference": check.reference,
    }


def place_item(place: Place) -> dict[str, Any]:
    """A place, as the schemas have it."""
    return {
        "object": place.subject,
        **({"file": place.file, "line": place.line} if place.line else {}),
        **({"path": place.path} if place.path else {}),
    }


def _suppression(suppression: Suppression) -> dict[str, Any]:
    return {
        "id": suppression.check,
        "policy": suppression.policy,
        "owner": suppression.owner,
        "reason": suppression.reason,
        "expires": suppression.expires,
        **({"selector": suppression.selector} if suppression.selector else {}),
    }
