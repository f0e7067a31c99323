"""The report as objects of a cluster, which Policy Reporter and others read: one for the whole run, and one for each
namespace, with the connections to what is in it.

Their number and size are bounded, however much there is to tell: etcd takes no request of more than 1.5 MiB, and all
that is in it counts. What is as expected is only counted.
"""

from __future__ import annotations

import time
from calendar import timegm
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from auditor.history.beside import of_service
from auditor.history.identity import finding_id, stable_reason
from auditor.model.beside import THROUGH, Tried
from auditor.model.printable import printable
from auditor.model.report import CellResult, Finding, Report
from auditor.model.report_object import BEGAN, STATUSES, ReportObject, ReportResult
from auditor.model.report_scope import WHOLE_CLUSTER, ReportScope
from auditor.model.service_seen import ServiceResult
from auditor.model.standing import Standing
from auditor.model.verdict import NOT_OBSERVED, Cell, Conclusion, Result
from auditor.model.words import pluralize
from auditor.report.conclusion import conclude
from auditor.report.findings_beside import findings_beside
from auditor.report.grouping import by_reason, expectation, in_words, observation
from auditor.report.headline import headline
from auditor.report.services import through_services
from auditor.report.standing import borne_by_id

MOST_RESULTS = 1000
LARGEST = 1 << 20
"""Bytes of the results of one object, as JSON."""
LONGEST_MESSAGE = 1000
"""Characters."""
ORDER = ("fail", "error", "warn", "skip")
STATUS = {
    Result.MATCH: "pass",
    Result.LEAK: "fail",
    Result.OUTAGE: "fail",
    Result.UNSTABLE: "fail",
    Result.MISDELIVERED: "fail",
    Result.CNI_DEPENDENT: "warn",
    Result.UNDEFINED: "warn",
    Result.INCONCLUSIVE: "error",
    Result.SKIPPED: "skip",
}
"""What the result of a connection is called, as far as it makes the run fail."""
SEVERITY = {
    Result.LEAK: "high",
    Result.MISDELIVERED: "high",
    Result.OUTAGE: "medium",
    Result.UNSTABLE: "medium",
    Result.INCONCLUSIVE: "low",
}
RUN = "netpol-audit/run"


def report_objects(report: Report, audited: Collection[str], scope: ReportScope = WHOLE_CLUSTER) -> list[ReportObject]:
    """``report`` as objects, that of the whole run first, for the namespaces of all destinations that were looked at.

    ``scope`` is that of the run. The ``audited`` namespaces without any get one in the place of an older one alone.
    """
    told = _Told(report, scope)
    homes = {endpoint.name: endpoint.namespace for endpoint in report.endpoints}
    cells: dict[str, list[CellResult]] = {}
    for each in report.cells:
        cells.setdefault(homes.get(each.cell.destination, ""), []).append(each)
    looked_at = {
        namespace: found
        for namespace, found in cells.items()
        if namespace and any(each.result is not Result.SKIPPED for each in found)
    }
    beside: list[Tried] = [*through_services(report.services)]
    for part in (report.dns, report.reached):
        beside += part.results if part is not None else ()
    whole = told.object("", report.cells, told.of_the_run(), beside)
    here = [told.object(name, found, map(told.of_cell, found)) for name, found in sorted(looked_at.items())]
    others = [told.object(name, (), (), optional=True) for name in sorted({*audited} - looked_at.keys())]
    return [whole, *here, *others]


