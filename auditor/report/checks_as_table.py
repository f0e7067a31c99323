"""Checks for a person: the counts, then each that did not pass with its reason, then the others by name."""

from __future__ import annotations

from typing import TextIO

from rich.text import Text

from auditor.model.checks import ChecksReport
from auditor.model.verdict import Conclusion
from auditor.report.checks import cases, headline
from auditor.report.conclusion import CONCLUSION_STYLES
from auditor.report.console import open_console, print_line, print_paragraph

ORDER = (Conclusion.FAIL, Conclusion.INCONCLUSIVE, Conclusion.PASS)


def render(report: ChecksReport, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    console = open_console(stream)
    conclusion = report.conclusion
    print_paragraph(
        console, Text.assemble((conclusion.value.upper(), CONCLUSION_STYLES[conclusion]), f"  {headline(report)}")
    )
    for case in sorted(cases(report), key=lambda case: ORDER.index(case.conclusion)):
        print_line(console, f"{case.conclusion} {case.name}", 2, first_word=CONCLUSION_STYLES[case.conclusion])
        for line in case.lines:
            indent = len(line) - len(line.lstrip())
            print_paragraph(console, line.strip(), 4 + indent, 6 + indent)
