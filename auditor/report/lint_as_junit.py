"""Lint for a CI system: JUnit XML with a test case per check, which fails for each finding that reaches the
threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO
from xml.etree import ElementTree as ET

from auditor.lint.registry import CHECKS
from auditor.model.lint import LintFinding, LintReport
from auditor.report.documents import count_cases, lines, write_xml


def render(report: LintReport, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    root = ET.Element("testsuites", name="audit lint")
    suite = ET.SubElement(root, "testsuite", name=report.subject)
    for check in CHECKS.values():
        case = ET.SubElement(suite, "testcase", classname="audit.lint", name=check.id)
        found = [each for each in report.sorted.findings if each.check == check.id]
        if any(each.severity.reaches(report.fail_on) for each in found):
            element = ET.SubElement(case, "failure", message=check.title, type=check.severity.value)
            element.text = _described(found)
        elif found:
            ET.SubElement(case, "system-out").text = _described(found)
    for element in (suite, root):
        count_cases(element, 0.0)
    write_xml(root, stream)


def _described(findings: Sequence[LintFinding]) -> str:
    return lines(
        f"{each.place}: {each.message}" + "".join(f"\n  also {place}" for place in each.others) for each in findings
    )
