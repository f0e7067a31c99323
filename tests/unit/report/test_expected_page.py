"""The expected matrix as a page."""

from __future__ import annotations

import io

import pytest

from auditor.report import expected_as_page
from auditor.report.expected_as_page import explorable
from auditor.report.marks import Mark
from auditor.report.registry import EXPECT, renderer
from tests.unit.report.test_expected_graph import alone, pods, view
from tests.unit.report.test_pages import decoded

NAMES = ("prod/a", "prod/b", "prod/c", "prod/d")


@pytest.fixture
def shown():
    """Four pods of which two are alike: ``a`` and ``b`` are isolated, each for itself."""
    return view(pods(*NAMES), alone("prod/a"), alone("prod/b"))


def test_each_pair_of_endpoints_has_its_verdict(shown):
    matrix = explorable(shown)
    marks = {pair: list(matrix.words)[number] for pair, (number, *_) in decoded(matrix.data()).items()}
    assert marks["prod/c", "prod/d"] is Mark.ALLOWED
    assert marks["prod/c", "prod/a"] is Mark.DENIED
    assert len(marks) == 16


def test_too_many_endpoints_are_shown_by_class(shown, monkeypatch):
    monkeypatch.setattr(expected_as_page, "MOST_SHOWN", 3)
    assert [endpoint.name for endpoint in explorable(shown).endpoints] == ["prod/a", "prod/b", "prod/c +1"]


def test_too_many_classes_are_not_shown_and_the_page_says_so(shown, monkeypatch):
    monkeypatch.setattr(expected_as_page, "MOST_SHOWN", 1)
    stream = io.StringIO()
    renderer(EXPECT, "html")(shown, stream)
    assert "choose some with --from and --to" in stream.getvalue()
    assert "<svg" not in stream.getvalue()
    assert "<script" not in stream.getvalue()
