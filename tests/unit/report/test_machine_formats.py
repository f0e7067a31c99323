"""What code hosts and spreadsheets take: SARIF, annotations, Markdown, CSV, YAML."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from auditor.model.dns_seen import DnsSeen
from auditor.model.intent import IntentFinding, IntentKind, IntentReport, IntentRule, ProposedChange
from auditor.model.lint import LintFinding, LintReport, Place, Severity, Sorted
from auditor.model.ports import PortRange, Protocol
from auditor.model.service_seen import FAULTS, ServicesSeen
from auditor.model.verdict import Verdict
from auditor.policy.differences import Change, ChangeKind, Difference
from auditor.report.as_objects import report_objects
from auditor.report.difference import ComparedClusters, FailOnChange
from auditor.report.registry import CONFORMANCE, DIFF, FORMATS, INTENT, LINT, RUN, formats_of, renderer
from auditor.report.remarks import BESIDE_RULES
from tests.unit.report import reports, test_lookups, test_services
from tests.unit.report.hostile import COMMANDS, HOSTILE, is_command, is_harmless, texts
from tests.unit.report.reports import leak, outage, report, result

CHECK = "no-default-deny"


def rendered(document, name, value):
    stream = io.StringIO()
    renderer(document, name)(value, stream)
    return stream.getvalue()


def finding(number=1, file="policy.yaml", message="no", others=(), severity=Severity.WARNING):
    return LintFinding(CHECK, severity, Place(f"prod/p{number}", file, number, "spec"), message, others=others)


def lint_report(*findings, subject="policies"):
    return LintReport(subject, 1, Sorted(tuple(findings)), Severity.WARNING)


def intent_report(text="it can", change="apiVersion: v1\n", file="intent.yaml"):
    rule = IntentRule("db is closed", Verdict.DENIED, file=file, line=3)
    made = IntentFinding(IntentKind.OPEN, rule, text, because=(text,), change=ProposedChange(text, change, ()))
    return IntentReport(file, "policies", 1, 1, (made,))


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("policy.yaml", "intent.yaml", "with space.yaml"):
        (tmp_path / name).write_text("a: 1\n")
    return tmp_path


def sarif(document, value):
    (run,) = json.loads(rendered(document, "sarif", value))["runs"]
    return run


class TestSarif:
    def test_every_result_stands_in_a_file_of_the_checkout(self, checkout):
        others = (Place("prod/p9", "with space.yaml", 9),)
        (checkout.parent / "outside.yaml").write_text("")
        made = [finding(1, others=others), finding(2, ""), finding(3, "../outside.yaml"), finding(4, "-")]
        run = sarif(LINT, lint_report(*made, finding(5, str(checkout / "policy.yaml"))))
        places = [each["locations"][0]["physicalLocation"] for each in run["results"]]
        assert [place["artifactLocation"]["uri"] for place in places] == ["policy.yaml", "policy.yaml"]
        assert [place["region"]["startLine"] for place in places] == [1, 5]
        related = run["results"][0]["relatedLocations"][0]["physicalLocation"]
        assert related["artifactLocation"]["uri"] == "with%20space.yaml"
        assert run["properties"]["findingsWithoutFile"] == 3
        assert "3 findings" in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]

    def test_a_finding_whose_first_place_is_in_no_file_stands_at_the_next(self, checkout):
        moved = replace(finding(), place=Place("prod"), others=(Place("prod/p", "policy.yaml", 7),))
        (result_,) = sarif(LINT, lint_report(moved))["results"]
        assert result_["locations"][0]["physicalLocation"]["region"]["startLine"] == 7

    def test_results_name_rules_that_are_there(self, checkout):
        run = sarif(LINT, lint_report(finding()))
        (result_,) = run["results"]
        rule = run["tool"]["driver"]["rules"][result_["ruleIndex"]]
        assert rule["id"] == result_["ruleId"] == CHECK
        assert rule["shortDescription"]["text"]
        assert rule["help"]["text"]
        assert rule["helpUri"].startswith("https://")

    def test_fingerprints_outlive_a_moved_line_and_tell_findings_apart(self, checkout):
        def prints(*findings):
            results = sarif(LINT, lint_report(*findings))["results"]
            return [each["partialFingerprints"]["netpolAudit/v1"] for each in results]

        one = finding()
        moved = replace(one, place=replace(one.place, line=40))
        assert prints(one) == prints(moved)
        assert len(set(prints(one, finding(2), replace(one, message="another")))) == 3

    def test_no_more_results_than_github_keeps(self, checkout):
        run = sarif(LINT, lint_report(*(finding(number) for number in range(1, 5003))))
        assert len(run["results"]) == 5000
        assert "2 findings" in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]

    def test_an_intent_stands_at_its_rule(self, checkout):
        (result_,) = sarif(INTENT, intent_report())["results"]
        assert (result_["ruleId"], result_["level"]) == ("intent-open", "error")
        assert result_["locations"][0]["physicalLocation"] == {
            "artifactLocation": {"uri": "intent.yaml"},
            "region": {"startLine": 3},
        }

    def test_a_run_stands_at_the_policies_that_decide(self, checkout):
        cells = [leak("prod/a", "prod/b", "TCP/1"), outage("prod/a", "prod/c", "TCP/1")]
        first, second = (reports.finding([each]) for each in cells)
        placed = replace(first, places=(Place("prod/deny", "policy.yaml", 12),))
        run = sarif(RUN, report(cells, [placed, second]))
        assert [each["locations"][0]["physicalLocation"]["region"]["startLine"] for each in run["results"]] == [12]
        assert run["properties"]["findingsWithoutFile"] == 1

    def test_what_is_found_beside_the_matrix_stands_at_the_policies_that_deny(self, checkout):
        shut = (Place("prod/shut", "policy.yaml", 5),)
        through = replace(test_services.LEAK, places=shut)
        cut_off = test_lookups.CUT_OFF
        cut_off = replace(cut_off, expectation=replace(cut_off.expectation, places=shut))
        made = replace(
            report([result("prod/a", "prod/b", "TCP/1")]),
            services=ServicesSeen((through,)),
            dns=DnsSeen("name", (test_lookups.OUTAGE, cut_off), (test_lookups.PAIRS,)),
            reached=test_lookups.reached(test_lookups.LEAK_AT_DB, test_lookups.ELSEWHERE),
        )
        run = sarif(RUN, made)
        told = {
            (each["ruleId"], each["level"], each["locations"][0]["physicalLocation"]["region"]["startLine"])
            for each in run["results"]
        }
        assert told == {("through-services-leak", "error", 5), ("dns-cut-off", "warning", 5)}
        assert run["properties"]["findingsWithoutFile"] == 4
        assert {each["id"] for each in run["tool"]["driver"]["rules"]} == {
            "through-services-leak",
            "dns-cut-off",
            "dns-outage",
            "dns-question-lost",
            "service-leak",
            "service-misdelivered",
        }
        told = rendered(RUN, "github", made)
        assert "prod/api looks up db.prod.svc.cluster.local of service/prod/db: resolves to 192.0.2.1" in told
        results = report_objects(made, ["prod"])[0].results
        assert {each.policy: each.status for each in results if each.policy in BESIDE_RULES} == {
            "dns-outage": "fail",
            "dns-cut-off": "warn",
            "dns-question-lost": "fail",
            "service-leak": "fail",
            "service-misdelivered": "fail",
        }

    def test_every_kind_that_is_found_beside_the_matrix_has_its_rule(self):
        parts = {"through-services": FAULTS, "dns": FAULTS[:3], "service": FAULTS}
        assert {f"{part}-{kind}" for part, kinds in parts.items() for kind in kinds} | {
            "dns-cut-off",
            "dns-question-lost",
        } == set(BESIDE_RULES)


def commands(text):
    return [line for line in text.splitlines() if is_command(line)]


class TestAnnotations:
    def test_no_more_than_ten_of_which_the_last_says_how_many_more(self, checkout):
        made = [finding(number, severity=Severity.INFO) for number in range(1, 13)]
        lines = commands(rendered(LINT, "github", lint_report(*made, finding(99, severity=Severity.ERROR))))
        assert len(lines) == 10
        assert lines[0].startswith("::error file=policy.yaml,line=99,")
        assert "::4 more findings" in lines[-1]
        assert len(commands(rendered(LINT, "github", lint_report(*made[:9])))) == 9

    def test_properties_and_data_are_escaped(self, checkout):
        (line,) = commands(rendered(LINT, "github", lint_report(finding(message="100 %, a: b\nnext"))))
        assert line.endswith("prod/p1: 100 %25, a: b%0Anext")
        title = line.split("title=")[1].split("::")[0]
        assert "," not in title
        assert ":" not in title

    @given(texts)
    def test_nothing_from_outside_is_a_command_of_its_own(self, text):
        shown = rendered(LINT, "github", lint_report(finding(message=text, file=""), subject=text))
        assert len(commands(shown)) == 1
        assert shown.count("\n") == 2
        assert "##[" not in shown

    def test_a_finding_in_no_file_names_none(self, checkout):
        (line,) = commands(rendered(LINT, "github", lint_report(finding(file=""))))
        assert line.startswith("::warning title=")


MARKUP = st.text(alphabet="`*_[]<>|#~&@!\\()\nab-", max_size=20)


def plain(markdown):
    """``markdown`` without what is escaped in it."""
    return re.sub(r"\\.", "", markdown)


class TestMarkdown:
    @given(st.one_of(texts, MARKUP))
    def test_names_carry_no_markup(self, text):
        shown = plain(rendered(LINT, "markdown", lint_report(finding(message=text, file=""), subject=text)))
        rows = [line for line in shown.splitlines() if line.startswith("|")]
        assert all(row.count("|") == 5 for row in rows)
        assert len(rows) == 3
        assert not re.search(r"<[a-z/]|\]\(|@[a-z]|`", shown)

    @given(st.text(alphabet="`~ab\n ", max_size=30))
    def test_nothing_ends_a_block_but_its_end(self, yaml_text):
        lines = rendered(INTENT, "markdown", intent_report(change=f"a{yaml_text}\n")).splitlines()
        (begin,) = [number for number, line in enumerate(lines) if line.endswith("yaml") and line.startswith("```")]
        fence = lines[begin].removesuffix("yaml")
        ends = [
            number for number in range(begin + 1, len(lines)) if re.fullmatch(rf" {{0,3}}{fence}`*\s*", lines[number])
        ]
        assert ends[0] == len(lines) - 1

    def test_tables_and_documents_are_cut_where_nobody_reads_on(self):
        shown = rendered(LINT, "markdown", lint_report(*(finding(number) for number in range(1, 61))))
        assert "and 10 more; -o json has them all" in shown
        long = rendered(LINT, "markdown", lint_report(*(finding(n, message="x" * 50_000) for n in range(1, 41))))
        assert len(long.encode()) < 1024 * 1024
        assert "left out" in long

    def test_a_difference_is_never_too_long_for_a_comment(self):
        """GitHub refuses one of more than 65,536 characters whole."""
        ports = (PortRange(Protocol.TCP, 80, 80),)
        changes = tuple(
            Change(ChangeKind.CLOSED, (f"prod/{number}",), ("prod/db",), 1, ports, because=("x" * 2_000,))
            for number in range(60)
        )
        difference = Difference(changes, dict.fromkeys(ChangeKind, 60), 60)
        shown = rendered(DIFF, "markdown", ComparedClusters("old", "new", difference, FailOnChange.NOTHING))
        assert 50_000 < len(shown) < 65_536
        assert "left out" in shown

    def test_a_run_tells_conclusion_and_findings(self):
        cells = [leak("prod/a", "prod/b", "TCP/1"), result("prod/a", "prod/c", "TCP/1")]
        shown = rendered(RUN, "markdown", report(cells, [reports.finding(cells[:1])]))
        assert shown.startswith("**FAIL** 1 leak; 2 connections")
        assert "| LEAK | something differs | 1 |" in shown


class TestCsv:
    def test_a_line_for_each_connection(self):
        made = report([leak("prod/a", "prod/b", "TCP/1"), result("prod/a", "prod/c", "UDP/2")])
        header, *rows = csv.reader(io.StringIO(rendered(RUN, "csv", made)))
        assert header[:4] == ["source", "destination", "protocol", "port"]
        assert [row[:4] + row[5:8] for row in rows] == [
            ["prod/a", "prod/b", "TCP", "1", "denied", "allowed", "leak"],
            ["prod/a", "prod/c", "UDP", "2", "allowed", "allowed", "match"],
        ]

    @pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x"])
    def test_nothing_is_a_formula(self, name):
        made = report([result("prod/a", "prod/c", "UDP/2", outcome=name)])
        _, row = csv.reader(io.StringIO(rendered(RUN, "csv", made)))
        assert f"'{name}" in row


HARMLESS = ("markdown", "csv", "yaml", "sarif")


@pytest.mark.parametrize("name", HARMLESS)
@given(text=texts)
def test_documents_are_harmless(name, text):
    made = replace(report([leak(f"prod/{text}", "prod/b", "TCP/1")]), facts=(text,), subject=text)
    if name in formats_of(RUN):
        assert is_harmless(rendered(RUN, name, made))
    if name in formats_of(LINT):
        linted = lint_report(finding(message=text), subject=text)
        assert is_harmless(rendered(LINT, name, linted))


@pytest.mark.parametrize("text", [*HOSTILE, *COMMANDS, "on", "1e3", "a: b", "- a", "x" * 9000, "a\n\n b"])
def test_yaml_says_what_json_says(text):
    made = replace(report([leak("prod/a", "prod/b", "TCP/1")]), subject=text, facts=(text, f"{text} "))
    if text.encode(errors="ignore").decode() == text:  # YAML carries no half of a surrogate pair
        assert yaml.safe_load(rendered(RUN, "yaml", made)) == json.loads(rendered(RUN, "json", made))


def test_what_has_json_has_yaml():
    for document, name in FORMATS:
        assert ("yaml" in formats_of(document)) == ("json" in formats_of(document))
        assert renderer(document, name)
    assert "markdown" in formats_of(CONFORMANCE)
