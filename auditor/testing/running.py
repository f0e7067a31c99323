"""Asynchronous work from synchronous tests, wherever these run: inside of an event loop, too."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from threading import Thread
from typing import Any, TypeVar

Result = TypeVar("Result")
TRIES = 30
"""Seconds for a thread to begin, on a machine that is very busy."""


def run_to_end(work: Coroutine[Any, Any, Result]) -> Result:
    """What ``work`` gives, run in a thread and event loop of its own.

    An interrupt (Ctrl-C) cancels it, and is raised again once it has cleaned up.
    """
    done: Future[Result] = Future()
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Result]]] = Future()

    async def watched() -> Result:
        task = asyncio.create_task(work)
        begun.set_result((asyncio.get_running_loop(), task))
        return await task

    def run() -> None:
        try:
            done.set_result(asyncio.run(watched()))
        except BaseException as error:  # noqa: BLE001 - handed on to the caller's thread
            done.set_exception(error)

    thread = Thread(target=run, name="netpol-audit", daemon=False)
    try:
        thread.start()  # which may be interrupted, too, when the thread runs already
        while not done.done():  # a signal that another thread got is noticed in between
            wait([done], timeout=0.2)
        return done.result()
    except KeyboardInterrupt:
        _cancel(begun)
        raise
    finally:
        _wait_for(thread)


def _cancel(begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Result]]]) -> None:
    """Cancel the task as soon as it is there, through further interrupts; nothing to do where it never begins."""
    for _ in range(TRIES):
        with suppress(KeyboardInterrupt, TimeoutError):
            loop, task = begun.result(timeout=1)
            with suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(task.cancel)
            return


@contextmanager
def entered(manager: AbstractAsyncContextManager[object]) -> Iterator[None]:
    """``manager`` entered in a thread and event loop of its own, where its tasks go on while the block runs."""
    there: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    gone: Future[None] = Future()

    async def stay() -> None:
        leave = asyncio.Event()
        async with manager:
            there.set_result((asyncio.get_running_loop(), leave))
            await leave.wait()

    def run() -> None:
        try:
            asyncio.run(stay())
        except BaseException as error:  # noqa: BLE001 - handed on to the caller's thread
            (gone if there.done() else there).set_exception(error)
        else:
            gone.set_result(None)

    thread = Thread(target=run, name="netpol-audit", daemon=False)
    try:
        thread.start()
        loop, leave = there.result()
    except BaseException:
        _leave_when_there(there)
        _wait_for(thread)
        raise
    try:
        yield
    finally:
        loop.call_soon_threadsafe(leave.set)
        _wait_for(thread)
    gone.result()


def _leave_when_there(there: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    """Have it left as soon as it is entered: nobody waits for it any more."""

    def leave(done: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
        if done.exception() is None:
            loop, event = done.result()
            loop.call_soon_threadsafe(event.set)

    there.add_done_callback(leave)


def _wait_for(thread: Thread) -> None:
    """Wait, through further interrupts: what cleans up is bounded in time."""
    while thread.is_alive():
        try:
            thread.join()
        except KeyboardInterrupt:
            continue
