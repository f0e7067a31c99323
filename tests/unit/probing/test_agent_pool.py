"""What an agent that was started anew in some round knows of the datagrams of that round, and of others."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from auditor.probing.agent_pool import AgentPool
from auditor.probing.attempts import Answer, AttemptId, AttemptResult
from auditor.probing.batches import Batch
from auditor.probing.options import NoProgress, ProbingOptions


def named_batch(name):
    return Batch((), 1.0, 1, 1, name)


class Agent:
    """Takes part in rounds at one site, and is another one after each of those in ``breaks``."""

    def __init__(self, name, breaks):
        self.site = SimpleNamespace(name=name)
        self.session = self
        self.reopened = 0
        self._breaks = breaks

    async def fire(self, batch, _advance):
        self.reopened += batch.name in self._breaks
        return [AttemptResult(Answer.DROPPED, "timeout", attempt_id=AttemptId(batch.name, 0))]

    async def arrivals(self, _asked):
        return dict.fromkeys(_asked, False)


@pytest.mark.parametrize(
    ("broken_in", "known"),
    [
        ("none", {"first": False, "second": False, "third": False}),
        ("first", {"first": None, "second": False, "third": False}),
        ("second", {"first": None, "second": None, "third": False}),
        ("third", {"first": None, "second": None, "third": None}),
    ],
)
async def test_that_a_datagram_of_the_round_of_a_restart_did_not_arrive_nobody_knows(broken_in, known):
    pool = AgentPool((), None, ProbingOptions(), NoProgress())
    agent = Agent("a", {broken_in})
    pool._agents = {"a": agent}
    for name in ("first", "second", "third"):
        pool._probe_rounds += 1
        await pool._fire(agent, named_batch(name), [0], [None])
    asked = [AttemptId(name, 0) for name in known]
    assert await pool.arrivals({"a": asked}) == {attempt: known[attempt.batch] for attempt in asked}
