"""The scorecard for a CI system: JUnit XML with one suite of features and one of scenarios."""

from __future__ import annotations

from typing import TextIO
from xml.etree import ElementTree as ET

from auditor.model.report import Summary
from auditor.model.scorecard import Score, Scorecard
from auditor.report.documents import count_cases, lines, write_xml
from auditor.report.grouping import in_words
from auditor.report.headline import scorecard_headline, told

TAGS = {Score.DEPARTS: "failure", Score.INCONCLUSIVE: "error", Score.SKIPPED: "skipped"}


def render(card: Scorecard, stream: TextIO) -> None:
    """Write ``card`` to ``stream``."""
    root = ET.Element("testsuites", name="audit conformance")
    features = ET.SubElement(root, "testsuite", name="features")
    for feature in card.features:
        _add(
            features,
            feature.title,
            feature.score,
            _counts(feature.summary),
            f"scenarios: {', '.join(feature.scenarios)}",
        )
    scenarios = ET.SubElement(root, "testsuite", name="scenarios")
    for scenario in card.scenarios:
        departures = lines(
            f"{each.result}: {each.cell}: {in_words(each.observation.outcome)}" for each in scenario.departures
        )
        _add(
            scenarios,
            scenario.name,
            scenario.score,
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


def _counts(summary: Summary) -> str:
    return ", ".join(told(summary)) or "all as expected"
