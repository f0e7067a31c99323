"""Scorecards of whole runs under each dialect, with observations that the tests' own evaluator makes."""

from dataclasses import replace
from functools import cache

import pytest

from auditor.model.dialect import FAULTLESS, OF_TIERS, Dialect
from auditor.model.scorecard import ChangeKind, Score
from auditor.model.verdict import Observation, Observed, Result, Verdict
from auditor.run.conformance.features import CHANGES, FEATURES, ISOLATED_START, OF_ADMINISTRATORS, cells_by_feature
from auditor.run.conformance.scenario_run import merged
from auditor.run.conformance.scoring import score
from tests.lab import scenarios
from tests.marking import some
from tests.unit.conformance.shipped import confined_scenarios, outcome, prepared_scenarios

STEADY = sorted(set(Dialect) - FAULTLESS - {Dialect.SLOW, Dialect.FLAKY, Dialect.STATELESS} - OF_TIERS)
MORE = ("seed-policies-add-up", "seed-self-and-own-node")
OF_DIALECT = {dialect: feature for feature in FEATURES for dialect in feature.dialects}


def card(dialect, chosen=None, **outcome_options):
    chosen = prepared_scenarios() if chosen is None else chosen
    return score(
        chosen, [outcome(dialect, *chosen, **outcome_options)], [prepared.scenario for prepared in chosen], subject="x"
    )


@cache
def scored(dialect):
    """The scorecard of the scenarios of rules, and of two more, under ``dialect``."""
    return card(
        dialect,
        tuple(
            prepared
            for prepared in prepared_scenarios()
            if prepared.scenario.name.startswith("rule-") or prepared.scenario.name in MORE
        ),
    )


def scores(one):
    return {feature.feature: feature.score for feature in one.features}


def test_the_specification_conforms_in_every_feature():
    assert scored(Dialect.SPEC).score is Score.CONFORMS
    assert set(scores(scored(Dialect.SPEC)).values()) == {Score.CONFORMS}
    assert scored(Dialect.SPEC).behaviour == "this CNI behaves like: spec"


def test_every_feature_is_shown_by_some_scenario():
    every = (*prepared_scenarios(), *confined_scenarios())
    cells = [cell for prepared in every for cell in prepared.truth]
    shown = cells_by_feature(merged([prepared.snapshot for prepared in every]), cells, every)
    assert set(shown) == {*FEATURES, ISOLATED_START, *CHANGES.values()}


@pytest.mark.parametrize("dialect", some(STEADY))
def test_every_departure_is_named(dialect):
    said = scored(dialect).behaviour
    assert scored(dialect).score is Score.DEPARTS
    assert said.startswith(
        "this CNI behaves like: enforces-nothing"
        if dialect is Dialect.ENFORCES_NOTHING
        else "this CNI behaves like: spec except "
    )
    assert dialect in said


@pytest.mark.parametrize("dialect", some(sorted(OF_DIALECT.keys() & set(STEADY))))
def test_a_dialect_departs_in_every_cell_of_its_feature_that_shows_it(dialect):
    shown = {feature.feature: feature.summary for feature in scored(dialect).features}
    assert shown[OF_DIALECT[dialect].name].faults


def among_others(dialect):
    """The scorecard of the scenarios with policies of administrators, and of a few more, under ``dialect``."""
    names = ("rule-06-end-port", "rule-08-both-sides", "rule-04-and-or", *MORE)
    others = [prepared for prepared in prepared_scenarios() if prepared.scenario.name in names]
    return card(dialect, (*others, *confined_scenarios()))


def test_policies_of_administrators_beside_others_conform_under_the_specification():
    found = among_others(Dialect.SPEC)
    assert set(scores(found).values()) == {Score.CONFORMS}
    assert {feature.name for feature in OF_ADMINISTRATORS} < scores(found).keys()


@pytest.mark.parametrize("dialect", sorted(dialect for each in OF_ADMINISTRATORS for dialect in each.dialects))
def test_a_dialect_of_administrators_policies_departs_in_its_feature_and_is_named(dialect):
    found = among_others(dialect)
    assert scores(found)[OF_DIALECT[dialect].name] is Score.DEPARTS
    assert str(dialect) in found.behaviour


def test_ignoring_end_port_is_no_fault_of_ingress():
    departing = {name for name, each in scores(scored(Dialect.IGNORES_END_PORT)).items() if each is Score.DEPARTS}
    assert "end-port" in departing
    assert departing.isdisjoint({"ingress", "egress", "ports", "udp", "default-deny", "changed-policies"})


