"""Lint for a CI system: JUnit XML with a test case per check, which fails for each finding that reaches the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO
from xml.etree import ElementTree as ET

from auditor.diagnosis.lint.finding import LintFinding
from auditor.diagnosis.lint.registry import CHECKS
from auditor.report.as_junit import xml_text
from auditor.report.lint import LintReport


def render(report: LintReport, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    root = ET.Element("testsuites", name="audit lint")
    suite = ET.SubElement(root, "testsuite", name=xml_text(report.subject))
    for check in CHECKS.values():
        case = ET.SubElement(suite, "testcase", classname="audit.lint", name=check.id)
        found = [each for each in report.sorted.findings if each.check == check.id]
        if found and check.severity.reaches(report.fail_on):
            element = ET.SubElement(case, "failure", message=xml_text(check.title), type=check.severity.value)
            element.text = _described(found)
        elif found:
            ET.SubElement(case, "system-out").text = _described(found)
    for element in (root, suite):
        element.set("tests", str(len(CHECKS)))
        element.set("failures", str(len(list(root.iter("failure")))))
        element.set("errors", "0")
    ET.indent(root)
    stream.write('<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n")


def _described(findings: Sequence[LintFinding]) -> str:
    return xml_text("\n".join(f"{each.place}: {each.message}" for each in findings))
