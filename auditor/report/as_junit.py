"""The report for a CI system: JUnit XML with a test suite per source and a test case per destination.

A fault on any port makes the case a failure, an inconclusive port makes it an error, and a case of which no port was
probed is skipped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO
from xml.etree import ElementTree as ET

from auditor.model.diagnosis import Diagnosis
from auditor.model.report import CellResult, PolicyTests, Report
from auditor.model.verdict import Cell, Conclusion, Result
from auditor.report.conclusion import conclude
from auditor.report.documents import count_cases, lines, write_xml
from auditor.report.grouping import expectation, observation
from auditor.report.headline import headline

FAULTS = (Result.LEAK, Result.OUTAGE, Result.MISDELIVERED, Result.UNSTABLE)
OPEN = (Result.CNI_DEPENDENT, Result.UNDEFINED)


def render(report: Report, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    root = ET.Element("testsuites", name="audit")
    causes = _causes(report.diagnosis)
    by_source: defaultdict[str, defaultdict[str, list[CellResult]]] = defaultdict(lambda: defaultdict(list))
    for each in report.cells:
        by_source[each.cell.source][each.cell.destination].append(each)
    for source, by_destination in by_source.items():
        suite = ET.SubElement(root, "testsuite", name=source)
        for destination, cells in by_destination.items():
            suite.append(_case(source, destination, cells, causes))
        count_cases(suite, _seconds([each for cells in by_destination.values() for each in cells]))
    if report.policies.untested:
        _add_policies_suite(root, report.policies)
    if report.intent:
        _add_intent_suite(root, report)
    if conclude(report) is Conclusion.INCONCLUSIVE and root.find(".//error") is None:
        _add_inconclusive_suite(root, report)
    count_cases(root, sum(report.seconds.values()))
    write_xml(root, stream)


def _causes(diagnosis: Diagnosis | None) -> Mapping[Cell, str]:
    """For each cell that the diagnosis explains, what is told of it: a CI system shows single failures, and
    little else.
    """
    if diagnosis is None or not diagnosis.faults:
        return {}
    others = len(diagnosis.alternatives)
    more = f" ({others} {'other fits' if others == 1 else 'others fit'} as well)" if others else ""
    return dict.fromkeys(diagnosis.explained, lines((f"cause: {diagnosis.title}{more}", f"advice: {diagnosis.advice}")))


def _case(source: str, destination: str, cells: Sequence[CellResult], causes: Mapping[Cell, str]) -> ET.Element:
    name = f"{source} -> {destination}"
    case = ET.Element("testcase", classname=source, name=name, time=f"{_seconds(cells):.3f}")
    faults = [each for each in cells if each.result in FAULTS]
    inconclusive = [each for each in cells if each.result is Result.INCONCLUSIVE]
    skipped = [each for each in cells if each.result is Result.SKIPPED]
    if faults:
        _add(
            case,
            "failure",
            faults,
            faults + inconclusive,
            dict.fromkeys(causes[each.cell] for each in faults if each.cell in causes),
        )
    elif inconclusive:
        _add(case, "error", inconclusive, inconclusive)
    elif len(skipped) == len(cells):
        _add(case, "skipped", skipped, [])
    remarks = [each for each in cells if each.result in OPEN] + (skipped if len(skipped) < len(cells) else [])
    if remarks:
        ET.SubElement(case, "system-out").text = _described(remarks)
    return case


def _add(
    case: ET.Element, tag: str, cells: Sequence[CellResult], described: Sequence[CellResult], causes: Iterable[str] = ()
) -> None:
    kinds = sorted({each.result.value for each in cells})
    ports = ", ".join(dict.fromkeys(f"{each.cell.protocol}/{each.cell.port}" for each in cells))
    element = ET.SubElement(case, tag, message=f"{' and '.join(kinds)} on {ports}")
    if tag != "skipped":
        element.set("type", kinds[0])
        element.text = "\n".join([_described(described), *causes])
    else:
        element.set("message", "; ".join(dict.fromkeys(each.observation.outcome for each in cells)))


def _described(cells: Sequence[CellResult]) -> str:
    return lines(
        f"{each.result}: {each.cell.protocol}/{each.cell.port} {each.cell.family}:"
        f" expected {expectation(each)}, observed {observation(each.observation)}"
        for each in cells
    )


def _seconds(cells: Sequence[CellResult]) -> float:
    return sum(each.observation.milliseconds or 0.0 for each in cells) / 1000


def _add_policies_suite(root: ET.Element, policies: PolicyTests) -> None:
    """An error for each policy of which nothing tells whether it is enforced; one that was accepted is skipped."""
    suite = ET.SubElement(root, "testsuite", name="policies")
    for each in policies.untested:
        case = ET.SubElement(suite, "testcase", classname="policies", name=str(each), time="0.000")
        message = "nothing tells whether it is enforced" + (" (accepted)" if each.accepted else "")
        element = ET.SubElement(case, "skipped" if each.accepted else "error", message=message)
        if not each.accepted:
            element.set("type", "untested")
        element.text = lines(each.reasons)
    count_cases(suite, 0.0)


def _add_intent_suite(root: ET.Element, report: Report) -> None:
    """A failure for each finding of the intent."""
    suite = ET.SubElement(root, "testsuite", name="intent")
    for finding in report.intent:
        case = ET.SubElement(suite, "testcase", classname="intent", name=str(finding.rule), time="0.000")
        failure = ET.SubElement(case, "failure", message=finding.title, type=finding.kind.value)
        failure.text = lines(finding.because)
    count_cases(suite, 0.0)


def _add_inconclusive_suite(root: ET.Element, report: Report) -> None:
    """A CI system takes a document without an error for a success, which an audit of nothing, or of too
    little, is not.
    """
    suite = ET.SubElement(root, "testsuite", name="audit")
    case = ET.SubElement(suite, "testcase", classname="audit", name="cells", time="0.000")
    ET.SubElement(case, "error", message=headline(report), type=conclude(report).value)
    count_cases(suite, 0.0)
