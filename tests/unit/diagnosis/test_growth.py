"""Lint and coverage do work in proportion to what they read. Counted are executed lines, not seconds, so a busy machine
changes nothing.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from io import StringIO
from itertools import product

import pytest

from auditor.diagnosis.coverage import unexercised
from auditor.lint import lint
from auditor.lint.suppressions import suppress
from auditor.model.lint import LintFinding, LintReport, Place, Severity, Sorted, Suppression
from auditor.model.ports import Protocol
from auditor.model.report import CellResult
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Observation, Observed, Result, Verdict
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source
from auditor.report import lint_as_table
from tests.bench.growing import SHAPES, listed
from tests.marking import some

SMALL, MIDDLE, LARGE = 48, 96, 192
MOST = 2.5
"""Twice the input adds twice the work; what compares each part with each other adds four times as much."""
BROKEN = ("wrong fields",)


@cache
def snapshot_of(name, number):
    data = json.dumps(listed(SHAPES[name](number))).encode()
    return read_snapshot([Source("growing.json", data)])


def lines_of(work):
    """How many lines ``work`` executes."""
    count = 0

    def trace(_frame, event, _argument):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def growth(work, name):
    """What the second doubling adds, for each line that the first one adds."""
    snapshots = [snapshot_of(name, number) for number in (SMALL, MIDDLE, LARGE)]
    small, middle, large = (lines_of(lambda each=each: work(each)) for each in snapshots)
    return (large - middle) / max(middle - small, 200)


@pytest.fixture(autouse=True)
def _few_comparisons(monkeypatch):
    """As with very many parts, where not all are compared with all."""
    monkeypatch.setattr("auditor.lint.covering.COMPARISONS", 0)
    monkeypatch.setattr("auditor.lint.covering.LEAST", 8)


@pytest.mark.parametrize("name", some(name for name in SHAPES if name not in BROKEN))
def test_lint_grows_with_its_input(name):
    assert growth(lint, name) < MOST


@pytest.mark.parametrize("name", [name for name in SHAPES if name not in BROKEN])
def test_coverage_grows_with_its_input(name):
    assert growth(cover, name) < MOST


@pytest.mark.parametrize("pattern", ["shop/p{:04}", "shop/p{:04}-*", "n{:04}/*", "shop/p{:04}?"])
def test_suppressions_grow_with_their_input(pattern):
    def accept(number):
        places = [Place(f"shop/p{each:04}-x") for each in range(number)]
        findings = [LintFinding("shadowed-rule", Severity.INFO, place, "") for place in places]
        accepted = [
            Suppression("shadowed-rule", pattern.format(each), "x", "x", "2030-01-01") for each in range(number)
        ]
        return lambda: suppress(findings, accepted, "2026-01-01")

    few, many = (lines_of(accept(number)) for number in (LARGE, 4 * LARGE))
    assert many < 6 * few


def test_colours_cost_little(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    places = [Place(f"shop/p{each}", "many.yaml", each + 1, "spec.ingress[0]") for each in range(LARGE)]
    findings = [LintFinding("shadowed-rule", Severity.INFO, place, "says " * 30, "- from:\n  - x") for place in places]
    report = LintReport("many.yaml", LARGE, Sorted(tuple(findings)), Severity.ERROR)
    lint_as_table.render(report, Terminal())  # what is remembered of styles afterwards counts for none of the two
    plain, coloured = (lines_of(lambda to=to: lint_as_table.render(report, to())) for to in (StringIO, Terminal))
    assert coloured < 1.5 * plain


class Terminal(StringIO):
    def isatty(self):
        return True


def cover(snapshot):
    """Coverage by what the three pods of every shape send one another."""
    ends, ports = ("shop/web", "shop/db", "other/far"), (1, 8080, 5432)
    cells = [
        Cell(source, destination, Protocol.TCP, port, Family.IPV4)
        for source, destination, port in product(ends, ends, ports)
    ]
    seen = Observation(Observed.ALLOWED, "")
    return unexercised(snapshot, [CellResult(cell, Verdict.ALLOWED, seen, Result.MATCH) for cell in cells])
