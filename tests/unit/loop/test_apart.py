from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from auditor.loop.apart import THREAD_NAME, apart

MUCH = 10**9
"""Turns of a loop that takes minutes: what waits for its end fails by the tests' own limit."""


def threads():
    return [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]


async def until_no_thread_is_left():
    async with asyncio.timeout(20):
        while threads():  # noqa: ASYNC110 - threads tell no loop that they end
            await asyncio.sleep(0.001)


async def test_the_result_comes_back():
    assert await apart(lambda one, *, other: (one, other), 1, other=2) == (1, 2)


async def test_nothing_is_a_result_too():
    assert await apart(lambda: None) is None


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), MemoryError()])
async def test_what_it_raises_is_raised_where_it_is_waited_for(error):
    def fail():
        raise error

    with pytest.raises(type(error)) as caught:
        await apart(fail)
    assert caught.value is error


async def test_the_loop_goes_on_meanwhile():
    turns = []

    def compute():
        for _ in range(MUCH):
            if len(turns) >= 20:
                return "seen"
        return "never had a turn"

    async def count():
        while True:
            turns.append(1)
            await asyncio.sleep(0.001)

    counting = asyncio.create_task(count())
    assert await apart(compute) == "seen"
    counting.cancel()


async def test_cancellation_does_not_wait_for_the_work_and_ends_it():
    begun = threading.Event()
    ended = []

    def compute():
        begun.set()
        try:
            for _ in range(MUCH):
                pass
            ended.append("at its end")
        except Exception:  # noqa: BLE001 - nothing that work catches may keep it going
            ended.append("caught")

    task = asyncio.create_task(apart(compute))
    await apart(begun.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_no_thread_is_left()
    assert ended == []


async def test_a_limit_in_time_holds():
    def compute():
        for _ in range(MUCH):
            pass

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await apart(compute)
    await until_no_thread_is_left()


async def test_work_that_ends_as_it_is_cancelled_hurts_nobody():
    for number in range(300):
        task = asyncio.create_task(apart(lambda: sum(range(2_000))))
        await asyncio.sleep(number % 7 * 0.0001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await until_no_thread_is_left()
    assert await apart(lambda: 7) == 7


async def test_cancelled_before_its_thread_gets_that_far_the_work_is_never_begun(monkeypatch):
    """The thread has started, but Python's own code still runs in it, which must not get the exception."""
    cancelled, begun, failed = threading.Event(), [], []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    run = threading.Thread.run

    def late(thread):
        cancelled.wait(20)
        for _ in range(1000):  # turns in which an exception that waits for this thread is raised
            pass
        run(thread)

    monkeypatch.setattr(threading.Thread, "run", late)
    task = asyncio.create_task(apart(begun.append, 1))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    cancelled.set()
    await until_no_thread_is_left()
    assert (begun, failed) == ([], [])


def test_the_end_of_the_process_does_not_wait_for_it():
    program = (
        "import asyncio, time\n"
        "from auditor.loop.apart import apart\n"
        "async def main():\n"
        "    task = asyncio.create_task(apart(time.sleep, 600))\n"
        "    await asyncio.sleep(0.1)\n"
        "    print('leaving', flush=True)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")
