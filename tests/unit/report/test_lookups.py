"""What a report says of lookups."""

import io
import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from auditor.model.dns_seen import DnsSeen, LookupCell, LookupExpectation, LookupResult, PairsLost, ReachedSeen
from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Conclusion, Observation, Observed, Result, Verdict
from auditor.report.cause import labelled_lines
from auditor.report.conclusion import conclude
from auditor.report.headline import headline
from auditor.report.lookups import lookup_lines, lookups_headline
from auditor.report.message import message_of
from auditor.report.reached import reached_lines
from auditor.report.registry import RUN, renderer
from tests.schemas import validator
from tests.unit.report.reports import report, result

PLAIN = report([result("prod/web", "prod/db", "TCP/5432")])
WHY = "egress to kube-system/kube-dns {}/53 is denied by prod/default-deny"
OVER_TCP_ALONE = "answers that are too long for a datagram are lost"
ALLOWED = Observation(Observed.ALLOWED, "answered", (Observed.ALLOWED,))
DROPPED = Observation(Observed.DROPPED, "timeout", (Observed.DROPPED,))
UNHEARD = Observation(Observed.INCONCLUSIVE, "nobody got an answer from 10.96.0.10 before and after")


def lookup(outcome, observation, source="prod/api", protocol=Protocol.UDP, verdict=Verdict.DENIED, left_open=""):
    why = WHY.format(protocol) if verdict is Verdict.DENIED else ""
    cell = LookupCell(source, protocol, "10.96.0.10", Family.IPV4)
    expectation = LookupExpectation(verdict, "kube-system/kube-dns", why, left_open)
    return LookupResult(cell, expectation, observation, outcome)


FINE = lookup(Result.MATCH, ALLOWED, verdict=Verdict.ALLOWED)
CUT_OFF = lookup(Result.MATCH, DROPPED)
OVER_TCP = lookup(Result.MATCH, DROPPED, "prod/web", Protocol.TCP)
LEAK = lookup(Result.LEAK, ALLOWED)
OUTAGE = lookup(Result.OUTAGE, DROPPED, verdict=Verdict.ALLOWED)
UNPROVEN = lookup(Result.INCONCLUSIVE, UNHEARD)
OPEN = lookup(Result.CNI_DEPENDENT, ALLOWED, left_open="NodeLocal DNSCache")
PAIRS = PairsLost("n0", 12, 11)


def seen(*results, pairs=()):
    return replace(PLAIN, dns=DnsSeen("kubernetes.default.svc.cluster.local", tuple(results), tuple(pairs)))


@pytest.mark.parametrize(
    ("results", "pairs", "conclusion"),
    [
        ((FINE,), (), Conclusion.PASS),
        ((FINE, CUT_OFF), (), Conclusion.PASS),
        ((FINE, OPEN), (), Conclusion.PASS),
        ((FINE, LEAK, UNPROVEN), (), Conclusion.FAIL),
        ((OUTAGE,), (), Conclusion.FAIL),
        ((FINE, UNPROVEN), (), Conclusion.INCONCLUSIVE),
        ((), (), Conclusion.INCONCLUSIVE),
        ((FINE,), (PAIRS,), Conclusion.FAIL),
    ],
)
def test_what_a_run_comes_to(results, pairs, conclusion):
    assert conclude(seen(*results, pairs=pairs)) is conclusion


@pytest.mark.parametrize("verdict", list(Verdict))
def test_what_is_not_dns_and_answers_is_said_whatever_policies_say(verdict):
    foreign = Observation(Observed.MISDELIVERED, "foreign-answer: 'HTTP/1.1'", (Observed.MISDELIVERED,))
    dns = seen(lookup(Result.MISDELIVERED, foreign, protocol=Protocol.TCP, verdict=verdict)).dns
    _, line = lookup_lines(dns)
    assert line.startswith(
        "MISDELIVERED  prod/api is answered by something other than DNS: TCP/53 to kube-system/kube-dns at 10.96.0.10, "
    )
    assert "although" not in line
    assert "'HTTP/1.1'" in line


def test_who_is_cut_off_by_policies_is_a_warning_that_names_them():
    told = [*lookup_lines(seen(FINE, CUT_OFF, replace(CUT_OFF, cell=CUT_OFF.cell._replace(source="prod/db"))).dns)]
    assert told[0] == "3 lookups by DNS: 1 answered, 2 denied"
    assert told[1:] == [f"WARNING  prod/api, prod/db can't resolve names: {WHY.format('UDP')}"]


def test_that_tcp_is_closed_is_told_of_those_alone_that_may_ask_over_udp():
    both = [CUT_OFF, replace(CUT_OFF, cell=CUT_OFF.cell._replace(protocol=Protocol.TCP))]
    told = [line for line in lookup_lines(seen(*both, OVER_TCP).dns) if line.startswith("WARNING")]
    assert told[0].startswith("WARNING  prod/api can't resolve names: egress")
    assert told[1:] == [f"WARNING  prod/web can resolve names over UDP alone, {OVER_TCP_ALONE}: {WHY.format('TCP')}"]


