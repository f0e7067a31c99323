"""Documents for programs: JSON and XML, which are UTF-8 whatever the locale says, and what all JUnit documents have in common.

No standard defines JUnit XML. Ours keeps to what the schema of Jenkins' xUnit plugin, which validates, and the readers of GitLab and
GitHub agree on.
"""

from __future__ import annotations

import io
from typing import TextIO
from xml.etree import ElementTree as ET

TAGS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def as_utf8(stream: TextIO) -> TextIO:
    """``stream``, which writes UTF-8 from now on; what UTF-8 can't carry, half of a surrogate pair, becomes a backslash escape."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    return stream


def xml_text(text: str) -> str:
    """``text`` with the characters that XML 1.0 can't carry in any way written as escapes."""
    return "".join(character if _allowed_in_xml(ord(character)) else character.encode("unicode_escape").decode() for character in text)


def _allowed_in_xml(code: int) -> bool:
    return code in (0x9, 0xA, 0xD) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000


def count_cases(suite: ET.Element, seconds: float) -> None:
    """Set the counts of ``suite``, a ``testsuite`` or the ``testsuites`` at the root, by its cases, and the time it took."""
    cases = list(suite.iter("testcase"))
    suite.set("tests", str(len(cases)))
    for attribute, tag in TAGS.items():
        if attribute != "skipped" or suite.tag == "testsuite":
            suite.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("time", f"{seconds:.3f}")


def write_xml(root: ET.Element, stream: TextIO) -> None:
    """Write the document whose root is ``root``, indented."""
    ET.indent(root)
    as_utf8(stream).write('<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n")
