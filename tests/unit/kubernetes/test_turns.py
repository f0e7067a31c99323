from __future__ import annotations

import asyncio

import pytest

from auditor.cluster.kubernetes.client.retry import BURST_SECONDS, Turns
from tests.unit.kubernetes.hurried import hurried


async def started(qps, urgencies, *, rest=0.0):
    """Seconds until each of several requests at once, urgent or not, had its turn."""
    turns, loop = Turns(qps), asyncio.get_running_loop()
    await turns.take()
    await asyncio.sleep(rest)
    began = loop.time()

    async def take(urgent):
        await turns.take(urgent=urgent)
        return round(loop.time() - began, 6)

    return await asyncio.gather(*map(take, urgencies))


def test_requests_keep_to_the_rate():
    assert hurried(started(0.1, [False] * 4)) == [10, 20, 30, 40]


def test_after_a_rest_they_may_go_together_as_many_as_two_seconds_give():
    burst = int(10 * BURST_SECONDS)
    times = hurried(started(10, [False] * (burst + 3), rest=100))
    assert times[:burst] == [0] * burst
    assert times[burst:] == pytest.approx([0.1, 0.2, 0.3])


def test_what_is_urgent_goes_first_and_counts():
    assert hurried(started(0.1, [False, False, True, False, True])) == [30, 40, 10, 50, 20]


def test_urgent_ones_keep_to_the_rate_too():
    assert hurried(started(0.1, [True] * 3)) == [10, 20, 30]


def test_one_who_gives_up_leaves_the_turn_to_the_next():
    async def work():
        turns, loop = Turns(0.1), asyncio.get_running_loop()
        await turns.take()
        began = loop.time()
        first, second = asyncio.create_task(turns.take()), asyncio.create_task(turns.take())
        await asyncio.sleep(1)
        first.cancel()
        await second
        return loop.time() - began

    assert hurried(work()) == pytest.approx(10)


def test_after_all_have_given_up_others_get_their_turn():
    async def work():
        turns, loop = Turns(0.1), asyncio.get_running_loop()
        await turns.take()
        began = loop.time()
        gone = asyncio.create_task(turns.take())
        await asyncio.sleep(1)
        gone.cancel()
        await asyncio.sleep(100)
        await turns.take()
        return loop.time() - began

    assert hurried(work()) == pytest.approx(101)
