"""The scorecard for a CI system: JUnit XML with one suite of features and one of scenarios."""

from __future__ import annotations

from typing import TextIO
from xml.etree import ElementTree as ET

from auditor.history.identity import finding_id
from auditor.model.report import Summary
from auditor.model.scorecard import Score, Scorecard
from auditor.model.standing import Age
from auditor.report.documents import count_cases, lines, write_xml
from auditor.report.grouping import in_words
from auditor.report.headline import scorecard_headline, told

TAGS = {Score.DEPARTS: "failure", Score.INCONCLUSIVE: "error", Score.SKIPPED: "skipped"}


def render(card: Scorecard, stream: TextIO) -> None:
    """Write ``card`` to ``stream``."""
    root = ET.Element("testsuites", name="audit conformance")
    features = ET.SubElement(root, "testsuite", name="features")
    borne = _borne(card)
    for feature in card.features:
        age = borne.get(finding_id("conformance", (feature.feature,)))
        counts = _counts(feature.summary)
        _add(
            features,
            feature.title,
            feature.score if age is None else Score.SKIPPED,
            counts if age is None else f"{age}: {counts}",
            f"scenarios: {', '.join(feature.scenarios)}",
        )
    all_borne = card.comparison is not None and not card.comparison.failing
    scenarios = ET.SubElement(root, "testsuite", name="scenarios")
    for scenario in card.scenarios:
        departures = lines(
            f"{each.result}: {each.cell}: {in_words(each.observation.outcome)}" for each in scenario.departures
        )
        _add(
            scenarios,
            scenario.name,
            Score.SKIPPED if all_borne and scenario.score is Score.DEPARTS else scenario.score,
            "; ".join(filter(None, [_counts(scenario.summary), scenario.reason])),
            departures,
        )
    ET.SubElement(scenarios, "system-out").text = card.behaviour
    if card.score is Score.INCONCLUSIVE and root.find(".//error") is None:
        # A CI system takes a document without an error for a success, which a run that showed nothing is not.
        whole = ET.SubElement(root, "testsuite", name="conformance")
        _add(whole, "cells", card.score, card.behaviour, scorecard_headline(card))
    for suite in (*root, root):
        count_cases(suite, sum(card.seconds.values()) if suite is root else 0.0)
    write_xml(root, stream)


def _add(suite: ET.Element, name: str, score: Score, message: str, text: str) -> None:
    classname = f"audit.conformance.{suite.get('name')}"
    case = ET.SubElement(suite, "testcase", classname=classname, name=name, time="0.000")
    if score in TAGS:
        element = ET.SubElement(case, TAGS[score], message=message)
        element.text = text
        if score is not Score.SKIPPED:
            element.set("type", score.value)


def _borne(card: Scorecard) -> dict[str, Age]:
    """The age of each feature that departs and doesn't make the run fail, by its id."""
    told = card.comparison
    return {} if told is None else {each.id: each.age for each in told.standings if not each.fails(told.fail_on)}


def _counts(summary: Summary) -> str:
    return ", ".join(told(summary)) or "all as expected"
