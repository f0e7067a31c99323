"""What was tried beside the matrix, as test suites of JUnit XML: through Services, in lookups, at Services that were
named. What differs is a failure, or skipped where it is known or accepted and so doesn't make the run fail.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from xml.etree import ElementTree as ET

from auditor.history.beside import SeenBeside, of_lookup, of_named, of_service, pairs_of
from auditor.model.dns_seen import LookupResult, PairsLost
from auditor.model.report import Report
from auditor.model.service_seen import ServiceResult
from auditor.model.standing import Age
from auditor.model.verdict import Result
from auditor.report.documents import count_cases, lines
from auditor.report.grouping import observation
from auditor.report.standing import borne_by_id

MOST_DESCRIBED = 200
"""Connections that one case describes; the rest is counted."""

Ages = Mapping[str, Age]


def add_suites_beside(root: ET.Element, report: Report) -> None:
    """A suite for each part that was tried."""
    ages = borne_by_id(report)
    if report.services is not None:
        _add_services_suite(root, report.services.results, ages)
    if report.dns is not None:
        _add_lookups_suite(root, "dns", [(each, of_lookup(each)) for each in report.dns.results], ages)
        _add_pairs(root[-1], report.dns.pairs_lost, ages)
    if report.reached is not None:
        named = report.reached.named
        kept = [(each, of_named(each, named.get(each.cell.name, ""))) for each in report.reached.results]
        _add_lookups_suite(root, "named services", kept, ages)


def _add_services_suite(root: ET.Element, results: Iterable[ServiceResult], ages: Ages) -> None:
    """A case for each backend and way through a Service: a failure where that makes a difference."""
    suite = ET.SubElement(root, "testsuite", name="services")
    grouped: defaultdict[tuple[str, str], list[ServiceResult]] = defaultdict(list)
    for each in results:
        grouped[each.cell.backend, each.cell.way].append(each)
    for (backend, way), group in grouped.items():
        case = ET.SubElement(suite, "testcase", classname="services", name=f"{way} -> {backend}", time="0.000")
        wrong = [each for each in group if each.is_fault]
        unheard = [each for each in group if each.result is Result.INCONCLUSIVE]
        age = {ages.get(of_service(each).id) for each in wrong}
        if wrong and None not in age:
            said = f"{' and '.join(sorted(filter(None, age)))}: {_kinds(wrong)} through a Service"
            _add(case, "skipped", said, "", wrong)
        elif wrong or unheard:
            found = wrong or unheard
            tag = "failure" if wrong else "error"
            _add(case, tag, f"{_kinds(found)} through a Service", found[0].result.value, found)
    count_cases(suite, 0.0)


def _kinds(found: Sequence[ServiceResult]) -> str:
    return " and ".join(sorted({each.result.value for each in found}))


def _add(case: ET.Element, tag: str, message: str, kind: str, found: Sequence[ServiceResult]) -> None:
    element = ET.SubElement(case, tag, message=message)
    if kind:
        element.set("type", kind)
    element.text = lines(f"{each.cell}: {observation(each.observation)}" for each in found[:MOST_DESCRIBED])


def _add_lookups_suite(
    root: ET.Element, name: str, results: Iterable[tuple[LookupResult, SeenBeside]], ages: Ages
) -> None:
    """A case for each lookup, or connection to a Service: a failure where policies don't mean it so."""
    suite = ET.SubElement(root, "testsuite", name=name)
    for each, kept in results:
        case = ET.SubElement(suite, "testcase", classname=name, name=str(each.cell), time="0.000")
        told = f"{each.result.value}: {observation(each.observation)}"
        if each.is_fault:
            _add_failure(case, told, each.result.value, ages.get(kept.id))
        elif each.result is Result.INCONCLUSIVE:
            ET.SubElement(case, "error", message=told, type=each.result.value)
    count_cases(suite, 0.0)


def _add_pairs(suite: ET.Element, pairs_lost: Iterable[PairsLost], ages: Ages) -> None:
    for lost in pairs_lost:
        case = ET.SubElement(suite, "testcase", classname="dns", name=f"pairs on {lost.node}", time="0.000")
        said = f"{lost.lost} of {lost.pairs} pairs lost one question"
        _add_failure(case, said, "lost", ages.get(pairs_of(lost.node, lost=True).id))
    count_cases(suite, 0.0)


def _add_failure(case: ET.Element, message: str, kind: str, age: Age | None) -> None:
    """``age``: why it does not make the run fail; None where it does."""
    if age is None:
        ET.SubElement(case, "failure", message=message, type=kind)
    else:
        ET.SubElement(case, "skipped", message=f"{age}: {message}")
