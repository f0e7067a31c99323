"""Ctrl-C, SIGTERM and SIGHUP during a run: the run is cancelled, cleans up after itself, and only then do we end.

The handlers are Python's own and not the event loop's: those are gone as soon as the loop is, and a second Ctrl-C a moment later would
end us by the signal instead of with our exit code.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

from auditor.report.lines import say_aside

Result = TypeVar("Result")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_interruptibly(work: Coroutine[Any, Any, Result]) -> Result:
    """Run ``work`` to its end in an event loop of its own.

    The first signal cancels it; further ones, while it cleans up, only say so. Raises KeyboardInterrupt once an interrupted run has ended.
    """
    interruption = _Interruption()
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

    def __init__(self) -> None:
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
        return await task

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Interrupts whatever the loop is doing, so it only leaves word there."""
        if self._loop is None or self._task is None:
            self._early = True
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._interrupt, self._task)

    @staticmethod
    def _interrupt(task: asyncio.Task[Any]) -> None:
        if task.done():
            return
        if not task.cancelling():
            task.cancel()
            say_aside("cleaning up ...")
        else:
            say_aside(f"still cleaning up; kill -9 {os.getpid()} leaves nothing behind either")
