"""Which parts of policies a set of cells exercises, and the reasons that are given for those that it doesn't."""

from __future__ import annotations

import pytest

from auditor.diagnosis.coverage import unexercised
from auditor.model.ports import Protocol
from auditor.model.report import CellResult
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Observation, Observed, Result, Verdict
from tests.oracle.clusters import block, cluster, host, pod, pods, policy, rule

WEB = pod("a/web", {"app": "web"}, "10.0.0.1")
API = pod("a/api", {"app": "api"}, "10.0.0.2")
DB = pod("a/db", {"app": "db"}, "10.0.0.3")
NEAR = host("near", "192.168.5.10")
DATABASE = {"app": "db"}


def cells(*questions):
    found = []
    for question in questions:
        source, _, rest = question.partition(" > ")
        destination, _, port = rest.partition(" ")
        found.append(Cell(source, destination, Protocol.TCP, int(port), Family.IPV4))
    return found


def results(*questions, kind=Result.MATCH):
    return [CellResult(cell, Verdict.DENIED, Observation(Observed.DROPPED, ""), kind) for cell in cells(*questions)]


def parts(policies, *questions):
    snapshot = cluster(WEB, API, DB, NEAR, policies=policies)
    return {(part.what, part.reason) for part in unexercised(snapshot, results(*questions))}


def whats(policies, *questions):
    return {what for what, _ in parts(policies, *questions)}


def test_a_denied_cell_exercises_isolation():
    deny = [policy("a/deny", DATABASE, ingress=[])]
    assert whats(deny, "a/web > a/db 80") == set()
    assert parts(deny, "a/web > a/api 80") == {
        ("all of its ingress", "no connection observed has a pod that it selects at this end"),
    }


@pytest.mark.parametrize("kind", [Result.UNDEFINED, Result.MISDELIVERED, Result.INCONCLUSIVE, Result.SKIPPED])
def test_a_cell_that_is_no_fault_whatever_it_answers_exercises_nothing(kind):
    snapshot = cluster(WEB, DB, policies=[policy("a/deny", DATABASE, ingress=[])])
    [part] = unexercised(snapshot, results("a/web > a/db 80", kind=kind))
    assert part.what == "all of its ingress"


def test_a_policy_that_allows_everything_shows_no_isolation():
    allow = [policy("a/allow", DATABASE, ingress=[rule()])]
    assert ("isolation for ingress", "its own rules allow every connection observed") in parts(allow, "a/web > a/db 80")


def test_isolation_by_two_policies_is_exercised_for_neither():
    both = [policy("a/one", DATABASE, ingress=[]), policy("a/two", DATABASE, ingress=[])]
    assert whats(both, "a/web > a/db 80") == {"isolation for ingress"}


def test_a_rule_is_exercised_by_a_cell_that_it_alone_allows():
    allow = [policy("a/allow", DATABASE, ingress=[rule(pods({"app": "web"}))])]
    assert whats(allow, "a/web > a/db 80", "a/api > a/db 80") == set()
    assert parts(allow, "a/api > a/db 80") == {("the rule", "no source observed is one of its peers")}


def test_a_rule_whose_ports_nobody_tries():
    allow = [policy("a/allow", DATABASE, ingress=[rule(pods({"app": "web"}), "TCP/5432")])]
    assert parts(allow, "a/web > a/db 80") == {("the rule", "no connection observed is on one of its ports")}
    assert parts(allow, "a/web > a/db 5432", "a/api > a/db 80") == {
        ("its restriction to these ports", "no connection observed is with one of its peers on another port")
    }
    assert whats(allow, "a/web > a/db 5432", "a/web > a/db 80") == set()


def test_an_except_needs_somebody_inside_it():
    allow = [
        policy(
            "a/allow",
            DATABASE,
            ingress=[rule(block("192.168.0.0/16", "192.168.5.0/24", "192.168.6.0/24"), block("10.0.0.1/32"))],
        )
    ]
    asked = ("host/near > a/db 80", "a/web > a/db 80")
    assert parts(allow, *asked) == {
        ("except 192.168.6.0/24", "no source observed is inside it"),
        ("peer ipBlock 192.168.0.0/16 except 192.168.5.0/24, 192.168.6.0/24", "no source observed is one"),
    }


def test_an_end_port_needs_a_later_port():
    allow = [policy("a/allow", DATABASE, ingress=[rule("TCP/80-90")])]
    first, last, outside = ("a/web > a/db 80", "a/web > a/db 90", "a/web > a/db 91")
    assert parts(allow, first, outside) == {
        ("endPort of TCP/80-90", "no connection observed is on a later port of the range")
    }
    assert whats(allow, first, last, outside) == set()


def test_each_port_item_is_looked_at():
    allow = [policy("a/allow", DATABASE, ingress=[rule("TCP/80", "TCP/81")])]
    assert parts(allow, "a/web > a/db 80", "a/web > a/db 82") == {("port TCP/81", "no connection observed is on it")}


def test_what_the_other_end_denies_exercises_nothing():
    policies = [
        policy("a/deny", {"app": "web"}, egress=[]),
        policy("a/allow", DATABASE, ingress=[rule(pods({"app": "web"}))]),
    ]
    assert "the rule" in whats(policies, "a/web > a/db 80")
    assert "isolation for egress" not in whats(policies, "a/web > a/db 80")


def test_the_place_is_that_of_the_rule():
    snapshot = cluster(WEB, DB, policies=[policy("a/allow", DATABASE, ingress=[rule(pods({"app": "nobody"}))])])
    [part] = unexercised(snapshot, results("a/web > a/db 80"))
    assert str(part) == "a/allow ingress[0]: the rule not exercised: no source observed is one of its peers"
