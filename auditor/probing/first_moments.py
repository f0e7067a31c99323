"""What goes on beside the probing at pods that come meanwhile, and what is said of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from auditor.model.errors import ClusterError
from auditor.model.probe_pod import FirstMoments
from auditor.model.verdict import Cell
from auditor.model.words import pluralize


async def no_newcomers() -> FirstMoments:
    """None comes."""
    return FirstMoments()


@asynccontextmanager
async def going_on(first_moments: Callable[[], Awaitable[FirstMoments]]) -> AsyncIterator[asyncio.Task[FirstMoments]]:
    """``first_moments`` on its way; it ends with this context. That the cluster fails under it says nothing of pods."""

    async def look() -> FirstMoments:
        seen = FirstMoments()
        with suppress(ClusterError):
            seen = await first_moments()
        return seen

    task = asyncio.create_task(look())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def open_at_first(seen: FirstMoments) -> dict[Cell, float]:
    """How many seconds after their start newcomers still found open what should be closed."""
    return {
        cell: one.open_until
        for ways in (seen.sends, seen.receives)
        for cell, one in ways.items()
        if one.open_until is not None
    }


def told_of_newcomers(seen: FirstMoments) -> str:
    """From when on newcomers tried what should be closed, and until when it was open; empty where none did."""
    ways = [
        f"what {they} from {max(one.began for one in tries.values()):.1f} s"
        for they, tries in (("they send", seen.sends), ("they receive", seen.receives))
        if tries
    ]
    if not ways:
        return ""
    pods = pluralize(seen.pods, "further probe pod")
    opened = max(open_at_first(seen).values(), default=None)
    found = "all of it was closed" if opened is None else f"some of it was open for up to {opened:.1f} s"
    return f"{pods} came later, to be tried from the start on ({' and '.join(ways)} after it): {found}"
