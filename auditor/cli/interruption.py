"""Ctrl-C, SIGTERM and SIGHUP during a run: the run is cancelled, cleans up after itself, and only then do we end.

The handlers are Python's own and not the event loop's: those are gone as soon as the loop is, and a second Ctrl-C a
moment later would end us by the signal instead of with our exit code.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

import click

from auditor.loop.watchdog import Watchdog
from auditor.report.lines import say_aside

Result = TypeVar("Result")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

LEAVES_NOTHING = "leaves nothing behind either"
LEAVES_PODS = (
    "would leave its probe pods there: they end by their deadline, and 'audit cleanup' removes them from half a minute "
    "later on"
)
LEAVES_CONTAINERS = (
    "would leave its ephemeral containers running until their deadline, and its Leases, which 'audit cleanup' removes "
    "from half a minute later on"
)
LEAVES_NAMESPACES = (
    "would leave its namespaces netpol-conf-... there; 'audit cleanup' removes them from half a minute later on"
)
LEAVES_THE_REST = "would leave the rest for another 'audit cleanup'"


def run_interruptibly(work: Coroutine[Any, Any, Result], after_kill: str = LEAVES_NOTHING) -> Result:
    """Run ``work`` to its end in an event loop of its own.

    The first signal cancels it; further ones, while it cleans up, only say so, and with ``after_kill`` what kill -9
    would do. Raises KeyboardInterrupt once an interrupted run has ended.
    """
    interruption = _Interruption(after_kill)
    handlers = {number: handler for number in SIGNALS if (handler := signal.getsignal(number)) is not signal.SIG_IGN}
    try:
        for number in handlers:
            signal.signal(number, interruption.on_signal)
        return asyncio.run(interruption.watch(work))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class _Interruption:
    """What signals do to one run."""

    def __init__(self, after_kill: str) -> None:
        self._after_kill = after_kill
        self._early = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    async def watch(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run ``work`` as the task that signals cancel."""
        task: asyncio.Task[Result] = asyncio.create_task(work)
        self._task = task
        self._loop = asyncio.get_running_loop()
        if self._early:
            self._interrupt(task)
        with _watching():
            return await task

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Interrupts whatever the loop is doing, so it only leaves word there."""
        if self._loop is None or self._task is None:
            self._early = True
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._interrupt, self._task)

    def _interrupt(self, task: asyncio.Task[Any]) -> None:
        if task.done():
            return
        if not task.cancelling():
            task.cancel()
            say_aside("cleaning up ...")
        else:
            say_aside(f"still cleaning up; kill -9 {os.getpid()} {self._after_kill}")


@contextmanager
def _watching() -> Iterator[None]:
    """With --debug, report each time the loop had no turn, and at the end the longest."""
    context = click.get_current_context(silent=True)
    if context is None or not context.find_root().params.get("debug"):
        yield
        return
    with Watchdog(lambda block: say_aside(f"debug: {block}")) as watchdog:
        yield
    say_aside(f"debug: at most, the event loop was {watchdog.longest}")
    say_aside(f"debug: at most, its own thread or a garbage collection held it up for {watchdog.heaviest.held:.3f} s")
