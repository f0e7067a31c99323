"""GitHub's annotations: workflow commands that the runner shows beside the lines of a change.

GitHub shows ten of a kind and drops the rest without a word (actions/toolkit, "Problem Matchers", limitations), so nine
are written, the gravest first, and a tenth says how many more there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from auditor.model.intent import IntentReport
from auditor.model.lint import LintReport
from auditor.model.printable import printable
from auditor.model.report import Report
from auditor.model.words import pluralize
from auditor.report.documents import lines, write_text
from auditor.report.files import in_the_checkout
from auditor.report.remarks import Level, Remark, Remarks, remarks_of

MOST = 9
COMMANDS = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}
IN_DATA = (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"))
IN_PROPERTIES = (*IN_DATA, (":", "%3A"), (",", "%2C"))
"""What a workflow command escapes (actions/toolkit, packages/core/src/command.ts)."""


def render(report: LintReport | IntentReport | Report, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    write_text("\n".join(_lines(remarks_of(report))), stream)


def _lines(remarks: Remarks) -> Iterator[str]:
    yield printable(f"{remarks.conclusion.upper()}  {remarks.headline}")
    yield from (_annotation(each) for each in remarks.each[:MOST])
    left = remarks.each[MOST:]
    if left:
        more = f"{pluralize(len(left), 'more finding')}: -o markdown, -o sarif and -o json have them all"
        yield _command(left[0].level, {"title": f"audit {remarks.command}"}, more)


def _annotation(remark: Remark) -> str:
    properties: dict[str, str] = {}
    place = in_the_checkout(remark.places)
    if place is not None:
        properties |= {"file": place.file, "line": str(place.line)}
    properties["title"] = remark.title
    subject = remark.places[0].subject if remark.places else ""
    return _command(remark.level, properties, f"{subject}: {remark.text}" if subject else remark.text)


def _command(level: Level, properties: dict[str, str], text: str) -> str:
    told = ",".join(f"{name}={_escaped(printable(value), IN_PROPERTIES)}" for name, value in properties.items())
    data = lines(text.split("\n"))
    return f"::{COMMANDS[level]} {told}::{_escaped(data, IN_DATA)}"


def _escaped(text: str, escapes: tuple[tuple[str, str], ...]) -> str:
    for character, escape in escapes:
        text = text.replace(character, escape)
    return text
