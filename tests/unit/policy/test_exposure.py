"""What rules open to pods that are not in the input."""

from __future__ import annotations

from dataclasses import replace

import pytest

from auditor.model.admin_policy import Action, AdminPeer, AdminPolicy, AdminRule, AdminTier
from auditor.model.labels import LabelSelector, Operator
from auditor.model.policy import Direction, UnknownPolicy
from auditor.model.ports import PortRequest, Protocol
from auditor.model.snapshot import Namespace
from auditor.policy.absent_cells import absent_cells
from auditor.policy.differences import ABSENT, ChangeKind, differences
from auditor.policy.evaluator import evaluate
from auditor.policy.exposure import exposures, view_exposures
from auditor.policy.matrix import MatrixView
from tests.oracle.clusters import ALL, block, cluster, namespaces, pod, pods, policy, rule, where

WEB = pod("prod/web", {"app": "web"})
DB = pod("prod/db", {"app": "db"})
PROMETHEUS = pods({"app": "prometheus"}, {"team": "obs"})
NAME = "[pods app=prometheus in namespaces team=obs]"


def shown(*policies, endpoints=(WEB, DB)):
    return [
        (each.peer, each.direction.value, each.pods, tuple(map(str, each.ports)))
        for each in exposures(cluster(*endpoints, policies=policies))
    ]


def test_a_selector_that_matches_nobody_is_a_peer() -> None:
    found = exposures(
        cluster(WEB, DB, policies=[policy("prod/a", {"app": "web"}, ingress=[rule(PROMETHEUS, "TCP/9090")])])
    )
    assert [(each.peer, each.direction, each.pods) for each in found] == [(NAME, Direction.INGRESS, ("prod/web",))]
    assert found[0].rules == ("prod/a ingress[0]",)


def test_one_that_matches_somebody_is_none() -> None:
    assert shown(policy("prod/a", ingress=[rule(pods({"app": "db"}), "TCP/1")])) == []
    there = pod("obs/prometheus-0", {"app": "prometheus"})
    snapshot = cluster(
        WEB, there, policies=[policy("prod/a", ingress=[rule(PROMETHEUS)])], labels={"obs": {"team": "obs"}}
    )
    assert exposures(snapshot) == ()


def test_how_peers_are_called() -> None:
    found = shown(
        policy(
            "prod/a",
            egress=[
                rule(pods({"app": "x"}), "UDP/53"),
                rule(namespaces({"team": "obs"}), "TCP/https"),
                rule(pods({"app": "x"}, ALL)),
                rule(pods(where("app", Operator.IN, "a", "b"), {"team": "x"})),
            ],
        )
    )
    assert [(peer, ports) for peer, _, _, ports in found] == [
        ("[pods app=x in namespace prod]", ("UDP/53",)),
        ("[pods in namespaces team=obs]", ("TCP/https",)),
        ("[pods app=x in any namespace]", ()),
        ("[pods app in (a,b) in namespaces team=x]", ()),
    ]
    assert {(direction, ends) for _, direction, ends, _ in found} == {("Egress", ("prod/web", "prod/db"))}


def test_a_namespace_without_an_object_may_match_and_is_told_all_the_same() -> None:
    there = pod("obs/prometheus-0", {"app": "prometheus"})
    snapshot = cluster(WEB, there, policies=[policy("prod/a", ingress=[rule(PROMETHEUS)])])
    unknown = replace(snapshot, namespaces={**snapshot.namespaces, "obs": Namespace.of("obs", known=False)})
    assert [each.peer for each in exposures(unknown)] == [NAME]


def test_rules_that_are_not_in_force_or_for_nobody_open_nothing() -> None:
    not_in_force = replace(policy("prod/a", ingress=[]), egress=(rule(PROMETHEUS),))
    assert shown(not_in_force, policy("prod/b", {"app": "gone"}, ingress=[rule(PROMETHEUS)])) == []


