"""What a report says of connections through Services."""

import io
import json
from dataclasses import replace

import pytest

from auditor.model.path_dialect import PathDialect
from auditor.model.ports import Protocol
from auditor.model.service_seen import PathDiagnosis, PathFault, ServiceCell, ServiceResult, ServicesSeen, Way
from auditor.model.snapshot import Family
from auditor.model.verdict import Conclusion, Observation, Observed, Result, Verdict
from auditor.report.as_objects import report_objects
from auditor.report.cause import labelled_lines
from auditor.report.conclusion import conclude
from auditor.report.headline import headline
from auditor.report.message import message_of
from auditor.report.registry import RUN, renderer
from auditor.report.services import service_lines
from tests.schemas import validator
from tests.unit.report.reports import report, result

CELL = ServiceCell("prod/web", "prod/db", Protocol.TCP, 5432, Family.IPV4, Way.CLUSTER_IP, "10.96.0.1", 10001)
LEAK = ServiceResult(CELL, Verdict.DENIED, Observation(Observed.ALLOWED, "token", (Observed.ALLOWED,)), Result.LEAK)
MATCH = replace(LEAK, expected=Verdict.ALLOWED, result=Result.MATCH)
UNHEARD = replace(
    LEAK, observation=Observation(Observed.INCONCLUSIVE, "nothing was answered on node n"), result=Result.INCONCLUSIVE
)
NODE_PORT = replace(
    LEAK,
    cell=CELL._replace(way=Way.NODE_PORT, at="n", number=30001),
    result=Result.CNI_DEPENDENT,
    left_open="policies may see the address of node n",
    seen="172.18.0.2",
)
DIAGNOSIS = PathDiagnosis(
    "no policy is applied through Services between pods of the same node: explains 1 of 1",
    "Check where this CNI filters.",
    PathFault(PathDialect.SERVICE_SKIPS_POLICY, "n"),
    (CELL,),
    alternatives=(PathFault(PathDialect.NODE_PORT_SKIPS_POLICY),),
)
PLAIN = report([result("prod/web", "prod/db", "TCP/5432")])


def seen(*results, diagnosis=None):
    return replace(PLAIN, services=ServicesSeen(tuple(results), diagnosis))


@pytest.mark.parametrize(
    ("results", "conclusion"),
    [
        ((MATCH,), Conclusion.PASS),
        ((MATCH, NODE_PORT), Conclusion.PASS),
        ((MATCH, LEAK), Conclusion.FAIL),
        ((MATCH, UNHEARD), Conclusion.INCONCLUSIVE),
        ((LEAK, UNHEARD), Conclusion.FAIL),
        # Counted where it belongs, with the cells.
        ((replace(LEAK, as_without=True),), Conclusion.PASS),
    ],
)
def test_what_goes_wrong_through_services_alone_fails_and_what_has_no_verdict_is_no_pass(results, conclusion):
    assert conclude(seen(*results)) is conclusion


def test_the_headline_counts_services_apart():
    assert headline(seen(MATCH)).endswith("all as expected; 1 connection through Services: 1 allowed, 0 denied")
    assert headline(seen(LEAK, MATCH)).startswith("1 leak through Services; ")
    assert "1 without a verdict" in headline(seen(UNHEARD))
    assert "Services" not in headline(PLAIN)


def rendered(name, of):
    stream = io.StringIO()
    renderer(RUN, name)(of, stream)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["table", "markdown", "html", "junit"])
def test_people_read_the_cause_the_way_and_what_has_no_verdict(name):
    text = " ".join(rendered(name, seen(LEAK, UNHEARD, NODE_PORT, diagnosis=DIAGNOSIS)).split())
    assert "through a Service" in text or "through Services" in text
    if name == "junit":
        assert "ClusterIP -&gt; prod/db" in text
        assert "leak through a Service" in text
    else:
        assert text.count("no policy is applied through Services between pods of the same node") == 1
        assert "nothing was answered on node n" in text


def test_programs_read_each_connection_and_the_schema_knows_them():
    document = json.loads(rendered("json", seen(LEAK, UNHEARD, NODE_PORT, MATCH, diagnosis=DIAGNOSIS)))
    validator("report.schema.json").validate(document)
    assert document["services"]["leaks"] == 1
    assert document["services"]["left_open"] == 1
    assert document["services"]["diagnosis"]["dialect"] == "service-skips-policy"
    assert document["service_cells"][2]["node"] == "n"
    assert document["service_cells"][2]["seen"] == "172.18.0.2"
    plain = json.loads(rendered("json", PLAIN))
    assert "services" not in plain
    assert "service_cells" not in plain


def test_a_run_in_which_nothing_could_be_tried_through_services_is_no_pass():
    assert conclude(seen()) is Conclusion.INCONCLUSIVE
    assert "nothing was tried through Services" in headline(seen())


@pytest.mark.parametrize("name", ["github", "sarif", "csv", "metrics", "wide", "yaml"])
def test_every_format_can_be_written_where_only_services_differ(name):
    rendered(name, seen(LEAK, diagnosis=DIAGNOSIS))


def test_why_a_run_is_inconclusive_for_services_alone_stands_at_the_top():
    plain = seen(UNHEARD, MATCH)
    assert labelled_lines(plain)[0] == (
        "why",
        "1 of 1 connection through Services without a verdict: nothing was answered on node n",
    )
    assert labelled_lines(plain)[1] == ("advice", "Look into that and run again.")
    assert labelled_lines(seen())[0][1].startswith("no Service could be tried")


def test_kube_proxy_is_suspected_where_nothing_was_translated_and_nowhere_else():
    why = "nothing that goes through a Service on node n was answered over IPv4"
    untranslated = replace(UNHEARD, observation=replace(UNHEARD.observation, outcome=why))
    assert "kube-proxy" in labelled_lines(seen(untranslated))[1][1]


def test_who_asked_for_news_is_told_the_cause_of_what_goes_wrong_through_services():
    assert DIAGNOSIS.title in message_of(seen(LEAK, diagnosis=DIAGNOSIS)).text


def test_no_format_for_programs_takes_what_goes_wrong_through_services_for_a_pass():
    wrong = seen(LEAK, MATCH, UNHEARD, replace(LEAK, as_without=True), diagnosis=DIAGNOSIS)
    whole = report_objects(wrong, ())[0]
    assert (whole.summary["fail"], whole.summary["error"], whole.summary["pass"]) == (1, 1, 2)
    told = {each.policy: each for each in whole.results}
    assert told["leak through Services"].status == "fail"
    assert told["leak through Services"].properties["cause"] == DIAGNOSIS.title
    assert told["inconclusive through Services"].status == "error"
    metrics = rendered("metrics", wrong)
    assert "netpol_audit_failing_findings 1" in metrics
    assert 'netpol_audit_service_cells{result="leak"} 1' in metrics
    assert 'netpol_audit_conclusion{conclusion="fail"} 1' in metrics
    assert "service_cells" not in rendered("metrics", PLAIN)


def test_reasons_without_a_verdict_come_most_frequent_first_and_the_rest_is_counted():
    one_each = [replace(UNHEARD, observation=Observation(Observed.INCONCLUSIVE, f"reason {n}")) for n in range(9)]
    frequent = [replace(UNHEARD, observation=Observation(Observed.INCONCLUSIVE, "often"))] * 2
    told = [line for line in service_lines(ServicesSeen((*one_each, *frequent))) if line.startswith("no verdict")]
    assert told[0].startswith("no verdict on 2 connections: often")
    assert told[-1] == "no verdict on 2 connections for 2 further reasons; -o json has every one"
    assert len(told) == 9
