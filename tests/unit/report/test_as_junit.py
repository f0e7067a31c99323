from __future__ import annotations

import io
from dataclasses import replace
from xml.etree import ElementTree as ET

from auditor.report import as_junit
from auditor.report.registry import RUN, renderer
from tests.unit.report.reports import inconclusive, leak, outage, report, result, skipped, small, small_untested
from tests.unit.report.test_cause import DIAGNOSIS


def document(made):
    stream = io.StringIO()
    as_junit.render(made, stream)
    return ET.fromstring(stream.getvalue().encode())  # noqa: S314 - we wrote it


def case(made, name):
    return next(element for element in document(made).iter("testcase") if element.get("name") == name)


def test_the_registry_has_it():
    assert renderer(RUN, "junit") is as_junit.render


def test_a_suite_per_source_and_a_case_per_destination():
    root = document(small())
    assert [suite.get("name") for suite in root] == ["prod/web", "host/backup", "prod/api", "prod/db"]
    assert [element.get("name") for element in root[1]] == [
        "host/backup -> prod/db",
        "host/backup -> prod/api",
        "host/backup -> prod/web",
    ]


def test_counts_add_up():
    root = document(small())
    assert {name: root.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "15",
        "failures": "5",
        "errors": "2",
    }
    for name in ("tests", "failures", "errors"):
        assert sum(int(suite.get(name)) for suite in root) == int(root.get(name))
    assert sum(int(suite.get("skipped")) for suite in root) == 2


def test_a_failure_lists_its_ports():
    cells = [leak("a/a", "a/b", "TCP/80"), outage("a/a", "a/b", "UDP/53"), result("a/a", "a/b", "TCP/1")]
    failure = case(report(cells), "a/a -> a/b").find("failure")
    assert failure.get("message") == "leak and outage on TCP/80, UDP/53"
    assert failure.text.splitlines() == [
        "leak: TCP/80 IPv4: expected denied, observed allowed (answered, 3 tries)",
        "outage: UDP/53 IPv4: expected allowed, observed dropped (timeout, 3 tries)",
    ]


def test_a_fault_beside_an_inconclusive_port_is_a_failure_only():
    found = case(report([leak("a/a", "a/b", "TCP/80"), inconclusive("a/a", "a/b", "TCP/81")]), "a/a -> a/b")
    assert [child.tag for child in found] == ["failure"]
    assert "inconclusive: TCP/81" in found.find("failure").text


def test_inconclusive_is_an_error():
    found = case(report([inconclusive("a/a", "a/b", "TCP/80"), result("a/a", "a/b", "TCP/81")]), "a/a -> a/b")
    assert [child.tag for child in found] == ["error"]


def test_only_a_case_without_any_probed_port_is_skipped():
    cells = [skipped("a/a", "a/b", "SCTP/1"), skipped("a/a", "a/c", "SCTP/1"), result("a/a", "a/c", "TCP/1")]
    assert [child.tag for child in case(report(cells), "a/a -> a/b")] == ["skipped"]
    assert [child.tag for child in case(report(cells), "a/a -> a/c")] == ["system-out"]


def test_what_the_specification_leaves_open_does_not_fail():
    found = case(small(), "host/backup -> prod/api")
    assert [child.tag for child in found] == ["system-out"]
    assert "cni-dependent" in found.find("system-out").text


def test_characters_that_xml_cannot_carry_are_escaped():
    found = case(report([leak("a/\x00\ud800<&>", "a/b", "TCP/80")]), "a/\\x00\\ud800<&> -> a/b")
    assert found.get("classname") == "a/\\x00\\ud800<&>"


def test_an_audit_of_nothing_is_an_error():
    root = document(report([]))
    assert (root.get("tests"), root.get("errors")) == ("1", "1")
    assert root.find("testsuite/testcase/error").get("message") == "nothing was probed"


def test_a_failure_names_the_cause_where_it_is_known():
    made = replace(small(), diagnosis=DIAGNOSIS)
    told = case(made, "prod/web -> prod/db").find("failure").text.splitlines()
    assert told[-2:] == [
        (
            "cause: egress is not enforced on node node-2: explains 3 of 3 leaks, and nothing contradicts it "
            "(1 other cause would explain this as well)"
        ),
        "advice: Compare the CNI's agent on node node-2 with that of the other nodes.",
    ]
    assert "cause:" not in case(made, "prod/api -> prod/db").find("failure").text
    sure = replace(DIAGNOSIS, alternatives=())
    assert "fits as well" not in case(replace(made, diagnosis=sure), "prod/web -> prod/db").find("failure").text
    assert (
        "cause:"
        not in case(replace(made, diagnosis=replace(DIAGNOSIS, faults=())), "prod/web -> prod/db").find("failure").text
    )


def test_a_policy_that_nothing_tells_of_is_an_error_and_an_accepted_one_skipped():
    root = document(small_untested())
    assert root.get("errors") == "1"
    suite = next(suite for suite in root if suite.get("name") == "policies")
    [error, accepted] = [case[0] for case in suite]
    assert [case.get("name") for case in suite] == ["prod/db (ingress)", "prod/sctp (egress)"]
    assert (error.tag, error.get("type"), error.text) == (
        "error",
        "untested",
        "none of its pods was probed: prod/db: left out",
    )
    assert (accepted.tag, accepted.get("message")) == ("skipped", "nothing shows whether it is enforced (accepted)")
    assert accepted.text.splitlines() == ["no SCTP", "one", "two"]


def many(monkeypatch, limit):
    monkeypatch.setattr(as_junit, "MOST_CASES", limit)
    cells = [result(f"a/{n}", f"b/{m}", "TCP/80") for n in range(3) for m in range(5)]
    return report(
        [*cells[1:], leak("a/0", "b/0", "TCP/80"), leak("a/1", "b/9", "TCP/80"), leak("a/1", "b/9", "TCP/81")]
    )


def names_and_tags(root):
    return {element.get("name"): [child.tag for child in element] for element in root.iter("testcase")}


def test_of_very_many_pairs_those_as_expected_share_a_case_for_each_source(monkeypatch):
    assert len(names_and_tags(document(many(monkeypatch, 16)))) == 16
    root = document(many(monkeypatch, 15))
    assert names_and_tags(root) == {
        "a/0 -> b/0": ["failure"],
        "a/0 -> 4 others, as expected": [],
        "a/1 -> b/9": ["failure"],
        "a/1 -> 5 others, as expected": [],
        "a/2 -> 5 others, as expected": [],
    }
    assert (root.get("tests"), root.get("failures")) == ("5", "2")


def test_where_too_many_differ_all_of_a_source_share_a_case_that_names_them(monkeypatch):
    monkeypatch.setattr(as_junit, "MOST_DESCRIBED", 1)
    root = document(many(monkeypatch, 3))
    assert names_and_tags(root) == {
        "a/0 -> 5 destinations": ["failure"],
        "a/1 -> 6 destinations": ["failure"],
        "a/2 -> 5 destinations": [],
    }
    assert [failure.text.splitlines() for failure in root.iter("failure")] == [
        ["leak: b/0 TCP/80 IPv4: expected denied, observed allowed (answered, 3 tries)"],
        ["leak: b/9 TCP/80 IPv4: expected denied, observed allowed (answered, 3 tries)", "and 1 more"],
    ]
