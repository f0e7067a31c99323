"""What is tried beside the matrix, from night to night: through Services, in lookups, at Services that were named."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from auditor.history.codec import encode, from_bytes
from auditor.history.comparing import compare
from auditor.history.reading import read_night
from auditor.history.recording import night_of
from auditor.history.suppressions import Accepted, FindingSuppression
from auditor.model.dns_seen import DnsSeen, LookupCell, LookupExpectation, LookupResult, PairsLost, ReachedSeen
from auditor.model.ports import Protocol
from auditor.model.service_seen import ServiceCell, ServiceResult, ServicesSeen, Way
from auditor.model.snapshot import Family
from auditor.model.standing import Age, FailOn
from auditor.model.verdict import Observation, Observed, Result, Verdict
from auditor.parsing.source import Source
from auditor.report.registry import RUN, renderer
from tests.schemas import validator
from tests.unit.history.nights import pod, run_of, tried

WEB, DB = pod("prod/web"), pod("prod/db", "n2")
MOVED = replace(DB, node="n3")
SERVER, NAME = "kube-system/kube-dns", "db.prod.svc.cluster.local"
WHY = "egress to kube-system/kube-dns UDP/53 is denied by prod/shut (shut.yaml:3)"
SEEN = {
    Result.MATCH: Observed.DROPPED,
    Result.LEAK: Observed.ALLOWED,
    Result.OUTAGE: Observed.DROPPED,
    Result.INCONCLUSIVE: Observed.INCONCLUSIVE,
    Result.CNI_DEPENDENT: Observed.ALLOWED,
    Result.MISDELIVERED: Observed.MISDELIVERED,
}
FINE, LEAK, OUTAGE, UNHEARD = Result.MATCH, Result.LEAK, Result.OUTAGE, Result.INCONCLUSIVE


def observed(result):
    return Observation(SEEN[result], "token", (SEEN[result],))


def expected(result):
    return Verdict.ALLOWED if result in (Result.OUTAGE, Result.MISDELIVERED) else Verdict.DENIED


def through(result=FINE, way=Way.CLUSTER_IP, at="", *, as_without=False):
    cell = ServiceCell(WEB.name, DB.name, Protocol.TCP, 80, Family.IPV4, way, "10.96.0.1", 10001, at)
    return ServiceResult(cell, expected(result), observed(result), result, as_without=as_without)


def lookup(result=FINE, service="", name="", protocol=Protocol.UDP, port=53):
    cell = LookupCell(WEB.name, protocol, "10.96.0.10", Family.IPV4, port, service, name)
    why = WHY if expected(result) is Verdict.DENIED else ""
    return LookupResult(cell, LookupExpectation(expected(result), service or SERVER, why), observed(result), result)


def answered():
    return replace(lookup(), expectation=LookupExpectation(Verdict.ALLOWED, SERVER), observation=observed(LEAK))


def services(*results, db=DB):
    results = [replace(each, cell=each.cell._replace(backend=db.name)) for each in results]
    return run(services=ServicesSeen(tuple(results)), ends=(WEB, db))


def dns(*results, lost=()):
    return run(dns=DnsSeen("kubernetes.default.svc", results, tuple(lost)))


def reached(*results):
    named = {each.cell.name: "prod/db" for each in results if each.cell.name}
    return run(reached=ReachedSeen(("prod/db",), results, named=named))


def run(ends=(WEB, DB), **beside):
    return replace(run_of(ends, [tried(*ends)]), **beside)


def night(report):
    return night_of(report, "1.0", "fail")


def held(new, *past, fail_on=FailOn.NEW, accepted=None):
    nights = [from_bytes(encode(night(each))) for each in (new, *past)]
    return compare(nights[0], nights[1:], "yesterday", fail_on, *([accepted] if accepted else []))


def ages(comparison):
    found = [(each.kind, each.age) for each in comparison.standings]
    return found, [(each.kind, each.age) for each in comparison.departed]


AT_DB = {"service": "prod/db", "protocol": Protocol.TCP, "port": 5432}
BY_NAME = {"name": NAME}
KINDS = [
    ("through-services-leak", services, through(), through(LEAK)),
    ("through-services-outage", services, through(), through(OUTAGE)),
    ("dns-leak", dns, lookup(), lookup(LEAK)),
    ("dns-outage", dns, lookup(), lookup(OUTAGE)),
    ("service-leak", reached, lookup(**AT_DB), lookup(LEAK, **AT_DB)),
    ("service-misdelivered", reached, lookup(**BY_NAME), lookup(Result.MISDELIVERED, **BY_NAME)),
]


@pytest.mark.parametrize(("kind", "made", "fine", "wrong"), KINDS)
def test_what_goes_wrong_is_new_then_known_then_gone(kind, made, fine, wrong):
    assert ages(held(made(wrong), made(fine))) == ([(kind, Age.NEW)], [])
    assert ages(held(made(wrong), made(wrong))) == ([(kind, Age.KNOWN)], [])
    assert ages(held(made(fine), made(wrong))) == ([], [(kind, Age.GONE)])
    assert ages(held(made(wrong), run())) == ([(kind, Age.INCOMPARABLE)], [])
    assert held(made(wrong), made(fine)).failing
    assert not held(made(wrong), made(wrong)).failing


@pytest.mark.parametrize(("kind", "made", "fine", "wrong"), KINDS)
def test_what_nobody_looked_at_or_got_no_verdict_on_is_not_gone(kind, made, fine, wrong):
    unheard = replace(fine, result=UNHEARD, observation=observed(UNHEARD))
    for new in (run(), made(unheard)):
        found, (departed,) = ages(held(new, made(wrong)))
        assert (found, departed) == ([], (kind, Age.INCOMPARABLE))
    assert ages(held(made(wrong), made(unheard), made(wrong)))[0] == [(kind, Age.KNOWN)]


def test_what_differs_without_the_service_too_or_is_left_open_is_neither_gone_nor_new():
    for other in (through(LEAK, as_without=True), through(Result.CNI_DEPENDENT)):
        assert ages(held(services(other), services(through(LEAK)))) == (
            [],
            [("through-services-leak", Age.INCOMPARABLE)],
        )
        assert ages(held(services(through(LEAK)), services(other)))[0] == [("through-services-leak", Age.INCOMPARABLE)]


def test_only_what_was_tried_again_the_same_way_and_in_the_same_places_is_gone():
    wrong = through(LEAK, Way.NODE_PORT, "n1")
    assert ages(held(services(replace(wrong, result=FINE)), services(wrong)))[1] == [
        ("through-services-leak", Age.GONE)
    ]
    for other in (through(way=Way.NODE_PORT, at="n2"), through(way=Way.NODE_PORT_LOCAL, at="n1"), through()):
        (departed,) = held(services(other), services(wrong)).departed
        assert departed.age is Age.INCOMPARABLE
        assert departed.reasons == ("TCP/80 IPv4 by a NodePort of node n1 was not tried",)
    (elsewhere,) = held(services(through(), db=MOVED), services(through(LEAK))).departed
    assert elsewhere.reasons == ("it was not looked at from n1 to n2",)
    (not_asked,) = held(run(), dns(lookup(LEAK))).departed
    assert not_asked.reasons == ("dns/kube-system/kube-dns was not tried",)


def test_questions_that_get_lost_are_a_finding_of_their_node():
    lost, fine = dns(answered(), lost=[PairsLost("n1", 12, 9)]), dns(answered())
    kind = "dns-question-lost"
    assert ages(held(lost, fine)) == ([(kind, Age.NEW)], [])
    assert ages(held(lost, lost)) == ([(kind, Age.KNOWN)], [])
    assert ages(held(fine, lost)) == ([], [(kind, Age.GONE)])
    assert ages(held(dns(lookup()), lost)) == ([], [(kind, Age.INCOMPARABLE)])
    other = dns(answered(), lost=[PairsLost("n2", 12, 9)])
    assert ages(held(other, lost)) == ([(kind, Age.INCOMPARABLE)], [(kind, Age.GONE)])


def test_findings_are_told_apart_and_come_after_those_of_the_matrix():
    wrong = tried(WEB, DB, Result.LEAK)
    both = replace(
        run_of([WEB, DB], [wrong]),
        services=ServicesSeen((through(LEAK), through(LEAK, Way.NODE_PORT, "n1"))),
        dns=DnsSeen("name", (lookup(LEAK),)),
    )
    standings = held(both).standings
    assert [each.kind for each in standings] == ["leak", *["through-services-leak"] * 2, "dns-leak"]
    assert len({each.id for each in standings}) == 4
    assert standings[1].examples == ("prod/web -> prod/db TCP/80 IPv4 through a ClusterIP",)
    assert standings[3].title == f"names are resolved by {SERVER}, although {WHY}"
    moved = replace(lookup(LEAK), expectation=replace(lookup(LEAK).expectation, why=WHY.replace(":3", ":9")))
    assert held(dns(moved)).standings[0].id == standings[3].id


def test_leaks_fail_and_outages_do_not_where_only_leaks_shall():
    assert held(services(through(LEAK)), fail_on=FailOn.LEAK).failing
    assert held(dns(lookup(LEAK)), fail_on=FailOn.LEAK).failing
    assert not held(reached(lookup(OUTAGE, **AT_DB)), fail_on=FailOn.LEAK).failing


def test_what_is_accepted_beside_the_matrix_is_by_its_own_kind():
    def accepted(kind, destination):
        said = FindingSuppression(kind, "prod/web", destination, "*", "me", "because", "2999-01-01")
        return Accepted([said], "2026-11-01")

    wrong = services(through(LEAK))
    assert not held(wrong, fail_on=FailOn.ANY, accepted=accepted("through-services-leak", "prod/db")).failing
    assert held(wrong, fail_on=FailOn.ANY, accepted=accepted("leak", "prod/db")).failing
    by_dns = accepted("dns-outage", "dns/kube-system/*")
    assert not held(dns(lookup(OUTAGE)), fail_on=FailOn.ANY, accepted=by_dns).failing


def test_a_json_report_tells_as_much_as_a_record():
    whole = replace(
        services(through(LEAK), through(FINE, Way.NODE_PORT, "n2"), through(LEAK, Way.NODE_PORT_LOCAL, "n2")),
        dns=dns(answered(), lookup(LEAK), lost=[PairsLost("n2", 12, 9)]).dns,
        reached=reached(lookup(OUTAGE, **AT_DB), lookup(Result.MISDELIVERED, **BY_NAME)).reached,
    )
    stream = io.StringIO()
    renderer(RUN, "json")(whole, stream)
    known, read = night(whole), read_night(Source("report.json", stream.getvalue().encode()))
    assert known.counts["beside"] == 6
    for each in ("counts", "ends", "ports", "patterns", "rows", "findings"):
        assert getattr(read, each) == getattr(known, each)
    validator("night.schema.json").validate(json.loads(encode(known)))
