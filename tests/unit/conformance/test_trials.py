"""Which changes are made in which scenarios."""

from collections import Counter

from auditor.model.scorecard import Change
from auditor.policy.evaluator import evaluate
from auditor.run.conformance.prepared_scenarios import MOST_TRIALS, make_trials
from tests.lab import scenarios
from tests.unit.conformance.shipped import trials


def stepped():
    return [trial for trial in trials() if trial.step is not None]


def test_every_scenario_with_a_truth_table_is_tried():
    assert [trial.scenario.name for trial in trials()] == scenarios.with_truth()


def test_every_kind_of_change_is_made_a_few_times():
    counts = Counter(trial.step.change for trial in stepped())
    assert counts == dict.fromkeys(Change, MOST_TRIALS)


def test_every_change_leads_to_the_scenario_as_written():
    for trial in stepped():
        assert trial.step.after == trial.snapshot
        assert trial.start == trial.step.before != trial.snapshot


def test_every_change_changes_verdicts_or_brings_some():
    for trial in stepped():
        before = evaluate(trial.step.before)
        there = {endpoint.name for endpoint in trial.step.before.endpoints}
        assert len(trial.changed) >= 2
        for cell in trial.changed:
            if {cell.source, cell.destination} <= there:
                assert before.verdict(*cell) is not trial.truth[cell]
            else:
                assert trial.step.change is Change.POD_CREATED


def test_scenarios_that_tell_of_a_change_get_that_one():
    (trial,) = make_trials([scenarios.read("rule-15-policy-removed")], "x-")
    assert trial.step.change is Change.POLICIES_CHANGED
    assert [policy.full_name for policy in trial.previous_policies] == ["x-x/default-deny"]


def test_the_number_and_the_name_can_be_in_the_names():
    _, second = make_trials([scenarios.read("demo"), scenarios.read("rule-06-end-port")], "c-{number}-{name}-")
    assert set(second.snapshot.namespaces) == {"c-1-rule-06-end-port-x"}
