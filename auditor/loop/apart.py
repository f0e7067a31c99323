"""Pure work beside the event loop: Leases are renewed and signals heard while it lasts.

Each piece gets a thread of its own, which shares the interpreter with the loop and so slows it down by milliseconds,
but does not stop it (docs/adr/0014). Whoever no longer waits for a piece of work ends it, too: an exception is raised
inside its thread, the only way there is to stop work that knows nothing of loops. Threads are daemons: the process does
not wait for them at its end.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

THREAD_NAME = "apart"
AGAIN_AFTER = 0.1
LARGE = 2000
"""Attempts, say, up to which a thread costs more than it is worth."""


async def apart(work: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
    """What ``work`` returns for these arguments, or raises. It must touch nothing that the loop changes meanwhile.

    When the waiting is cancelled, it ends at once, and the work does at its next line of Python.
    """
    job = _Job(lambda: work(*args, **kwargs))
    try:
        return await job.result()
    finally:
        job.abandon()


async def apart_if_large(
    size: int, work: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """The same where the work would make the loop miss a turn; else at once."""
    return await apart(work, *args, **kwargs) if size > LARGE else work(*args, **kwargs)


class _AbandonedError(BaseException):
    """Raised inside the thread of a job that nobody waits for any more. No ``except Exception`` keeps it."""


class _Job(Generic[Result]):
    """One piece of work in a thread of its own. Its thread never touches the loop once it has been abandoned."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._lock = threading.Lock()
        self._told = self._begun = self._ended = False
        self._returned: list[Result] = []
        self._raised: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)

    async def result(self) -> Result:
        try:
            self._thread.start()
        except (
            RuntimeError
        ):  # the user may start no further thread: the loop waits then, which is better than no result
            return self._work()
        await self._over
        if self._raised is not None:
            raise self._raised
        return self._returned[0]

    def abandon(self) -> None:
        """End the work if it still goes on. The lock sees to it that its thread is the one that gets the exception,
        and no sooner than it is in our own code: Python's, which starts a thread, would leave it listed for good.

        What the garbage collector calls swallows exceptions, so one that has had no effect is followed by another.
        """
        with self._lock:
            self._told = True
            thread = self._thread.ident
            if thread is None or not self._begun or self._ended or not self._thread.is_alive():
                return
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_AbandonedError))
        if not self._loop.is_closed():
            self._loop.call_later(AGAIN_AFTER, self.abandon)

    def _run(self) -> None:
        with suppress(_AbandonedError):
            if not self._begin():
                return
            try:
                self._returned.append(self._work())
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                self._raised = error
            with self._lock:
                self._ended = True
                if not self._told:
                    self._loop.call_soon_threadsafe(self._tell)

    def _begin(self) -> bool:
        """Whether anybody still waits for the work."""
        with self._lock:
            self._begun = not self._told
            return self._begun

    def _tell(self) -> None:
        if not self._over.done():
            self._over.set_result(None)
