"""Processes that share audits: one makes them, and everybody gets what came of them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest

from auditor.model.errors import ClusterError, UsageError
from auditor.model.ports import PortRequest
from auditor.testing.audited import AuditRequest
from auditor.testing.sharing import Shared

ONE, OTHER = (AuditRequest(frozenset({PortRequest.parse(text)})) for text in ("TCP/1", "TCP/2"))


class Cluster:
    """An audit gives back what it was asked for; ``error`` is raised instead."""

    def __init__(self):
        self.asked = []
        self.error = None

    def audit(self, request):
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return ("seen", request)

    @contextmanager
    def apply(self, path):
        self.asked.append(path)
        yield


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def workers(cluster, tmp_path):
    return [Shared(cluster.audit, cluster.apply, tmp_path / "shared", "key") for _ in range(2)]


def test_the_second_reads_what_the_first_saw(cluster, workers):
    assert workers[0].audit(ONE) == workers[1].audit(ONE) == workers[1].audit(AuditRequest())
    assert cluster.asked == [ONE]


def test_an_audit_for_more_is_one_for_both(cluster, workers):
    workers[0].audit(ONE)
    assert workers[1].audit(OTHER) == ("seen", ONE.joined(OTHER))
    assert workers[0].audit(ONE) == ("seen", ONE.joined(OTHER))
    assert len(cluster.asked) == 2


def test_what_one_forgets_is_seen_anew_and_for_all(cluster, workers):
    later = replace(ONE, generation=1)
    workers[0].audit(ONE)
    assert workers[0].audit(later) == workers[1].audit(later) == ("seen", later)
    assert len(cluster.asked) == 2


@pytest.mark.parametrize("error", [ClusterError("no room", "nor rights"), UsageError("nothing there")])
def test_what_it_ended_with_is_raised_for_each(cluster, workers, error):
    cluster.error = error
    for worker in workers:
        with pytest.raises(type(error)) as raised:
            worker.audit(ONE)
        assert raised.value.lines == error.lines
    assert len(cluster.asked) == 1


def test_audits_under_policies_of_ones_own_are_nobody_elses(cluster, workers):
    workers[0].audit(ONE)
    with workers[0].applied("policy.yaml"):
        assert workers[0].audit(OTHER) == ("seen", OTHER)
    assert workers[1].audit(ONE) == ("seen", ONE)
    assert cluster.asked == [ONE, "policy.yaml", OTHER]