def test_nobody_is_warned_of_what_is_open_or_was_not_seen():
    kept = (LEAK, UNPROVEN, lookup(Result.MATCH, DROPPED, left_open="up to the CNI"))
    assert not [line for line in lookup_lines(seen(*kept).dns) if line.startswith("WARNING")]


def test_what_differs_is_told_with_the_policy_that_means_otherwise():
    leak, outage, lost = [*lookup_lines(seen(LEAK, OUTAGE, pairs=[PAIRS]).dns)][1:4]
    assert leak == (
        f"LEAK  prod/api resolves names although {WHY.format('UDP')}: UDP/53 to kube-system/kube-dns at 10.96.0.10, "
        "observed allowed (answered, 1 try)"
    )
    assert outage.startswith("OUTAGE  prod/api can't resolve names although policies allow it: UDP/53 to")
    assert lost.startswith("LOST  on node n0, 11 of 12 pairs of questions that went out from one socket at once lost")


def test_the_headline_counts_lookups_beside_connections():
    assert headline(seen(FINE)).endswith("; 1 lookup by DNS: 1 answered, 0 denied")
    assert headline(seen(LEAK, LEAK, OUTAGE, pairs=[PAIRS])).startswith(
        "2 leaks in DNS, 1 outage in DNS, DNS questions lost on node n0; "
    )
    assert lookups_headline(seen().dns) == "no name was looked up"


def test_why_lookups_have_no_verdict_stands_at_the_top():
    assert ("why", f"1 of 1 lookup without a verdict: {UNHEARD.outcome}") in labelled_lines(seen(FINE, UNPROVEN))
    assert labelled_lines(seen())[0] == ("why", "no name could be looked up: the facts below say why")


def test_why_connections_to_services_have_no_verdict_is_said_and_what_to_do():
    told = labelled_lines(replace(PLAIN, reached=ReachedSeen(("prod/db",), (MATCH_AT_DB, UNHEARD_AT_DB))))
    assert told[0] == ("why", f"1 of 1 connection without a verdict: {UNHEARD_AT_DB.observation.outcome}")
    assert told[1][0] == "advice"
    assert "--service" in told[1][1]
    assert labelled_lines(replace(PLAIN, reached=ReachedSeen(("prod/db",))))[0] == (
        "why",
        "no connection to service/prod/db could be tried: the facts below say why",
    )
    assert not labelled_lines(replace(PLAIN, reached=ReachedSeen(("prod/db",), (MATCH_AT_DB,))))


def test_what_is_sent_of_a_run_has_what_goes_wrong_at_services():
    assert "1 leak at Services" in message_of(replace(PLAIN, reached=ReachedSeen(("prod/db",), (LEAK_AT_DB,)))).lines


@pytest.mark.parametrize("name", ["table", "markdown", "html", "junit", "json", "metrics"])
def test_every_format_has_it(name):
    stream = io.StringIO()
    renderer(RUN, name)(seen(FINE, LEAK, CUT_OFF, UNPROVEN, pairs=[PAIRS]), stream)
    text = stream.getvalue()
    if name == "json":
        validator("report.schema.json").validate(json.loads(text))
        item = json.loads(text)["dns"]
        assert item["pairs_lost"] == [{"node": "n0", "pairs": 12, "lost": 11}]
        assert [each["result"] for each in item["lookups"]] == ["match", "leak", "match", "inconclusive"]
        assert item["warnings"] == [f"prod/api can't resolve names: {WHY.format('UDP')}"]
    elif name == "junit":
        suite = next(each for each in ET.fromstring(text) if each.get("name") == "dns")  # noqa: S314 - our own
        assert (suite.get("failures"), suite.get("errors"), suite.get("tests")) == ("2", "1", "5")
    elif name == "metrics":
        assert 'audit_lookups{result="leak"} 1' in text
        assert "audit_lookups_cut_off 1" in text
    else:
        assert "prod/default-deny" in text


def test_what_is_sent_of_a_run_has_the_faults():
    assert "1 leak in DNS" in str(message_of(seen(LEAK)))


AT_DB = LookupCell("prod/api", Protocol.TCP, "10.96.0.7", Family.IPV4, 5432, "prod/db")
CONNECTED = Observation(Observed.ALLOWED, "connected", (Observed.ALLOWED,))
LEAK_AT_DB = LookupResult(
    AT_DB,
    LookupExpectation(Verdict.DENIED, "prod/db", "ingress of prod/db TCP/5432 is denied by prod/db"),
    CONNECTED,
    Result.LEAK,
)
MATCH_AT_DB = replace(LEAK_AT_DB, expectation=LookupExpectation(Verdict.ALLOWED, "prod/db"), result=Result.MATCH)
UNHEARD_AT_DB = replace(MATCH_AT_DB, observation=UNHEARD, result=Result.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("results", "conclusion"),
    [
        ((MATCH_AT_DB,), Conclusion.PASS),
        ((MATCH_AT_DB, LEAK_AT_DB), Conclusion.FAIL),
        ((MATCH_AT_DB, UNHEARD_AT_DB), Conclusion.INCONCLUSIVE),
        ((), Conclusion.INCONCLUSIVE),
    ],
)
def test_connections_to_services_of_the_users_count_as_others_do(results, conclusion):
    assert conclude(replace(PLAIN, reached=ReachedSeen(("prod/db",), results))) is conclusion


