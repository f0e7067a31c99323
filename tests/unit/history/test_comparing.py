"""What is reported of findings from night to night: new, known, gone, and never *gone* of what nobody looked at."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.history.comparing import compare
from auditor.history.recording import night_of
from auditor.history.suppressions import Accepted, FindingSuppression
from auditor.history.surroundings import changes_between
from auditor.model.night import NightFinding, Surroundings
from auditor.model.snapshot import Endpoint, EndpointKind
from auditor.model.standing import Age, FailOn
from auditor.model.verdict import Result
from tests.unit.history.nights import DENIED_BY, night, pod, run_of, stand_in, tried

WEB, DB, API = pod("prod/web"), pod("prod/db", "n2"), pod("prod/api")
LEAK = tried(WEB, DB, Result.LEAK)
CLEAN = night([WEB, DB, API], [tried(WEB, DB), tried(API, DB)])
LEAKY = night([WEB, DB, API], [LEAK, tried(API, DB)], began="2026-11-02T02:00:00Z")


def held(new, *past, fail_on=FailOn.NEW, accepted=None):
    return compare(new, past, "yesterday", fail_on, *([accepted] if accepted else []))


def ages(comparison):
    return [each.age for each in comparison.standings], [each.age for each in comparison.departed]


def test_a_leak_that_was_not_there_is_new_then_known_then_gone():
    assert ages(held(LEAKY, CLEAN)) == ([Age.NEW], [])
    assert ages(held(LEAKY, LEAKY)) == ([Age.KNOWN], [])
    assert ages(held(CLEAN, LEAKY)) == ([], [Age.GONE])
    assert [len(held(*nights).failing) for nights in ((LEAKY, CLEAN), (LEAKY, LEAKY), (CLEAN, LEAKY))] == [1, 0, 0]


def test_nothing_is_known_of_a_first_night():
    comparison = held(LEAKY)
    assert ages(comparison) == ([Age.INCOMPARABLE], [])
    assert comparison.failing


def test_jobs_that_say_what_they_are_called_are_the_same_from_night_to_night():
    nights = []
    for name in ("first", "nightly-29394720"):
        job = Endpoint(
            f"ops/{name}-x2x4",
            EndpointKind.POD,
            "ops",
            {"netpol-audit/workload": "nightly"},
            node="n1",
            workload=f"Job/{name}",
        )
        nights.append(night([job, DB], [tried(job, DB, Result.LEAK)]))
    assert ages(held(*nights)) == ([Age.KNOWN], [])


@pytest.mark.parametrize("kind", [Result.INCONCLUSIVE, Result.SKIPPED])
def test_what_got_no_verdict_is_not_gone(kind):
    unsure = night([WEB, DB, API], [tried(WEB, DB, kind), tried(API, DB)])
    (departed,) = held(unsure, LEAKY).departed
    assert (departed.age, departed.reasons) == (Age.INCOMPARABLE, ("it got no verdict",))
    assert ages(held(LEAKY, unsure)) == ([Age.INCOMPARABLE], [])


@pytest.mark.parametrize(
    ("later", "why"),
    [
        (night([API, DB], [tried(API, DB)]), "prod/web was not audited"),
        (night([WEB, DB], [tried(WEB, DB, port=80)]), "TCP/5432 IPv4 was not tried"),
        (night([pod("prod/web", "n3"), DB], [tried(WEB, DB)]), "it was not looked at from n1 to n2"),
    ],
)
def test_what_was_not_looked_at_is_not_gone(later, why):
    (departed,) = held(later, LEAKY).departed
    assert (departed.age, departed.reasons) == (Age.INCOMPARABLE, (why,))


def test_what_a_night_did_not_look_at_is_held_against_the_night_before_it():
    unsure = night([WEB, DB, API], [tried(WEB, DB, Result.INCONCLUSIVE)])
    assert ages(held(LEAKY, unsure, LEAKY)) == ([Age.KNOWN], [])
    assert ages(held(LEAKY, unsure, CLEAN)) == ([Age.NEW], [])
    assert ages(held(CLEAN, unsure, LEAKY)) == ([], [Age.GONE])
    assert ages(held(CLEAN, CLEAN, LEAKY)) == ([], [])


def test_new_evidence_inside_a_known_finding_is_new():
    wider = night([WEB, DB, API], [LEAK, tried(API, DB, Result.LEAK)])
    (standing,) = held(wider, LEAKY).standings
    assert standing.age is Age.NEW
    assert standing.connections == {Age.NEW: 1, Age.KNOWN: 1}
    assert standing.examples == ("prod/api -> prod/db TCP/5432 IPv4",)
    assert standing.evidence != held(LEAKY, LEAKY).standings[0].evidence


def test_another_node_that_was_as_expected_is_new_evidence():
    other = pod("prod/web", "n3", suffix="other")
    before = night([WEB, DB, other], [LEAK, tried(other, DB)])
    after = night([WEB, DB, other], [LEAK, tried(other, DB, Result.LEAK)])
    assert ages(held(after, before)) == ([Age.NEW], [])
    assert ages(held(after, LEAKY)) == ([Age.KNOWN], [])


def test_a_leak_on_one_node_is_known_when_that_node_has_its_turn_again():
    """Between, others have theirs, and are as expected."""
    elsewhere = [pod("prod/web", "n5"), pod("prod/db", "n6")]
    between = night(elsewhere, [tried(*elsewhere)], began="2026-11-03T02:00:00Z")
    again = night([WEB, DB, API], [LEAK, tried(API, DB)], began="2026-11-04T02:00:00Z")
    assert ages(held(again, between, LEAKY)) == ([Age.KNOWN], [])
    assert ages(held(again, between, CLEAN)) == ([Age.NEW], [])
    assert ages(held(again, between)) == ([Age.INCOMPARABLE], [])


def test_a_pod_that_moved_with_its_leak_is_known():
    moved = pod("prod/web", "n3")
    assert ages(held(night([moved, DB, API], [tried(moved, DB, Result.LEAK)]), LEAKY)) == ([Age.KNOWN], [])


def test_another_reason_is_no_other_leak():
    """A second policy that denies the same changes what is expected, and not what is wrong."""
    other = night([WEB, DB, API], [LEAK, tried(API, DB)], reason="ingress denied by prod/db, prod/all")
    assert ages(held(other, LEAKY)) == ([Age.KNOWN], [])


def test_another_kind_is_another_finding():
    other = night([WEB, DB, API], [tried(WEB, DB, Result.UNSTABLE), tried(API, DB)])
    assert ages(held(other, LEAKY)) == ([Age.NEW], [])


def test_what_is_mended_in_part_stands():
    wider = night([WEB, DB, API], [LEAK, tried(API, DB, Result.LEAK)])
    assert ages(held(LEAKY, wider)) == ([Age.KNOWN], [])


def test_how_long_a_finding_stands_without_a_break():
    nights = [replace(LEAKY, began=f"2026-11-{day:02}T02:00:00Z") for day in range(1, 6)]
    unsure = night([WEB, DB, API], [tried(WEB, DB, Result.INCONCLUSIVE)])
    (standing,) = held(nights[4], nights[3], unsure, nights[2], CLEAN, nights[0]).standings
    assert (standing.since, standing.nights) == ("2026-11-03T02:00:00Z", 3)


def test_a_class_that_is_made_up_anew_hides_and_invents_nothing():
    """Which workloads a probe pod stands for, and after which it is called, changes with every other workload."""
    both = [stand_in("prod/api", "prod/api", "prod/web"), DB]
    before = night(both, [tried(both[0], DB, Result.LEAK)])
    named_otherwise = [stand_in("prod/aaa", "prod/aaa", "prod/web"), stand_in("prod/api", "prod/api"), DB]
    split = night(named_otherwise, [tried(named_otherwise[0], DB, Result.LEAK), tried(named_otherwise[1], DB)])
    (standing,) = held(split, before).standings
    assert standing.connections == {Age.KNOWN: 1, Age.INCOMPARABLE: 1}
    joined = held(night(both, [tried(both[0], DB, Result.LEAK)]), split)
    assert joined.standings[0].connections == {Age.KNOWN: 1, Age.NEW: 1}


WORKLOADS = [f"{namespace}/{name}" for namespace in ("a", "b") for name in ("web", "db", "api")]


@st.composite
def worlds(draw):
    """Pods of some workloads on some nodes, and what came of each connection between them."""
    places = draw(
        st.lists(st.tuples(st.sampled_from(WORKLOADS), st.sampled_from("xy")), min_size=2, max_size=6, unique=True)
    )
    results = st.sampled_from([Result.MATCH, Result.LEAK, Result.OUTAGE, Result.INCONCLUSIVE])
    pairs = [(one, other) for one in places for other in places if one != other]
    return places, [(one, other, draw(results)) for one, other in pairs]


def world(places, seen, names, order=lambda items: items, **fields):
    pods = {place: pod(*place, template_hash=f"{names}{number}") for number, place in enumerate(places)}
    cells = [tried(pods[one], pods[other], result) for one, other, result in seen]
    return run_of(order(list(pods.values())), order(cells), **fields)


def night_from(report):
    return night_of(report, "1", "fail")


@given(worlds(), st.randoms(use_true_random=False))
def test_renamed_pods_another_run_and_another_order_are_the_same_findings(made, chance):
    places, seen = made
    before = night_from(world(places, seen, "aaaaaa"))
    shuffled = world(
        places,
        seen,
        "bbbbbb",
        lambda items: chance.sample(items, len(items)),
        run="another",
        reason=DENIED_BY.replace(":3", ":4"),
    )
    comparison = held(night_from(shuffled), before)
    assert not comparison.departed
    assert {each.age for each in comparison.standings} <= {Age.KNOWN}
    same = held(before, before)
    assert [(each.id, each.evidence) for each in comparison.standings] == [
        (each.id, each.evidence) for each in same.standings
    ]


@given(worlds(), st.data())
def test_whatever_is_dropped_from_the_coverage_is_never_gone(made, data):
    places, seen = made
    faults = [(one, other) for one, other, result in seen if result in (Result.LEAK, Result.OUTAGE)]
    if not faults:
        return
    dropped = data.draw(st.sampled_from(["workload", "node", "verdicts", "connections"]))
    if dropped in ("workload", "node"):
        victims = {data.draw(st.sampled_from(list(pair))) for pair in faults}
        lost = [each for each in places if each not in victims]
        later = [(one, other, Result.MATCH) for one, other, _ in seen if one in lost and other in lost]
    else:
        lost, kind = places, Result.INCONCLUSIVE
        later = [
            (one, other, kind if (one, other) in faults else Result.MATCH)
            for one, other, _ in seen
            if dropped == "verdicts" or (one, other) not in faults
        ]
    if not later:
        return
    comparison = held(night_from(world(lost, later, "b")), night_from(world(places, seen, "a")))
    assert comparison.departed
    assert {each.age for each in comparison.departed} == {Age.INCOMPARABLE}
    assert all(each.reasons for each in comparison.departed)


@given(worlds())
def test_all_that_is_as_expected_again_is_gone(made):
    places, seen = made
    mended = [(one, other, Result.MATCH) for one, other, _ in seen]
    before = night_from(world(places, seen, "a"))
    comparison = held(night_from(world(places, mended, "b")), before)
    assert ages(comparison) == ([], [Age.GONE] * len(before.findings))


def suppression(**fields):
    given_fields = {
        "kind": "leak",
        "source": "prod/web",
        "destination": "prod/*",
        "port": "TCP/5432",
        "owner": "net",
        "reason": "the vendor's",
        "expires": "2026-12-31",
    }
    return FindingSuppression(**{**given_fields, **fields})


def test_what_is_accepted_fails_under_no_rule_and_is_told():
    for fail_on in FailOn:
        comparison = held(LEAKY, CLEAN, fail_on=fail_on, accepted=Accepted([suppression()], "2026-12-31"))
        assert (ages(comparison)[0], comparison.failing) == ([Age.ACCEPTED], ())
        assert "the vendor's" in comparison.standings[0].accepted[0]
        assert (comparison.expired, comparison.unused) == ((), ())


def test_what_has_expired_fails_though_it_is_known():
    for fail_on in FailOn:
        comparison = held(LEAKY, LEAKY, fail_on=fail_on, accepted=Accepted([suppression()], "2027-01-01"))
        assert ages(comparison)[0] == [Age.EXPIRED]
        assert comparison.failing
        assert len(comparison.expired) == 1


def test_what_suppresses_nothing_is_told():
    comparison = held(CLEAN, CLEAN, accepted=Accepted([suppression(), suppression(expires="2020-01-01")], "2026-12-01"))
    assert len(comparison.unused) == 2
    assert not comparison.failing


@pytest.mark.parametrize("other", [{"kind": "outage"}, {"source": "prod/api"}, {"port": "UDP/*"}, {"port": "TCP/5"}])
def test_a_suppression_of_something_else_accepts_nothing(other):
    comparison = held(LEAKY, CLEAN, accepted=Accepted([suppression(**other)], "2026-12-01"))
    assert ages(comparison)[0] == [Age.NEW]


def test_a_suppression_of_one_workload_does_not_accept_the_others_of_its_class():
    both = [stand_in("prod/api", "prod/api", "prod/web"), DB]
    leaky = night(both, [tried(both[0], DB, Result.LEAK)])
    (standing,) = held(
        leaky, night(both, [tried(both[0], DB)]), accepted=Accepted([suppression()], "2026-12-01")
    ).standings
    assert standing.connections == {Age.NEW: 1, Age.ACCEPTED: 1}
    assert standing.age is Age.NEW


def test_only_leaks_fail_where_leaks_are_asked_for():
    outage = night([WEB, DB, API], [tried(WEB, DB, Result.OUTAGE)])
    assert not held(outage, CLEAN, fail_on=FailOn.LEAK).failing
    assert held(outage, CLEAN, fail_on=FailOn.ANY).failing
    assert held(LEAKY, LEAKY, fail_on=FailOn.LEAK).failing


def test_what_changed_is_told_beside_a_new_finding():
    before = Surroundings(
        policies={"prod/db": "1", "dev/x": "1"}, nodes=("n1",), labels={"prod/web": {"app": "web"}, "dev/x": {"a": "1"}}
    )
    after = Surroundings(
        policies={"prod/db": "2", "dev/x": "2"},
        nodes=("n1", "n2"),
        labels={"prod/web": {"app": "www"}, "dev/x": {"a": "2"}},
    )
    comparison = held(replace(LEAKY, surroundings=after), replace(CLEAN, surroundings=before))
    assert comparison.standings[0].changes == (
        "node n2 is new",
        "policy prod/db has changed",
        "labels of prod/web: app: web before, www now",
    )
    assert len(comparison.changes) == 5


def test_findings_of_the_intent_are_compared_by_rule_and_connection():
    def with_intent(made, *evidence):
        found = (NightFinding("intent: open", ("isolate prod",), "open", evidence),) if evidence else ()
        return replace(made, surroundings=Surroundings(intent=found))

    one, two = with_intent(CLEAN, "a -> b TCP/80"), with_intent(CLEAN, "a -> b TCP/80", "a -> c TCP/80")
    assert ages(held(one, CLEAN)) == ([Age.INCOMPARABLE], [])
    assert ages(held(one, with_intent(CLEAN))) == ([Age.NEW], [])
    assert ages(held(one, one)) == ([Age.KNOWN], [])
    assert ages(held(two, one)) == ([Age.NEW], [])
    assert ages(held(one, two)) == ([Age.KNOWN], [])
    assert ages(held(with_intent(CLEAN), one)) == ([], [Age.GONE])
    assert ages(held(CLEAN, one)) == ([], [Age.INCOMPARABLE])


AGENT = "DaemonSet kube-system/"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({f"{AGENT}cilium": "c:1"}, {f"{AGENT}cilium": "c:2"}, [f"{AGENT}cilium: c:1 before, c:2 now"]),
        (
            {f"{AGENT}calico-node": "c:1"},
            {f"{AGENT}cilium": "c:2"},
            [f"{AGENT}calico-node is gone", f"{AGENT}cilium is new"],
        ),
        ({"kernel": "6.1"}, {f"{AGENT}cilium": "c:2", "kernel": "6.1"}, []),
        ({f"{AGENT}cilium": "c:2"}, {}, []),
    ],
)
def test_another_network_is_a_change_where_both_nights_know_theirs(before, after, told):
    changes = changes_between(Surroundings(versions=before), Surroundings(versions=after))
    assert [each.text for each in changes] == told
