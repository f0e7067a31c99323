"""Findings that someone has looked at and accepted: with an owner, a reason and a day on which that ends.

``schema: audit.suppressions/v1`` with a list ``suppressions`` of ``id``, ``policy``, ``owner``, ``reason`` and
``expires``, all of them required. What has expired suppresses nothing and is told, and so is what suppresses nothing
any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from auditor.lint.registry import CHECKS
from auditor.model.lint import LintFinding, Sorted, Suppression
from auditor.parsing.fields import Fields
from auditor.parsing.source import Source
from auditor.parsing.suppressions import read_suppression_file

SCHEMA = "audit.suppressions/v1"
REQUIRED = ("id", "policy", "owner", "reason", "expires")


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
    return read_suppression_file(source, SCHEMA, REQUIRED, _read_one)


def _read_one(fields: Fields, texts: dict[str, str]) -> Suppression:
    if texts["id"] and texts["id"] not in CHECKS:
        near = get_close_matches(texts["id"], CHECKS, 1)
        fields.note(
            f"no check is called {texts['id']!r}: "
            + (f"did you mean {near[0]}?" if near else "'audit lint --list' has them"),
            "id",
        )
    return Suppression(
        texts["id"],
        texts["policy"],
        texts["owner"],
        texts["reason"],
        texts["expires"],
        fields.document.source,
        fields.line,
    )
