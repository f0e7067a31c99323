"""Scorecards for a person, for programs and for CI systems."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from auditor.model.dialect import Dialect
from auditor.model.report import Summary
from auditor.model.scorecard import ChangeKind, Convergence, ScenarioScore, Score
from auditor.report.registry import CONFORMANCE, formats_of, renderer
from auditor.run.conformance.scoring import score
from tests.lab import scenarios
from tests.schemas import validator
from tests.unit.conformance.shipped import outcome, prepared_scenarios

NAMES = ("rule-06-end-port", "rule-15-policy-removed")


@pytest.fixture(scope="module")
def card():
    """A scorecard with one scenario that departs, one that conforms and one that is refused."""
    chosen = [prepared for prepared in prepared_scenarios() if prepared.scenario.name in NAMES]
    listed = [*(prepared.scenario for prepared in chosen), scenarios.read("seed-final-yaml")]
    seen = outcome(Dialect.IGNORES_END_PORT, *chosen, seconds={"rule-15-policy-removed": 1.26})
    return score(chosen, [seen], listed, subject="enforcer ignores-end-port on the lab")


def rendered(name, card):
    stream = io.StringIO()
    renderer(CONFORMANCE, name)(card, stream)
    return stream.getvalue()


def test_the_table_begins_with_the_conclusion_and_the_likeness(card):
    lines = rendered("table", card).splitlines()
    assert lines[0] == "DEPARTS  this CNI behaves like: spec except ignores-end-port"
    assert lines[1].startswith("3 scenarios (1 departs, 1 conforms, 1 skipped)")


def test_the_table_has_a_line_for_each_feature_and_for_what_did_not_conform(card):
    text = rendered("table", card)
    assert "departs      endPort" in text
    assert "connections in 1 scenario: 5 outages" in text
    assert "outage: x/client -> x/server TCP/8000 IPv4" in text
    assert "skipped      seed-final-yaml: its point is" in text
    assert "rule-15-policy-removed:" not in text


@pytest.mark.parametrize("columns", ["80", "200"])
def test_no_line_of_the_table_is_wider_than_the_terminal(card, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    lines = rendered("table", card).splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert any(line.startswith("departs      endPort  ") for line in lines)


def test_features_stand_in_columns_where_there_is_room(card, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    begins = [
        found.start(1) for line in rendered("table", card).splitlines() if (found := re.search(r"  (\d+ of )", line))
    ]
    assert len(begins) > 5
    assert len(set(begins)) == 1


def test_several_features_that_depart_are_not_several_causes(card):
    words = " ".join(rendered("table", card).split())
    assert "A connection counts for every feature that it shows; the cause says which of them is at fault." in words
    fine = replace(card, diagnosis=None)
    assert "A cell counts" not in rendered("table", fine)


def test_the_table_tells_how_long_changes_took(card):
    told = rendered(
        "table",
        replace(card, convergence=(*card.convergence, Convergence(ChangeKind.POD_CREATED, {"a": 0.01}, ("b",)))),
    )
    assert "policies changed: in force within 1.3 s at most in 1 scenario" in told
    assert "pod created: in force at once in 1 scenario; not as it ought to be when the" in told


def test_the_json_fits_its_schema(card):
    document = json.loads(rendered("json", card))
    validator("scorecard.schema.json").validate(document)
    assert document["conclusion"] == "departs"
    assert [entry["score"] for entry in document["scenarios"]] == ["departs", "conforms", "skipped"]
    assert document["diagnosis"]["faults"] == [{"dialect": "ignores-end-port", "scope": "cluster"}]
    assert len(document["scenarios"][0]["departures"]) == 5


def test_junit_fails_for_what_departs(card):
    root = ET.fromstring(rendered("junit", card))  # noqa: S314 - our own output
    assert [suite.get("name") for suite in root] == ["features", "scenarios"]
    tags = {case.get("name"): next((child.tag for child in case), None) for case in root.iter("testcase")}
    assert tags["endPort"] == "failure"
    assert tags["policies that change are followed"] is None
    assert [tags[name] for name in (*NAMES, "seed-final-yaml")] == ["failure", None, "skipped"]
    assert root.get("failures") == str(sum(tag == "failure" for tag in tags.values()))
    assert root.get("tests") == str(len(tags))


def test_a_run_that_showed_nothing_is_an_error_in_junit():
    one = score([], [], [scenarios.read("seed-final-yaml")], subject="x")
    root = ET.fromstring(rendered("junit", one))  # noqa: S314 - our own output
    assert one.score is Score.INCONCLUSIVE
    assert root.get("errors") == "1"
    assert root.find(".//error").get("message") == "nothing was observed of this CNI"


def test_an_inconclusive_scenario_is_an_error_in_junit(card):
    open_cell = replace(Summary.of(()), cells=3, inconclusive=1)
    unknown = replace(card, features=(), scenarios=(ScenarioScore("x", "X", open_cell),))
    assert unknown.score is Score.INCONCLUSIVE
    root = ET.fromstring(rendered("junit", unknown))  # noqa: S314 - our own output
    assert root.get("errors") == "1"


@pytest.mark.parametrize("name", sorted({*formats_of(CONFORMANCE)} - {"metrics"}))
def test_nothing_to_tell_is_told(name):
    empty = score([], [], [], subject="nobody")
    assert "nothing was observed" in rendered(name, empty)
