"""The report for a CI system: JUnit XML with a test suite per source and a test case per destination.

A fault on any port makes the case a failure, an inconclusive port makes it an error, and a case of which no port was
probed is skipped. Of very many pairs those that are as expected share one case for each source, and where those that
aren't are too many as well, all of a source share one: GitLab takes no document of more than 250,000 XML objects
(gitlab-org/gitlab issue 507482).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO
from xml.etree import ElementTree as ET

from auditor.history.identity import finding_id
from auditor.model.diagnosis import Diagnosis
from auditor.model.report import CellResult, PolicyTests, Report
from auditor.model.verdict import Cell, Conclusion, Result
from auditor.report.cause import sureness
from auditor.report.conclusion import conclude
from auditor.report.documents import count_cases, lines, write_xml
from auditor.report.grouping import expectation, in_words, observation
from auditor.report.headline import headline
from auditor.report.junit_beside import MOST_DESCRIBED, add_suites_beside
from auditor.report.standing import borne, borne_by_id

FAULTS = (Result.LEAK, Result.OUTAGE, Result.MISDELIVERED, Result.UNSTABLE)
OPEN = (Result.CNI_DEPENDENT, Result.UNDEFINED)
MOST_CASES = 10_000
"""Above this many, cases are put together."""

Pairs = dict[str, list[CellResult]]


def render(report: Report, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    root = ET.Element("testsuites", name="audit")
    causes, borne = _causes(report.diagnosis), _borne(report)
    by_source: defaultdict[str, Pairs] = defaultdict(dict)
    for each in report.cells:
        by_source[each.cell.source].setdefault(each.cell.destination, []).append(each)
    for source, by_destination in _few(by_source).items():
        suite = ET.SubElement(root, "testsuite", name=source)
        for destination, cells in by_destination.items():
            suite.append(_case(source, destination, cells, causes, borne))
        count_cases(suite, _seconds([each for cells in by_destination.values() for each in cells]))
    if report.policies.untested:
        _add_policies_suite(root, report.policies)
    add_suites_beside(root, report)
    if report.intent:
        _add_intent_suite(root, report)
    if conclude(report) is Conclusion.INCONCLUSIVE and root.find(".//error") is None:
        _add_inconclusive_suite(root, report)
    count_cases(root, sum(report.seconds.values()))
    write_xml(root, stream)


def _few(by_source: Mapping[str, Pairs]) -> Mapping[str, Pairs]:
    """``by_source``, with as few pairs put together as it takes for ``MOST_CASES`` cases."""
    if sum(map(len, by_source.values())) <= MOST_CASES:
        return by_source
    as_expected = {source: _together(pairs, "others, as expected") for source, pairs in by_source.items()}
    if sum(map(len, as_expected.values())) <= MOST_CASES:
        return as_expected
    return {source: _together(pairs, "destinations", only_matches=False) for source, pairs in by_source.items()}


def _together(pairs: Pairs, what: str, *, only_matches: bool = True) -> Pairs:
    """``pairs`` of one source, of which those that are as expected, or else all, are put together as ``what``."""
    alike = {
        name: cells
        for name, cells in pairs.items()
        if not only_matches or {each.result for each in cells} == {Result.MATCH}
    }
    if len(alike) < 2:
        return pairs
    others = {name: cells for name, cells in pairs.items() if name not in alike}
    return {**others, f"{len(alike):,} {what}": [each for cells in alike.values() for each in cells]}


def _causes(diagnosis: Diagnosis | None) -> Mapping[Cell, str]:
    """For each cell that the diagnosis explains, what is told of it: a CI system shows single failures, and little
    else.
    """
    if diagnosis is None or not diagnosis.faults:
        return {}
    others = len(diagnosis.alternatives)
    more = f" ({others} other {'cause' if others == 1 else 'causes'} would explain this as well)" if others else ""
    text = lines((f"{sureness(diagnosis)}: {diagnosis.title}{more}", f"advice: {diagnosis.advice}"))
    return dict.fromkeys(diagnosis.explained, text)


def _borne(report: Report) -> Mapping[Cell, str]:
    """For each cell of a finding that doesn't make the run fail, why not: it is known, say, or accepted."""
    found: dict[Cell, str] = {}
    for finding, age in zip(report.findings, borne(report), strict=True):
        if age is not None:
            found |= dict.fromkeys((each.cell for each in finding.cells), age.value)
    return found


