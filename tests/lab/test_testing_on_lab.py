"""People's own tests on the lab: real packets, faulty enforcers, and what is not known."""

from __future__ import annotations

import pickle
import shlex

import pytest

from auditor.cli.application import run
from auditor.model.errors import ClusterError
from auditor.testing import InconclusiveError, NetpolWarning, netpol_lab
from tests.unit.testing.worlds import NOBODY, ONLY_WEB, PODS, written

pytestmark = pytest.mark.lab


@pytest.fixture
def manifests(tmp_path):
    return written(tmp_path / "prod", PODS.partition("---\napiVersion: v1\nkind: Service")[0], ONLY_WEB)


def counted(netpol):
    """``netpol`` with the number of audits that it makes, in a list of one."""
    audits = [0]
    backend = netpol._backend
    audit = backend._audit

    def counting(request):
        audits[0] += 1
        return audit(request)

    backend._audit = counting
    return audits


def test_a_right_enforcer_passes_and_all_checks_share_one_audit(manifests, tmp_path):
    netpol = netpol_lab(manifests)
    audits = counted(netpol)
    assert netpol("prod/web").reaches("prod/db", 5432)
    assert not netpol("prod/job").reaches("prod/db", 5432)
    assert netpol("prod/db").reached_by_only("prod/web", port=5432)
    netpol.assert_no_findings("prod")
    assert audits == [1]
    seen = netpol._backend._seen
    assert pickle.loads(pickle.dumps(seen)).results == seen.results  # noqa: S301 - our own
    with pytest.raises(InconclusiveError, match="of 8 connections, 4 reached and 4 denied"):
        assert not netpol("prod/app in (job,web)").reaches("prod/db", 5432)
    assert netpol("prod/db").reaches("192.0.2.9", 443)
    assert audits == [2]
    nobody = tmp_path / "nobody.yaml"
    nobody.write_text(NOBODY)
    with netpol.applied(nobody):
        assert not netpol("prod/web").reaches("prod/db", 5432)
    assert netpol("prod/web").reaches("prod/db", 5432)
    assert audits == [3]


def test_a_faulty_enforcer_fails_and_the_failure_says_all(manifests, capsys):
    netpol = netpol_lab(manifests, enforcers=["ignores-ingress"])
    reached = netpol("prod/job").reaches("prod/db", 5432)
    with pytest.warns(NetpolWarning, match="not as the policies demand"):
        assert reached
    with pytest.warns(NetpolWarning), pytest.raises(AssertionError, match="prod/job -> prod/db TCP/5432"):
        assert not reached
    text = str(reached)
    for part in ("expected: denied", "observed: allowed (answered", "could be: ", "reproduce: audit run --lab"):
        assert part in text
    assert run(shlex.split(text.rpartition("reproduce: ")[2])[1:]) == 1
    assert "LEAK" in capsys.readouterr().out.upper()
    with pytest.raises(AssertionError, match="leak: "):
        netpol.assert_no_findings("prod")


@pytest.mark.parametrize("negated", [False, True])
def test_a_lab_that_can_not_be_raises(manifests, monkeypatch, negated):
    monkeypatch.setattr("auditor.cluster.lab.lab._PACKAGES", {"no-such-program": "nothing"})
    netpol = netpol_lab(manifests)
    audits = counted(netpol)
    for _ in range(2):
        with pytest.raises(ClusterError, match="not found"):
            assert bool(netpol("prod/job").reaches("prod/db", 5432)) is not negated
    assert audits == [1]
