"""What a code host shows beside the lines of files: the findings of lint, of an intent and of a run, all alike.

A finding about a policy that was read from a cluster stands in no file. It has no line here, and none is made up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import singledispatch

from auditor.history.identity import finding_id, stable_reason
from auditor.lint.registry import CHECKS
from auditor.model.beside import AT_SERVICE, DNS, PAIRS_LOST, THROUGH
from auditor.model.intent import IntentFinding, IntentKind, IntentReport
from auditor.model.lint import LintFinding, LintReport, Place, Severity
from auditor.model.report import Finding, Report
from auditor.model.verdict import Result
from auditor.report import headline as of_runs
from auditor.report import intent_as_table, lint_as_table
from auditor.report.conclusion import conclude
from auditor.report.findings_beside import CUT_OFF, FindingBeside, findings_beside
from auditor.report.standing import borne, borne_by_id


class Level(StrEnum):
    """How grave a remark is, the gravest first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a kind of remark is about: a title of one line, and why it matters. ``page`` describes it."""

    title: str
    why: str = ""
    page: str = ""


@dataclass(frozen=True, slots=True)
class Remark:
    """One finding. ``rule`` is the id of its rule, ``text`` says what is wrong, and what to do about it.

    ``places`` are where it stands, the first of them foremost; those without a file or a line count for nothing.
    ``identity`` is the same in every run in which the same thing is found, whatever line it has moved to.
    """

    rule: str
    level: Level
    title: str
    text: str
    places: tuple[Place, ...]
    identity: str


@dataclass(frozen=True, slots=True)
class Remarks:
    """All that ``command`` found, the gravest first. ``conclusion`` and ``headline`` say what it comes to."""

    command: str
    conclusion: str
    headline: str
    each: tuple[Remark, ...]
    rules: Mapping[str, Rule] = field(hash=False)


LEVELS = {Severity.ERROR: Level.ERROR, Severity.WARNING: Level.WARNING, Severity.INFO: Level.NOTE}
RUN_RULES: Mapping[str, Rule] = {
    Result.LEAK: Rule("a connection that the policies deny is possible", "The policy is not enforced there."),
    Result.OUTAGE: Rule(
        "a connection that the policies allow is not possible", "Something else than policies cuts it."
    ),
    Result.MISDELIVERED: Rule("somebody else answers at a pod's address"),
    Result.UNSTABLE: Rule("a connection is possible at one time and not at another"),
    Result.CNI_DEPENDENT: Rule(
        "an ipBlock covers addresses inside the cluster", "The specification leaves to the CNI what that means."
    ),
}
BESIDE_RULES: Mapping[str, Rule] = {
    f"{THROUGH}-{Result.LEAK}": Rule(
        "a connection that the policies deny is possible through a Service", "It is denied without the Service."
    ),
    f"{THROUGH}-{Result.OUTAGE}": Rule(
        "a connection that the policies allow is not possible through a Service", "It is possible without the Service."
    ),
    f"{THROUGH}-{Result.MISDELIVERED}": Rule("somebody else answers behind a Service of the audit's own"),
    f"{THROUGH}-{Result.UNSTABLE}": Rule("a connection through a Service is possible at one time and not at another"),
    f"{DNS}-{Result.LEAK}": Rule("names are resolved that the policies keep from being asked for"),
    f"{DNS}-{Result.OUTAGE}": Rule(
        "names can't be resolved though the policies allow it", "Something else than policies cuts DNS off."
    ),
    f"{DNS}-{Result.MISDELIVERED}": Rule("something other than DNS answers lookups"),
    CUT_OFF: Rule("the policies keep pods from resolving names", "Nothing works by name there."),
    PAIRS_LOST: Rule("of two DNS questions from one socket one is lost", "C libraries then wait for 5 s."),
    f"{AT_SERVICE}-{Result.LEAK}": Rule("a Service answers whom the policies keep from all pods behind it"),
    f"{AT_SERVICE}-{Result.OUTAGE}": Rule("a Service can't be reached, or resolved, though the policies allow it"),
    f"{AT_SERVICE}-{Result.MISDELIVERED}": Rule("a Service's name resolves to an address that is not the Service's"),
    f"{AT_SERVICE}-{Result.UNSTABLE}": Rule("a Service's name resolves at one time and not at another"),
}
"""Of what is tried beside the matrix (--services, --dns, --service)."""
INTENT_RULES: Mapping[str, Rule] = {
    f"intent-{IntentKind.OPEN}": Rule("the policies allow what is meant to be denied"),
    f"intent-{IntentKind.CLOSED}": Rule("the policies deny what is meant to be allowed"),
    f"intent-{IntentKind.EMPTY}": Rule("a rule of the intent speaks of nothing that there is"),
}


@singledispatch
def remarks_of(report: object) -> Remarks:
    """What ``report`` found: of lint, of an intent or of a run. Raises TypeError for anything else."""
    raise TypeError(f"{type(report).__name__} has no remarks")


@remarks_of.register
def _of_lint(report: LintReport) -> Remarks:
    """What lint says."""
    remarks = _ordered(map(_of_check, report.sorted.findings))
    rules = {id_: Rule(check.title, check.why, check.reference) for id_, check in CHECKS.items()}
    return Remarks("lint", report.conclusion, lint_as_table.headline(report), remarks, rules)


@remarks_of.register
def _of_intent(report: IntentReport) -> Remarks:
    """Where policies are not what was meant: each at the line of the intent that means it."""
    remarks = _ordered(map(_of_rule, report.findings))
    return Remarks("intent", report.conclusion, intent_as_table.headline(report), remarks, INTENT_RULES)


@remarks_of.register
def _of_run(report: Report) -> Remarks:
    """What a run found, at the policies that decide, and where these are not what was meant. Findings that are known or
    accepted are notes.
    """
    ages = zip(report.findings, borne(report), strict=True)
    found = [_of_finding(finding, fails=age is None) for finding, age in ages]
    put_up_with = borne_by_id(report)
    beside = [_of_finding_beside(each, fails=each.id not in put_up_with) for each in findings_beside(report)]
    remarks = _ordered((*found, *beside, *map(_of_rule, report.intent)))
    rules = {**RUN_RULES, **BESIDE_RULES, **INTENT_RULES}
    return Remarks("run", conclude(report), of_runs.headline(report), remarks, rules)


def _ordered(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    return tuple(sorted(remarks, key=lambda each: list(Level).index(each.level)))


def _of_check(finding: LintFinding) -> Remark:
    place = finding.place
    parts = [finding.message]
    if finding.others:
        parts.append(f"Also at {len(finding.others):,} more places.")
    if finding.instead:
        parts.append(f"Instead:\n{finding.instead}")
    return Remark(
        finding.check,
        LEVELS[finding.severity],
        CHECKS[finding.check].title,
        "\n".join(parts),
        (place, *finding.others),
        _identity(finding.check, place.subject, place.path, finding.selector),
    )


def _of_rule(finding: IntentFinding) -> Remark:
    rule, kind = finding.rule, f"intent-{finding.kind}"
    lines = [finding.title, *finding.because]
    if finding.change is not None:
        lines.append(finding.change.title)
    level = Level.WARNING if finding.kind is IntentKind.EMPTY else Level.ERROR
    place = Place(f"rule {rule.name}", rule.file, rule.line)
    return Remark(kind, level, INTENT_RULES[kind].title, "\n".join(lines), (place,), _identity(kind, rule.name))


def _of_finding(finding: Finding, *, fails: bool) -> Remark:
    level = Level.ERROR if finding.kind is not Result.CNI_DEPENDENT else Level.WARNING
    lines = [finding.title, *(f"Expected by {line}" for line in finding.expected_by), finding.advice]
    return Remark(
        finding.kind,
        level if fails else Level.NOTE,
        RUN_RULES[finding.kind].title,
        "\n".join(filter(None, lines)),
        finding.places,
        finding_id(finding.kind, stable_reason(finding.expected_by)),
    )


def _of_finding_beside(finding: FindingBeside, *, fails: bool) -> Remark:
    level = Level.WARNING if finding.result is None else Level.ERROR if fails else Level.NOTE
    rule = BESIDE_RULES[finding.kind]
    return Remark(finding.kind, level, rule.title, finding.text, finding.places, _identity(finding.kind, *finding.key))


def _identity(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]