def _case(
    source: str,
    destination: str,
    cells: Sequence[CellResult],
    causes: Mapping[Cell, str],
    borne: Mapping[Cell, str],
) -> ET.Element:
    name = f"{source} -> {destination}"
    case = ET.Element("testcase", classname=source, name=name, time=f"{_seconds(cells):.3f}")
    faults = [each for each in cells if each.result in FAULTS and each.cell not in borne]
    tolerated = [each for each in cells if each.result in FAULTS and each.cell in borne]
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
    elif tolerated:
        _add(case, "skipped", tolerated, [])
        ages = dict.fromkeys(borne[each.cell] for each in tolerated)
        case[-1].set("message", f"{' and '.join(ages)}: {_kinds_and_ports(tolerated)}")
    elif len(skipped) == len(cells):
        _add(case, "skipped", skipped, [])
    remarks = (
        [each for each in cells if each.result in OPEN] + tolerated + (skipped if len(skipped) < len(cells) else [])
    )
    if remarks:
        ET.SubElement(case, "system-out").text = _described(remarks, case)
    return case


def _add(
    case: ET.Element, tag: str, cells: Sequence[CellResult], described: Sequence[CellResult], causes: Iterable[str] = ()
) -> None:
    element = ET.SubElement(case, tag, message=_kinds_and_ports(cells))
    if tag != "skipped":
        element.set("type", min(each.result.value for each in cells))
        element.text = "\n".join([_described(described, case), *causes])
    else:
        element.set("message", "; ".join(dict.fromkeys(in_words(each.observation.outcome) for each in cells)))


def _kinds_and_ports(cells: Sequence[CellResult]) -> str:
    kinds = sorted({each.result.value for each in cells})
    ports = ", ".join(dict.fromkeys(f"{each.cell.protocol}/{each.cell.port}" for each in cells))
    return f"{' and '.join(kinds)} on {ports}"


def _described(cells: Sequence[CellResult], case: ET.Element) -> str:
    """``cells`` of ``case``, with their destinations where the case's name doesn't have them."""
    named = str(case.get("name"))
    told = [
        f"{each.result}: {'' if named.endswith(f'-> {each.cell.destination}') else f'{each.cell.destination} '}"
        f"{each.cell.protocol}/{each.cell.port}"
        f" {each.cell.family}: expected {expectation(each)}, observed {observation(each.observation)}"
        for each in cells[:MOST_DESCRIBED]
    ]
    more = len(cells) - MOST_DESCRIBED
    return lines([*told, f"and {more:,} more"] if more > 0 else told)


def _seconds(cells: Sequence[CellResult]) -> float:
    return sum(each.observation.milliseconds or 0.0 for each in cells) / 1000


def _add_policies_suite(root: ET.Element, policies: PolicyTests) -> None:
    """An error for each policy of which nothing tells whether it is enforced; one that was accepted is skipped."""
    suite = ET.SubElement(root, "testsuite", name="policies")
    for each in policies.untested:
        case = ET.SubElement(suite, "testcase", classname="policies", name=str(each), time="0.000")
        message = "nothing shows whether it is enforced" + (" (accepted)" if each.accepted else "")
        element = ET.SubElement(case, "skipped" if each.accepted else "error", message=message)
        if not each.accepted:
            element.set("type", "untested")
        element.text = lines(each.reasons)
    count_cases(suite, 0.0)


def _add_intent_suite(root: ET.Element, report: Report) -> None:
    """A failure for each finding of the intent; skipped where it is known and doesn't make the run fail."""
    ages = borne_by_id(report)
    suite = ET.SubElement(root, "testsuite", name="intent")
    for finding in report.intent:
        case = ET.SubElement(suite, "testcase", classname="intent", name=str(finding.rule), time="0.000")
        age = ages.get(finding_id(f"intent: {finding.kind}", (finding.rule.name,)))
        message = finding.title if age is None else f"{age}: {finding.title}"
        failure = ET.SubElement(case, "failure" if age is None else "skipped", message=message)
        if age is None:
            failure.set("type", finding.kind.value)
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
