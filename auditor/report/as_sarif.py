"""SARIF 2.1.0 (OASIS), which GitHub code scanning and others read.

GitHub refuses a whole file for one result without a place in a file (github/codeql-action issue 1738), and so a finding
about something that stands in no file of the checkout is left out, and counted. It keeps 5,000 results at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, TextIO
from urllib.parse import quote

from auditor import __version__
from auditor.model.intent import IntentReport
from auditor.model.lint import LintReport, Place
from auditor.model.report import Report
from auditor.model.words import pluralize
from auditor.report.documents import write_json_value
from auditor.report.files import all_in_the_checkout
from auditor.report.remarks import Remark, Remarks, Rule, remarks_of

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MOST_RESULTS = 5_000
MOST_RELATED = 50
FINGERPRINT = "netpolAudit/v1"


def render(report: LintReport | IntentReport | Report, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    write_json_value(_document(remarks_of(report)), stream)


def _document(remarks: Remarks) -> dict[str, Any]:
    rules = {id_: number for number, id_ in enumerate(dict.fromkeys(each.rule for each in remarks.each))}
    placed = [(each, list(all_in_the_checkout(each.places))) for each in remarks.each]
    with_place = [(each, places) for each, places in placed if places]
    shown = with_place[:MOST_RESULTS]
    driver = {
        "name": "netpol-audit",
        "semanticVersion": __version__,
        "rules": [_rule(id_, remarks.rules[id_]) for id_ in rules],
    }
    invocation = {
        "executionSuccessful": True,
        "toolExecutionNotifications": _notifications(len(placed) - len(with_place), len(with_place) - len(shown)),
    }
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"audit-{remarks.command}/"},
        "invocations": [invocation],
        "results": _results(shown, rules),
        "properties": {
            "conclusion": remarks.conclusion,
            "headline": remarks.headline,
            "findingsWithoutFile": len(placed) - len(with_place),
        },
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _notifications(without_file: int, too_many: int) -> list[dict[str, Any]]:
    said = []
    if without_file:
        said.append(f"{pluralize(without_file, 'finding')} about what is in no file here; the report has each.")
    if too_many:
        said.append(f"{pluralize(too_many, 'finding')} beyond the first {MOST_RESULTS:,}; the report has each.")
    return [{"level": "warning", "message": {"text": text}} for text in said]


def _rule(id_: str, rule: Rule) -> dict[str, Any]:
    help_ = rule.why or f"{rule.title}."
    return {
        "id": id_,
        "shortDescription": {"text": f"{rule.title}."},
        "fullDescription": {"text": help_},
        "help": {"text": help_},
        **({"helpUri": rule.page} if rule.page.startswith("https://") else {}),
    }


def _results(placed: Iterable[tuple[Remark, list[Place]]], rules: dict[str, int]) -> list[dict[str, Any]]:
    seen: Counter[str] = Counter()
    results = []
    for remark, places in placed:
        seen[remark.identity] += 1
        fingerprint = f"{remark.identity}:{seen[remark.identity]}"
        results.append(
            {
                "ruleId": remark.rule,
                "ruleIndex": rules[remark.rule],
                "level": remark.level.value,
                "message": {"text": remark.text},
                "locations": [_location(places[0])],
                **({"relatedLocations": _related(places[1:])} if places[1:] else {}),
                "partialFingerprints": {FINGERPRINT: fingerprint},
            }
        )
    return results


def _related(places: Iterable[Place]) -> list[dict[str, Any]]:
    chosen = list(places)[:MOST_RELATED]
    return [{"id": number, **_location(place)} for number, place in enumerate(chosen, 1)]


def _location(place: Place) -> dict[str, Any]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(place.file)},
            "region": {"startLine": place.line},
        },
        "logicalLocations": [{"fullyQualifiedName": f"{place.subject} {place.path}".strip()}],
    }
