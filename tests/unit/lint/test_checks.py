"""Each check fires in one small cluster and, in one close to it, doesn't; see ``cases/``."""

from __future__ import annotations

import pytest

from auditor.lint import CHECKS, lint
from auditor.model.lint import LintFinding
from auditor.model.snapshot import Snapshot
from tests.unit.lint.case import DIRECTORY, case, cluster


def found(check: str, snapshot: Snapshot, *, complete: bool) -> list[LintFinding]:
    return [finding for finding in lint(snapshot, complete=complete) if finding.check == check]


def test_each_check_has_its_pair():
    assert sorted(path.stem for path in DIRECTORY.glob("*.yaml")) == sorted(CHECKS)


@pytest.mark.parametrize("check", CHECKS)
def test_fires_at_its_place_and_says_why(check):
    pair = case(check)
    snapshot = cluster(*pair["common"], *pair["fires"])
    (finding,) = found(check, snapshot, complete=pair.get("complete", True))
    assert f"{finding.place.subject} {finding.place.path}".strip() == pair["at"]
    assert finding.severity is CHECKS[check].severity
    said = f"{finding.message}\n{finding.instead}"
    assert [words for words in pair["says"] if words not in said] == []


@pytest.mark.parametrize("check", CHECKS)
def test_is_silent_close_to_it(check):
    pair = case(check)
    snapshot = cluster(*pair["common"], *pair["silent"])
    assert snapshot.policies or snapshot.admin_policies
    assert found(check, snapshot, complete=pair.get("complete", True)) == []
