"""Findings that someone has looked at and accepted: with an owner, a reason and a day on which that ends.

``schema: audit.suppressions/v1`` with a list ``suppressions`` of ``id``, ``policy``, ``owner``, ``reason`` and
``expires``, all of them required. What has expired suppresses nothing and is told, and so is what suppresses nothing
any more.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from auditor.lint.registry import CHECKS
from auditor.model.errors import InputError, Problem
from auditor.model.lint import LintFinding, Sorted, Suppression
from auditor.parsing.documents import Document, read_documents, refuse_other_kinds
from auditor.parsing.fields import Fields
from auditor.parsing.source import Source

SCHEMA = "audit.suppressions/v1"
REQUIRED = ("id", "policy", "owner", "reason", "expires")
DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})\Z", re.ASCII)


def suppress(findings: Iterable[LintFinding], suppressions: Sequence[Suppression], today: str) -> Sorted:
    """Take out of ``findings`` what ``suppressions`` accept on the day ``today``, given as ``YYYY-MM-DD``."""
    valid = [each for each in suppressions if each.expires >= today]
    used: set[int] = set()
    left: list[LintFinding] = []
    suppressed: list[tuple[LintFinding, Suppression]] = []
    for finding in findings:
        by = next((each for each in valid if each.covers(finding)), None)
        if by is None:
            left.append(finding)
        else:
            suppressed.append((finding, by))
            used.add(id(by))
    expired = tuple(each for each in suppressions if each.expires < today)
    return Sorted(tuple(left), tuple(suppressed), expired, tuple(each for each in valid if id(each) not in used))


def read_suppressions(source: Source) -> tuple[Suppression, ...]:
    """The suppressions in ``source``. Raises InputError with every problem."""
    documents, problems = read_documents(source)
    refuse_other_kinds(documents, SCHEMA, "suppressions")
    found = [suppression for document in documents for suppression in _read_document(document, problems)]
    if problems:
        raise InputError(sorted(problems, key=lambda problem: problem.line))
    return tuple(found)


def _read_document(document: Document, problems: list[Problem]) -> list[Suppression]:
    if not isinstance(document.value, dict):
        problems.append(document.problem((), f"must be a mapping with schema: {SCHEMA} and suppressions"))
        return []
    fields = Fields(document, problems, (), document.value)
    fields.refuse_unknown(("schema", "suppressions"))
    if fields.text("schema") != SCHEMA:
        fields.note(f"must be {SCHEMA}", "schema")
    return [_read_one(item) for item in fields.maps("suppressions")]


def _read_one(fields: Fields) -> Suppression:
    fields.refuse_unknown(REQUIRED)
    texts = {name: fields.text(name) or "" for name in REQUIRED}
    missing = [
        name
        for name in REQUIRED
        if fields.value.get(name) is None or (isinstance(fields.value[name], str) and not texts[name].strip())
    ]
    if missing:
        fields.note(f"a suppression needs {', '.join(missing)}")
    if texts["id"] and texts["id"] not in CHECKS:
        near = get_close_matches(texts["id"], CHECKS, 1)
        fields.note(
            f"no check is called {texts['id']!r}: "
            + (f"did you mean {near[0]}?" if near else "'audit lint --list' has them"),
            "id",
        )
    if texts["expires"] and not _is_day(texts["expires"]):
        fields.note(f"{texts['expires']!r} is no day: write YYYY-MM-DD", "expires")
    return Suppression(
        texts["id"],
        texts["policy"],
        texts["owner"],
        texts["reason"],
        texts["expires"],
        fields.document.source,
        fields.line,
    )


def _is_day(text: str) -> bool:
    found = DAY.match(text)
    if not found:
        return False
    year, month, day = map(int, found.groups())
    return year > 0 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]