NAME = "db.prod.svc.cluster.local"


def named(outcome, verdict, told, source="prod/api"):
    """What came of looking up the name of prod/db."""
    cell = LookupCell(source, Protocol.UDP, "10.96.0.10", Family.IPV4, name=NAME)
    expectation = LookupExpectation(Verdict.ALLOWED, "kube-system/kube-dns")
    return LookupResult(cell, expectation, Observation(verdict, told, (verdict,)), outcome)


RESOLVES = named(Result.MATCH, Observed.ALLOWED, "resolves to 10.96.0.7")
UNKNOWN = named(Result.OUTAGE, Observed.REFUSED, "the DNS answers NXDOMAIN", "prod/web")
ELSEWHERE = named(Result.MISDELIVERED, Observed.MISDELIVERED, "resolves to 192.0.2.1, and its ClusterIP is 10.96.0.7")
UNANSWERED = named(Result.OUTAGE, Observed.DROPPED, "timeout")
OUTAGE_AT_DB = replace(MATCH_AT_DB, observation=DROPPED, result=Result.OUTAGE)


def reached(*results):
    return ReachedSeen(("prod/db",), results, named={NAME: "prod/db"})


def test_what_fails_on_the_way_to_a_service_is_named_for_what_it_is():
    heading, unknown, silent = reached_lines(reached(OUTAGE_AT_DB, RESOLVES, UNKNOWN))
    assert heading == (
        "1 connection to service/prod/db: 0 came about, 1 denied; 1 of 2 lookups of its name resolved: "
        "1 outage at Services, 1 name of Services not resolved right"
    )
    assert unknown == (
        f"OUTAGE  prod/web can't resolve {NAME} of service/prod/db: the DNS answers NXDOMAIN, by "
        "kube-system/kube-dns at 10.96.0.10"
    )
    assert silent == (
        "OUTAGE  prod/api -> service/prod/db TCP/5432 at 10.96.0.7, although policies allow it and its name resolves; "
        "observed dropped (timeout, 1 try)"
    )
    (_, elsewhere) = reached_lines(reached(MATCH_AT_DB, ELSEWHERE))
    assert elsewhere.startswith(
        f"MISDELIVERED  prod/api looks up {NAME} of service/prod/db: resolves to 192.0.2.1, and"
    )
    *_, silent = reached_lines(reached(MATCH_AT_DB, UNANSWERED))
    assert silent.endswith("no answer from kube-system/kube-dns at 10.96.0.10, although policies allow it")


def test_a_name_that_nobody_could_look_up_leaves_the_run_without_a_verdict():
    unheard = named(Result.INCONCLUSIVE, Observed.INCONCLUSIVE, "nobody got an answer from 10.96.0.10 before and after")
    told = replace(PLAIN, reached=reached(MATCH_AT_DB, unheard))
    assert conclude(told) is Conclusion.INCONCLUSIVE
    assert labelled_lines(told)[0][1].startswith("1 of 1 lookup of a Service's name without a verdict: nobody")
    assert conclude(replace(PLAIN, reached=reached(RESOLVES))) is Conclusion.INCONCLUSIVE


@pytest.mark.parametrize("name", ["table", "markdown", "html", "junit", "json", "metrics"])
def test_every_format_has_them(name):
    stream = io.StringIO()
    whole = reached(MATCH_AT_DB, LEAK_AT_DB, UNHEARD_AT_DB, RESOLVES, UNKNOWN)
    renderer(RUN, name)(replace(PLAIN, reached=whole), stream)
    text = stream.getvalue()
    if name == "json":
        validator("report.schema.json").validate(json.loads(text))
        assert [each["port"] for each in json.loads(text)["reached"]["connections"]] == [5432] * 3
        assert [(each["of"], each["observed"]) for each in json.loads(text)["reached"]["names"]] == [
            ("prod/db", "allowed"),
            ("prod/db", "refused"),
        ]
    elif name == "junit":
        suite = next(each for each in ET.fromstring(text) if each.get("name") == "named services")  # noqa: S314 - our own
        assert (suite.get("failures"), suite.get("errors"), suite.get("tests")) == ("2", "1", "5")
    elif name == "metrics":
        assert "audit_failing_findings 1" in text
    else:
        assert "service/prod/db" in text
        assert "is denied by prod/db" in " ".join(text.split())