def test_who_enforces_nothing_gets_nothing_right_but_what_is_open_anyway():
    right = {name for name, each in scores(scored(Dialect.ENFORCES_NOTHING)).items() if each is Score.CONFORMS}
    assert right == {"policy-types", "replies", "itself", "own-node"}


def test_a_stale_enforcer_fails_where_policies_changed():
    assert scores(scored(Dialect.STALE))["changed-policies"] is Score.DEPARTS
    assert scores(scored(Dialect.STALE))["end-port"] is Score.CONFORMS


def test_a_scenario_that_is_refused_is_skipped_with_the_reason():
    chosen = [prepared for prepared in prepared_scenarios() if prepared.scenario.name == "rule-06-end-port"]
    both = [scenarios.read("seed-final-yaml"), chosen[0].scenario]
    one = score(chosen, [outcome(Dialect.SPEC, *chosen)], both, subject="x")
    assert [(each.name, each.score) for each in one.scenarios] == [
        ("seed-final-yaml", Score.SKIPPED),
        ("rule-06-end-port", Score.CONFORMS),
    ]
    assert "refused" in one.scenarios[0].reason
    assert one.score is Score.CONFORMS


def test_departures_are_told_by_the_scenarios_own_names():
    chosen = [prepared for prepared in prepared_scenarios() if prepared.scenario.name == "rule-06-end-port"]
    (scenario,) = card(Dialect.IGNORES_END_PORT, chosen).scenarios
    assert {each.cell.source for each in scenario.departures} <= {"x/client", "x/server", "x/other"}
    assert len(scenario.departures) == scenario.summary.faults > 0


def test_convergence_tells_what_took_how_long_and_what_was_late():
    chosen = [
        prepared
        for prepared in prepared_scenarios()
        if prepared.step is not None and prepared.step.change is ChangeKind.POLICIES_CHANGED
    ][:2]
    first, second = (prepared.scenario.name for prepared in chosen)
    (found,) = card(Dialect.SPEC, chosen, seconds={first: 0.25, second: None}).convergence
    assert (found.change, dict(found.seconds), found.late) == (ChangeKind.POLICIES_CHANGED, {first: 0.25}, (second,))


def test_new_pods_that_are_open_at_first_depart_in_that_feature_alone():
    chosen = [each for each in prepared_scenarios() if each.step and each.step.change is ChangeKind.POD_CREATED]
    cells = [cell for each in chosen for cell in each.changed if each.truth[cell] is Verdict.DENIED]
    late = card(Dialect.SPEC, chosen, open_seconds={cells[0]: 2.5})
    departing = [each for each in late.features if each.score is Score.DEPARTS]
    assert [(each.feature, each.summary.faults) for each in departing] == [("isolated-start", 1)]
    assert late.score is Score.DEPARTS
    assert late.behaviour == "this CNI behaves like: spec; new pods are open for up to 2.5 s"
    assert card(Dialect.SPEC, chosen).score is Score.CONFORMS


def unseen(result):
    return replace(result, observation=Observation(Observed.INCONCLUSIVE, "the agent died"), result=Result.INCONCLUSIVE)


def test_what_stayed_open_is_said_with_what_the_enforcer_behaves_like():
    chosen = [prepared for prepared in prepared_scenarios() if prepared.scenario.name == "rule-06-end-port"]
    seen = outcome(Dialect.SPEC, *chosen)
    results = [unseen(result) if number % 2 else result for number, result in enumerate(seen.results)]
    one = score(
        chosen, [replace(seen, results=tuple(results))], [prepared.scenario for prepared in chosen], subject="x"
    )
    open_cells = len(results) // 2
    assert one.score is Score.INCONCLUSIVE
    assert one.behaviour == f"this CNI behaves like: spec; {open_cells} of {len(results)} connections are inconclusive"


def test_who_was_seen_to_close_nothing_may_enforce_nothing():
    chosen = [prepared for prepared in prepared_scenarios() if prepared.scenario.name == "rule-06-end-port"]
    seen = outcome(Dialect.SPEC, *chosen)
    results = [unseen(result) if result.expected is Verdict.DENIED else result for result in seen.results]
    one = score(
        chosen, [replace(seen, results=tuple(results))], [prepared.scenario for prepared in chosen], subject="x"
    )
    assert "spec (or enforces-nothing: no connection that should be denied was observed)" in one.behaviour
    assert (
        card(
            Dialect.SPEC,
            [prepared for prepared in prepared_scenarios() if prepared.scenario.name == "seed-default-allow"],
        ).behaviour
        in one.behaviour
    )


def test_nothing_observed_is_inconclusive():
    one = score([], [], [scenarios.read("seed-final-yaml")], subject="x")
    assert one.score is Score.INCONCLUSIVE
    assert one.behaviour == "nothing was observed of this CNI"
