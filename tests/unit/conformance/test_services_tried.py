"""Conformance through Services: what is tried, what is said where nothing can be, and what it comes to."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from auditor.history.conformance import compare_conformance, record_of_card
from auditor.model.dialect import Dialect
from auditor.model.path_dialect import PathDialect
from auditor.model.ports import Protocol
from auditor.model.scorecard import Score
from auditor.model.service_seen import PathDiagnosis, PathFault, ServiceCell, ServiceResult, ServicesSeen, Way
from auditor.model.standing import Age, FailOn
from auditor.model.verdict import Note, Observation, Observed, Result, Verdict
from auditor.probing.options import NoProgress
from auditor.probing.sites import ProbeSite
from auditor.run.conformance import services_tried as module
from auditor.run.conformance.scoring import score
from auditor.run.conformance.services_tried import (
    MOST_BACKENDS,
    NOTHING_TO_TRY,
    SKIPPED,
    telling,
    tells_of_services,
    tried_through_services,
)
from tests.unit.conformance.shipped import outcome, prepared_scenarios
from tests.unit.probing.world import SWIFT

PREPARED = tuple(each for each in prepared_scenarios() if each.scenario.name in ("rule-08-both-sides", "demo"))
NODE_OF = {pod.name: pod.node for prepared in PREPARED for pod in prepared.pods}
RIGHT = outcome(Dialect.SPEC, *PREPARED)
DENIED = next(
    each
    for each in RIGHT.results
    if each.expected is Verdict.DENIED and each.cell.source in NODE_OF and each.cell.destination in NODE_OF
)


def test_few_backends_are_tried_that_show_what_is_allowed_and_denied_on_one_node_and_across():
    chosen = telling(RIGHT.results, NODE_OF)
    assert 2 <= len({each.cell.destination for each in chosen}) <= MOST_BACKENDS
    kinds = {
        (each.expected, NODE_OF[each.cell.source] == NODE_OF[each.cell.destination])
        for each in chosen
        if each.cell.source != each.cell.destination
    }
    assert len(kinds) == 4
    assert any(each.cell.source == each.cell.destination for each in chosen)
    assert len({NODE_OF[each.cell.destination] for each in chosen}) > 1


def test_what_is_not_as_expected_without_services_is_not_tried_and_nothing_where_nothing_is_denied():
    wrong = [replace(each, result=Result.LEAK) if each.expected is Verdict.DENIED else each for each in RIGHT.results]
    assert telling(wrong, NODE_OF) == []
    noted = [replace(each, notes=(Note.CNI_DEPENDENT,)) for each in RIGHT.results]
    assert telling(noted, NODE_OF) == []
    assert telling(RIGHT.results, {}) == []
    by_udp = [each for each in RIGHT.results if each.cell.protocol is Protocol.UDP]
    assert telling(by_udp, NODE_OF) == []


def test_on_the_lab_few_scenarios_are_tried():
    named = tells_of_services(prepared_scenarios())
    assert 1 <= len(named) <= 2
    assert tells_of_services([]) == []


def place(refused=()):
    sites = [ProbeSite(name, (), (name,), node=node) for name, node in NODE_OF.items()]
    return SimpleNamespace(sites=sites, refused=refused)


@pytest.fixture
def tried(monkeypatch):
    """What try_services is asked and answers."""
    calls = []
    answer = SimpleNamespace(calls=calls, seen=ServicesSeen())

    async def try_services(_place, about, _options, _progress):
        calls.append(about)
        return answer.seen

    monkeypatch.setattr(module, "try_services", try_services)
    return answer


async def through(of, refused=()):
    return await tried_through_services(place(refused), {}, of, SWIFT, NoProgress())


async def test_where_nothing_can_be_tried_that_is_said_loudly(tried):
    found = await through(outcome(Dialect.ENFORCES_NOTHING, *PREPARED))
    assert (found.facts, found.through, tried.calls) == ((SKIPPED.format(NOTHING_TO_TRY),), None, [])
    found = await through(RIGHT, ["you may not create services", "you may not do that either"])
    assert found.facts == ("SKIPPED policies through Services: you may not create services",)
    assert SKIPPED.format("no Service could be made") in (await through(RIGHT)).facts
    assert card_of(found).score is Score.CONFORMS
    assert "through-services" not in scores(card_of(found))


async def test_what_is_tried_is_what_was_as_expected_and_nobody_of_the_scenarios_stands_for_a_node(tried):
    tried.seen = ServicesSeen((result(Result.MATCH),), facts=("1 of 2 pods was tried",))
    found = await through(RIGHT)
    (about,) = tried.calls
    assert {each.result for each in about.results} == {Result.MATCH}
    assert not any(end.name.startswith("node/") for end in about.snapshot.endpoints)
    assert found.through == tried.seen
    assert found.facts == ("1 of 2 pods was tried",)


def result(kind, way=Way.CLUSTER_IP, at="", *, as_without=False):
    cell = ServiceCell(*DENIED.cell, way, "10.96.0.1", 10001, at)
    seen = Observation(Observed.ALLOWED if kind is Result.LEAK else Observed.DROPPED, "")
    return ServiceResult(cell, Verdict.DENIED, seen, kind, as_without=as_without)


def card_of(*found):
    return score(PREPARED, found, [each.scenario for each in PREPARED], subject="x")


def scores(card):
    return {each.feature: each.score for each in card.features}


def through_of(*results, diagnosis=None):
    return card_of(replace(RIGHT, through=ServicesSeen(results, diagnosis)))


def test_it_is_a_feature_of_its_own():
    card = through_of(result(Result.MATCH), result(Result.CNI_DEPENDENT))
    assert (card.score, scores(card)["through-services"]) == (Score.CONFORMS, Score.CONFORMS)
    assert card.behaviour == card_of(RIGHT).behaviour == "this CNI behaves like: spec"
    plain = card_of(RIGHT)
    assert card.summary == plain.summary
    assert card.scenarios == plain.scenarios
    unheard = through_of(result(Result.INCONCLUSIVE))
    assert scores(unheard)["through-services"] is Score.INCONCLUSIVE
    assert scores(through_of(result(Result.LEAK, as_without=True))) == scores(plain)


def test_what_departs_there_departs_and_is_named_and_known_the_next_time():
    other = next(node for node in NODE_OF.values() if node != NODE_OF[DENIED.cell.destination])
    said = "no policy is applied through Services between pods of the same node: explains 2 of 2"
    diagnosis = PathDiagnosis(said, "", PathFault(PathDialect.SERVICE_SKIPS_POLICY))
    wrong = (result(Result.LEAK), result(Result.LEAK, Way.NODE_PORT, other))
    card = through_of(*wrong, diagnosis=diagnosis)
    assert card.score is Score.DEPARTS
    assert [name for name, each in scores(card).items() if each is Score.DEPARTS] == ["through-services"]
    assert card.behaviour == f"this CNI behaves like: spec; {said}"
    named = [str(each.result.cell) for each in card.connections if each.features == ("through-services",)]
    assert "by a ClusterIP TCP" in named[0]
    assert "by a NodePort of another node TCP" in named[1]
    right = through_of(*(replace(each, result=Result.MATCH) for each in wrong))
    departing, fine, without = (record_of_card(each, "1") for each in (card, right, card_of(RIGHT)))
    for past, age in ((departing, Age.KNOWN), (fine, Age.NEW), (without, Age.INCOMPARABLE)):
        (standing,) = compare_conformance(departing, [past], "", FailOn.NEW).standings
        assert (standing.age, standing.title.split(",")[0]) == (age, "through Services policies mean the same")
    assert [each.age for each in compare_conformance(fine, [departing], "", FailOn.NEW).departed] == [Age.GONE]
    assert [each.age for each in compare_conformance(without, [departing], "", FailOn.NEW).departed] == [
        Age.INCOMPARABLE
    ]
