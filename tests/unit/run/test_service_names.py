"""What is said of the names of Services: whether they resolve, and to what."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from auditor.model.dns_seen import LookupCell, LookupExpectation
from auditor.model.ports import Protocol
from auditor.model.snapshot import Family, Service, ServicePort
from auditor.model.verdict import Observation, Observed, Result, Verdict
from auditor.probing.attempts import Answer, AttemptResult
from auditor.probing.lookup_run import LookupOutcome
from auditor.probing.sites import ProbeSite
from auditor.run.lookups import Standing
from auditor.run.reached_services import MOVED, _moved, _standing_still
from auditor.run.service_names import HALF_TOLD, names_asked

DB = Service("prod", "db", {"app": "db"}, (ServicePort(Protocol.TCP, 80, 80),), (ip_address("10.96.0.7"),))
SERVER = "10.96.0.10"
WEB = ProbeSite("prod/web", (ip_address("10.244.0.1"),), ("prod/web",))
API = ProbeSite("prod/api", (ip_address("10.244.0.2"),), ("prod/api",))
ALLOWED = LookupExpectation(Verdict.ALLOWED, "kube-system/kube-dns")
DENIED = LookupExpectation(Verdict.DENIED, "kube-system/kube-dns", "egress to kube-dns is denied by prod/shut")
OPEN = LookupExpectation(Verdict.DENIED, "kube-system/kube-dns", left_open="up to the CNI")
STANDING = Standing({("prod/web", Family.IPV4)}, changed=False, failed={})


def cell_of(site):
    return LookupCell(site.name, Protocol.UDP, SERVER, Family.IPV4)


def answer(*addresses, code="", outcome="answered"):
    return AttemptResult(Answer.ALLOWED, f"{outcome}: {code}" if code else outcome, 0.1, addresses=addresses)


def asked_by(site, expected):
    return names_asked([(site, cell_of(site))], [], [DB], "cluster.local", lambda _: expected)


def said_of(*answers, expected=ALLOWED, state=STANDING):
    asked = asked_by(WEB, expected)
    (cell,) = asked.demands
    seen = Observation(Observed.ALLOWED if answers else Observed.DROPPED, "timeout", (Observed.ALLOWED,))
    (found,) = asked.judged(LookupOutcome({cell: seen}, answers={cell: answers}), state)
    return found.result, found.observation.verdict, found.observation.outcome


def test_who_may_not_reach_the_dns_does_not_ask_and_that_is_a_fact():
    asked = asked_by(API, DENIED)
    assert not asked.tries
    assert list(asked.facts()) == [f"from 1 pod no Service's name was looked up: {DENIED.why}"]


def test_each_is_asked_by_its_whole_name_and_pods_beside_prove_that_the_dns_answers():
    both = names_asked([(WEB, cell_of(WEB))], [(API, cell_of(API))], [DB], "corp.example", lambda _: ALLOWED)
    assert [(each.cell.source, each.cell.name, each.judged) for each in both.tries] == [
        ("prod/web", "db.prod.svc.corp.example", True),
        ("prod/api", "db.prod.svc.corp.example", False),
    ]
    assert both.named == {"db.prod.svc.corp.example": "prod/db"}


@pytest.mark.parametrize(
    ("answers", "result", "verdict", "told"),
    [
        ([answer("10.96.0.7")] * 3, Result.MATCH, Observed.ALLOWED, "resolves to 10.96.0.7"),
        ([answer("10.96.0.7", "64:ff9b::a60:7")], Result.MATCH, Observed.ALLOWED, "resolves to 10.96.0.7"),
        ([answer("10.96.0.7", code="NXDOMAIN")], Result.MATCH, Observed.ALLOWED, "resolves to 10.96.0.7"),
        ([answer(code="NXDOMAIN")] * 3, Result.OUTAGE, Observed.REFUSED, "the DNS answers NXDOMAIN"),
        ([answer()], Result.OUTAGE, Observed.REFUSED, "the DNS has no address of it"),
        (
            [answer("192.0.2.1")],
            Result.MISDELIVERED,
            Observed.MISDELIVERED,
            "resolves to 192.0.2.1, and its ClusterIP is 10.96.0.7",
        ),
        ([answer("fd00::1")], Result.MISDELIVERED, Observed.MISDELIVERED, None),
        ([answer("10.96.0.7", "192.0.2.1")], Result.MISDELIVERED, Observed.MISDELIVERED, None),
        (
            [answer("10.96.0.7"), answer(code="SERVFAIL")],
            Result.UNSTABLE,
            Observed.ALLOWED,
            "1 of 2 times as it should, else the DNS answers SERVFAIL",
        ),
        ([answer(outcome="half-answered")], Result.INCONCLUSIVE, Observed.INCONCLUSIVE, HALF_TOLD),
        ([answer(outcome="half-answered"), answer("10.96.0.7")], Result.MATCH, Observed.ALLOWED, None),
        ([], Result.OUTAGE, Observed.DROPPED, "timeout"),
    ],
)
def test_what_the_dns_says_is_held_against_the_cluster_ips(answers, result, verdict, told):
    found = said_of(*answers)
    assert found[:2] == (result, verdict)
    assert told in (None, found[2])


def test_an_answer_counts_whatever_policies_leave_open_and_silence_does_not():
    assert said_of(answer("192.0.2.1"), expected=OPEN)[0] is Result.MISDELIVERED
    assert said_of(answer("10.96.0.7"), expected=OPEN)[0] is Result.MATCH
    assert said_of(expected=OPEN)[0] is Result.MATCH


@pytest.mark.parametrize(
    "state",
    [STANDING._replace(changed=True), STANDING._replace(failed={"prod/web": "was relabelled"})],
)
def test_what_changed_meanwhile_leaves_no_verdict(state):
    assert said_of(answer("192.0.2.1"), state=state)[0] is Result.INCONCLUSIVE


@pytest.mark.parametrize("now", [None, replace(DB, cluster_ips=(ip_address("10.96.0.8"),)), DB])
async def test_of_a_service_that_got_another_address_meanwhile_nothing_is_said(now):
    class Moving:
        async def service_now(self, _service):
            return now

    moved = await _moved(Moving(), [DB])
    asked = asked_by(WEB, ALLOWED)
    (cell,) = asked.demands
    observed = Observation(Observed.ALLOWED, "answered", (Observed.ALLOWED,))
    outcome = LookupOutcome({cell: observed}, answers={cell: [answer("192.0.2.1")]})
    (found,) = asked.judged(outcome, STANDING)
    told = _standing_still(found, moved, asked.named)
    if now is DB:
        assert (told.result, moved) == (Result.MISDELIVERED, set())
    else:
        assert (told.result, told.observation.outcome) == (Result.INCONCLUSIVE, MOVED)
