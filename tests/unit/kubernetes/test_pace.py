"""Leases of many namespaces over minutes of the server's time, which passes as soon as everybody waits."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from auditor.cluster.kubernetes.client.errors import NotFoundError, Question
from auditor.cluster.kubernetes.client.retry import Turns
from auditor.cluster.kubernetes.objects import LEASE_SECONDS, LONGEST_LEASE_SECONDS
from auditor.cluster.kubernetes.session.lease import RENEW_EVERY, RENEW_WITHIN, Leases
from auditor.cluster.kubernetes.session.lease_liveness import LIVES, LeaseRecord, pace_for
from auditor.model.errors import ClusterError
from tests.marking import some
from tests.unit.kubernetes.hurried import hurried
from tests.unit.kubernetes.store import Store

NODE = Question("/api/v1/nodes/node-1", "get", "nodes")
LATENCY = 0.1
LOOK_EVERY = 4


class Limited(Store):
    """A server that takes its time over each request, on a connection that keeps to ``qps``. ``away``: it hangs."""

    def __init__(self, qps=50.0):
        super().__init__()
        self.qps = qps
        self.turns = Turns(qps)
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.renewals = Counter()
        self.under_way = self.most = 0
        self.away = False

    @property
    def now(self):
        return datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(seconds=self.loop.time() - self.began)

    @now.setter
    def now(self, _time):
        pass

    async def send(self, method, question, body=None, parameters=None):
        await self.turns.take(urgent=question.urgent)
        renews = method == "PUT"
        self.renewals[int(self.loop.time())] += renews
        self.under_way += renews
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(3600 if self.away else LATENCY)
            return await super().send(method, question, body, parameters)
        finally:
            self.under_way -= renews

    def dead(self):
        """The namespaces of Leases that anybody would take for those of a dead run."""
        leases = [msgspec.json.decode(msgspec.json.encode(item), type=LeaseRecord) for item in self.objects.values()]
        return [lease.metadata.namespace for lease in leases if not lease.is_alive(self.now)]


async def live_through(namespaces, *, qps=50.0, seconds=240, others=0):
    """A run with so many Leases and so many ordinary requests waiting all the time: the server, and who looked dead
    meanwhile.
    """
    server = Limited(qps)
    held = Leases(server, [f"ns-{number:04}" for number in range(namespaces)], "11111111")
    await held.take()

    async def ask():
        while True:
            with suppress(NotFoundError):
                await server.send("GET", NODE)

    asking = [asyncio.create_task(ask()) for _ in range(others)]
    server.renewals.clear()
    server.most = 0
    dead = set()
    for _ in range(seconds // LOOK_EVERY):
        await asyncio.sleep(LOOK_EVERY)
        dead.update(server.dead())
    for task in asking:
        task.cancel()
    doubtful = await held.doubtful()
    await held.release()
    assert not server.objects
    return server, dead, doubtful


@pytest.mark.parametrize(("namespaces", "qps"), some([(1, 50), (3, 50), (60, 50), (1, 0.1), (15, 1)]))
def test_no_lease_ever_looks_dead_though_others_wait_for_their_turn(namespaces, qps):
    _, dead, doubtful = hurried(live_through(namespaces, qps=qps, others=5))
    assert not dead
    assert not doubtful


def test_renewals_of_many_are_few_at_a_time_and_spread_evenly_and_none_looks_dead():
    server, dead, doubtful = hurried(live_through(400, others=5))
    assert not dead
    assert not doubtful
    assert server.most <= 4
    # The first one or two rounds may be closer together: Leases were taken one after the other.
    steady = [server.renewals[second] for second in sorted(server.renewals)[90:-10]]
    assert max(steady) <= 20
    assert sum(server.renewals.values()) <= 0.25 * 50 * 240


def test_few_are_renewed_every_ten_seconds_and_dead_after_thirty():
    pace = pace_for(100, 50.0, RENEW_EVERY, RENEW_WITHIN)
    assert (pace.every, pace.lasts) == (RENEW_EVERY, LEASE_SECONDS)


@pytest.mark.parametrize("leases", [1, 100, 101, 200, 399, 400, 1000])
def test_none_lasts_longer_than_others_believe_and_each_is_renewed_three_times_in_its_life(leases):
    pace = pace_for(leases, 50.0, RENEW_EVERY, RENEW_WITHIN)
    assert LIVES * pace.every <= pace.lasts <= LONGEST_LEASE_SECONDS
    assert pace.within < pace.every


def test_more_than_can_be_renewed_are_refused_with_what_to_do():
    with pytest.raises(
        ClusterError,
        match=r"--qps 1 is too little to keep the Leases of 400 namespaces renewed: allow 20, or audit fewer",
    ):
        pace_for(400, 1.0, RENEW_EVERY, RENEW_WITHIN)
    pace_for(400, 20.0, RENEW_EVERY, RENEW_WITHIN)


def test_what_was_not_renewed_for_too_long_is_asked_for_and_fine_if_it_is_still_there():
    async def work():
        server = Limited()
        held = Leases(server, ["prod"], "11111111")
        await held.take()
        server.away = True
        await asyncio.sleep(100)
        assert server.dead() == ["prod"]
        away = await held.doubtful()
        server.away = False
        back = await held.doubtful()
        await held.release()
        return away, back

    away, back = hurried(work())
    assert list(away) == ["prod"]
    assert away["prod"].startswith("namespace prod: the Lease of this run could not be renewed for 1")
    assert away["prod"].endswith(" s, so its probe pods may have been taken for those of a dead run")
    assert back == {}


def test_one_that_was_cleared_away_meanwhile_is_known_by_then():
    async def work():
        server = Limited()
        held = Leases(server, ["dev", "prod"], "11111111")
        await held.take()
        server.away = True
        await asyncio.sleep(100)
        del server.objects["/apis/coordination.k8s.io/v1/namespaces/prod/leases/netpol-audit"]
        server.away = False
        doubtful = await held.doubtful()
        await held.release()
        return doubtful

    assert hurried(work()) == {"prod": "namespace prod: the Lease of this run was deleted, and its probe pods with it"}
