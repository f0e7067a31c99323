"""Checks for a CI system: JUnit XML with a suite for each intent and a case for each check."""

from __future__ import annotations

from typing import TextIO
from xml.etree import ElementTree as ET

from auditor.model.checks import ChecksReport
from auditor.model.verdict import Conclusion
from auditor.report.checks import cases
from auditor.report.documents import count_cases, lines, write_xml

TAGS = {Conclusion.FAIL: "failure", Conclusion.INCONCLUSIVE: "error"}


def render(report: ChecksReport, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    root = ET.Element("testsuites", name=f"audit test {report.subject}")
    suites: dict[str, ET.Element] = {}
    for case in cases(report):
        suite = suites.get(case.file)
        if suite is None:
            suite = suites[case.file] = ET.SubElement(root, "testsuite", name=case.file)
        element = ET.SubElement(suite, "testcase", classname="audit.test", name=case.name, time="0.000")
        if case.conclusion in TAGS:
            message = case.lines[1] if len(case.lines) > 1 else case.lines[0]
            said = ET.SubElement(element, TAGS[case.conclusion], message=message, type=str(case.conclusion))
            said.text = lines(case.lines)
    for suite in suites.values():
        count_cases(suite, 0.0)
    count_cases(root, report.seconds)
    write_xml(root, stream)
