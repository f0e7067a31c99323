"""Findings that someone has looked at and accepted: with an owner, a reason and a day on which that ends.

``schema: audit.suppressions/v1`` with a list ``suppressions`` of ``id``, ``policy``, ``owner``, ``reason`` and
``expires``, all of them required, and perhaps ``selector``. What has expired suppresses nothing and is reported, and so
is what suppresses nothing any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import takewhile

from auditor.lint.registry import CHECKS
from auditor.model.lint import SPECIAL, LintFinding, Sorted, Suppression
from auditor.parsing.fields import Fields
from auditor.parsing.source import Source
from auditor.parsing.suppressions import read_suppression_file

SCHEMA = "audit.suppressions/v1"
REQUIRED = ("id", "policy", "owner", "reason", "expires")


def suppress(findings: Iterable[LintFinding], suppressions: Sequence[Suppression], today: str) -> Sorted:
    """Take out of ``findings`` what ``suppressions`` accept on the day ``today``, given as ``YYYY-MM-DD``.

    Where several accept the same finding, the first does.
    """
    valid = [each for each in suppressions if each.expires >= today]
    accepting = _Accepting(valid)
    used: set[int] = set()
    left: list[LintFinding] = []
    suppressed: list[tuple[LintFinding, Suppression]] = []
    for finding in findings:
        place = accepting.first(finding)
        if place is None:
            left.append(finding)
        else:
            suppressed.append((finding, valid[place]))
            used.add(place)
    expired = tuple(each for each in suppressions if each.expires < today)
    return Sorted(
        tuple(left), tuple(suppressed), expired, tuple(each for place, each in enumerate(valid) if place not in used)
    )


class _Accepting:
    """Suppressions by what a policy's name has to begin with, so that few of them are held against each finding."""

    def __init__(self, suppressions: Sequence[Suppression]) -> None:
        self._suppressions = suppressions
        self._places: dict[str, dict[str, dict[tuple[str, str], int]]] = {}
        for place, each in enumerate(suppressions):
            begins = self._places.setdefault(each.check, {})
            begins.setdefault(_beginning(each.policy), {}).setdefault((each.policy, each.selector), place)
        self._lengths = {check: sorted({len(each) for each in begins}) for check, begins in self._places.items()}

    def first(self, finding: LintFinding) -> int | None:
        """The place of the first one that covers ``finding``; None where none does."""
        begins, subject = self._places.get(finding.check, {}), finding.place.subject
        candidates = (
            place
            for length in self._lengths.get(finding.check, ())
            if length <= len(subject)
            for (pattern, _), place in begins.get(subject[:length], {}).items()
            if length == len(subject) or length < len(pattern)
        )
        return min((place for place in candidates if self._suppressions[place].covers(finding)), default=None)


def _beginning(pattern: str) -> str:
    """What is before the first character of ``pattern`` that means others."""
    return "".join(takewhile(lambda character: character not in SPECIAL, pattern))


def read_suppressions(source: Source) -> tuple[Suppression, ...]:
    """The suppressions in ``source``. Raises InputError with every problem."""
    return read_suppression_file(source, SCHEMA, REQUIRED, _read_one, ("selector",))


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
        fields.text("selector") or "",
    )
