"""How long an event loop goes without a turn, and what it does meanwhile.

A loop that computes renews no Lease and hears no signal. So under ``--debug`` and in tests a short timer of its own is
watched: how much too late it comes is how long the loop was blocked. Beside that time stands how long this process
computed within it: on a machine that is busy with other things, every process has to wait for its turn, and that is no
fault of the loop's. What work beside the loop computes counts there, too, since the loop may wait for the interpreter;
what the loop's own thread computed, and garbage collections, which stop all threads, are what it was held up by for
certain.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from auditor.loop.apart import THREAD_NAME

BOUND = 0.2
"""Seconds without a turn above which it is reported."""
TICK = 0.02
LOOK_EVERY = 0.05
OURS = Path(__file__).parents[1]
LIBRARIES = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]


@dataclass(frozen=True, slots=True)
class Block:
    """One time without a turn: ``seconds`` of it, in ``computing`` of which this process computed; ``where`` it was
    seen, if it was. For ``held`` seconds the loop's own thread computed, or garbage was collected.
    """

    seconds: float = 0.0
    computing: float = 0.0
    where: str = ""
    held: float = 0.0

    def __str__(self) -> str:
        where = f" at {self.where}" if self.where else ""
        return f"{self.seconds:.2f} s without a turn, {self.computing:.2f} s of it computing{where}"


class Watchdog:
    """Watches the running loop while entered. ``told`` gets each block longer than ``BOUND``, after it.

    ``longest`` is the one with most computing in it, ``heaviest`` the one that held up the loop the most.
    """

    def __init__(self, told: Callable[[Block], None] = lambda _: None) -> None:
        self.longest = self.heaviest = Block()
        self._told = told
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.get_ident()
        self._timer: asyncio.TimerHandle
        self._over = threading.Event()
        self._due = self._began = self._own = 0.0
        self._collecting = self._collected = 0.0
        self._where = ""

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        gc.callbacks.append(self._on_collection)
        self._wait()
        threading.Thread(target=self._look_on, name="watchdog", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._over.set()
        self._judge()
        gc.callbacks.remove(self._on_collection)

    def _wait(self) -> None:
        self._where = ""
        self._began, self._own, self._collected = time.process_time(), time.thread_time(), 0.0
        self._due = time.monotonic() + TICK
        self._timer = self._loop.call_later(TICK, self._tick)

    def _tick(self) -> None:
        self._judge()
        self._wait()

    def _judge(self) -> None:
        seconds = max(0.0, time.monotonic() - self._due)
        computing, held = time.process_time() - self._began, time.thread_time() - self._own + self._collected
        block = Block(seconds, min(seconds, computing), self._where, min(seconds, held))
        self.longest = max(self.longest, block, key=lambda each: each.computing)
        self.heaviest = max(self.heaviest, block, key=lambda each: each.held)
        if seconds > BOUND:
            self._told(block)

    def _on_collection(self, phase: str, _info: dict[str, int]) -> None:
        """Add up collections in other threads; those in the loop's own count with it."""
        if threading.get_ident() == self._thread:
            return
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            self._collected += time.thread_time() - self._collecting

    def _look_on(self) -> None:
        """Keep, while the loop is late, where it was seen first."""
        while not self._over.wait(LOOK_EVERY):
            if not self._where and time.monotonic() > self._due + LOOK_EVERY:
                self._where = _where(self._thread)


def _where(loop_thread: int) -> str:
    """What holds up the loop: its own thread, or one beside it that does not let go of the interpreter."""
    frames = sys._current_frames()  # noqa: SLF001 - the one way to see another thread's frames
    beside = [thread.ident for thread in threading.enumerate() if thread.name == THREAD_NAME]
    stacks = [stack for ident in (loop_thread, *beside) if (stack := list(_stack(frames.get(ident or 0))))]
    busy = next((stack for stack in stacks if Path(stack[0].f_code.co_filename).name != "selectors.py"), None)
    return "" if busy is None else _place(busy)


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _place(stack: list[FrameType]) -> str:
    """The innermost frame of this package or of its caller, and not of a library; of a library if there
    is no other.
    """
    own = (frame for frame in stack if _is_own(Path(frame.f_code.co_filename)))
    frame = next(own, stack[0])
    path = Path(frame.f_code.co_filename)
    shown = path.relative_to(OURS.parent) if OURS in path.parents else path.name
    return f"{shown}:{frame.f_lineno}, in {frame.f_code.co_name}"


def _is_own(path: Path) -> bool:
    if OURS in path.parents:
        return path.parent != Path(__file__).parent
    return path.is_absolute() and not any(library in path.parents for library in LIBRARIES)
