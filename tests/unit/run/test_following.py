"""An audit of a cluster that changes meanwhile."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import ip_address

import pytest

from auditor.cli.exit_codes import of_report
from auditor.model.diagnosis import Alternative, Diagnosis, Fault
from auditor.model.dialect import Dialect
from auditor.model.errors import ClusterError
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy, UnknownPolicy
from auditor.model.ports import PortRequest, Protocol
from auditor.model.probe_pod import Copy, Room
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Namespace, Snapshot
from auditor.model.verdict import Cell, Observed, Result, Verdict
from auditor.policy.evaluator import evaluate
from auditor.probing.disruptions import in_vain, tries_needed
from auditor.probing.options import NoProgress
from auditor.run.audit import audit
from auditor.run.deciding import Deciders
from auditor.run.planning import AuditOptions
from auditor.run.rounds import MOST_REPROBES, RESTLESS
from tests.unit.probing.world import SWIFT, TIMEOUT, TOKEN, World

SILENCES = tries_needed(in_vain(()))
"""How often silence is met before it stands for a denial."""
OPTIONS = AuditOptions(ports=(PortRequest(Protocol.TCP, number=80),), probing=replace(SWIFT, retests=0))


def isolating(number):
    """A policy that lets nobody in to ``a/NUMBER``."""
    return NetworkPolicy("a", f"isolate-{number}", LabelSelector((("n", str(number)),)), frozenset({Direction.INGRESS}))


def unreadable(number):
    return UnknownPolicy("a", f"odd-{number}", LabelSelector((("n", str(number)),)), "can't be read: spec: odd")


def cell(source, destination):
    return Cell(f"a/{source}", f"a/{destination}", Protocol.TCP, 80, Family.IPV4)


class MovingCluster:
    """Three pods. ``script`` has, for each time that somebody asks, the states since, each the policies then in force.

    What is enforced is the last state that was reported, or with ``enforced`` that one for ever. From ``apart`` on (the
    number of the question) a/2 has failed."""

    facts = ()

    def __init__(self, script=(), policies=(), *, enforced=None, apart=None):
        namespaces = {"a": Namespace.of("a")}
        endpoints = tuple(
            Endpoint(f"a/{n}", EndpointKind.POD, "a", {"n": str(n)}, (ip_address(f"10.0.0.{n + 1}"),), node="node-1")
            for n in range(3)
        )
        self.snapshot = self._in_state(Snapshot(namespaces, endpoints), policies)
        self.world = World(3, self._answer)
        self.sites = self.world.sites
        self.witnesses = self.world.witnesses
        self.open = self.world.open
        self.absent = {}
        self.failed = {}
        self.asked = 0
        self.probed = Counter()
        self._script = iter(script)
        self._apart = apart
        self._fixed = enforced is not None
        self._enforced = evaluate(self._in_state(self.snapshot, policies if enforced is None else enforced))

    @staticmethod
    def _in_state(snapshot, policies):
        known = tuple(policy for policy in policies if isinstance(policy, NetworkPolicy))
        return replace(
            snapshot, policies=known, unknown=tuple(policy for policy in policies if isinstance(policy, UnknownPolicy))
        )

    def _answer(self, source, destination, protocol, port, _number):
        self.probed[Cell(source, destination, protocol, port, Family.IPV4)] += 1
        return (
            TOKEN
            if self._enforced.verdict(source, destination, protocol, port, Family.IPV4) is Verdict.ALLOWED
            else TIMEOUT
        )

    async def changes(self):
        states = [self._in_state(self.snapshot, policies) for policies in next(self._script, ())]
        if states and not self._fixed:
            self._enforced = evaluate(states[-1])
        self.asked += 1
        if self.asked == self._apart:
            self.failed["a/2"] = "no longer alike"
        return states

    @staticmethod
    def reproduce(asked):
        return f"try {asked}"


async def audited(cluster, options=OPTIONS):
    report = await audit(cluster, "a moving cluster", options, NoProgress())
    return report, {one.cell: one for one in report.cells}


def inconclusive(results):
    return {
        one: seen.observation.outcome
        for one, seen in results.items()
        if seen.observation.verdict is Observed.INCONCLUSIVE
    }


async def test_a_cluster_at_rest_is_probed_once():
    cluster = MovingCluster()
    report, results = await audited(cluster)
    assert {one.result for one in results.values()} == {Result.MATCH}
    assert set(cluster.probed.values()) == {1}
    assert of_report(report) == 0


async def test_a_policy_that_is_deleted_during_the_run_and_enforced_on_is_named():
    before = [isolating(0), isolating(1)]
    cluster = MovingCluster([[[isolating(1)]]], before, enforced=before)
    report, results = await audited(cluster)
    assert {one.destination for one, seen in results.items() if seen.result is Result.OUTAGE} == {"a/0"}
    said = [report.diagnosis.title, *(each.title for each in report.diagnosis.alternatives)]
    assert any("policies of before the last change are enforced" in each for each in said), said
    stale = MovingCluster((), [isolating(1)], enforced=before)
    for former in (None, tuple(before)):
        report, _ = await audited(stale, replace(OPTIONS, former=former))
        said = [report.diagnosis.title, *(each.title for each in report.diagnosis.alternatives)]
        assert any("before the last change" in each for each in said) is (former is not None)


async def test_what_a_change_touches_is_judged_by_it_and_probed_again_and_nothing_else_is():
    cluster = MovingCluster([[[isolating(1)]]])
    report, results = await audited(cluster)
    assert {one for one, seen in results.items() if seen.expected is Verdict.DENIED} == {cell(0, 1), cell(2, 1)}
    assert {one.result for one in results.values()} == {Result.MATCH}
    assert {one for one, times in cluster.probed.items() if times > 1} == {cell(0, 1), cell(2, 1)}
    assert (
        report.facts[-1]
        == "policies or namespaces changed during the run: 2 connections probed again and judged by the new ones"
    )
    assert of_report(report) == 0


async def test_a_new_policy_that_nobody_enforces_is_a_leak():
    cluster = MovingCluster([[[isolating(1)]]], enforced=())
    report, results = await audited(cluster)
    assert {one for one, seen in results.items() if seen.result is Result.LEAK} == {cell(0, 1), cell(2, 1)}
    assert of_report(report) == 1


async def test_there_and_back_between_two_questions_is_probed_again():
    cluster = MovingCluster([[[isolating(1)], []]])
    report, results = await audited(cluster)
    assert {seen.expected for seen in results.values()} == {Verdict.ALLOWED}
    assert {one for one, times in cluster.probed.items() if times > 1} == {cell(0, 1), cell(2, 1)}
    assert of_report(report) == 0


async def test_a_change_that_decides_nothing_is_not_worth_a_word():
    elsewhere = NetworkPolicy("a", "nobody", LabelSelector((("n", "none"),)), frozenset({Direction.INGRESS}))
    cluster = MovingCluster([[[elsewhere]], [[]]])
    report, _ = await audited(cluster)
    assert set(cluster.probed.values()) == {1}
    assert not any("changed" in fact for fact in report.facts)


async def test_changes_one_after_the_other_are_followed():
    cluster = MovingCluster([[[isolating(1)]], [[isolating(1), isolating(2)]]])
    _, results = await audited(cluster)
    assert {one.result for one in results.values()} == {Result.MATCH}
    assert results[cell(0, 2)].expected is Verdict.DENIED
    assert report_of_probes(cluster) == dict.fromkeys([cell(0, 1), cell(2, 1), cell(0, 2), cell(1, 2)], 1 + SILENCES)


def report_of_probes(cluster):
    return {one: times for one, times in cluster.probed.items() if times > 1}


@pytest.mark.parametrize(("script", "judged"), [([[[isolating(1)]]], Result.MATCH), ([], Result.UNSTABLE)])
async def test_a_relapse_that_a_change_explains_makes_no_other_cell_unstable(script, judged):
    late = cell(1, 0)

    def answer(source, destination, _protocol, _port, number):
        if (source, destination) == late[:2]:
            return TOKEN if number else TIMEOUT
        return TIMEOUT if number and source != destination == "a/1" else TOKEN

    cluster = MovingCluster(script)
    cluster.world.answer = answer
    _, results = await audited(cluster, replace(OPTIONS, probing=replace(SWIFT, retests=1)))
    assert {results[one].result for one in (late, cell(0, 1), cell(2, 1))} == {judged}
    assert {one.result for one in results.values()} == {judged, Result.MATCH}


async def test_what_never_comes_to_rest_is_inconclusive_and_the_rest_is_not():
    flips = [[[isolating(1)]], [[]]] * 20
    cluster = MovingCluster(flips)
    report, results = await audited(cluster)
    assert inconclusive(results) == {cell(0, 1): RESTLESS, cell(2, 1): RESTLESS}
    assert {seen.result for one, seen in results.items() if one.destination != "a/1"} == {Result.MATCH}
    assert cluster.probed[cell(0, 1)] == 1 + sum(1 if number % 2 else SILENCES for number in range(MOST_REPROBES))
    assert of_report(report) == 3


async def test_a_policy_that_nobody_can_read_makes_what_it_may_decide_inconclusive():
    cluster = MovingCluster(policies=[unreadable(1)])
    report, results = await audited(cluster)
    # Its egress may be isolated as well as its ingress.
    both_ways = {cell(0, 1), cell(2, 1), cell(1, 0), cell(1, 2)}
    assert inconclusive(results) == dict.fromkeys(both_ways, "policy a/odd-1 can't be read: spec: odd")
    assert {seen.result for one, seen in results.items() if one not in both_ways} == {Result.MATCH}
    assert of_report(report) == 3


async def test_so_does_one_that_appears_during_the_run_until_it_is_gone():
    _, results = await audited(MovingCluster([[[unreadable(1)]]]))
    assert set(inconclusive(results)) == {cell(0, 1), cell(2, 1), cell(1, 0), cell(1, 2)}
    cluster = MovingCluster([[[unreadable(1)]], [[]]])
    report, results = await audited(cluster)
    assert inconclusive(results) == {}
    assert cluster.probed[cell(0, 1)] == 3
    assert of_report(report) == 0


async def test_a_probe_pod_that_is_no_longer_alike_makes_its_cells_inconclusive():
    cluster = MovingCluster([[[isolating(1)]]], apart=1)
    report, results = await audited(cluster)
    expected = {one for one in results if "a/2" in (one.source, one.destination)}
    assert inconclusive(results) == dict.fromkeys(expected, "no longer alike")
    assert results[cell(0, 1)].result is Result.MATCH
    assert of_report(report) == 3


@pytest.mark.parametrize("apart", [2, MOST_REPROBES + 1])
async def test_also_where_that_turns_out_only_at_a_later_question(apart):
    cluster = MovingCluster([[[isolating(1)]], [[]]] * 20, apart=apart)
    report, results = await audited(cluster)
    assert {results[one].observation.verdict for one in results if "a/2" in (one.source, one.destination)} == {
        Observed.INCONCLUSIVE
    }
    assert of_report(report) == 3


async def test_so_does_one_that_fails_while_no_policy_changes():
    cluster = MovingCluster(apart=1)
    report, results = await audited(cluster)
    expected = {one for one in results if "a/2" in (one.source, one.destination)}
    assert inconclusive(results) == dict.fromkeys(expected, "no longer alike")
    assert set(cluster.probed.values()) == {1}
    assert of_report(report) == 3


async def test_what_has_no_probe_pod_is_skipped_with_the_reason():
    cluster = MovingCluster()
    cluster.sites = cluster.sites[:2]
    cluster.absent = {"a/2": "a PodDisruptionBudget is in the way"}
    _, results = await audited(cluster)
    skipped = {
        one: seen.observation.outcome for one, seen in results.items() if seen.observation.verdict is Observed.SKIPPED
    }
    assert skipped == {one: cluster.absent["a/2"] for one in results if "a/2" in (one.source, one.destination)}
    assert results[cell(0, 1)].result is Result.MATCH


async def test_a_probe_pod_that_could_not_start_makes_its_cells_inconclusive():
    cluster = MovingCluster()
    cluster.sites = cluster.sites[:2]
    cluster.failed = {"a/2": "its probe pod can't run: ErrImagePull"}
    report, results = await audited(cluster)
    told = {
        one: seen.observation.outcome
        for one, seen in results.items()
        if seen.observation.verdict is Observed.INCONCLUSIVE
    }
    assert told == {one: cluster.failed["a/2"] for one in results if "a/2" in (one.source, one.destination)}
    assert of_report(report) == 3


async def test_pods_that_vanish_during_the_run_are_never_taken_for_denied():
    cluster = MovingCluster(policies=[isolating(1)])
    cluster.world.deaths = {"a/1": 1, "a/2": 2}
    report, results = await audited(cluster)
    gone = {one: seen for one, seen in results.items() if {"a/1", "a/2"} & {one.source, one.destination}}
    assert not {one for one, seen in gone.items() if seen.observation.verdict.is_denied}
    assert {seen.result for one, seen in gone.items()} <= {Result.INCONCLUSIVE, Result.MATCH}
    assert of_report(report) == 3


@pytest.fixture
def asks_for_more(monkeypatch):
    """A diagnosis that asks for one further cell, once."""
    further = cell(0, 1)._replace(port=81)
    answers = iter([Diagnosis("one of two", "probe", discriminating=(further,))])
    monkeypatch.setattr("auditor.run.causes.diagnose", lambda *_, **__: next(answers, None))
    return further


async def test_what_changes_while_causes_are_told_apart_is_followed_too(asks_for_more):
    cluster = MovingCluster([(), [[isolating(1)]]])
    _, results = await audited(cluster)
    assert {one for one, seen in results.items() if seen.expected is Verdict.DENIED} == {
        cell(0, 1),
        cell(2, 1),
        asks_for_more,
    }
    assert {one.result for one in results.values()} == {Result.MATCH}
    assert cluster.probed[asks_for_more] == 1 + SILENCES


async def test_further_probes_make_nothing_certain_that_never_came_to_rest(asks_for_more):
    flips = [[[isolating(1)]], [[]]] * (MOST_REPROBES // 2) + [[[isolating(1)]]] * (MOST_REPROBES % 2) + [[[]]]
    cluster = MovingCluster(flips)
    report, results = await audited(cluster)
    assert inconclusive(results) == {cell(0, 1): RESTLESS, cell(2, 1): RESTLESS}
    assert of_report(report) == 3


async def test_without_the_further_pods_that_were_asked_for_what_was_seen_stands(monkeypatch):
    tie = Diagnosis("one of two", "probe", (Fault(Dialect.SPEC),), alternatives=(Alternative((), "the other"),))
    asked = Deciders((Copy("a/1@node-1", "a/1", "node-1"),), (cell(0, 1)._replace(destination="a/1@node-1"),))
    monkeypatch.setattr("auditor.run.causes.diagnose", lambda *_, **__: tie)
    monkeypatch.setattr("auditor.run.causes.choose_deciders", lambda *_: asked)
    more = replace(OPTIONS, probing=replace(OPTIONS.probing, settle=0.1, late_isolation=0.05))

    class Refusing(MovingCluster):
        room = Room(1, frozenset({"node-1"}))

        async def add(self, copies):
            assert copies == asked.copies
            raise ClusterError("no quota for it")

    report, results = await audited(Refusing(), more)
    assert report.facts[-1] == "a further probe pod to find the cause could not be had: no quota for it"
    assert report.diagnosis is tie
    assert {one.result for one in results.values()} == {Result.MATCH}
    report, _ = await audited(MovingCluster())  # it has no room, and is not asked either
    assert not any("find the cause" in fact for fact in report.facts)


async def test_each_of_several_changes_at_once_counts():
    cluster = MovingCluster([[[isolating(1)], [isolating(1), isolating(2)]]])
    _, results = await audited(cluster)
    assert {one.result for one in results.values()} == {Result.MATCH}
    assert report_of_probes(cluster) == dict.fromkeys([cell(0, 1), cell(2, 1), cell(0, 2), cell(1, 2)], 1 + SILENCES)
