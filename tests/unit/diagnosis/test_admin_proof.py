"""Which policies of administrators a set of results puts to the test."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from random import Random

import pytest

from auditor.diagnosis.admin_coverage import EARLIER, NO_DIFFERENCE, NO_MATCH
from auditor.diagnosis.admin_proof import NOT_CHOSEN, TIED
from auditor.diagnosis.asked import Asked
from auditor.diagnosis.coverage import unexercised
from auditor.diagnosis.proof import policy_tests
from auditor.model.admin_policy import Action, AdminPeer, AdminPolicy, AdminRule, AdminTier
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, IPBlock, PolicyPort
from auditor.model.ports import Protocol
from auditor.model.report import Summary
from auditor.model.verdict import Conclusion, Note, Result
from auditor.policy.evaluator import evaluate
from auditor.report.conclusion import conclude
from auditor.run.planning import AuditOptions, asked_about
from tests.marking import slow
from tests.oracle.clusters import block, cluster, host, pod, pods, policy, rule
from tests.oracle.evaluator import verdict
from tests.strategies import IPV4_ONLY, Shape, random_snapshot
from tests.unit.diagnosis.test_proof import judged, report_of, results

WEB = pod("a/web", {"app": "web"}, "10.0.0.1", node="one")
DB = pod("a/db", {"app": "db"}, "10.0.0.2", node="one")
SPY = pod("b/spy", {"app": "spy"}, "10.0.0.3", node="one")
DENY, ACCEPT, PASS = Action.DENY, Action.ACCEPT, Action.PASS
ADMIN, BASELINE = AdminTier.ADMIN, AdminTier.BASELINE


def who(**labels):
    return LabelSelector(tuple(labels.items()))


def ruled(action, *ports, networks="", **labels):
    """A rule for pods with ``labels``, or for ``networks``."""
    peer = (
        AdminPeer(networks=(IPBlock(block(networks).ip_block.cidr),)) if networks else AdminPeer(who(), who(**labels))
    )
    return AdminRule(action, (peer,), ports)


def guard(*rules, name="guard", tier=ADMIN, priority=10, egress=(), **subject):
    return AdminPolicy("ClusterNetworkPolicy", name, tier, priority, who(), who(**subject), rules, tuple(egress))


def with_admin(*admin, ends=(WEB, DB, SPY), policies=()):
    return replace(cluster(*ends, policies=policies), admin_policies=admin)


def untested(snapshot, *options, **more):
    return {str(each): each.reasons for each in judged(snapshot, *options, **more).untested}


def idle(snapshot, *options, **more):
    return judged(snapshot, *options, **more).deciding_nothing


GUARD = "ClusterNetworkPolicy guard (ingress)"
DENY_SPY = with_admin(guard(ruled(DENY, app="spy"), app="db"))


def test_where_all_is_seen_it_is_tested():
    found = judged(DENY_SPY)
    assert (found.in_scope, found.tested, found.untested, found.deciding_nothing) == (1, 1, (), ())


def test_where_its_only_pod_was_left_out_it_is_not():
    found = judged(DENY_SPY, gone={"a/db": "a budget"})
    assert (found.in_scope, found.tested, str(found.untested[0])) == (1, 0, GUARD)
    assert found.untested[0].reasons == ("none of its pods was probed: a/db: a budget",)
    assert found.untested[0].connections == len([one for one in results(DENY_SPY) if one.cell[:2] == ("b/spy", "a/db")])


def test_nor_where_those_were_that_it_denies():
    assert untested(DENY_SPY, gone={"b/spy": "spy left out"}) == {GUARD: ("spy left out",)}
    assert untested(DENY_SPY, gone={"a/web": "web left out"}) == {}


def test_it_is_accepted_by_its_name():
    found = judged(DENY_SPY, gone={"a/db": "a budget"}, accepted=["ClusterNetworkPolicy guard"])
    assert (found.open, found.accepted) == ((), ("ClusterNetworkPolicy guard",))


def test_an_accept_alone_needs_what_it_opens():
    closed = policy("a/closed", {"app": "db"}, ingress=[])
    opened = with_admin(guard(ruled(ACCEPT)), policies=[closed])
    gone = lambda cell: "not to db" if cell.destination == "a/db" else ""  # noqa: E731
    assert untested(opened, without=gone)[GUARD] == ("not to db",)
    assert untested(with_admin(guard(ruled(ACCEPT))), without=gone) == {}


def test_a_pass_is_tested_by_what_it_keeps_from_a_later_rule():
    later = guard(ruled(DENY), name="later", priority=20, app="db")
    snapshot = with_admin(guard(ruled(PASS, app="web"), app="db"), later)
    assert untested(snapshot, gone={"a/web": "web left out"}) == {GUARD: ("web left out",)}
    assert untested(snapshot, gone={"b/spy": "spy left out"}) == {
        "ClusterNetworkPolicy later (ingress)": ("spy left out",)
    }


def test_a_pass_that_leads_to_the_same_is_tested_by_what_it_passes_on():
    assert untested(with_admin(guard(ruled(PASS, app="web"), app="db"))) == {}


def test_what_a_networkpolicy_denies_as_well_shows_nothing_where_there_is_more():
    closed = policy("a/closed", {"app": "db"}, ingress=[])
    snapshot = with_admin(guard(ruled(DENY, app="spy")), policies=[closed])
    assert untested(snapshot, without=lambda cell: "not to web" if cell.destination == "a/web" else "") == {
        GUARD: ("not to web",)
    }
    whole = with_admin(guard(ruled(DENY, app="spy"), app="db"), policies=[closed])
    assert untested(whole) == {}


@pytest.mark.parametrize(
    "admin",
    [
        guard(ruled(DENY, app="nobody")),
        guard(ruled(DENY, networks="169.254.169.254/32")),
        guard(ruled(DENY, app="db"), app="db"),
    ],
    ids=["no such peer", "no such host", "itself alone"],
)
def test_one_whose_rules_match_nothing_planned_is_named_and_no_reason(admin):
    found = judged(with_admin(admin))
    assert (found.in_scope, found.untested) == (0, ())
    assert found.deciding_nothing == (("ClusterNetworkPolicy guard", Direction.INGRESS),)


def test_a_host_outside_that_is_named_makes_it_one_to_test():
    metadata = guard(egress=[ruled(DENY, networks="203.0.113.9/32")])
    assert idle(with_admin(metadata)) == (("ClusterNetworkPolicy guard", Direction.EGRESS),)
    snapshot = with_admin(metadata, ends=(WEB, DB, host("far", "203.0.113.9")))
    assert (untested(snapshot), idle(snapshot)) == ({}, ())
    assert untested(snapshot, gone={"host/far": "no route"}) == {"ClusterNetworkPolicy guard (egress)": ("no route",)}


def test_one_that_earlier_ones_leave_nothing_decides_nothing():
    first = guard(ruled(ACCEPT), name="first", priority=1)
    assert idle(with_admin(first, guard(ruled(DENY, app="spy")))) == (
        ("ClusterNetworkPolicy guard", Direction.INGRESS),
    )


def test_a_baseline_policy_decides_only_where_no_networkpolicy_isolates():
    closed = policy("a/closed", ingress=[])
    base = guard(ruled(DENY, app="spy"), tier=BASELINE)
    assert idle(with_admin(base, policies=[closed])) == (("ClusterNetworkPolicy guard", Direction.INGRESS),)
    open_web = policy("a/closed", {"app": "db"}, ingress=[])
    assert untested(with_admin(base, policies=[open_web]), gone={"a/web": "web left out"}) == {GUARD: ("web left out",)}


def test_a_networkpolicy_that_administrators_leave_nothing_decides_nothing():
    closed = policy("a/closed", ingress=[rule(pods({"app": "web"}))])
    found = judged(with_admin(guard(ruled(DENY)), policies=[closed]))
    assert (found.in_scope, found.untested) == (1, ())
    assert found.deciding_nothing == (("a/closed", Direction.INGRESS),)


def test_one_without_rules_and_one_for_nobody_asked_about_are_not_in_scope():
    snapshot = with_admin(guard(), guard(ruled(DENY), name="other", app="spy"))
    assert judged(snapshot, AuditOptions(scope=frozenset({"a/db"}))) == judged(with_admin())
    assert set(untested(snapshot, gone={"b/spy": "left out"})) == {"ClusterNetworkPolicy other (ingress)"}


def test_each_direction_is_tested_by_itself():
    both = guard(ruled(DENY, app="spy"), egress=[ruled(DENY, app="web")], app="db")
    assert untested(with_admin(both), without=lambda cell: "not from db" if cell.source == "a/db" else "") == {
        "ClusterNetworkPolicy guard (egress)": ("not from db",)
    }


def test_sctp_alone_can_not_be_tested():
    assert set(untested(with_admin(guard(ruled(DENY, PolicyPort(Protocol.SCTP, 7)))))) == {GUARD}


def test_two_of_one_priority_that_differ_show_nothing():
    snapshot = with_admin(guard(ruled(DENY, app="spy"), app="db"), guard(ruled(ACCEPT), name="other", app="db"))
    assert untested(snapshot)[GUARD] == (TIED,)
    unlike = [replace(one, result=Result.MATCH, notes=()) for one in results(snapshot)]
    assert untested(snapshot, seen=unlike) == {}


def test_one_that_the_choice_left_out_says_so():
    asked = Asked(asked_about(DENY_SPY, AuditOptions()), {}, (), {("ClusterNetworkPolicy guard", Direction.INGRESS)})
    [each] = policy_tests(DENY_SPY, results(DENY_SPY), asked).untested
    assert (str(each), each.connections, each.reasons) == (GUARD, 0, (NOT_CHOSEN,))
    [each] = policy_tests(DENY_SPY, (), replace(asked, gone={"a/db": "more than 2"})).untested
    assert each.reasons == ("none of its pods was probed: a/db: more than 2",)


def rules_unseen(snapshot, **more):
    lacking = more.get("without") or (lambda _: "")
    found = unexercised(snapshot, results(snapshot, without=lacking))
    return {part.place: part.reason for part in found}


def test_rules_that_nothing_exercises_are_counted_with_the_reason():
    rules = [ruled(DENY, app="spy"), ruled(PASS, app="web"), ruled(ACCEPT, app="spy"), ruled(DENY, app="nobody")]
    place = "ClusterNetworkPolicy guard ingress[{}]".format
    snapshot = with_admin(guard(*rules, app="db"))
    assert rules_unseen(snapshot) == {place(1): NO_DIFFERENCE, place(2): EARLIER, place(3): NO_MATCH}
    assert rules_unseen(snapshot, without=lambda cell: "left out" if cell.source == "b/spy" else "") == {
        place(0): NO_MATCH,
        place(1): NO_DIFFERENCE,
        place(2): NO_MATCH,
        place(3): NO_MATCH,
    }


def without_rule(admin, direction, number):
    rules = admin.rules(direction)
    return admin.with_rules(direction, (*rules[:number], *rules[number + 1 :]))


@pytest.mark.parametrize("seed", [0, 1, 2, 4])
def test_a_rule_is_exercised_where_a_verdict_would_be_another_without_it(seed):
    snapshot = lacking(seed)[0]
    seen = results(snapshot)
    ends = {end.name: end for end in snapshot.endpoints}
    told = [each for each in seen if each.result is Result.MATCH]
    assert told
    exercised = set()
    for each in snapshot.admin_policies:
        for direction in Direction:
            for number in range(len(each.rules(direction))):
                others = (
                    without_rule(each, direction, number) if one is each else one for one in snapshot.admin_policies
                )
                changed = replace(snapshot, admin_policies=tuple(others))
                pairs = (
                    verdict(changed, ends[one.cell.source], ends[one.cell.destination], *one.cell[2:]) for one in told
                )
                if any(now is not one.expected for now, one in zip(pairs, told, strict=True)):
                    exercised.add(each.place(direction, number))
    places = {
        each.place(direction, number)
        for each in snapshot.admin_policies
        for direction in Direction
        for number in range(len(each.rules(direction)))
    }
    unseen = {part.place for part in unexercised(snapshot, seen) if part.what == "the rule"}
    assert unseen & places == places - exercised
    assert exercised


TIERED = Shape(
    namespaces=2, pods=6, policies=2, hosts=1, host_network=0.0, nodes=1, families=(IPV4_ONLY,), admin_policies=4
)


@cache
def lacking(seed):
    """A cluster, the ends that an audit leaves out, what it sees, and by policy and direction the connections that
    would fare otherwise without it.
    """
    dice = Random(seed)
    snapshot = random_snapshot(dice, TIERED)
    admin = tuple(replace(each, priority=number) for number, each in enumerate(snapshot.admin_policies))
    snapshot = replace(snapshot, admin_policies=admin)
    left_out = {end.name: f"{end.name} left out" for end in snapshot.endpoints if dice.random() < 0.5}
    seen = results(snapshot, without=lambda cell: left_out.get(cell.destination) or left_out.get(cell.source, ""))
    deciding = {}
    for each in admin:
        for direction in Direction:
            others = tuple(each.with_rules(direction, ()) if other is each else other for other in admin)
            without = evaluate(replace(snapshot, admin_policies=others))
            deciding[each.full_name, direction] = [
                one
                for one in seen
                if without.verdict(*one.cell) is not one.expected and Note.UNDEFINED not in one.notes
            ]
    return snapshot, left_out, seen, deciding


SEEDS = range(24)


@pytest.mark.parametrize("seed", [*SEEDS[:8], *map(slow, SEEDS[8:])])
def test_no_pass_where_nothing_that_was_seen_would_fare_otherwise_without_it(seed):
    snapshot, left_out, seen, deciding = lacking(seed)
    tests = policy_tests(snapshot, seen, Asked(asked_about(snapshot, AuditOptions()), left_out))
    shown = {(each.policy, each.direction) for each in tests.untested}
    needed = {key: [one for one in cells if one.result is not Result.SKIPPED] for key, cells in deciding.items()}
    missing = {key for key, cells in deciding.items() if cells and not needed[key]}
    assert missing <= shown
    assert not {key for key, cells in deciding.items() if cells}.intersection(tests.deciding_nothing)
    assert not {key for key, cells in needed.items() if cells} & shown
    if missing:
        assert conclude(report_of(snapshot, seen, tests)) is not Conclusion.PASS
    assert Summary.of(seen).faults == 0


def test_random_clusters_are_of_both_kinds():
    """The check on the check above."""
    kinds = Counter()
    for seed in SEEDS[:8]:
        for cells in lacking(seed)[-1].values():
            kinds[bool(cells) + any(one.result is not Result.SKIPPED for one in cells)] += 1
    assert min(kinds[number] for number in range(3)) >= 3
