from __future__ import annotations

import asyncio
import gc
import time

import pytest

from auditor.loop.apart import apart
from auditor.loop.watchdog import BOUND, Watchdog


def compute(seconds):
    """Spends so much time of the processor, however busy the machine is."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


async def test_a_block_is_measured_told_and_found():
    told = []
    with Watchdog(told.append) as watchdog:
        await asyncio.sleep(0.05)
        compute(BOUND + 0.3)
        await asyncio.sleep(0.05)
    assert watchdog.longest.computing >= BOUND
    assert watchdog.longest in told
    assert watchdog.longest.where.endswith(", in compute")
    assert watchdog.longest.where.startswith("test_watchdog.py:")
    assert str(watchdog.longest).endswith(f"computing at {watchdog.longest.where}")


async def test_waiting_blocks_as_well_but_computes_nothing():
    told = []
    with Watchdog(told.append) as watchdog:
        await asyncio.sleep(0.05)
        time.sleep(BOUND + 0.3)  # noqa: ASYNC251 - as a look-up of a name does
        await asyncio.sleep(0.05)
    assert max(block.seconds for block in told) >= BOUND
    assert watchdog.longest.computing < BOUND


async def test_a_block_that_nothing_follows_counts():
    with Watchdog() as watchdog:
        await asyncio.sleep(0.05)
        compute(BOUND + 0.3)
    assert watchdog.longest.computing >= BOUND


async def test_work_apart_is_no_block():
    with Watchdog() as watchdog:
        await asyncio.sleep(0.05)
        await apart(compute, 0.6)
    assert watchdog.longest.computing < BOUND


@pytest.mark.slow
async def test_what_work_apart_computes_does_not_hold_up_the_loop_but_its_collections_do():
    def collect():
        kept = [[] for _ in range(500_000)]
        compute(0.3)
        for _ in range(4):
            gc.collect()
        return len(kept)

    with Watchdog() as watchdog:
        await asyncio.sleep(0.05)
        await apart(compute, 0.6)
        without = watchdog.heaviest.held
        await apart(collect)
    assert without < BOUND / 2
    assert watchdog.heaviest.held > 2 * without


async def test_what_holds_up_the_loop_is_what_its_own_thread_computes():
    before = list(gc.callbacks)  # other tests' tools have some, too
    with Watchdog() as watchdog:
        await asyncio.sleep(0.05)
        compute(BOUND + 0.3)
        await asyncio.sleep(0.05)
    assert watchdog.heaviest.held >= BOUND
    assert gc.callbacks == before
