"""Documents for programs: JSON, XML and CSV, which are UTF-8 whatever the locale says, and what all JUnit documents
have in common.

No standard defines JUnit XML. Ours keeps to what the schema of Jenkins' xUnit plugin, which validates, and the readers
of GitLab and GitHub agree on.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any, TextIO
from xml.etree import ElementTree as ET

from auditor.model.printable import json_text, printable

FORMULA = ("=", "+", "-", "@")
"""What a text begins with that a spreadsheet takes for a formula."""
TAGS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def as_utf8(stream: TextIO) -> TextIO:
    """``stream``, which writes UTF-8 from now on; what UTF-8 can't carry, half of a surrogate pair, becomes a backslash
    escape.
    """
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    return stream


def write_json(pieces: Iterable[str], stream: TextIO) -> None:
    r"""Write the JSON document that ``pieces`` make up, none of which ends inside a string; what can't be
    seen is written as ``\u``.
    """
    as_utf8(stream).writelines(map(json_text, pieces))


def write_json_value(value: Any, stream: TextIO) -> None:
    """Write ``value``, indented, as a JSON document of its own."""
    write_json([json.dumps(value, indent=1) + "\n"], stream)


def write_rows(columns: Sequence[str], rows: Iterable[Sequence[object]], stream: TextIO) -> None:
    """Write a header and ``rows`` to ``stream``, as comma-separated values (RFC 4180).

    What begins like a formula gets an apostrophe in front of it (OWASP, "CSV Injection").
    """
    writer = csv.writer(as_utf8(stream), lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_harmless(value) for value in row] for row in rows)


def _harmless(value: object) -> object:
    if not isinstance(value, str):
        return value
    shown = printable(value)
    return f"'{shown}" if shown.startswith(FORMULA) else shown


def write_text(text: str, stream: TextIO) -> None:
    """Write ``text``, of which the parts from outside have been made printable, and a newline."""
    as_utf8(stream).write(f"{text}\n")


def lines(texts: Iterable[str]) -> str:
    """``texts``, each on a line of its own, whatever is in it."""
    return "\n".join(map(printable, texts))


def count_cases(suite: ET.Element, seconds: float) -> None:
    """Set the counts of ``suite``, a ``testsuite`` or the ``testsuites`` at the root, by its cases, and the time it
    took.
    """
    cases = list(suite.iter("testcase"))
    suite.set("tests", str(len(cases)))
    for attribute, tag in TAGS.items():
        if attribute != "skipped" or suite.tag == "testsuite":
            suite.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("time", f"{seconds:.3f}")


def write_xml(root: ET.Element, stream: TextIO) -> None:
    """Write the document whose root is ``root``, indented.

    Attributes are one line, and texts the lines that they have; what can't be seen in them is an escape. Much of it XML
    1.0 can't carry.
    """
    for element in root.iter():
        for name, value in element.items():
            element.set(name, printable(value))
        element.text = element.text and lines(element.text.split("\n"))
    ET.indent(root)
    as_utf8(stream).write('<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n")
