"""A scorecard's metrics: what Prometheus reads of them, and how many there may be."""

from __future__ import annotations

import io
from dataclasses import replace
from math import isnan

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from auditor.history.conformance import compare_conformance, record_of_card
from auditor.model.dialect import Dialect
from auditor.model.scorecard import Score
from auditor.model.standing import FailOn
from auditor.report.registry import CONFORMANCE, renderer
from auditor.run.conformance.scoring import score
from tests.unit.conformance.shipped import outcome, prepared_scenarios

NAMES = ("rule-06-end-port", "rule-15-policy-removed")


def card(dialect=Dialect.IGNORES_END_PORT, names=NAMES, run="r1", day=1):
    """What a run of the scenarios ``names`` says of ``dialect``."""
    chosen = [prepared for prepared in prepared_scenarios() if prepared.scenario.name in names]
    made = score(
        chosen, [outcome(dialect, *chosen)], [each.scenario for each in chosen], subject="enforcer x on the lab"
    )
    return replace(made, run_id=run, began=f"2026-11-{day:02d}T02:00:00Z", seconds={"probing": 2.0})


def compared(made, *past, fail_on=FailOn.NEW):
    """``made``, held against ``past`` cards, the latest first."""
    records = [record_of_card(each, "1.0") for each in past]
    return replace(made, comparison=compare_conformance(record_of_card(made, "1.0"), records, "before", fail_on))


CARD = card()


def samples(made):
    stream = io.StringIO()
    renderer(CONFORMANCE, "metrics")(made, stream)
    assert stream.getvalue().endswith("# EOF\n")
    families = text_string_to_metric_families(stream.getvalue())
    return {
        (each.name.removeprefix("netpol_audit_conformance_"), *each.labels.values()): each.value
        for family in families
        for each in family.samples
    }


def test_each_feature_says_whether_it_conforms_and_when_that_was_seen():
    seen = samples(CARD)
    assert (seen["feature", "end-port"], seen["feature", "ingress"]) == (0, 1)
    assert seen["departing_features", "end-port", "not-compared"] == 1
    assert seen["conclusion", "departs"] == 1
    assert seen["last_conclusive_timestamp_seconds",] == seen["last_run_timestamp_seconds",] > 1_790_000_000


def test_a_feature_that_is_lost_is_new_once_and_then_known():
    fine = card(Dialect.SPEC)
    assert samples(compared(CARD, fine))["departing_features", "end-port", "new"] == 1
    assert samples(compared(CARD, CARD, fine))["departing_features", "end-port", "known"] == 1


def test_what_conforms_takes_the_place_of_what_a_pushgateway_has_kept():
    seen = samples(compared(card(Dialect.SPEC), CARD))
    assert [key for key in seen if key[0] == "departing_features"] == [("departing_features", "", "new")]
    assert seen["departing_features", "", "new"] == 0


def test_a_feature_without_a_verdict_is_no_number():
    counted = replace(CARD.features[0].summary, leaks=0, outages=0, inconclusive=1)
    made = replace(CARD, features=(replace(CARD.features[0], summary=counted),))
    assert isnan(samples(made)["feature", CARD.features[0].feature])


def test_a_run_without_a_verdict_has_no_conclusive_time():
    unsure = replace(CARD, scenarios=(), features=(), connections=())
    assert unsure.score is Score.INCONCLUSIVE
    assert ("last_conclusive_timestamp_seconds",) not in samples(unsure)
