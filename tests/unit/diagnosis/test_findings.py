from __future__ import annotations

from dataclasses import replace

import pytest

from auditor.diagnosis.findings import _combinations, find, ports_of
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.report import CellResult
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Observation, Observed, Result, Verdict
from tests.unit.diagnosis.worlds import SHOP


def result(source, destination, port, kind, expected=Verdict.DENIED, protocol=Protocol.TCP):
    seen = Observed.ALLOWED if expected is Verdict.DENIED else Observed.DROPPED
    return CellResult(
        Cell(source, destination, protocol, port, Family.IPV4), expected, Observation(seen, "token", (seen,)), kind
    )


def told(*results):
    return find(SHOP, results, lambda cell: f"try {cell.source} {cell.destination} {cell.port}")


def test_cells_that_match_are_not_told():
    assert (
        told(result("prod/web", "prod/db", 3306, Result.MATCH), result("prod/web", "prod/db", 80, Result.INCONCLUSIVE))
        == ()
    )


def test_leaks_past_one_policy_are_one_finding():
    [finding] = told(
        result("prod/web", "prod/db", 3306, Result.LEAK),
        result("dev/api", "prod/db", 3306, Result.LEAK),
        result("dev/api", "prod/db", 80, Result.LEAK),
    )
    assert finding.kind is Result.LEAK
    assert len(finding.cells) == 3
    assert finding.expected_by == ("ingress denied by prod/db (db.yaml:1)",)
    assert (
        finding.title
        == "prod/web, dev/api can reach prod/db on TCP/80, TCP/3306 (3 of 4 combinations), despite prod/db (ingress)"
    )
    assert finding.reproduce == "try prod/web prod/db 3306"


def test_an_outage_names_the_rule_that_allows():
    [finding] = told(result("prod/api", "prod/db", 3306, Result.OUTAGE, Verdict.ALLOWED))
    assert finding.expected_by == ("ingress: prod/db ingress[0] (db.yaml:11): podSelector app=api, TCP/3306",)


def test_outages_that_no_policy_explains_and_exemptions_are_told_apart():
    findings = told(
        result("prod/api", "prod/web", 80, Result.OUTAGE, Verdict.ALLOWED),
        result("prod/db", "prod/db", 80, Result.OUTAGE, Verdict.ALLOWED),
        result("node/node-2", "prod/db", 80, Result.OUTAGE, Verdict.ALLOWED),
    )
    assert [finding.expected_by for finding in findings] == [
        ("no policy isolates either end",),
        ("a pod and itself",),
        ("a pod and its own node",),
    ]


def test_the_gravest_kind_comes_first_then_the_larger():
    findings = told(
        result("prod/api", "prod/web", 80, Result.OUTAGE, Verdict.ALLOWED),
        result("prod/api", "prod/db", 3306, Result.OUTAGE, Verdict.ALLOWED),
        result("prod/web", "prod/api", 80, Result.OUTAGE, Verdict.ALLOWED),
        result("prod/web", "prod/db", 80, Result.LEAK),
        result("prod/web", "prod/web", 80, Result.UNSTABLE, Verdict.ALLOWED),
    )
    assert [(finding.kind, len(finding.cells)) for finding in findings] == [
        (Result.LEAK, 1),
        (Result.OUTAGE, 2),
        (Result.OUTAGE, 1),
        (Result.UNSTABLE, 1),
    ]


def test_many_names_are_cut_short():
    sources = ("prod/web", "dev/api", "host/other", "prod/api")
    [finding] = told(*(result(source, "prod/db", 80, Result.LEAK) for source in sources[:3]))
    assert finding.title.startswith("prod/web, dev/api, host/other can reach prod/db on TCP/80, despite ")
    [finding] = told(*(result(source, "prod/db", 80, Result.LEAK) for source in sources))
    assert finding.title.startswith("prod/web, dev/api and 2 more can reach prod/db on TCP/80, despite ")


