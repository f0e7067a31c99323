"""What a report says when an analysis takes too long, or is not waited for."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from auditor.loop.apart import THREAD_NAME
from auditor.model.ports import Protocol
from auditor.model.report import Report
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Conclusion, Observation, Observed, ProbingOutcome
from auditor.policy.evaluator import evaluate
from auditor.probing.options import NoProgress
from auditor.report.cause import cause_lines, coverage_lines
from auditor.report.conclusion import conclude
from auditor.report.headline import headline
from auditor.run import causes, concluding
from auditor.run.concluding import Seen, report_on, with_lint
from auditor.run.expectation import AuditState, Expectation
from auditor.run.planning import AuditOptions
from tests.oracle.clusters import cluster, pod

SNAPSHOT = cluster(
    pod("prod/web-1", {"app": "web"}, "10.0.0.1", node="n"), pod("prod/db-1", {"app": "db"}, "10.0.0.2", node="n")
)
CELL = Cell("prod/web-1", "prod/db-1", Protocol.TCP, 80, Family.IPV4)


def audit_state(seen=Observed.DROPPED):
    """One connection that ought to be allowed and is not, unless ``seen`` so."""
    expectation = Expectation.of(evaluate(SNAPSHOT), [CELL], {})
    return AuditState(expectation, ProbingOutcome({CELL: Observation(seen, "an outcome", (seen,))}))


def endless(*_args, **_kwargs):
    while True:
        pass


def seen():
    return Seen(SNAPSHOT.endpoints, audit_state(), str)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(concluding, "ANALYSIS_SECONDS", 0.05)


async def until_no_thread_is_left():
    async with asyncio.timeout(20):
        while any(thread.name == THREAD_NAME for thread in threading.enumerate()):  # noqa: ASYNC110 - threads tell no loop that they end
            await asyncio.sleep(0.001)


async def report():
    return await report_on(seen(), "prod", 0.0, NoProgress())


async def test_a_cause_that_takes_too_long_to_find_is_said_to_be_not_found(monkeypatch, short):
    monkeypatch.setattr(concluding, "diagnose", endless)
    told = await report()
    assert told.diagnosis is not None
    assert (
        dict(cause_lines(told.diagnosis))["no cause"]
        == "why 1 connection differs was not searched further after 0.05 s"
    )
    assert told.diagnosis.unexplained == (CELL,)
    assert [finding.cells[0].cell for finding in told.findings] == [CELL]
    await until_no_thread_is_left()


async def test_coverage_that_takes_too_long_is_not_taken_for_whole(monkeypatch, short):
    monkeypatch.setattr(concluding, "unexercised", endless)
    told = await report()
    assert told.facts == (
        "parts of policies that no probe has exercised: not searched further after 0.05 s, so none is reported",
    )
    assert not list(coverage_lines(told.unexercised))
    await until_no_thread_is_left()


async def test_where_it_takes_too_long_to_find_which_policies_were_tested_there_is_no_pass(monkeypatch, short):
    monkeypatch.setattr(concluding, "policy_tests", endless)
    told = await report_on(replace(seen(), audit_state=audit_state(Observed.ALLOWED)), "prod", 0.0, NoProgress())
    assert told.summary.faults == 0
    assert conclude(told) is Conclusion.INCONCLUSIVE
    assert headline(told).startswith("which policies were tested was not searched further after 60 s; 1 connection: ")
    await until_no_thread_is_left()


async def test_lint_that_takes_too_long_is_not_taken_for_whole(monkeypatch, short):
    before = await report()
    monkeypatch.setattr(concluding, "remarks_on", endless)
    told = await with_lint(before, SNAPSHOT)
    assert told.facts == (
        "what is likely not meant in the policies: not searched further after 0.05 s, so none is reported",
    )
    await until_no_thread_is_left()


@pytest.mark.parametrize("name", ["find", "diagnose", "unexercised"])
async def test_each_analysis_can_be_cancelled(monkeypatch, name):
    begun = threading.Event()

    def work(*_args):
        begun.set()
        endless()

    monkeypatch.setattr(concluding, name, work)
    task = asyncio.create_task(report())
    async with asyncio.timeout(20):
        while not begun.is_set():  # noqa: ASYNC110 - a thread's event
            await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_no_thread_is_left()


async def test_pods_do_not_wait_for_a_cause_that_takes_long_but_the_report_does(monkeypatch):
    monkeypatch.setattr(causes, "SEARCH_SECONDS", 0.05)
    monkeypatch.setattr(causes, "diagnose", endless)
    before = audit_state()
    after, diagnosis, sought = await causes.tell_causes_apart(None, before, AuditOptions(), NoProgress())
    assert (after, diagnosis, sought) == (before, None, False)
    told = await report()
    assert isinstance(told, Report)
    assert told.diagnosis is not None
    assert told.diagnosis.title.startswith("all traffic of pods is dropped")
    await until_no_thread_is_left()
