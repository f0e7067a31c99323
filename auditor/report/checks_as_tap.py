"""Checks in the Test Anything Protocol, version 14 (testanything.org): a line for each, with the reason below it."""

from __future__ import annotations

from typing import TextIO

import yaml

from auditor.model.checks import ChecksReport
from auditor.model.printable import printable
from auditor.model.verdict import Conclusion
from auditor.report.checks import cases
from auditor.report.documents import write_text


def render(report: ChecksReport, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    every = list(cases(report))
    lines = ["TAP version 14", f"1..{len(every)}"]
    for number, case in enumerate(every, 1):
        result = "ok" if case.conclusion is Conclusion.PASS else "not ok"
        # In a description, # begins a directive such as SKIP: one from outside must not.
        name = printable(f"{case.file}: {case.name}").replace("\\", "\\\\").replace("#", "\\#")
        lines.append(f"{result} {number} - {name}")
        if case.lines:
            said = {"conclusion": str(case.conclusion), "message": [printable(line.strip()) for line in case.lines]}
            block = yaml.safe_dump(said, sort_keys=False, width=1000, allow_unicode=True).rstrip().split("\n")
            lines += ["  ---", *(f"  {line}" for line in block), "  ..."]
    write_text("\n".join(lines), stream)