def test_policies_that_open_the_same_are_one() -> None:
    found = shown(
        policy("prod/a", {"app": "web"}, ingress=[rule(PROMETHEUS, "TCP/9090")]),
        policy("prod/b", {"app": "db"}, ingress=[rule(PROMETHEUS, "TCP/9090")]),
    )
    assert found == [(NAME, "Ingress", ("prod/web", "prod/db"), ("TCP/9090",))]


@pytest.mark.parametrize(
    ("ports", "count"),
    [
        ((), 1),
        ((PortRequest(Protocol.TCP, 9090),), 1),
        ((PortRequest(Protocol.TCP, 9091),), 0),
        ((PortRequest(Protocol.UDP, 9090),), 0),
        ((PortRequest(Protocol.TCP, name="http"),), 1),
    ],
)
def test_a_view_has_those_of_its_endpoints_and_ports(ports, count) -> None:
    snapshot = cluster(WEB, DB, policies=[policy("prod/a", {"app": "web"}, ingress=[rule(PROMETHEUS, "TCP/9090")])])
    matrix = evaluate(snapshot)
    everybody = snapshot.endpoints
    assert len(view_exposures(MatrixView(matrix, everybody, (WEB,), ports))) == count
    assert view_exposures(MatrixView(matrix, everybody, (DB,), ports)) == ()


def test_where_the_other_end_is_chosen_pods_that_are_not_there_are_not_among_it() -> None:
    """--from prod/db: what comes from elsewhere isn't asked for."""
    snapshot = cluster(
        WEB, DB, policies=[policy("prod/a", {"app": "web"}, ingress=[rule(PROMETHEUS)], egress=[rule(PROMETHEUS)])]
    )
    everybody, matrix = snapshot.endpoints, evaluate(snapshot)
    for sources, destinations, directions in (
        (everybody, everybody, set(Direction)),
        (everybody, (DB,), set()),
        ((WEB,), everybody, {Direction.EGRESS}),
        (everybody, (WEB,), {Direction.INGRESS}),
        ((WEB,), (WEB,), set()),
    ):
        view = MatrixView(matrix, sources, destinations)
        assert {each.direction for each in view_exposures(view)} == directions
        assert {each.direction for each in absent_cells(view)} >= directions
        assert sources is everybody or Direction.INGRESS not in {each.direction for each in absent_cells(view)}


def test_administrators_policies_that_come_first_are_named() -> None:
    snapshot = cluster(WEB, DB, policies=[policy("prod/a", {"app": "web"}, ingress=[rule(PROMETHEUS)])])
    every = LabelSelector()
    rules = (AdminRule(Action.DENY, (AdminPeer(every, every),)),)
    wall = AdminPolicy("ClusterNetworkPolicy", "wall", AdminTier.ADMIN, 1, every, every, ingress=rules)
    others = (
        replace(wall, name="last", tier=AdminTier.BASELINE),
        replace(wall, name="out", ingress=(), egress=rules),
        replace(wall, name="db", pod_selector=LabelSelector((("app", "db"),))),
    )
    matrix = evaluate(replace(snapshot, admin_policies=(wall, *others)))
    everybody = matrix.snapshot.endpoints
    assert [each.before for each in view_exposures(MatrixView(matrix, everybody, everybody))] == [
        ("ClusterNetworkPolicy wall",)
    ]


def changed(old, new, endpoints=(WEB, DB)):
    before, after = (cluster(*endpoints, policies=each) for each in (old, new))
    return {
        (each.kind, each.sources, each.destinations, tuple(map(str, each.ports)))
        for each in differences(before, after).changes
        if any(name.startswith("[") for name in (*each.sources, *each.destinations))
    }


CLOSED = policy("prod/a", {"app": "web"}, ingress=[], egress=[])


def test_a_rule_for_absent_pods_opens_and_its_end_closes() -> None:
    opened = policy("prod/a", {"app": "web"}, ingress=[rule(PROMETHEUS, "TCP/9090")], egress=[])
    ends = ((NAME,), ("prod/web",), ("TCP/9090",))
    assert changed([CLOSED], [opened]) == {(ChangeKind.OPENED, *ends)}
    assert changed([opened], [CLOSED]) == {(ChangeKind.CLOSED, *ends)}
    assert changed([opened], [opened]) == set()


