"""Fails a test in which the event loop was held up for too long: nothing may hold up Leases and signals."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator

import pytest

from auditor.loop.collections import brief_collections
from auditor.loop.watchdog import BOUND, Watchdog

LIMIT = 2 * BOUND
"""Seconds that the loop's own thread computes, or garbage is collected, without a turn in between. On a machine that is
busy with other things the same work takes twice as long.
"""


@pytest.fixture
async def _watched() -> AsyncIterator[None]:
    with brief_collections(), Watchdog() as watchdog:
        yield
    block = watchdog.heaviest
    if block.held > LIMIT:
        pytest.fail(f"the event loop was held up for {block.held:.2f} s; limit {LIMIT:g} s: {block}")


@pytest.fixture(autouse=True)
def watched_loop(request: pytest.FixtureRequest) -> None:
    """Watch the loop of every test that runs in one."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_watched")
