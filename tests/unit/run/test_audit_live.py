"""How an audit of a live cluster ends; what happens in the cluster is other tests' matter."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from auditor.cluster.kubernetes.config import ConnectionOptions
from auditor.cluster.kubernetes.reading import LiveSnapshot
from auditor.model.errors import ClusterError
from auditor.probing.options import NoProgress
from auditor.run import live
from auditor.run.audit import AuditOptions
from tests.oracle.clusters import cluster, pod
from tests.unit.report.reports import small

SNAPSHOT = cluster(pod("prod/web-1", {"app": "web"}, "10.0.0.1", node="n"), pod("prod/db-1", {"app": "db"}, "10.0.0.2", node="n"))


class Api:
    """An API server whose answers nobody asks for."""

    calls, received, sent = 3, 2, 1

    def __init__(self, _connection):
        pass

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass


class Visit(SimpleNamespace):
    """A stay in the cluster that can't be ended as it ought to be."""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        raise ClusterError("the server is gone; something may be left")


@pytest.fixture
def audit(monkeypatch):
    """Audits in which ``what`` comes of the probing."""

    async def read(*_):
        return LiveSnapshot(SNAPSHOT)

    async def prepare(*_):
        return Visit(farewell=["gone in 1 s"])

    async def connect(_options):
        return None

    def start(what):
        async def probing(*_):
            if isinstance(what, Exception):
                raise what
            return what

        for name, stand_in in {"_read": read, "_prepare": prepare, "connect": connect, "ApiServer": Api, "audit": probing}.items():
            monkeypatch.setattr(live, name, stand_in)
        return live.audit_live(live.LiveOptions(ConnectionOptions(), ("prod",)), AuditOptions(), "prod", str, NoProgress())

    return start


async def test_what_may_be_left_does_not_cost_the_report(audit):
    with pytest.raises(live.LeftBehindError, match=r"^the server is gone; something may be left$") as caught:
        await audit(small())
    assert caught.value.report.facts == (*small().facts, "gone in 1 s")
    assert caught.value.report.cells == small().cells
    assert caught.value.report.api == {"calls": 3, "received": 2, "sent": 1}


async def test_without_a_report_there_is_nothing_but_the_error(audit):
    with pytest.raises(ClusterError) as caught:
        await audit(ClusterError("no agent started"))
    assert not isinstance(caught.value, live.LeftBehindError)
