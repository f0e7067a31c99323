"""How an audit of a live cluster ends; what happens in the cluster is other tests' matter."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.reading import LiveSnapshot
from auditor.model.diagnosis import Diagnosis
from auditor.model.errors import ClusterError
from auditor.model.verdict import ProbingOutcome
from auditor.policy.evaluator import evaluate
from auditor.probing.options import NoProgress
from auditor.run import concluding, live
from auditor.run.concluding import Seen
from auditor.run.expectation import AuditState, Expectation
from auditor.run.planning import AuditOptions
from tests.oracle.clusters import cluster, pod

SNAPSHOT = cluster(
    pod("prod/web-1", {"app": "web"}, "10.0.0.1", node="n"), pod("prod/db-1", {"app": "db"}, "10.0.0.2", node="n")
)


class Api:
    """An API server whose answers nobody asks for."""

    calls, received, sent = 3, 2, 1

    def __init__(self, _connection):
        pass

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass


class ClusterSession(SimpleNamespace):
    """A stay in the cluster that can't be ended as it ought to be, if it is ``stuck``."""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.left.append("left")
        if self.stuck:
            raise ClusterError("the server is gone; something may be left")


def seen():
    """What an audit of nobody brings back."""
    expectation = Expectation.of(evaluate(SNAPSHOT), (), {})
    return Seen(
        SNAPSHOT.endpoints,
        AuditState(expectation, ProbingOutcome({})),
        str,
        facts=("seen",),
        seconds={"evaluating": 1.0},
    )


@pytest.fixture
def audit(monkeypatch):
    """Audits in which ``what`` comes of the probing."""

    async def read(*_):
        return LiveSnapshot(SNAPSHOT, versions={"kernel": "6.1.0"})

    async def connect(_options):
        return None

    def start(what, *, stuck=True, left=None):
        async def prepare(_api, _run_id, intended, *_):
            return intended, ClusterSession(farewell=["gone in 1 s"], stuck=stuck, left=[] if left is None else left)

        async def probing(*_):
            if isinstance(what, Exception):
                raise what
            return what

        for name, stand_in in {
            "_read": read,
            "_prepare": prepare,
            "connect": connect,
            "ApiServer": Api,
            "look": probing,
        }.items():
            monkeypatch.setattr(live, name, stand_in)
        return live.audit_live(
            live.LiveOptions(ConnectionOptions(), ("prod",)), AuditOptions(), "prod", str, NoProgress()
        )

    return start


async def test_what_may_be_left_does_not_cost_the_report(audit):
    with pytest.raises(live.LeftBehindError, match=r"^the server is gone; something may be left$") as caught:
        await audit(seen())
    assert caught.value.report.facts == ("seen", "gone in 1 s")
    assert caught.value.report.endpoints == SNAPSHOT.endpoints
    assert caught.value.report.api == {"calls": 3, "received": 2, "sent": 1}
    assert caught.value.report.surroundings.versions == {"kernel": "6.1.0"}


async def test_without_a_report_there_is_nothing_but_the_error(audit):
    with pytest.raises(ClusterError) as caught:
        await audit(ClusterError("no agent started"))
    assert not isinstance(caught.value, live.LeftBehindError)


PHASES = [
    "reading",
    "planning",
    "preflight",
    "deploying",
    "evaluating",
    "removing",
    "comparing",
    "diagnosing",
    "coverage",
    "lint",
]


async def test_what_the_report_says_is_found_out_when_the_cluster_has_been_left_and_its_time_is_told(
    audit, monkeypatch
):
    done = []

    def noted(name):
        work = getattr(concluding, name)

        def do(*args):
            done.append(name)
            return work(*args)

        return do

    for name in ("find", "diagnose", "unexercised", "remarks_on"):
        monkeypatch.setattr(concluding, name, noted(name))
    report = await audit(seen(), stuck=False, left=done)
    assert done == ["left", "find", "diagnose", "unexercised", "remarks_on"]
    assert list(report.seconds) == PHASES


async def test_a_cause_that_was_sought_to_the_end_is_not_sought_again(audit, monkeypatch):
    monkeypatch.setattr(concluding, "diagnose", None)
    known = Diagnosis("egress is not enforced", "Switch it on.")
    report = await audit(replace(seen(), diagnosis=known, sought=True), stuck=False)
    assert report.diagnosis is known
