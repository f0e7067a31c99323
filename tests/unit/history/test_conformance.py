"""Conformance from run to run: what is lost is new and named, and nothing is said of what nobody looked at."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from auditor.history.codec import BadRecordError, compress, decode_conformance, encode
from auditor.history.conformance import OTHER, compare_conformance, conformance_trend_of, record_of_card
from auditor.model.conformance_record import DEPARTS
from auditor.model.dialect import Dialect
from auditor.model.scorecard import Score
from auditor.model.standing import Age, FailOn
from auditor.model.verdict import Observed, Result
from auditor.report.message import message_of_card
from auditor.report.registry import CONFORMANCE, CONFORMANCE_HISTORY, renderer
from tests.schemas import validator
from tests.unit.conformance.shipped import prepared_scenarios
from tests.unit.report.test_scorecard_metrics import NAMES, card, compared

FINE, LOST = card(Dialect.SPEC), card()
END_PORT, REMOVED = NAMES


def unsure(made):
    """``made`` without a verdict on any connection."""
    unseen = [
        replace(
            each,
            result=replace(
                each.result,
                result=Result.INCONCLUSIVE,
                observation=replace(each.result.observation, verdict=Observed.INCONCLUSIVE),
            ),
        )
        for each in made.connections
    ]
    return replace(made, connections=tuple(unseen))


def ages(made, *past):
    return {each.title.partition(",")[0]: each.age for each in compared(made, *past).comparison.standings}


def departed(made, *past):
    found = compared(made, *past).comparison.departed
    return {each.title: (each.age, each.reasons) for each in found}


def test_a_feature_that_is_lost_is_new_and_named():
    assert ages(LOST, FINE)["endPort"] is Age.NEW
    (standing,) = [each for each in compared(LOST, FINE).comparison.standings if "endPort" in each.title]
    assert standing.title == "endPort, which conformed before"
    assert standing.examples[0].startswith(f"{END_PORT}: x/client -> ")


def test_what_was_lost_before_is_known_since_then():
    made = compared(card(day=3), card(day=2), card(Dialect.SPEC, day=1))
    (standing,) = [each for each in made.comparison.standings if each.title == "endPort"]
    assert (standing.age, standing.since, standing.nights) == (Age.KNOWN, "2026-11-02T02:00:00Z", 2)


def test_a_connection_that_departs_beside_known_ones_is_new():
    before = record_of_card(LOST, "1")
    first = before.states.index(DEPARTS)
    mended = replace(before, states=f"{before.states[:first]}+{before.states[first + 1 :]}")
    now = compare_conformance(before, [mended], "", FailOn.NEW)
    (standing,) = [each for each in now.standings if each.title == "endPort"]
    assert standing.connections == {Age.NEW: 1, Age.KNOWN: 4}


def test_what_nobody_looked_at_or_had_a_verdict_on_is_incomparable():
    assert ages(LOST)["endPort"] is Age.INCOMPARABLE
    assert ages(LOST, card(Dialect.SPEC, names=(REMOVED,)))["endPort"] is Age.INCOMPARABLE
    assert ages(LOST, unsure(FINE))["endPort"] is Age.INCOMPARABLE
    assert ages(LOST, unsure(FINE), FINE)["endPort"] is Age.NEW


def test_gone_is_said_only_of_what_was_tried_again():
    assert departed(FINE, LOST)["endPort"] == (Age.GONE, ())
    narrow = card(Dialect.SPEC, names=(REMOVED,))
    assert departed(narrow, LOST)["endPort"] == (Age.INCOMPARABLE, (f"{END_PORT} was not run",))
    assert departed(unsure(FINE), LOST)["endPort"] == (Age.INCOMPARABLE, (f"{END_PORT} got no verdict",))
    assert departed(FINE, narrow, LOST)["endPort"][0] is Age.GONE
    assert departed(FINE, FINE, LOST) == {}


def test_a_departing_connection_that_shows_no_feature_is_reported_too():
    bare = replace(LOST, connections=tuple(replace(each, features=()) for each in LOST.connections))
    assert ages(bare, FINE) == {OTHER.title: Age.NEW}


def test_versions_that_have_changed_stand_beside_what_is_new():
    before, after = (replace(made, versions={"kernel": number}) for made, number in ((FINE, "6.1"), (LOST, "6.2")))
    standings = compared(after, before).comparison.standings
    assert {each.changes for each in standings} == {("kernel: 6.1 before, 6.2 now",)}


def test_the_trend_says_which_features_come_and_go():
    cards = [LOST, FINE, card(names=(REMOVED,)), LOST, FINE]
    trend = conformance_trend_of([record_of_card(each, "1") for each in cards], 5)
    (course,) = [each for each in trend.features if each.title == "endPort"]
    assert (course.course, course.stands, course.flaps) == ("-+?-+", True, True)
    assert [(run.new > 0, run.gone > 0) for run in trend.runs] == [
        (True, False),
        (False, True),
        (False, False),
        (True, False),
        (False, False),
    ]
    for name in ("json", "table", "html"):
        stream = io.StringIO()
        renderer(CONFORMANCE_HISTORY, name)(trend, stream)
        assert "endPort" in stream.getvalue()
        if name == "json":
            validator("conformance-history.schema.json").validate(json.loads(stream.getvalue()))


def test_a_record_is_read_as_it_was_written_and_is_small():
    everything = card(names={each.scenario.name for each in prepared_scenarios()})
    record = record_of_card(everything, "1")
    content = encode(record)
    validator("conformance-record.schema.json").validate(json.loads(content))
    assert decode_conformance(content) == record
    assert len(compress(content)) < 40_000


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"states": "+"}, "states don't fit"),
        ({"states": "x" * len(record_of_card(LOST, "1").states)}, "states don't fit"),
        ({"connections": ()}, "states don't fit"),
        ({"connections": (), "states": ""}, "name connections that it doesn't have"),
    ],
)
def test_a_record_at_odds_with_itself_is_not_used(fields, why):
    with pytest.raises(BadRecordError, match=why):
        decode_conformance(encode(replace(record_of_card(LOST, "1"), **fields)))


@pytest.mark.parametrize(("past", "told"), [((FINE,), "NEW: departs: endPort, which"), ((), "NOT LOOKED AT BEFORE")])
def test_a_feature_that_is_lost_wakes_somebody(past, told):
    assert told in message_of_card(compared(LOST, *past)).text


def test_nobody_hears_of_what_is_known_and_everybody_of_what_is_mended():
    assert message_of_card(compared(LOST, LOST)) is None
    assert message_of_card(compared(FINE, FINE)) is None
    assert "gone, last seen 2026-11-01: departs: endPort" in message_of_card(compared(FINE, LOST)).text
    assert "departs: endPort" in message_of_card(LOST).text
    nothing = replace(FINE, scenarios=(), features=(), connections=())
    assert nothing.score is Score.INCONCLUSIVE
    assert message_of_card(nothing, "conforms") is not None
    assert message_of_card(nothing, "inconclusive") is None


@pytest.mark.parametrize("name", ["table", "json", "junit", "markdown", "html"])
def test_every_format_says_what_is_new(name):
    stream = io.StringIO()
    made = compared(LOST, FINE)
    renderer(CONFORMANCE, name)(made, stream)
    if name == "json":
        validator("scorecard.schema.json").validate(json.loads(stream.getvalue()))
    if name == "junit":
        assert "<failure" in stream.getvalue()
        stream = io.StringIO()
        renderer(CONFORMANCE, name)(compared(LOST, LOST), stream)
        assert "<failure" not in stream.getvalue()
        assert 'message="known: 5 outages"' in stream.getvalue()
    else:
        assert "which conformed before" in stream.getvalue()