def test_many_ports_are_counted():
    [finding] = told(*(result("prod/web", "prod/db", port, Result.LEAK) for port in (80, 81, 82)))
    assert finding.title == "prod/web can reach prod/db on TCP/80, TCP/81, TCP/82, despite prod/db (ingress)"
    [finding] = told(*(result("prod/web", "prod/db", port, Result.LEAK) for port in range(80, 90)))
    assert finding.title == "prod/web can reach prod/db on 10 ports, despite prod/db (ingress)"


def test_ports_in_words_are_sorted_by_protocol_and_number():
    cells = [
        Cell("a", "b", protocol, port, Family.IPV4)
        for protocol, port in ((Protocol.UDP, 53), (Protocol.TCP, 443), (Protocol.TCP, 80))
    ]
    assert ports_of(cells) == "TCP/80, TCP/443, UDP/53"


def test_a_pod_and_itself_is_a_combination_only_where_it_is_among_the_connections():
    ends = ("prod/web", "prod/db")
    between = [result(one, other, 3306, Result.LEAK).cell for one in ends for other in ends if one != other]
    to_itself = result("prod/db", "prod/db", 3306, Result.LEAK).cell
    assert _combinations(between) == (2, 2)
    assert _combinations([*between, to_itself]) == (3, 3)
    assert _combinations([between[0], to_itself]) == (2, 2)
    assert _combinations([*between, to_itself, between[0]._replace(port=80)]) == (4, 6)


def test_what_rules_lack_is_not_put_into_words_for_a_finding(monkeypatch):
    monkeypatch.setattr(LabelSelector, "unmet", lambda *_: pytest.fail("this takes long with thousands of policies"))
    [finding] = told(result("prod/web", "prod/db", 80, Result.LEAK), result("dev/api", "prod/db", 80, Result.LEAK))
    assert finding.expected_by == ("ingress denied by prod/db (db.yaml:1)",)


def test_a_node_that_does_not_reach_its_own_pods_is_a_finding_of_its_own():
    pairs = [("node/node-2", "dev/api", 10011), ("prod/web", "dev/api", 80)]
    finding, other = told(*(result(*pair, Result.OUTAGE, Verdict.ALLOWED) for pair in pairs))
    assert (finding.expected_by, other.expected_by) == (("a pod and its own node",), ("no policy isolates either end",))
    assert finding.advice.startswith("No policy may keep a pod and its own node apart")
    assert other.advice.startswith("The policies allow this")


def test_what_was_closed_too_late_is_one_finding_with_the_longest_time():
    late = [
        replace(each, observation=Observation(Observed.DROPPED, "timeout").closed_after(seconds))
        for each, seconds in (
            (result("prod/web", "prod/db", 3306, Result.UNSTABLE), 2.04),
            (result("dev/api", "prod/db", 80, Result.UNSTABLE), 3.04),
        )
    ]
    finding, changing = told(*late, result("prod/web", "prod/db", 81, Result.UNSTABLE))
    assert finding.title == (
        "2 connections were open for up to 3.0 s after the start, though they should be denied: "
        "prod/web, dev/api to prod/db"
    )
    assert finding.expected_by[0].startswith("late isolation: a pod is isolated before it starts")
    assert len(changing.cells) == 1


def test_a_finding_says_which_nodes_filters_are_involved():
    [leak] = told(result("prod/web", "prod/db", 3306, Result.LEAK))
    assert leak.advice.endswith("The filters involved: ingress on node-2.")
    assert leak.filters == {Direction.INGRESS: ("node-2",)}
    [outage] = told(result("prod/api", "prod/db", 3306, Result.OUTAGE, Verdict.ALLOWED))
    assert outage.advice.endswith("The filters involved: egress on node-1; ingress on node-2.")
    assert outage.filters == {Direction.EGRESS: ("node-1",), Direction.INGRESS: ("node-2",)}
    [outside] = told(result("host/other", "prod/db", 80, Result.LEAK))
    assert outside.advice.endswith("The filters involved: ingress on node-2.")
