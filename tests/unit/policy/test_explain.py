from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.model.policy import Direction, IPBlock, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Verdict
from auditor.policy.explain import decide
from tests.unit.diagnosis.worlds import DB_POLICY, SHOP, labels, with_policies


def ask(source: str, destination: str, port: int = 3306, snapshot=SHOP, protocol=Protocol.TCP):
    return decide(snapshot, Cell(source, destination, protocol, port, Family.IPV4))


def with_rule(rule: Rule, **changes):
    return with_policies(replace(DB_POLICY, ingress=(rule,), **changes))


def test_the_allowing_rule_is_named_with_file_line_peer_and_port():
    decision = ask("prod/api", "prod/db")
    assert decision.verdict is Verdict.ALLOWED
    assert decision.because() == (
        "egress: no policy isolates prod/api: none of namespace prod selects it",
        "ingress: prod/db ingress[0] (db.yaml:11): podSelector app=api, TCP/3306",
    )


def test_a_denial_names_the_isolating_policy_and_only_the_rules_that_came_near():
    decision = ask("prod/web", "prod/db")
    assert decision.verdict is Verdict.DENIED
    assert decision.because() == (
        "ingress: prod/db is isolated by prod/db (db.yaml:1), and no rule allows it",
        "ingress: prod/db ingress[0] (db.yaml:11): podSelector app=api: prod/web has app=web",
    )


def test_every_rule_is_told_when_none_came_near():
    decision = ask("prod/web", "prod/db", 80)
    assert [miss.near for miss in decision.ingress.misses] == [False, False]
    assert (
        decision.because()[2]
        == "ingress: prod/db ingress[1] (db.yaml:19): ipBlock 192.168.5.0/24: 10.244.0.2 is outside"
    )


def test_a_peer_that_matches_on_another_port_is_near():
    decision = ask("prod/api", "prod/db", 80)
    assert next(miss.lacks for miss in decision.ingress.near_misses) == ("port TCP/3306: TCP/80 was asked for",)


def test_pod_selector_alone_means_the_own_namespace():
    decision = ask("dev/api", "prod/db")
    assert (
        "a podSelector alone means pods of the policy's own namespace, prod: dev/api is in dev" in decision.because()[1]
    )


def test_missing_namespace_label_is_said():
    rule = Rule((Peer(labels(app="api"), labels(name="prod")),), ())
    decision = ask("prod/api", "prod/db", snapshot=with_rule(rule))
    assert decision.ingress.misses[0].lacks == ("namespaceSelector name=prod: namespace prod has no label name",)
    assert decision.ingress.misses[0].near


def test_except_is_said():
    decision = ask("host/other", "prod/db")
    assert any("192.168.5.11 is in except 192.168.5.11/32" in line for line in decision.because())


@pytest.mark.parametrize(
    ("port", "said"),
    [
        (PolicyPort(name="http"), "port TCP/http: prod/db declares no TCP port named http"),
        (PolicyPort(name="sql"), "port TCP/sql: is 3306 on prod/db, TCP/80 was asked for"),
        (PolicyPort(Protocol.UDP, 80), "port UDP/80: TCP/80 was asked for"),
        (PolicyPort(Protocol.TCP, 81, 90), "port TCP/81-90: TCP/80 was asked for"),
    ],
)
def test_what_a_port_lacks(port, said):
    decision = ask("prod/api", "prod/db", 80, with_rule(Rule((), (port,))))
    assert decision.ingress.misses[0].lacks == (said,)


def test_requirements_that_fail_are_said_once_per_key():
    selector = LabelSelector((), (Requirement("app", Operator.NOT_IN, ("api",)), Requirement("tier", Operator.EXISTS)))
    decision = ask("prod/api", "prod/db", snapshot=with_rule(Rule((Peer(selector),), ())))
    assert decision.ingress.misses[0].lacks == (
        (
            "podSelector app notin (api),tier: prod/api has app=api and podSelector app notin (api),tier: prod/api has "
            "no label tier"
        ),
    )


def test_hosts_and_nodes_are_no_pods_for_selectors():
    decision = ask("host/other", "prod/db", snapshot=with_rule(Rule((Peer(LabelSelector()),), ())))
    assert decision.ingress.misses[0].lacks == ("podSelector {}: host/other is not a pod on the pod network",)


@pytest.mark.parametrize(
    ("pod", "why"),
    [
        ("prod/db", "prod/db (db.yaml:1) is for Ingress alone"),
        ("prod/web", "none of namespace prod selects it"),
        ("dev/api", "namespace dev has none"),
        ("host/backup", "it is not a pod on the pod network"),
    ],
)
def test_why_nothing_isolates_the_source(pod, why):
    assert ask(pod, "prod/api").because()[0] == f"egress: no policy isolates {pod}: {why}"


@pytest.mark.parametrize(
    ("source", "destination", "reason"),
    [
        ("prod/db", "prod/db", "a pod can always reach itself"),
        ("node/node-2", "prod/db", "traffic between a pod and its own node (node-2) is always allowed"),
        ("host/backup", "host/other", "neither end is a pod: no NetworkPolicy has a say"),
    ],
)
def test_exemptions(source, destination, reason):
    decision = ask(source, destination)
    assert (decision.verdict, decision.because()) == (Verdict.ALLOWED, (reason,))


def test_both_sides_are_said_when_both_deny():
    out = NetworkPolicy("prod", "quiet", LabelSelector(), frozenset({Direction.EGRESS}))
    decision = ask("prod/web", "prod/db", snapshot=with_policies(DB_POLICY, out))
    assert decision.because()[0] == "egress: prod/web is isolated by prod/quiet, and no rule allows it"
    assert not decision.ingress.allowed


def test_unknown_addresses_are_said():
    bare = replace(SHOP, endpoints=tuple(replace(endpoint, addresses=()) for endpoint in SHOP.endpoints))
    decision = decide(bare, Cell("prod/web", "prod/db", Protocol.TCP, 3306, Family.IPV4))
    assert any("the address of prod/web is not known" in line for line in decision.because())
    whole = with_rule(Rule((Peer(ip_block=IPBlock(ip_network("0.0.0.0/0"))),), ()))
    whole = replace(whole, endpoints=bare.endpoints)
    assert decide(whole, Cell("prod/web", "prod/db", Protocol.TCP, 3306, Family.IPV4)).verdict is Verdict.ALLOWED