def test_to_absent_pods_it_is_the_source_that_is_ours() -> None:
    opened = policy("prod/a", {"app": "web"}, ingress=[], egress=[rule(PROMETHEUS, "TCP/443")])
    assert changed([CLOSED], [opened]) == {(ChangeKind.OPENED, ("prod/web",), (NAME,), ("TCP/443",))}


def test_what_was_open_to_everyone_does_not_open() -> None:
    assert changed([], [policy("prod/a", {"app": "web"}, ingress=[rule(PROMETHEUS)])]) == set()


def test_what_a_wider_rule_was_sure_to_open_does_not_open() -> None:
    wide = policy("prod/a", {"app": "web"}, ingress=[rule(namespaces({"team": "obs"}), "TCP/9000-9100")])
    narrow = policy("prod/a", {"app": "web"}, ingress=[rule(PROMETHEUS, "TCP/9090")])
    assert (ChangeKind.OPENED, (NAME,), ("prod/web",), ("TCP/9090",)) not in changed([wide], [narrow])
    assert {kind for kind, *_ in changed([wide], [narrow])} == {ChangeKind.CLOSED, ChangeKind.IN_DOUBT}


@pytest.mark.parametrize(
    "before",
    [
        rule(pods({"role": "scraper"}, {"team": "obs"}), "TCP/9090"),
        rule(pods(where("env", Operator.NOT_IN, "dev"), {"team": "obs"}), "TCP/9090"),
        rule(namespaces({"tier": "x"}), "TCP/9090"),
        rule(pods({"app": "prometheus"}), "TCP/9090"),
        rule(block("10.0.0.0/8"), "TCP/9090"),
    ],
)
def test_what_an_earlier_rule_may_have_opened_is_in_doubt(before) -> None:
    narrow = policy("prod/a", {"app": "web"}, ingress=[rule(PROMETHEUS, "TCP/9090")])
    found = changed([policy("prod/a", {"app": "web"}, ingress=[before])], [narrow])
    assert (ChangeKind.IN_DOUBT, (NAME,), ("prod/web",), ("TCP/9090",)) in found
    assert ChangeKind.OPENED not in {kind for kind, sources, *_ in found if sources == (NAME,)}


@pytest.mark.parametrize(
    "before",
    [
        rule(pods({"app": "other"}, {"team": "obs"}), "TCP/9090"),
        rule(pods({"app": "prometheus"}, {"team": "shop"}), "TCP/9090"),
        rule(PROMETHEUS, "UDP/9090"),
        rule(pods(where("app", Operator.DOES_NOT_EXIST), {"team": "obs"}), "TCP/9090"),
    ],
)
def test_what_an_earlier_rule_cannot_have_opened_opens(before) -> None:
    narrow = policy("prod/a", {"app": "web"}, ingress=[rule(PROMETHEUS, "TCP/9090")])
    found = changed([policy("prod/a", {"app": "web"}, ingress=[before])], [narrow])
    assert (ChangeKind.OPENED, (NAME,), ("prod/web",), ("TCP/9090",)) in found


def test_a_named_port_of_absent_pods_may_be_any() -> None:
    opened = policy("prod/a", {"app": "web"}, ingress=[], egress=[rule(PROMETHEUS, "TCP/metrics")])
    assert changed([CLOSED], [opened]) == {(ChangeKind.IN_DOUBT, ("prod/web",), (NAME,), ("TCP/1-65535",))}


def test_policies_that_cannot_be_read_make_doubt_of_absent_pods_too() -> None:
    opened = policy("prod/a", {"app": "web"}, ingress=[rule(PROMETHEUS, "TCP/9090")], egress=[])
    before, after = (cluster(WEB, policies=[each]) for each in (CLOSED, opened))
    unreadable = UnknownPolicy("prod", "broken", LabelSelector(), "can't be read")
    found = differences(before, replace(after, unknown=(unreadable,)))
    assert {each.kind for each in found.changes} == {ChangeKind.IN_DOUBT}
    assert any(each.doubts == (ABSENT,) for each in found.changes)
