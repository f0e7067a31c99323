"""Ctrl-C and SIGTERM during a run: the run is cancelled, cleans up after itself, and only then do we end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

Result = TypeVar("Result")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_interruptibly(work: Coroutine[Any, Any, Result]) -> Result:
    """Run ``work`` to its end in an event loop of its own.

    The first signal cancels it; further ones, while it cleans up, only say so. Raises KeyboardInterrupt once an interrupted run has ended.
    """
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        return asyncio.run(_watched(work))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


async def _watched(work: Coroutine[Any, Any, Result]) -> Result:
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, _interrupt, task)
    return await task


def _interrupt(task: asyncio.Task[Any]) -> None:
    if task.done():
        return
    if not task.cancelling():
        task.cancel()
        click.echo("cleaning up ...", err=True)
    else:
        click.echo(f"still cleaning up; kill -9 {os.getpid()} leaves nothing behind either", err=True)