class _Told:
    """What ``report`` has to tell."""

    def __init__(self, report: Report, scope: ReportScope) -> None:
        self._report = report
        self._scope = scope
        self._findings = list(_with_standings(report))
        self._of_cell = {
            each.cell: (finding, standing) for finding, standing in self._findings for each in finding.cells
        }
        self._borne = set(_borne(report, self._findings))
        began = timegm(time.strptime(report.began, "%Y-%m-%dT%H:%M:%SZ")) if report.began else 0
        self._ended = began + round(sum(report.seconds.values()))
        self._annotations = {
            RUN: report.run_id,
            BEGAN: report.began,
            "netpol-audit/conclusion": conclude(report).value,
            "netpol-audit/subject": printable(report.subject),
            "netpol-audit/headline": printable(headline(report)),
        }

    def object(
        self,
        namespace: str,
        cells: Iterable[CellResult],
        results: Iterable[ReportResult],
        more: Iterable[Tried] = (),
        *,
        optional: bool = False,
    ) -> ReportObject:
        """What is told of ``cells`` in ``namespace`` and of what ``more`` was tried beside these: all are counted, of
        ``results`` as many are kept as there is room for, the gravest first.
        """
        counts = Counter((*map(self._status, cells), *(STATUS[each.result] for each in more)))
        chosen = sorted((each for each in results if each.status != "pass"), key=lambda each: ORDER.index(each.status))
        summary = {status: counts[status] for status in STATUSES}
        return ReportObject(
            namespace,
            summary,
            _capped(chosen),
            self._annotations,
            self._ended,
            MOST_RESULTS,
            self._scope,
            optional=optional,
        )

    def of_cell(self, each: CellResult) -> ReportResult:
        """One connection."""
        cell = each.cell
        finding, standing = self._of_cell.get(cell, (None, None))
        expected, observed = expectation(each), observation(each.observation)
        properties = {
            "source": cell.source,
            "destination": cell.destination,
            "port": f"{cell.protocol}/{cell.port}",
            "family": str(cell.family),
            "expected": expected,
            "observed": observed,
        }
        rules = stable_reason(finding.expected_by) if finding is not None else ()
        return _result(
            each.result,
            self._status(each),
            f"{cell}: expected {expected}, observed {observed}",
            rules,
            SEVERITY.get(each.result, "info"),
            {**properties, **_of_standing(standing)},
        )

    def of_the_run(self) -> Iterator[ReportResult]:
        """What is reported about the run as a whole: findings, and what there is no verdict on and why."""
        report = self._report
        if conclude(report) is Conclusion.INCONCLUSIVE:
            yield _result("conclusion", "error", headline(report), severity="medium")
        for finding, standing in self._findings:
            status = "warn" if finding.cells[0].cell in self._borne else STATUS[finding.kind]
            severity = SEVERITY.get(finding.kind, "info")
            properties = {"connections": str(len(finding.cells)), "advice": finding.advice, **_of_standing(standing)}
            yield _result(finding.kind, status, finding.title, stable_reason(finding.expected_by), severity, properties)
        yield from self._of_the_intent()
        yield from _of_services(report)
        yield from _of_lookups(report)
        for policy in report.policies.untested:
            status = "skip" if policy.accepted else "error"
            yield _result("untested-policy", status, f"{policy}: {'; '.join(policy.reasons)}", (str(policy),), "low")
        without = [each for each in report.cells if each.result in NOT_OBSERVED]
        for reason, cells in by_reason(without).items():
            result = min((each.result for each in cells), key=lambda result: ORDER.index(STATUS[result]))
            yield _result(
                result, STATUS[result], f"{pluralize(len(cells), 'connection')}: {in_words(reason)}", severity="low"
            )

    def _of_the_intent(self) -> Iterator[ReportResult]:
        comparison = self._report.comparison
        standings = {} if comparison is None else {each.id: each for each in comparison.standings}
        for finding in self._report.intent:
            kind = f"intent: {finding.kind}"
            standing = standings.get(finding_id(kind, (finding.rule.name,)))
            fails = comparison is None or standing is None or standing.fails(comparison.fail_on)
            status = "fail" if fails else "warn"
            yield _result(kind, status, finding.title, (finding.rule.name,), "medium", _of_standing(standing))

    def _status(self, each: CellResult) -> str:
        return "warn" if each.cell in self._borne else STATUS[each.result]


