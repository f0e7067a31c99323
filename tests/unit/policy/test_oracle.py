"""The oracle's reading of each dialect: one cell that the dialect changes and, beside it, one that it must
leave alone.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from auditor.model.dialect import FAULTLESS, OF_TIERS, Dialect, Enforcement
from auditor.model.labels import Operator
from auditor.model.ports import Protocol
from auditor.model.snapshot import Family, Snapshot
from auditor.model.verdict import Verdict
from tests.oracle.clusters import (
    ALL,
    EVERYTHING,
    block,
    cluster,
    host,
    namespaces,
    node,
    pod,
    pods,
    policy,
    rule,
    where,
)
from tests.oracle.evaluator import AmbiguousPrediction, before_convergence, may_flake, verdict
from tests.strategies import LAB_SHAPE, boundaries_in_policies, random_snapshot

WEB = pod("prod/web", {"app": "web"}, "10.244.0.2", "fd00:10:244::2", node="node-1")
DB = pod(
    "prod/db", {"app": "db", "tier": "back"}, "10.244.1.2", "fd00:10:244:1::2", ports=["sql=TCP/3306"], node="node-2"
)
DEV = pod("dev/web", {"app": "web", "tier": "front"}, "10.244.1.3", "fd00:10:244:1::3", node="node-2")
NODES = (node("node-1", "172.18.0.2", "fd00:172:18::2"), node("node-2", "172.18.0.3", "fd00:172:18::3"))
OUTSIDE = host("outside", "203.0.113.10", "2001:db8::10")
SELECTED = {"app": "db"}


def shop(*policies, labels=None):
    return cluster(
        WEB,
        DB,
        DEV,
        *NODES,
        OUTSIDE,
        policies=policies,
        labels=labels or {"prod": {"stage": "prod"}, "dev": {"stage": "dev"}},
    )


def reaches(snapshot, source, destination, port="TCP/80", family=Family.IPV4, *, enforcers=(), previous=None) -> bool:
    protocol, _, number = port.partition("/")
    ends = (snapshot.endpoint(source), snapshot.endpoint(destination))
    enforcement = Enforcement.parse(tuple(enforcers))
    judged = verdict(
        snapshot, *ends, Protocol(protocol), int(number), family, enforcement=enforcement, previous_policies=previous
    )
    return judged is Verdict.ALLOWED


def ingress(*rules):
    return shop(policy("prod/db", SELECTED, ingress=rules))


def egress(*rules):
    return shop(policy("prod/db", SELECTED, egress=rules))


FROM_WEB = ("prod/web", "prod/db")
FROM_DEV = ("dev/web", "prod/db")
TO_WEB = ("prod/db", "prod/web")
FROM_OUTSIDE = ("host/outside", "prod/db")
CHANGES: list[tuple[Dialect, Callable[[], Snapshot], tuple, tuple]] = [
    (Dialect.ENFORCES_NOTHING, ingress, FROM_WEB, ("prod/web", "dev/web")),
    (Dialect.IGNORES_EGRESS, egress, TO_WEB, FROM_WEB),
    (Dialect.IGNORES_INGRESS, lambda: shop(policy("prod/db", SELECTED, ingress=[], egress=[])), FROM_WEB, TO_WEB),
    (Dialect.IGNORES_UDP, ingress, (*FROM_WEB, "UDP/53"), (*FROM_WEB, "TCP/53")),
    (Dialect.IGNORES_IPV6, ingress, (*FROM_WEB, "TCP/80", Family.IPV6), (*FROM_WEB, "TCP/80", Family.IPV4)),
    (
        Dialect.IGNORES_PORTS,
        lambda: ingress(rule(pods({"app": "web"}), "TCP/1")),
        (*FROM_WEB, "UDP/2"),
        (*FROM_DEV, "TCP/1"),
    ),
    (Dialect.IGNORES_END_PORT, lambda: ingress(rule("TCP/80-90")), (*FROM_WEB, "TCP/81"), (*FROM_WEB, "TCP/80")),
    (
        Dialect.IGNORES_NAMED_PORTS,
        lambda: ingress(rule("TCP/sql", "TCP/80")),
        (*FROM_WEB, "TCP/3306"),
        (*FROM_WEB, "TCP/80"),
    ),
    (Dialect.IGNORES_EXCEPT, lambda: ingress(rule(block("0.0.0.0/0", "203.0.113.0/24"))), FROM_OUTSIDE, FROM_WEB),
    (Dialect.IGNORES_PROTOCOL, lambda: ingress(rule("UDP/80")), FROM_WEB, (*FROM_WEB, "TCP/81")),
    (Dialect.IGNORES_PROTOCOL, lambda: ingress(rule("TCP/53")), (*FROM_WEB, "UDP/53"), (*FROM_WEB, "UDP/54")),
    (
        Dialect.IGNORES_NAMESPACE_SELECTOR,
        lambda: ingress(rule(pods({"app": "web"}, {"stage": "prod"}))),
        FROM_DEV,
        ("node/node-1", "prod/db"),
    ),
    (
        Dialect.OWN_NAMESPACE_ONLY,
        lambda: ingress(rule(namespaces(ALL)), rule(pods({"app": "web"}))),
        FROM_DEV,
        FROM_WEB,
    ),
    (Dialect.POD_SELECTOR_ANY_NAMESPACE, lambda: ingress(rule(pods({"tier": "front"}))), FROM_DEV, FROM_WEB),
    (
        Dialect.PEERS_OR_INSTEAD_OF_AND,
        lambda: ingress(rule(pods({"app": "web"}, {"stage": "dev"}))),
        FROM_WEB,
        FROM_OUTSIDE,
    ),
    (Dialect.LABEL_KEY_ONLY, lambda: ingress(rule(pods({"app": "other"}, {"stage": "prod"}))), FROM_DEV, FROM_OUTSIDE),
    (
        Dialect.LABEL_KEY_ONLY,
        lambda: shop(policy("prod/x", {"tier": "other"}, ingress=[])),
        FROM_WEB,
        ("prod/db", "prod/web"),
    ),
    (Dialect.LABEL_KEY_ONLY, lambda: ingress(rule(pods(where("app", Operator.IN, "other")))), FROM_WEB, FROM_DEV),
    (Dialect.LABEL_KEY_ONLY, lambda: ingress(rule(pods(where("app", Operator.IN, "other")))), FROM_WEB, FROM_OUTSIDE),
    (
        Dialect.NOT_IN_NEEDS_KEY,
        lambda: ingress(rule(pods(where("tier", Operator.NOT_IN, "x"), ALL))),
        FROM_WEB,
        FROM_DEV,
    ),
    (
        Dialect.FIRST_POLICY_ONLY,
        lambda: shop(
            policy("prod/b", SELECTED, ingress=[EVERYTHING]), policy("prod/a", SELECTED, ingress=[rule("TCP/1")])
        ),
        FROM_WEB,
        (*FROM_WEB, "TCP/1"),
    ),
    (Dialect.ISOLATES_BOTH_DIRECTIONS, lambda: ingress(rule(pods({"app": "web"}))), TO_WEB, FROM_WEB),
    (Dialect.BLOCKS_SELF, ingress, ("prod/db", "prod/db"), ("node/node-2", "prod/db")),
    (Dialect.BLOCKS_OWN_NODE, ingress, ("node/node-2", "prod/db"), ("prod/db", "prod/db")),
    (Dialect.BLOCKS_OWN_NODE, egress, ("prod/db", "node/node-2"), ("prod/db", "prod/db")),
    (Dialect.STATELESS, egress, FROM_WEB, ("prod/web", "dev/web")),
    (Dialect.STATELESS, ingress, TO_WEB, ("prod/db", "prod/db")),
    (Dialect.IP_BLOCK_SKIPS_PODS, lambda: ingress(rule(block("0.0.0.0/0"))), FROM_WEB, FROM_OUTSIDE),
    (
        Dialect.IP_BLOCK_SKIPS_PODS,
        lambda: ingress(rule(block("172.18.0.2/32"))),
        ("node/node-1", "prod/db"),
        FROM_OUTSIDE,
    ),
    (Dialect.SHUTS_PODS, lambda: ingress(EVERYTHING), FROM_OUTSIDE, ("prod/db", "prod/db")),
    (Dialect.SHUTS_PODS, ingress, ("prod/db", "host/outside"), ("node/node-2", "prod/db")),
    (Dialect.KNOWS_NO_PODS, lambda: ingress(rule(pods({"app": "web"}))), FROM_WEB, TO_WEB),
    (Dialect.KNOWS_NO_PODS, lambda: ingress(rule(pods({"app": "web"}))), FROM_WEB, FROM_OUTSIDE),
    (
        Dialect.SHARES_DIRECTIONS,
        lambda: shop(policy("prod/x", ingress=[EVERYTHING], egress=[])),
        TO_WEB,
        ("prod/web", "dev/web"),
    ),
    (
        Dialect.SHARES_DIRECTIONS,
        lambda: shop(policy("prod/x", ingress=[], egress=[rule(pods({"app": "db"}))])),
        FROM_WEB,
        TO_WEB,
    ),
    (
        Dialect.NAMES_OF_ANY_POD,
        lambda: egress(rule("TCP/sql")),
        (*TO_WEB, "TCP/3306"),
        (*TO_WEB, "TCP/80"),
    ),
]


ABOUT_ONE_POD = [
    ("enforces-nothing@prod/db", ingress, FROM_WEB, TO_WEB),
    ("enforces-nothing@prod/db", lambda: shop(policy("prod/x", ingress=[])), FROM_WEB, TO_WEB),
    ("shuts-pods@prod/db", lambda: ingress(EVERYTHING), FROM_WEB, ("prod/web", "dev/web")),
    ("shuts-pods@prod/db", lambda: ingress(EVERYTHING), TO_WEB, ("prod/db", "prod/db")),
    ("knows-no-pods@prod/web", lambda: ingress(rule(pods(ALL))), FROM_WEB, TO_WEB),
    ("knows-no-pods@prod/db", lambda: shop(policy("prod/x", egress=[rule(pods(ALL))])), FROM_WEB, TO_WEB),
]


@pytest.mark.parametrize(("enforcer", "snapshot", "changed", "kept"), ABOUT_ONE_POD)
def test_about_one_pod_an_enforcer_departs_for_that_pod_alone(enforcer, snapshot, changed, kept):
    assert reaches(snapshot(), *changed, enforcers=[enforcer]) is not reaches(snapshot(), *changed)
    assert reaches(snapshot(), *kept, enforcers=[enforcer]) is reaches(snapshot(), *kept)


@pytest.mark.parametrize(("dialect", "snapshot", "changed", "kept"), CHANGES)
def test_a_dialect_changes_just_what_its_definition_says(dialect, snapshot, changed, kept):
    assert reaches(snapshot(), *changed, enforcers=[dialect]) is not reaches(snapshot(), *changed)
    assert reaches(snapshot(), *kept, enforcers=[dialect]) is reaches(snapshot(), *kept)


@pytest.mark.parametrize(("dialect", "snapshot", "changed", "kept"), CHANGES)
def test_a_dialect_on_a_node_concerns_the_pods_there(dialect, snapshot, changed, kept):
    """The subject of the policy is on node-2, so that is where it happens."""
    assert reaches(snapshot(), *changed, enforcers=[f"{dialect}@node-2"]) is not reaches(snapshot(), *changed)
    assert reaches(snapshot(), *changed, enforcers=[f"{dialect}@node-1"]) is reaches(snapshot(), *changed)


def test_every_dialect_is_shown():
    # Those of tiers are asked one by one in tests/unit/lab/test_against_oracle.py.
    shown_elsewhere = {Dialect.SPEC, Dialect.STALE, Dialect.SLOW, Dialect.FLAKY, Dialect.REJECTS, *OF_TIERS}
    assert {change[0] for change in CHANGES} | shown_elsewhere == set(Dialect)


def test_stale_enforces_the_previous_policies_or_the_same_when_nothing_changed():
    snapshot = ingress()
    assert reaches(snapshot, *FROM_WEB, enforcers=["stale"], previous=())
    assert not reaches(snapshot, *FROM_WEB, enforcers=["stale"])
    assert not reaches(snapshot, *FROM_WEB, previous=())


def test_slow_filters_nothing_before_convergence_and_the_specification_after():
    snapshot = ingress()
    slow = Enforcement.parse(("slow:3@node-2", "ignores-udp@node-1"))
    early = before_convergence(slow)
    assert early.at("node-2").dialect is Dialect.ENFORCES_NOTHING
    assert early.at("node-1").dialect is Dialect.IGNORES_UDP
    assert not reaches(snapshot, *FROM_WEB, enforcers=["slow:3"])


def test_flaky_may_drop_what_a_flaky_node_forwards():
    on_2 = Enforcement.parse(("flaky:0.5@node-2",))
    assert may_flake(WEB, DB, on_2)
    assert may_flake(DB, WEB, on_2)
    assert may_flake(OUTSIDE, DB, on_2)
    assert may_flake(DB, DEV, on_2)
    assert not may_flake(WEB, OUTSIDE, on_2)
    assert not may_flake(DB, DB, on_2)
    assert not may_flake(NODES[1], DB, on_2)
    assert may_flake(NODES[0], DB, on_2)


def test_flaky_denies_nothing_for_good():
    assert reaches(shop(), *FROM_WEB, enforcers=["flaky:1"])
    assert not reaches(ingress(), *FROM_WEB, enforcers=["flaky:0"])


def test_a_stateless_reply_passes_where_a_rule_lets_it():
    replies = egress(rule(pods({"app": "web"}), "TCP/32768-60999"))
    assert reaches(replies, *FROM_WEB, enforcers=["stateless"])
    assert not reaches(replies, *FROM_WEB, "UDP/80", enforcers=["stateless"])
    assert reaches(replies, *FROM_WEB, "UDP/80")


def test_a_stateless_reply_that_depends_on_the_clients_port_is_no_prediction():
    half = egress(rule("TCP/1-50000"))
    assert reaches(half, *FROM_WEB)
    with pytest.raises(AmbiguousPrediction, match=r"prod/db"):
        reaches(half, *FROM_WEB, enforcers=["stateless"])


def test_a_datagram_that_ought_not_to_arrive_needs_no_reply_to_have_got_through():
    snapshot = shop(policy("prod/web", {"app": "web"}, ingress=[]), policy("prod/db", SELECTED, ingress=[]))
    enforcers = ["ignores-ingress@node-2", "stateless@node-1"]
    assert reaches(snapshot, *FROM_WEB, "UDP/80", enforcers=enforcers)
    assert not reaches(snapshot, *FROM_WEB, "TCP/80", enforcers=enforcers)
    allowed = shop(policy("prod/web", {"app": "web"}, ingress=[]))
    assert not reaches(allowed, *FROM_WEB, "UDP/80", enforcers=enforcers)


def test_a_stateless_node_judges_replies_only_of_its_own_pods():
    snapshot = shop(policy("prod/web", {"app": "web"}, ingress=[]), policy("prod/db", SELECTED, egress=[]))
    assert reaches(snapshot, *FROM_WEB)
    assert not reaches(snapshot, *FROM_WEB, enforcers=["stateless@node-1"])
    assert not reaches(snapshot, *FROM_WEB, enforcers=["stateless@node-2"])
    ingress_only = shop(policy("prod/web", {"app": "web"}, ingress=[]))
    assert reaches(ingress_only, *FROM_WEB, enforcers=["stateless@node-2"])


def test_self_and_own_node_traffic_needs_no_reply_rule():
    snapshot = shop(policy("prod/db", SELECTED, ingress=[], egress=[]))
    for source, destination in (("prod/db", "prod/db"), ("node/node-2", "prod/db"), ("prod/db", "node/node-2")):
        assert reaches(snapshot, source, destination, enforcers=["stateless"])


def test_blocked_self_traffic_passes_where_own_egress_and_ingress_allow_it():
    opened = shop(policy("prod/db", SELECTED, ingress=[rule(pods(SELECTED))], egress=[rule(block("10.244.1.2/32"))]))
    assert reaches(opened, "prod/db", "prod/db", enforcers=["blocks-self"])
    half = shop(policy("prod/db", SELECTED, ingress=[rule(pods(SELECTED))], egress=[]))
    assert not reaches(half, "prod/db", "prod/db", enforcers=["blocks-self"])


def test_blocked_own_node_traffic_passes_by_the_nodes_address():
    snapshot = ingress(rule(block("172.18.0.3/32")))
    assert reaches(snapshot, "node/node-2", "prod/db", enforcers=["blocks-own-node"])
    assert not reaches(ingress(rule(pods(ALL, ALL))), "node/node-2", "prod/db", enforcers=["blocks-own-node"])


def test_faultless_dialects_differ_from_the_specification_only_by_ip_blocks_inside_the_cluster():
    """``spec``, ``rejects``, and the two that depend on time or chance, mean the specification on random clusters."""
    same = [Dialect.SPEC, Dialect.REJECTS, Dialect.SLOW, Dialect.FLAKY, Dialect.STALE]
    assert set(same) > FAULTLESS - {Dialect.IP_BLOCK_SKIPS_PODS}
    for seed in range(5):
        snapshot = random_snapshot(Random(seed), LAB_SHAPE)
        for source in snapshot.endpoints:
            for destination in snapshot.endpoints:
                for protocol, port in sorted(boundaries_in_policies(snapshot)):
                    plain = verdict(snapshot, source, destination, protocol, port, Family.IPV4)
                    skipping = verdict(
                        snapshot, source, destination, protocol, port, Family.IPV4, ip_block_matches_cluster=False
                    )
                    for dialect in same:
                        assert (
                            verdict(
                                snapshot,
                                source,
                                destination,
                                protocol,
                                port,
                                Family.IPV4,
                                enforcement=Enforcement.parse((dialect,)),
                            )
                            is plain
                        )
                    enforcement = Enforcement.parse((Dialect.IP_BLOCK_SKIPS_PODS,))
                    assert (
                        verdict(snapshot, source, destination, protocol, port, Family.IPV4, enforcement=enforcement)
                        is skipping
                    )
