"""Documents for programs: in UTF-8 whatever the locale, and JUnit as the schema that CI systems share has it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from auditor.model.lint import LintReport, Severity, Sorted
from auditor.model.report import Summary
from auditor.model.scorecard import ScenarioScore, Scorecard
from auditor.report import as_json, as_junit, lint_as_junit, scorecard_as_junit
from tests.unit.report.reports import inconclusive, leak, report, result, skipped, small

COUNTS = {"tests", "failures", "errors"}
ATTRIBUTES = {
    "testsuites": {"name", "time", *COUNTS},
    "testsuite": {"name", "time", "skipped", *COUNTS},
    "testcase": {"name", "classname", "time"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
    "skipped": {"message"},
    "system-out": set(),
}
"""Of the elements that we write, the attributes in the schema of the Jenkins xUnit plugin, which validates, and others
agree with.
"""
CHILDREN = {
    "testsuites": ["testsuite"],
    "testsuite": ["testcase", "system-out"],
    "testcase": ["skipped", "error", "failure", "system-out"],
}
"""In that order, where order counts."""


def written(render, made, encoding="utf-8"):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    render(made, stream)
    stream.flush()
    return raw.getvalue()


NAMED = replace(small(), subject="scenario größe.yaml", facts=("größe.yaml", "\udcff.yaml"))
LINTED = LintReport("größe.yaml", 1, Sorted((), (), (), ()), Severity.WARNING)
NONE = report([]).summary
CARD = Scorecard(
    subject="enforcer x on the lab",
    run_id="1a2b3c4d",
    behaviour="like the specification",
    features=(),
    scenarios=(
        ScenarioScore("a", "A", NONE, "refused"),
        ScenarioScore("b", "B", Summary.of((inconclusive("a/a", "a/b", "TCP/1"),))),
        ScenarioScore("c", "C", Summary.of((leak("a/a", "a/b", "TCP/1"),)), departures=(leak("a/a", "a/b", "TCP/1"),)),
    ),
    convergence=(),
    summary=NONE,
)
JUNITS = [
    (as_junit.render, small()),
    (as_junit.render, report([])),
    (lint_as_junit.render, LINTED),
    (scorecard_as_junit.render, CARD),
]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_utf_8_whatever_the_locale(encoding):
    document = json.loads(written(as_json.render, NAMED, encoding).decode("utf-8"))
    assert document["subject"] == "scenario größe.yaml"
    assert document["facts"] == ["größe.yaml", "\udcff.yaml"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_xml_is_utf_8_whatever_the_locale(encoding):
    root = ET.fromstring(written(lint_as_junit.render, LINTED, encoding))  # noqa: S314 - we wrote it
    assert root[0].get("name") == "größe.yaml"


@pytest.mark.parametrize(("render", "made"), JUNITS)
def test_junit_is_what_ci_systems_read(render, made):
    root = ET.fromstring(written(render, made))  # noqa: S314 - we wrote it
    assert root.tag == "testsuites"
    for element in root.iter():
        assert set(element.keys()) <= ATTRIBUTES[element.tag]
        assert {child.tag for child in element} <= set(CHILDREN.get(element.tag, ()))
        if element.tag == "testsuite":
            order = [CHILDREN["testsuite"].index(child.tag) for child in element]
            assert order == sorted(order)
            assert set(element.keys()) == {"name", *COUNTS, "skipped", "time"}


def test_too_low_a_coverage_is_no_success_for_a_ci_system_either():
    made = report([skipped("a/a", "a/b", "SCTP/1"), leak("a/a", "a/b", "TCP/1")], min_coverage=0.9)
    assert len(list(ET.fromstring(written(as_junit.render, made)).iter("error"))) == 0  # noqa: S314 - we wrote it
    made = report([skipped("a/a", "a/b", "SCTP/1"), result("a/a", "a/c", "TCP/1")], min_coverage=0.9)
    (error,) = ET.fromstring(written(as_junit.render, made)).iter("error")  # noqa: S314 - we wrote it
    assert error.get("message").startswith("1 skipped, coverage 50 % is below the 90 % asked for")