def _of_services(report: Report) -> Iterator[ReportResult]:
    """A result for each backend and way where a Service makes a difference, and for what has no verdict."""
    seen, ages = report.services, borne_by_id(report)
    grouped: dict[tuple[str, str, str], list[ServiceResult]] = {}
    for each in through_services(seen):
        if each.is_fault or each.result is Result.INCONCLUSIVE:
            grouped.setdefault((each.result, each.cell.way, each.cell.backend), []).append(each)
    cause = seen.diagnosis.title if seen is not None and seen.diagnosis is not None else ""
    for (_, way, backend), group in grouped.items():
        first = group[0]
        age = ages.get(of_service(first).id)
        yield _result(
            f"{first.result} through Services",
            STATUS[first.result] if age is None else "warn",
            f"{pluralize(len(group), 'connection')} to {backend} by {way}, {first.cell} for one: expected "
            f"{first.expected}, observed {observation(first.observation)}",
            severity=SEVERITY.get(first.result, "info"),
            properties={"connections": str(len(group)), "cause": cause if first.is_fault else "", "age": age or ""},
        )


def _of_lookups(report: Report) -> Iterator[ReportResult]:
    """A result for each thing that is wrong with lookups or at named Services, and for what has no verdict."""
    ages = borne_by_id(report)
    for each in findings_beside(report):
        if not each.kind.startswith(THROUGH):
            age = ages.get(each.id)
            status = "warn" if each.result is None or age is not None else STATUS[each.result]
            severity = "medium" if each.result is None else SEVERITY.get(each.result, "info")
            yield _result(each.kind, status, each.text, severity=severity, properties={"age": age or ""})
    for part in (report.dns, report.reached):
        for reason, group in by_reason(part.unheard if part is not None else ()).items():
            yield _result(
                Result.INCONCLUSIVE,
                "error",
                f"{group[0].cell}: {in_words(reason)}",
                severity="low",
                properties={"connections": str(len(group))},
            )


def _with_standings(report: Report) -> Iterator[tuple[Finding, Standing | None]]:
    standings = report.comparison.standings if report.comparison is not None else ()
    for number, finding in enumerate(report.findings):
        yield finding, standings[number] if standings else None


def _borne(report: Report, findings: Iterable[tuple[Finding, Standing | None]]) -> Iterator[Cell]:
    """The connections at fault that don't make the run fail: known or accepted, say."""
    for finding, standing in findings:
        if standing is not None and report.comparison is not None and not standing.fails(report.comparison.fail_on):
            yield from (each.cell for each in finding.cells)


def _of_standing(standing: Standing | None) -> Mapping[str, str]:
    if standing is None:
        return {}
    return {"age": standing.age.value, "since": standing.since, "finding": standing.id}


def _result(  # noqa: PLR0913, PLR0917 - one parameter for each field
    policy: str,
    status: str,
    message: str,
    rules: Sequence[str] = (),
    severity: str = "info",
    properties: Mapping[str, str] | None = None,
) -> ReportResult:
    more = f" and {len(rules) - 1} more" if len(rules) > 1 else ""
    told = {name: _short(value) for name, value in (properties or {}).items() if value}
    rule = _short(f"{rules[0]}{more}" if rules else "")
    return ReportResult(str(policy), status, _short(message), rule, severity, told)


def _short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}…"


def _capped(results: Sequence[ReportResult]) -> tuple[ReportResult, ...]:
    """``results``, or as many of them as there is room for, and how many more there are."""
    most = MOST_RESULTS if len(results) <= MOST_RESULTS else MOST_RESULTS - 1
    kept: list[ReportResult] = []
    size = 0
    for each in results[:most]:
        size += len(msgspec.json.encode(each))
        if size > LARGEST:
            break
        kept.append(each)
    more = len(results) - len(kept)
    if more:
        message = f"and {more:,} more: a JSON report ('audit run -o json') has each"
        kept.append(_result("more", results[len(kept)].status, message))
    return tuple(kept)
