"""What a NetworkPolicy means, line by line of docs/semantics.md, which the numbers in the tests' names refer to.

Every statement is put to the evaluator, to the explanations and to the tests' own oracle: whoever reads the rules must
read them like this. What is settled while manifests are read (defaults, finished pods, …) stands in
test_semantics_of_manifests.py."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from auditor.model.dialect import Enforcement
from auditor.model.labels import NAMESPACE_NAME_LABEL, Operator
from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.snapshot import Family, Service, ServicePort
from auditor.model.verdict import Note, Verdict
from auditor.policy.evaluator import evaluate
from tests.oracle.clusters import (
    ALL,
    EVERYTHING,
    block,
    cluster,
    having,
    host,
    namespaces,
    node,
    pod,
    pods,
    policy,
    rule,
    where,
)
from tests.oracle.evaluator import before_convergence, verdict

WEB = pod("prod/web", {"app": "web"}, "10.244.0.2", node="node-1")
API = pod("prod/api", {"app": "api"}, "10.244.0.3", node="node-1")
DB = pod("prod/db", {"app": "db"}, "10.244.1.2", ports=["sql=TCP/3306"], node="node-2")
DEV = pod("dev/web", {"app": "web"}, "10.244.1.3", node="node-2")
OUTSIDE = host("outside", "203.0.113.10")
LABELS = {"prod": {"stage": "prod"}, "dev": {"stage": ""}}


def shop(*policies, more=()):
    """Three pods in prod, one in dev, one host outside."""
    return cluster(WEB, API, DB, DEV, OUTSIDE, *more, policies=policies, labels=LABELS)


def test_00_without_policies_everything_is_allowed(reaches):
    snapshot = shop()
    assert reaches(snapshot, "prod/web", "prod/db")
    assert reaches(snapshot, "dev/web", "prod/db", "UDP/53")
    assert reaches(snapshot, "host/outside", "prod/db", "SCTP/1")


def test_02_isolation_is_per_direction(reaches):
    snapshot = shop(policy("prod/db", {"app": "db"}, ingress=[]))
    assert not reaches(snapshot, "prod/web", "prod/db")
    assert reaches(snapshot, "prod/db", "prod/web")
    assert reaches(snapshot, "prod/web", "prod/api")


def test_02_any_policy_of_the_direction_isolates(reaches):
    snapshot = shop(policy("prod/a", {"app": "db"}, egress=[EVERYTHING]), policy("prod/b", {"app": "db"}, ingress=[]))
    assert not reaches(snapshot, "prod/web", "prod/db")
    assert reaches(snapshot, "prod/db", "prod/web")


def test_02_a_section_that_is_not_in_policy_types_is_ignored(reaches):
    both = policy("prod/db", {"app": "db"}, ingress=[], egress=[rule("TCP/1")])
    snapshot = shop(replace(both, directions=frozenset([Direction.INGRESS])))
    assert reaches(snapshot, "prod/db", "prod/web")
    opened = policy("prod/db", {"app": "db"}, ingress=[EVERYTHING], egress=[])
    assert reaches(shop(replace(opened, directions=frozenset([Direction.EGRESS]))), "prod/web", "prod/db")
    assert not reaches(shop(replace(opened, directions=frozenset([Direction.EGRESS]))), "prod/db", "prod/web")


def test_03_no_rule_allows_nothing_and_an_empty_rule_everything(reaches):
    closed, opened = (
        shop(policy("prod/db", ingress=[], egress=[])),
        shop(policy("prod/db", ingress=[EVERYTHING], egress=[EVERYTHING])),
    )
    for source, destination in (
        ("dev/web", "prod/db"),
        ("prod/db", "dev/web"),
        ("host/outside", "prod/db"),
        ("prod/db", "host/outside"),
    ):
        assert not reaches(closed, source, destination, "TCP/80")
        assert reaches(opened, source, destination, "SCTP/65535")


def test_03_no_peers_means_every_peer_and_no_ports_every_port(reaches):
    any_peer = shop(policy("prod/db", {"app": "db"}, ingress=[rule("TCP/3306")]))
    assert reaches(any_peer, "host/outside", "prod/db", "TCP/3306")
    assert reaches(any_peer, "dev/web", "prod/db", "TCP/3306")
    assert not reaches(any_peer, "dev/web", "prod/db", "TCP/3307")
    any_port = shop(policy("prod/db", {"app": "db"}, ingress=[rule(pods({"app": "api"}))]))
    assert reaches(any_port, "prod/api", "prod/db", "SCTP/9")
    assert not reaches(any_port, "prod/web", "prod/db", "SCTP/9")


def test_04_the_empty_selector_selects_all_pods_of_the_namespace_only(reaches):
    snapshot = shop(policy("prod/all", ingress=[]))
    assert not reaches(snapshot, "dev/web", "prod/web")
    assert not reaches(snapshot, "prod/api", "prod/web")
    assert reaches(snapshot, "prod/api", "dev/web")


def test_04_a_pod_selector_alone_means_the_policys_own_namespace(reaches):
    snapshot = shop(policy("prod/db", {"app": "db"}, ingress=[rule(pods({"app": "web"}))]))
    assert reaches(snapshot, "prod/web", "prod/db")
    assert not reaches(snapshot, "dev/web", "prod/db")
    everyone = shop(policy("prod/db", {"app": "db"}, ingress=[rule(pods(ALL))]))
    assert reaches(everyone, "prod/api", "prod/db")
    assert not reaches(everyone, "dev/web", "prod/db")
    assert not reaches(everyone, "host/outside", "prod/db")


def test_04_a_namespace_selector_alone_means_all_pods_there(reaches):
    snapshot = shop(policy("prod/db", {"app": "db"}, ingress=[rule(namespaces({"stage": "prod"}))]))
    assert reaches(snapshot, "prod/web", "prod/db")
    assert reaches(snapshot, "prod/api", "prod/db")
    assert not reaches(snapshot, "dev/web", "prod/db")
    everyone = shop(policy("prod/db", {"app": "db"}, ingress=[rule(namespaces(ALL))]))
    assert reaches(everyone, "dev/web", "prod/db")
    assert not reaches(everyone, "host/outside", "prod/db")


def test_04_both_selectors_in_one_peer_mean_and_and_two_peers_mean_or(reaches):
    both = shop(policy("prod/db", {"app": "db"}, ingress=[rule(pods({"app": "web"}, {"stage": "prod"}))]))
    assert [reaches(both, source, "prod/db") for source in ("prod/web", "prod/api", "dev/web")] == [True, False, False]
    either = shop(policy("prod/db", {"app": "db"}, ingress=[rule(pods({"app": "api"}), namespaces({"stage": ""}))]))
    assert [reaches(either, source, "prod/db") for source in ("prod/web", "prod/api", "dev/web")] == [False, True, True]


def test_05_match_labels_needs_the_key_even_for_an_empty_value(reaches):
    with_key, without_key = pod("prod/with", {"k": ""}), pod("prod/without", {"app": "x"})
    snapshot = shop(policy("prod/db", {"app": "db"}, ingress=[rule(pods({"k": ""}))]), more=(with_key, without_key))
    assert reaches(snapshot, "prod/with", "prod/db")
    assert not reaches(snapshot, "prod/without", "prod/db")


@pytest.mark.parametrize(
    ("selector", "missing", "empty", "other", "listed"),
    [
        (where("k", Operator.IN, "a", "b"), False, False, False, True),
        (where("k", Operator.IN, ""), False, True, False, False),
        (where("k", Operator.EXISTS), False, True, True, True),
        (where("k", Operator.NOT_IN, "a", "b"), True, True, True, False),
        (where("k", Operator.NOT_IN, ""), True, False, True, True),
        (where("k", Operator.DOES_NOT_EXIST), True, False, False, False),
    ],
)
@pytest.mark.parametrize("place", ["peer", "namespace", "subject"])
def test_05_operators_on_a_missing_an_empty_another_and_a_listed_value(
    reaches, place, selector, missing, empty, other, listed
):
    """NotIn and DoesNotExist hold where the key is missing, In and Exists don't; the same in each of the three places
    of a selector.
    """
    values = {"missing": {}, "empty": {"k": ""}, "other": {"k": "z"}, "listed": {"k": "b"}}
    expected = {"missing": missing, "empty": empty, "other": other, "listed": listed}
    for name, labels in values.items():
        if place == "peer":
            snapshot = shop(
                policy("prod/db", {"app": "db"}, ingress=[rule(pods(selector))]), more=(pod("prod/it", labels),)
            )
            assert reaches(snapshot, "prod/it", "prod/db") is expected[name]
        elif place == "namespace":
            policies = [policy("prod/db", {"app": "db"}, ingress=[rule(namespaces(selector))])]
            snapshot = cluster(DB, pod("space/it"), policies=policies, labels={"space": labels})
            assert reaches(snapshot, "space/it", "prod/db") is expected[name]
        else:
            snapshot = shop(policy("prod/it", selector, ingress=[]), more=(pod("prod/it", labels),))
            assert reaches(snapshot, "prod/web", "prod/it") is not expected[name]


def test_05_all_conditions_of_a_selector_must_hold(reaches):
    selector = replace(
        having({"app": "web", "tier": "x"}), match_expressions=where("old", Operator.DOES_NOT_EXIST).match_expressions
    )
    labels = {"app": "web", "tier": "x"}
    more = (pod("prod/good", labels), pod("prod/old", {**labels, "old": ""}), pod("prod/half", {"app": "web"}))
    snapshot = shop(policy("prod/db", {"app": "db"}, ingress=[rule(pods(selector))]), more=more)
    assert [reaches(snapshot, f"prod/{name}", "prod/db") for name in ("good", "old", "half")] == [True, False, False]


def test_05_a_namespace_can_be_chosen_by_its_name(reaches):
    snapshot = shop(policy("prod/db", {"app": "db"}, ingress=[rule(namespaces({NAMESPACE_NAME_LABEL: "prod"}))]))
    assert reaches(snapshot, "prod/web", "prod/db")
    assert not reaches(snapshot, "dev/web", "prod/db")


def test_06_a_port_item_without_a_port_means_every_port_of_its_protocol(reaches):
    snapshot = shop(policy("prod/db", {"app": "db"}, ingress=[rule("UDP/*")]))
    assert reaches(snapshot, "prod/web", "prod/db", "UDP/1")
    assert reaches(snapshot, "prod/web", "prod/db", "UDP/65535")
    assert not reaches(snapshot, "prod/web", "prod/db", "TCP/1")


@pytest.mark.parametrize(("port", "expected"), [(79, False), (80, True), (85, True), (90, True), (91, False)])
def test_06_end_port_is_inclusive(reaches, port, expected):
    snapshot = shop(policy("prod/db", {"app": "db"}, ingress=[rule("TCP/80-90")]))
    assert reaches(snapshot, "prod/web", "prod/db", f"TCP/{port}") is expected
    assert not reaches(snapshot, "prod/web", "prod/db", f"UDP/{port}")


def test_06_end_port_may_equal_port_and_reach_the_last(reaches):
    snapshot = shop(policy("prod/db", {"app": "db"}, ingress=[rule("TCP/80-80", "TCP/65000-65535")]))
    assert [reaches(snapshot, "prod/web", "prod/db", f"TCP/{port}") for port in (80, 81, 64999, 65535)] == [
        True,
        False,
        False,
        True,
    ]


NAMED = (
    pod("prod/a", {"app": "s"}, ports=["http=TCP/8080"]),
    pod("prod/b", {"app": "s"}, ports=["http=TCP/8081"]),
    pod("prod/udp", {"app": "s"}, ports=["http=UDP/8080"]),
    pod("prod/none", {"app": "s"}, ports=["other=TCP/8080"]),
    pod("prod/many", {"app": "s"}, ports=["http=TCP/8080", "http=TCP/9090"]),
)


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_07_named_ports_resolve_per_destination_in_both_directions(reaches, direction):
    policies = {
        "ingress": policy("prod/s", {"app": "s"}, ingress=[rule("TCP/http")]),
        "egress": policy("prod/web", {"app": "web"}, egress=[rule("TCP/http")]),
    }
    snapshot = shop(policies[direction], more=NAMED)
    ports = (8080, 8081, 9090)
    reached = {
        end.name: [port for port in ports if reaches(snapshot, "prod/web", end.name, f"TCP/{port}")] for end in NAMED
    }
    assert reached == {"prod/a": [8080], "prod/b": [8081], "prod/udp": [], "prod/none": [], "prod/many": [8080, 9090]}
    assert not reaches(snapshot, "prod/web", "prod/udp", "UDP/8080")


def test_07_a_named_port_means_nothing_outside_the_cluster(reaches):
    snapshot = shop(policy("prod/web", {"app": "web"}, egress=[rule(block("0.0.0.0/0"), "TCP/http")]))
    assert not reaches(snapshot, "prod/web", "host/outside", "TCP/80")


def test_08_policies_add_up(reaches):
    one, two = (
        policy(f"prod/{name}", {"app": "db"}, ingress=[rule(pods({"app": name}), "TCP/3306")])
        for name in ("web", "api")
    )
    deny = policy("prod/deny", ingress=[])
    for policies in ((one, two, deny), (deny, two, one)):
        snapshot = shop(*policies)
        assert reaches(snapshot, "prod/web", "prod/db", "TCP/3306")
        assert reaches(snapshot, "prod/api", "prod/db", "TCP/3306")
        assert not reaches(snapshot, "dev/web", "prod/db", "TCP/3306")
        assert not reaches(snapshot, "prod/web", "prod/api", "TCP/3306")


def test_08_peers_and_ports_of_different_rules_do_not_combine(reaches):
    snapshot = shop(
        policy(
            "prod/db", {"app": "db"}, ingress=[rule(pods({"app": "web"}), "TCP/1"), rule(pods({"app": "api"}), "TCP/2")]
        )
    )
    assert reaches(snapshot, "prod/web", "prod/db", "TCP/1")
    assert not reaches(snapshot, "prod/web", "prod/db", "TCP/2")
    assert not reaches(snapshot, "prod/api", "prod/db", "TCP/1")


def test_08_a_connection_needs_egress_and_ingress(reaches):
    out = policy("prod/web", {"app": "web"}, egress=[rule(pods({"app": "db"}))])
    into = policy("prod/db", {"app": "db"}, ingress=[rule(pods({"app": "web"}))])
    no_way_out = policy("prod/web", {"app": "web"}, egress=[])
    no_way_in = policy("prod/db", {"app": "db"}, ingress=[])
    assert reaches(shop(out, into), "prod/web", "prod/db")
    assert not reaches(shop(no_way_out, into), "prod/web", "prod/db")
    assert not reaches(shop(out, no_way_in), "prod/web", "prod/db")


def test_08_replies_are_implied(reaches):
    snapshot = shop(policy("prod/web", {"app": "web"}, ingress=[]), policy("prod/db", {"app": "db"}, egress=[]))
    assert reaches(snapshot, "prod/web", "prod/db")
    assert not reaches(snapshot, "prod/db", "prod/web")


def test_09_an_ip_block_matches_by_address_hosts_and_pods_alike(reaches):
    snapshot = shop(policy("prod/db", {"app": "db"}, ingress=[rule(block("203.0.113.0/24"), block("10.244.0.2/32"))]))
    assert reaches(snapshot, "host/outside", "prod/db")
    assert reaches(snapshot, "prod/web", "prod/db")
    assert not reaches(snapshot, "prod/api", "prod/db")


def test_09_except_subtracts_within_its_own_peer_only(reaches):
    narrow = rule(block("10.244.0.0/16", "10.244.0.0/24"))
    snapshot = shop(policy("prod/db", {"app": "db"}, ingress=[narrow]))
    assert reaches(snapshot, "dev/web", "prod/db")
    assert not reaches(snapshot, "prod/web", "prod/db")
    for again in (rule(block("10.244.0.2/32")), rule(pods({"app": "web"})), EVERYTHING):
        other_rule = shop(policy("prod/db", {"app": "db"}, ingress=[narrow, again]))
        same_rule = shop(policy("prod/db", {"app": "db"}, ingress=[replace(narrow, peers=narrow.peers + again.peers)]))
        assert reaches(other_rule, "prod/web", "prod/db")
        assert reaches(same_rule, "prod/web", "prod/db") is bool(again.peers)


def test_09_what_hangs_on_an_ip_block_inside_the_cluster_is_cni_dependent():
    blocks = policy("prod/db", {"app": "db"}, ingress=[rule(block("0.0.0.0/0"))])
    matrix = evaluate(shop(blocks))
    assert matrix.notes("prod/web", "prod/db", Protocol.TCP, 80, Family.IPV4) == (Note.CNI_DEPENDENT,)
    assert matrix.notes("host/outside", "prod/db", Protocol.TCP, 80, Family.IPV4) == ()
    assert matrix.notes("prod/db", "prod/db", Protocol.TCP, 80, Family.IPV4) == ()
    sure = evaluate(shop(blocks, policy("prod/too", {"app": "db"}, ingress=[rule(pods({"app": "web"}))])))
    assert sure.notes("prod/web", "prod/db", Protocol.TCP, 80, Family.IPV4) == ()
    assert sure.notes("prod/api", "prod/db", Protocol.TCP, 80, Family.IPV4) == (Note.CNI_DEPENDENT,)


@pytest.mark.parametrize("source", ["node/node-1", "prod/agent"])
def test_10_the_own_node_is_always_allowed_both_ways_and_other_nodes_are_not(reaches, source):
    more = (
        node("node-1", "172.18.0.2"),
        node("node-2", "172.18.0.3"),
        pod("prod/agent", {"app": "agent"}, "172.18.0.2", node="node-1", host_network=True),
    )
    snapshot = shop(policy("prod/all", ingress=[], egress=[]), more=more)
    assert reaches(snapshot, source, "prod/web")
    assert reaches(snapshot, "prod/web", source)
    assert not reaches(snapshot, source, "prod/db")
    assert not reaches(snapshot, "prod/db", source)


def test_10_a_pod_on_no_known_node_has_no_own_node(reaches):
    somewhere = pod("prod/somewhere", {"app": "x"})
    agent = pod("prod/agent", {"app": "agent"}, host_network=True)
    snapshot = shop(policy("prod/all", ingress=[]), more=(somewhere, agent))
    assert not reaches(snapshot, "prod/agent", "prod/somewhere")


def test_10_pods_of_one_node_are_not_exempt(reaches):
    assert not reaches(shop(policy("prod/all", ingress=[])), "prod/api", "prod/web")


def test_10_a_pod_always_reaches_itself(reaches):
    snapshot = shop(policy("prod/all", ingress=[], egress=[]))
    assert reaches(snapshot, "prod/db", "prod/db", "TCP/3306")
    assert reaches(snapshot, "prod/db", "prod/db", "UDP/53")


AGENT = pod("prod/agent", {"app": "agent"}, "172.18.0.4", ports=["http=TCP/80"], node="node-3", host_network=True)


def test_11_policies_do_not_select_host_network_pods(reaches):
    snapshot = shop(policy("prod/all", ingress=[], egress=[]), more=(AGENT,))
    assert reaches(snapshot, "host/outside", "prod/agent")
    assert reaches(snapshot, "prod/agent", "host/outside")


def test_11_host_network_pods_match_as_their_nodes_address_and_not_by_selectors(reaches):
    by_labels = shop(policy("prod/db", {"app": "db"}, ingress=[rule(pods(ALL, ALL))]), more=(AGENT,))
    assert not reaches(by_labels, "prod/agent", "prod/db")
    by_namespace = shop(policy("prod/db", {"app": "db"}, ingress=[rule(namespaces(ALL))]), more=(AGENT,))
    assert not reaches(by_namespace, "prod/agent", "prod/db")
    by_address = shop(policy("prod/db", {"app": "db"}, ingress=[rule(block("172.18.0.4/32"))]), more=(AGENT,))
    assert reaches(by_address, "prod/agent", "prod/db")
    by_name = shop(policy("prod/web", {"app": "web"}, egress=[rule("TCP/http")]), more=(AGENT,))
    assert not reaches(by_name, "prod/web", "prod/agent", "TCP/80")


def test_11_cells_of_host_network_pods_are_undefined():
    matrix = evaluate(shop(policy("prod/all", ingress=[]), more=(AGENT,)))
    assert matrix.notes("prod/agent", "prod/db", Protocol.TCP, 80, Family.IPV4) == (Note.UNDEFINED,)
    assert matrix.notes("prod/db", "prod/agent", Protocol.TCP, 80, Family.IPV4) == (Note.UNDEFINED,)
    assert matrix.notes("prod/web", "prod/db", Protocol.TCP, 80, Family.IPV4) == ()


def test_12_behind_a_service_the_pod_and_its_target_port_count(reaches):
    service = Service("prod", "db", {"app": "db"}, (ServicePort(Protocol.TCP, 80, 3306),), (ip_address("10.96.0.7"),))
    of_service, of_pod = (policy("prod/db", {"app": "db"}, ingress=[rule(port)]) for port in ("TCP/80", "TCP/3306"))
    assert not reaches(cluster(WEB, DB, policies=[of_service], services=[service]), "prod/web", "prod/db", "TCP/3306")
    assert reaches(cluster(WEB, DB, policies=[of_pod], services=[service]), "prod/web", "prod/db", "TCP/3306")
    by_service_address = policy("prod/web", {"app": "web"}, egress=[rule(block("10.96.0.0/16"))])
    assert not reaches(
        cluster(WEB, DB, policies=[by_service_address], services=[service]), "prod/web", "prod/db", "TCP/3306"
    )


def test_13_each_address_family_is_judged_by_itself(reaches):
    ends = (
        pod("prod/web", {"app": "web"}, "10.244.0.2", "fd00::2"),
        pod("prod/db", {"app": "db"}, "10.244.0.3", "fd00::3"),
    )
    for cidr, version4, version6 in (
        ("10.244.0.2/32", True, False),
        ("fd00::2/128", False, True),
        ("::/0", False, True),
    ):
        snapshot = cluster(*ends, policies=[policy("prod/db", {"app": "db"}, ingress=[rule(block(cidr))])])
        assert reaches(snapshot, "prod/web", "prod/db", family=Family.IPV4) is version4
        assert reaches(snapshot, "prod/web", "prod/db", family=Family.IPV6) is version6
    by_labels = cluster(*ends, policies=[policy("prod/db", {"app": "db"}, ingress=[rule(pods({"app": "web"}))])])
    assert all(reaches(by_labels, "prod/web", "prod/db", family=family) for family in Family)


def test_13_of_an_unknown_address_only_the_whole_family_is_sure(reaches):
    ends = (pod("prod/web", {"app": "web"}), pod("prod/db", {"app": "db"}))
    for found, expected in (
        (block("0.0.0.0/0"), True),
        (block("0.0.0.0/0", "1.1.1.1/32"), False),
        (block("10.0.0.0/8"), False),
    ):
        snapshot = cluster(*ends, policies=[policy("prod/db", {"app": "db"}, ingress=[rule(found)])])
        assert reaches(snapshot, "prod/web", "prod/db") is expected


def test_14_whether_anything_listens_or_is_declared_plays_no_part(reaches):
    bare = replace(DB, ports=())
    snapshot = cluster(WEB, bare, policies=[policy("prod/db", {"app": "db"}, ingress=[rule("TCP/3306")])])
    assert reaches(snapshot, "prod/web", "prod/db", "TCP/3306")
    assert reaches(cluster(WEB, bare), "prod/web", "prod/db", "TCP/1")


def test_15_the_expectation_is_that_of_the_policies_in_force_now(reaches):
    before = shop(policy("prod/db", {"app": "db"}, ingress=[]))
    after = replace(before, policies=())
    assert [reaches(snapshot, "prod/web", "prod/db") for snapshot in (before, after, before)] == [False, True, False]


def test_15_an_enforcer_may_take_its_time():
    snapshot = shop(policy("prod/db", {"app": "db"}, ingress=[]))
    enforcement = Enforcement.parse(("slow:1@node-2",))
    early, late = (
        verdict(snapshot, WEB, DB, Protocol.TCP, 80, Family.IPV4, enforcement=now)
        for now in (before_convergence(enforcement), enforcement)
    )
    assert (early, late) == (Verdict.ALLOWED, Verdict.DENIED)
