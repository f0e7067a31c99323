"""Work in a thread and loop of its own: results, errors, interrupts, and stays that last as long as a block."""

from __future__ import annotations

import _thread
import asyncio
from contextlib import asynccontextmanager
from threading import Thread

import pytest

from auditor.testing.running import entered, run_to_end


async def test_inside_of_a_running_loop():
    async def work():
        await asyncio.sleep(0)
        return 5

    assert run_to_end(work()) == 5


def test_an_interrupt_ends_the_work_by_way_of_its_clean_up():
    seen = []

    async def work():
        try:
            _thread.interrupt_main()
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            seen.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        run_to_end(work())
    assert seen == ["cleaned up"]


def test_an_interrupt_while_the_thread_starts_is_no_different(monkeypatch):
    seen = []

    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("cleaned up")

    class Interrupted(Thread):
        def start(self):
            super().start()
            raise KeyboardInterrupt

    monkeypatch.setattr("auditor.testing.running.Thread", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_to_end(work())
    assert seen == ["cleaned up"]


def stay(seen, *, entering=None, leaving=None):
    @asynccontextmanager
    async def manager():
        if entering is not None:
            raise entering
        seen.append("in")
        try:
            yield
        finally:
            seen.append("out")
        if leaving is not None:
            raise leaving

    return manager()


def test_a_stay_lasts_as_long_as_its_block():
    seen = []
    with entered(stay(seen)):
        assert seen == ["in"]
    assert seen == ["in", "out"]
    with pytest.raises(ValueError, match="mine"), entered(stay(seen)):
        raise ValueError("mine")
    assert seen == ["in", "out"] * 2


def test_what_goes_wrong_on_the_way_in_and_out_is_raised():
    with pytest.raises(OSError, match="no"), entered(stay([], entering=OSError("no"))):
        raise AssertionError
    with pytest.raises(OSError, match="stuck"), entered(stay([], leaving=OSError("stuck"))):
        pass
