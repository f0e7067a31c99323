"""Pods that policies don't tell apart, nodes and other ends take turns from draw to draw."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from auditor.choice.choose import Bounds, choose
from auditor.model.draw import Draw, Place
from auditor.policy.evaluator import evaluate
from auditor.probe_pods.choice import Mode, ProbeRequest, choose_probe_pods
from tests.oracle.clusters import cluster, pod, pods, policy, rule
from tests.strategies import Shape, random_snapshot


def member(workload, number, labels, node):
    name = f"prod/{workload}-{number}"
    return replace(pod(name, labels, node=node), workload=f"StatefulSet/{workload}")


SHOP = cluster(
    *(member("web", number, {"app": "web"}, f"n{number % 3}") for number in range(6)),
    *(member("api", number, {"app": "web", "also": "api"}, f"n{number}") for number in range(2)),
    *(member("db", number, {"app": "db"}, "n1") for number in range(2)),
    *(pod(f"{name}/stranger", {"app": "x"}, node="n0") for name in ("a", "b", "c", "kube-system")),
    policies=[policy("prod/web", {"app": "web"}, ingress=[rule(pods({"app": "db"}), "TCP/80")])],
)
PLACES = {Place("prod/web", f"n{number}") for number in range(3)} | {
    Place("prod/api", f"n{number}") for number in range(2)
}


def planned(seed, snapshot=SHOP, namespaces=("prod",), mode=Mode.ONE_PER_CLASS):
    return choose_probe_pods(snapshot, evaluate(snapshot), ProbeRequest(namespaces, mode=mode, seed=seed))


def chosen(seed, snapshot=SHOP, namespaces=("prod",)):
    return choose(snapshot, (), ProbeRequest(namespaces, seed=seed), Bounds(100))


@pytest.mark.parametrize("draw", [planned, chosen])
@pytest.mark.parametrize("first", [0, 1, 1000])
def test_after_a_full_turn_each_place_has_been_tried_and_not_before(draw, first):
    length = draw(first).draw.of
    draws = [draw(seed).draw for seed in range(first, first + length)]
    assert draws[0].places == PLACES
    seen = [each.here & PLACES for each in draws]
    assert frozenset().union(*seen) == PLACES
    assert all(seen)
    assert max(map(len, seen)) < len(PLACES)
    assert {each.of for each in draws} == {length}


@pytest.mark.parametrize("draw", [planned, chosen])
def test_a_draw_is_the_same_each_time_and_so_is_none(draw):
    assert draw(3).probe_pods == draw(3).probe_pods
    assert draw(3).draw == draw(3).draw
    assert draw(None).draw is None


def test_probe_pods_are_where_their_models_are_and_carry_what_tells_their_class():
    for seed in range(6):
        (place,) = planned(seed).draw.here & PLACES
        web = next(probe for probe in planned(seed).probe_pods if "prod/web-0" in probe.stands_for)
        assert (web.node, web.labels["app"]) == (place.node, "web")
        assert set(web.stands_for) == {f"prod/web-{n}" for n in range(6)} | {"prod/api-0", "prod/api-1"}


def test_other_ends_take_turns_but_not_those_of_the_system():
    strangers = {probe.namespace for seed in range(8) for probe in chosen(seed).probe_pods if probe.namespace != "prod"}
    assert strangers in ({"a", "b", "c"}, set())
    assert len({frozenset(each.stands_for for each in planned(seed).probe_pods) for seed in range(8)}) == 1


def test_pods_in_all_namespaces_of_the_audit_take_turns():
    teams = cluster(
        *(pod(f"t{team}/web", {"app": "web"}, node="n") for team in range(3)),
        policies=[policy(f"t{team}/all", {}, ingress=[]) for team in range(3)],
    )
    seen = [planned(seed, teams, ()).draw.here for seed in range(3)]
    assert frozenset().union(*seen) == {Place(f"t{team}/web", "n") for team in range(3)}


def test_each_node_is_covered_all_the_same_where_that_is_asked_for():
    for seed in range(4):
        found = planned(seed, mode=Mode.PER_NODE)
        assert {probe.node for probe in found.probe_pods if probe.labels.get("app") == "web"} >= {"n0", "n1", "n2"}


@pytest.mark.parametrize("number", range(6))
def test_whoever_has_a_turn_everything_is_stood_for_and_within_reach(number):
    snapshot = random_snapshot(Random(number), Shape(pods=12, policies=4, nodes=3, namespaces=3))
    usual = planned(None, snapshot, ())
    for seed in (0, 1, 5):
        found = planned(seed, snapshot, ())
        assert len(found.probe_pods) == len(usual.probe_pods)
        assert sorted(name for probe in found.probe_pods for name in probe.stands_for) == sorted(
            name for probe in usual.probe_pods for name in probe.stands_for
        )


def test_what_runs_before_have_tried_counts():
    places = frozenset({Place("a/x", "n1"), Place("a/x", "n2"), Place("a/y", "n1")})
    draw = Draw(7, 4, places, frozenset({Place("a/x", "n1")}))
    assert str(draw) == (
        "draw 4 of 4 (--seed 7): this run had a probe pod at 1 of 3 places (workloads on nodes) where policies isolate "
        "audited pods"
    )
    later = draw.after([[Place("a/x", "n2"), Place("gone/x", "n2")], [Place("a/x", "n1")]])
    assert len(later.tried) == 2
    assert "3 runs had a probe pod at 2 of 3 places" in str(later)
