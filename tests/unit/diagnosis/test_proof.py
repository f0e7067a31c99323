"""Which policies a set of results puts to the test, and which could have been ignored altogether without any of them
being different.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from random import Random

import pytest

from auditor.diagnosis.asked import Asked
from auditor.diagnosis.comparison import compare
from auditor.diagnosis.proof import NOT_PLANNED, ONLY_ITSELF, UNDEFINED, policy_tests
from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.report import CellResult, Report, Summary
from auditor.model.verdict import Conclusion, Note, Observation, Observed, Result, Verdict
from auditor.policy.evaluator import evaluate
from auditor.report.conclusion import conclude
from auditor.run.planning import AuditOptions, asked_about, plan
from tests.lab import scenarios
from tests.marking import slow
from tests.oracle.clusters import block, cluster, host, node, pod, pods, policy, rule
from tests.oracle.evaluator import verdict
from tests.strategies import Shape, random_snapshot

WEB = pod("a/web", {"app": "web"}, "10.0.0.1", node="one")
API = pod("a/api", {"app": "api"}, "10.0.0.2", node="one")
DB = pod("a/db", {"app": "db"}, "10.0.0.3", node="one")
OTHER_DB = pod("a/db-2", {"app": "db"}, "10.0.0.4", node="one")
DATABASE = {"app": "db"}
DENY_DB = policy("a/deny", DATABASE, ingress=[])
EVERYTHING = AuditOptions()
NO_SCTP = "SCTP sockets are not available here"
SPEC = {Verdict.ALLOWED: Observed.ALLOWED, Verdict.DENIED: Observed.DROPPED}


def results(snapshot, options=EVERYTHING, *, without=lambda _: ""):
    """What an audit sees where the specification is enforced; ``without`` says why a cell is skipped, and nothing of
    one that isn't.
    """
    matrix, probes = plan(snapshot, options)
    found = []
    for cell in probes.cells:
        expected, notes = matrix.verdict(*cell), matrix.notes(*cell)
        why = NO_SCTP if cell.protocol is Protocol.SCTP else without(cell)
        seen = (
            Observation(Observed.SKIPPED, why) if why else Observation(SPEC[expected], "as expected", (SPEC[expected],))
        )
        found.append(CellResult(cell, expected, seen, compare(expected, notes, seen), notes))
    return found


def judged(snapshot, options=EVERYTHING, *, gone=None, accepted=(), seen=None, without=None):
    gone = gone or {}
    lacking = without or (lambda cell: gone.get(cell.destination) or gone.get(cell.source, ""))
    made = results(snapshot, options, without=lacking) if seen is None else seen
    return policy_tests(snapshot, made, Asked(asked_about(snapshot, options), gone, accepted))


def untested(snapshot, *options, **more):
    return {str(each): each.reasons for each in judged(snapshot, *options, **more).untested}


def test_where_all_of_it_is_seen_every_policy_is_tested():
    found = judged(
        cluster(WEB, API, DB, policies=[DENY_DB, policy("a/out", {"app": "web"}, egress=[rule(pods(DATABASE))])])
    )
    assert (found.in_scope, found.tested, found.without_pods, found.untested) == (2, 2, 0, ())


def test_a_policy_whose_only_pod_was_left_out_is_not():
    found = judged(cluster(WEB, API, DB, policies=[DENY_DB]), gone={"a/db": "a PodDisruptionBudget selects it"})
    assert (found.in_scope, found.tested) == (1, 0)
    [each] = found.untested
    assert (each.policy, each.direction, each.accepted) == ("a/deny", Direction.INGRESS, False)
    assert each.reasons == ("none of its pods was probed: a/db: a PodDisruptionBudget selects it",)
    assert each.connections == len(
        [one for one in results(cluster(WEB, API, DB)) if one.cell.destination == "a/db" != one.cell.source]
    )


def test_another_of_its_pods_is_enough():
    assert untested(cluster(WEB, API, DB, OTHER_DB, policies=[DENY_DB]), gone={"a/db": "left out"}) == {}


def test_one_that_was_accepted_by_its_name_says_so():
    found = judged(cluster(WEB, DB, policies=[DENY_DB]), gone={"a/db": "left out"}, accepted=["a/deny"])
    assert [each.accepted for each in found.untested] == [True]
    assert (found.open, found.accepted, found.tested) == ((), ("a/deny",), 0)


def test_where_it_denies_something_an_allowed_connection_is_not_enough():
    allow_web = policy("a/deny", DATABASE, ingress=[rule(pods({"app": "web"}))])
    snapshot = cluster(WEB, API, DB, policies=[allow_web])
    assert untested(snapshot, gone={"a/api": "api left out"}) == {"a/deny (ingress)": ("api left out",)}
    assert untested(snapshot, gone={"a/web": "web left out"}) == {}


def test_what_the_other_end_denies_too_is_not_enough_where_there_is_more():
    closed = policy("a/closed", {"app": "web"}, egress=[])
    snapshot = cluster(WEB, API, DB, policies=[DENY_DB, closed])
    assert untested(snapshot, gone={"a/api": "api left out"}) == {
        "a/deny (ingress)": ("api left out",),
        "a/closed (egress)": ("api left out",),
    }
    assert untested(cluster(WEB, DB, policies=[DENY_DB, closed])) == {}


def test_where_it_allows_all_that_is_asked_an_allowed_connection_is():
    allow_web = policy("a/deny", DATABASE, ingress=[rule(pods({"app": "web"}))])
    snapshot = cluster(WEB, API, DB, policies=[allow_web])
    assert untested(snapshot, AuditOptions(sources=("a/web",))) == {}
    assert untested(snapshot, AuditOptions(sources=("a/web",)), gone={"a/web": "left out"}) == {
        "a/deny (ingress)": ("left out",)
    }


@pytest.mark.parametrize("kind", [Result.UNDEFINED, Result.MISDELIVERED, Result.INCONCLUSIVE, Result.SKIPPED])
def test_what_tells_nothing_of_the_enforcer_does_not_count(kind):
    snapshot = cluster(WEB, DB, policies=[DENY_DB])
    seen = [replace(one, result=kind) for one in results(snapshot)]
    assert set(untested(snapshot, seen=seen)) == {"a/deny (ingress)"}


@pytest.mark.parametrize("kind", [Result.MATCH, Result.LEAK, Result.UNSTABLE])
def test_what_was_seen_counts_whatever_it_was(kind):
    snapshot = cluster(WEB, DB, policies=[DENY_DB])
    assert untested(snapshot, seen=[replace(one, result=kind) for one in results(snapshot)]) == {}


def test_each_direction_is_tested_by_itself():
    both = policy("a/both", DATABASE, ingress=[], egress=[])
    snapshot = cluster(WEB, DB, policies=[both])
    assert untested(snapshot, without=lambda cell: "not from there" if cell.source == "a/db" else "") == {
        "a/both (egress)": ("not from there",)
    }


def test_only_what_was_asked_about_is_in_scope():
    both = policy("a/both", DATABASE, ingress=[], egress=[])
    snapshot = cluster(WEB, API, DB, policies=[both, policy("a/web", {"app": "web"}, ingress=[])])
    gone = {"a/db": "left out"}
    assert set(untested(snapshot, gone=gone)) == {"a/both (ingress)", "a/both (egress)"}
    assert set(untested(snapshot, AuditOptions(sources=("a/api", "a/web")), gone=gone)) == {"a/both (ingress)"}
    assert set(untested(snapshot, AuditOptions(destinations=("a/api", "a/web")), gone=gone)) == {"a/both (egress)"}
    assert set(untested(snapshot, AuditOptions(scope=frozenset({"a/web"})), gone=gone)) == set()
    assert set(untested(snapshot, AuditOptions(scope=frozenset({"a/db"})), gone=gone)) == {
        "a/both (ingress)",
        "a/both (egress)",
    }


def test_a_policy_that_selects_no_pod_is_counted_apart():
    nobody = policy("a/nobody", {"app": "nobody"}, ingress=[])
    on_host = policy("a/on-host", {"app": "proxy"}, ingress=[])
    proxy = pod("a/proxy", {"app": "proxy"}, "192.0.2.1", node="one", host_network=True)
    found = judged(cluster(WEB, DB, proxy, policies=[DENY_DB, nobody, on_host, policy("b/far", ingress=[])]))
    assert (found.in_scope, found.without_pods, found.untested) == (1, 2, ())


def test_a_pod_that_meets_nobody_but_itself_tests_nothing():
    deny = policy("a/deny", ingress=[])
    assert untested(cluster(WEB, node("one", "192.0.2.1"), policies=[deny])) == {"a/deny (ingress)": (ONLY_ITSELF,)}
    assert untested(cluster(WEB, API, policies=[deny]), seen=[]) == {"a/deny (ingress)": (NOT_PLANNED,)}


def test_what_is_undefined_is_no_test_and_none_that_is_missed():
    proxy = pod("b/proxy", {}, "192.0.2.2", node="two", host_network=True)
    deny = policy("a/deny", DATABASE, ingress=[])
    assert untested(cluster(DB, proxy, policies=[deny])) == {"a/deny (ingress)": (UNDEFINED,)}
    allow = policy("a/allow", DATABASE, ingress=[rule(pods({}, {}))])
    assert untested(cluster(DB, WEB, proxy, policies=[allow])) == {}


def test_a_policy_that_denies_sctp_alone_can_not_be_tested():
    allow = policy("a/allow", DATABASE, ingress=[rule("TCP/*", "UDP/*")])
    other = policy("a/other", {"app": "web"}, ingress=[rule("SCTP/7")])
    assert untested(cluster(WEB, API, DB, policies=[allow, other])) == {"a/allow (ingress)": (NO_SCTP,)}


def test_a_rule_that_nothing_can_exercise_is_no_reason():
    out = policy("a/out", {"app": "web"}, egress=[rule(block("203.0.113.0/24"))])
    assert untested(cluster(WEB, DB, policies=[out])) == {}


def test_the_most_frequent_reason_comes_first():
    snapshot = cluster(WEB, API, DB, host("far", "203.0.113.1"), policies=[DENY_DB])
    reasons = {"a/web": "rare", "a/api": "frequent", "host/far": "frequent"}
    assert untested(snapshot, without=lambda cell: reasons.get(cell.source, "")) == {
        "a/deny (ingress)": ("frequent", "rare")
    }


def test_address_unknown_tells_nothing():
    snapshot = cluster(WEB, DB, policies=[DENY_DB])
    seen = [replace(one, notes=(Note.ADDRESS_UNKNOWN,)) for one in results(snapshot)]
    assert [reason for reasons in untested(snapshot, seen=seen).values() for reason in reasons] == [
        "an address on which the policies depend is not known"
    ]


@pytest.mark.parametrize("name", scenarios.with_truth())
def test_every_policy_of_a_scenario_is_tested_by_its_cells(name):
    snapshot = scenarios.read(name).snapshot
    found = judged(snapshot)
    assert found.untested == ()
    assert found.in_scope + found.without_pods == len(snapshot.policies) + len(snapshot.admin_policies)


def report_of(snapshot, seen, tests):
    cells = tuple(seen)
    return Report("a random cluster", "r-0", snapshot.endpoints, cells, (), Summary.of(cells), policies=tests)


def shown_by_nothing(snapshot, seen):
    """The policies of which no denied connection of their pods was seen though there are some, nor an allowed one where
    there are none.

    By the oracle and one cell after the other, unlike the module. The other policies are asked one direction at a time.
    """
    ends = {endpoint.name: endpoint for endpoint in snapshot.endpoints}
    found = set()
    for each in snapshot.policies:
        for direction in each.directions:
            one_way = replace(
                snapshot,
                policies=tuple(_only(other, direction) for other in snapshot.policies if direction in other.directions),
            )
            verdicts = {Verdict.ALLOWED: [], Verdict.DENIED: []}
            for one in seen:
                subject = ends[one.cell[direction is Direction.INGRESS]]
                mine = (
                    subject.selectable
                    and subject.namespace == each.namespace
                    and each.pod_selector.matches(subject.labels)
                )
                if mine and one.cell.source != one.cell.destination and Note.UNDEFINED not in one.notes:
                    of_direction = verdict(one_way, ends[one.cell.source], ends[one.cell.destination], *one.cell[2:])
                    verdicts[of_direction].append(one)
            selects = any(
                end.selectable and end.namespace == each.namespace and each.pod_selector.matches(end.labels)
                for end in ends.values()
            )
            needed = verdicts[Verdict.DENIED] or verdicts[Verdict.ALLOWED]
            if selects and all(one.result is Result.SKIPPED for one in needed):
                found.add((each.full_name, direction))
    return found


def _only(each, direction):
    return replace(each, directions=frozenset({direction}))


SMALL = Shape(namespaces=2, pods=5, policies=4, host_network=0.15)


SEEDS = range(40)


@cache
def lacking(seed):
    """A cluster, the ends that an audit leaves out, what the audit sees, and the policies of which nothing tells."""
    dice = Random(seed)
    snapshot = random_snapshot(dice, SMALL)
    left_out = {end.name: f"{end.name} left out" for end in snapshot.endpoints if dice.random() < 0.5}
    seen = results(snapshot, without=lambda cell: left_out.get(cell.destination) or left_out.get(cell.source, ""))
    return snapshot, left_out, seen, shown_by_nothing(snapshot, seen)


@pytest.mark.parametrize("seed", [*SEEDS[:15], *map(slow, SEEDS[15:])])
def test_no_pass_where_nothing_tells_of_a_policy(seed):
    snapshot, left_out, seen, missing = lacking(seed)
    tests = policy_tests(snapshot, seen, Asked(asked_about(snapshot, AuditOptions()), left_out))
    shown = {(each.policy, each.direction) for each in tests.untested}
    assert missing <= shown
    if missing:
        assert conclude(report_of(snapshot, seen, tests)) is not Conclusion.PASS
    # An accepted policy is no reason, and the only one that there can be here besides an audit of nothing.
    accepted = replace(tests, untested=tuple(replace(each, accepted=True) for each in tests.untested))
    tried = Counter(one.result for one in seen)
    expected = Conclusion.PASS if tried[Result.SKIPPED] < len(seen) else Conclusion.INCONCLUSIVE
    assert conclude(report_of(snapshot, seen, accepted)) is expected


def test_random_clusters_are_of_both_kinds():
    """The check on the check above."""
    kinds = Counter(bool(lacking(seed)[-1]) for seed in SEEDS)
    assert min(kinds[True], kinds[False]) >= 5


def test_evaluator_and_filters_mean_the_same_cells():
    snapshot = cluster(WEB, API, DB, policies=[DENY_DB])
    denied = [one for one in results(snapshot) if evaluate(snapshot).verdict(*one.cell) is Verdict.DENIED]
    assert judged(snapshot, gone={"a/db": "x"}).untested[0].connections == len(denied)
