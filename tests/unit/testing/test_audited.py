"""Answers read from one audit: who stands for whom, and what was not tried."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from auditor.model.checks import Outcome
from auditor.model.ports import PortRequest, Protocol
from auditor.model.report import CellResult, Report, Summary
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Namespace, Snapshot
from auditor.model.verdict import Cell, Note, Observation, Observed, Result, Verdict
from auditor.testing.audited import Audited, AuditedBackend
from auditor.testing.netpol import check_of


def pod(name, workload, number):
    address = (ip_address(f"10.0.0.{number}"),)
    return Endpoint(name, EndpointKind.POD, "prod", {"app": workload}, address, workload=f"Deployment/{workload}")


PODS = (pod("prod/web-x1", "web", 1), pod("prod/job-x1", "job", 2), pod("prod/db-x1", "db", 3))
STAND_INS = {"prod/web-x1": "prod/web", "prod/job-x1": "prod/web", "prod/db-x1": "prod/db"}
CELL = Cell("prod/web", "prod/db", Protocol.TCP, 5432, Family.IPV4)


def backend(*results):
    """What an audit gives that saw ``results``; a list counts the audits."""
    snapshot = Snapshot({"prod": Namespace.of("prod")}, PODS)
    probes = tuple(replace(PODS[number], name=name) for number, name in ((0, "prod/web"), (2, "prod/db")))
    report = Report("x", "run", probes, results, (), Summary.of(results))
    requests = []

    def audit(request):
        requests.append(request)
        return Audited(snapshot, replace(snapshot, endpoints=probes), report, ("audit", "run"), STAND_INS)

    return AuditedBackend(audit, lambda _: pytest.fail("not asked"), "somewhere", lasting=False), requests


def seen(observed, result=Result.MATCH, expected=Verdict.ALLOWED, outcome="token", **more: Any):
    return CellResult(CELL, expected, Observation(observed, outcome, (observed,)), result, **more)


@pytest.mark.parametrize(
    ("result", "outcome", "why"),
    [
        (seen(Observed.ALLOWED), Outcome.REACHED, ""),
        (seen(Observed.DROPPED, expected=Verdict.DENIED), Outcome.DENIED, ""),
        (seen(Observed.REFUSED, expected=Verdict.DENIED), Outcome.DENIED, ""),
        (seen(Observed.ALLOWED, Result.LEAK, Verdict.DENIED), Outcome.REACHED, ""),
        (seen(Observed.DROPPED, Result.OUTAGE), Outcome.DENIED, ""),
        (seen(Observed.DROPPED, Result.UNSTABLE), Outcome.INCONCLUSIVE, "it changed its answer: dropped"),
        (seen(Observed.MISDELIVERED, Result.MISDELIVERED), Outcome.INCONCLUSIVE, "somebody else answered in its place"),
        (seen(Observed.INCONCLUSIVE, Result.INCONCLUSIVE, outcome="agent died"), Outcome.INCONCLUSIVE, "agent died"),
        (seen(Observed.SKIPPED, Result.SKIPPED, outcome="no room"), Outcome.INCONCLUSIVE, "no room"),
        (seen(Observed.ALLOWED, Result.UNDEFINED, notes=(Note.UNDEFINED,)), Outcome.REACHED, ""),
    ],
)
def test_every_observation_has_its_outcome(result, outcome, why):
    asked, _ = backend(result)
    (answer,) = asked.answers([check_of("prod/web", "prod/db", 5432)])
    assert (answer.outcome, answer.why) == (outcome, why)
    assert answer.differs is (result.result in (Result.LEAK, Result.OUTAGE))
    assert answer.reproduce == "audit run --from prod/web --to prod/db --ports TCP/5432"


def test_a_stand_in_is_named():
    asked, _ = backend(seen(Observed.ALLOWED))
    (answer,) = asked.answers([check_of("prod/job", "prod/db", 5432)])
    assert answer.outcome is Outcome.REACHED
    assert answer.observed[-1] == "prod/web was tried in the place of prod/job: no policy tells them apart"
    (answer,) = asked.answers([check_of("prod/web", "prod/db", 5432)])
    assert len(answer.observed) == 1
    (answer,) = asked.answers([check_of("prod/app in (job,web)", "prod/db", 5432)])
    assert answer.observed[0] == "allowed (answered, 1 try): prod/web -> prod/db TCP/5432 IPv4"


@pytest.mark.parametrize(
    ("source", "port", "why"), [("prod/job", 80, "one probe pod stands for both"), ("prod/db", 81, "it was not tried")]
)
def test_what_was_not_tried_is_inconclusive(source, port, why):
    asked, requests = backend(seen(Observed.ALLOWED))
    (answer,) = asked.answers([check_of(source, "prod/web", port)])
    assert answer.outcome is Outcome.INCONCLUSIVE
    assert why in answer.why
    assert len(requests) == 1
    assert PortRequest.parse(str(port)) in requests[0].ports


def test_what_is_forgotten_is_asked_anew():
    asked, requests = backend(seen(Observed.ALLOWED))
    for _ in range(2):
        asked.answers([check_of("prod/web", "prod/db", 5432)])
    asked.forget()
    asked.answers([check_of("prod/web", "prod/db", 5432)])
    assert [request.generation for request in requests] == [0, 1]


def test_only_what_is_new_makes_another_audit():
    asked, requests = backend(seen(Observed.ALLOWED))
    asked.expecting((), [PortRequest.parse("TCP/22")])
    for port in (5432, 22, 5432, 23, 23):
        asked.answers([check_of("prod/web", "prod/db", port)])
    assert [sorted(each.number for each in request.ports) for request in requests] == [[22, 5432], [22, 23, 5432]]
