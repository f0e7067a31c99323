"""Timing whole processes and pieces of code, in turns, so that a ratio holds when the machine's speed drifts."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence

ROUNDS = 5
INSTALLED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""The environment of processes that are measured: what is installed has been compiled once, and not for each run."""


def wall(action: Callable[[], object]) -> float:
    """Seconds that ``action`` takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def process(command: Sequence[str]) -> Callable[[], object]:
    """An action that runs ``command`` and throws its output away; it must succeed."""
    return lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=INSTALLED)


def measured(command: Sequence[str]) -> tuple[float, float, int]:
    """Seconds of processor (other work on the machine counts little so), MiB at most and exit code of ``command``."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=INSTALLED)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, child.returncode


def in_turns(*actions: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """The median seconds of each action, run A B A B … after one round that doesn't count."""
    times: list[list[float]] = [[] for _ in actions]
    for number in range(rounds + 1):
        for action, taken in zip(actions, times, strict=True):
            seconds = wall(action)
            if number:
                taken.append(seconds)
    return [statistics.median(taken) for taken in times]


def say(what: str, figure: str, against: str = "") -> None:
    """Print one result."""
    print(f"{what:<68} {figure:>14}   {against}", flush=True)
