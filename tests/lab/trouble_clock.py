"""The auditor's own agent on a machine whose clock is wrong: at one address, as the environment says.

``TROUBLE_CLOCK`` is ``ADDRESS KIND AMOUNT AFTER``: the agent that holds ADDRESS has a clock that is AMOUNT seconds off
from the start (``off``), runs AMOUNT times as fast (``rate``), or jumps by AMOUNT seconds, AFTER that many (``jumps``).
"""

from __future__ import annotations

import os
import time

from probes import agent

SETTING = "TROUBLE_CLOCK"


class WrongClock:
    """What ``time`` is to the agent."""

    def __init__(self, kind: str, amount: float, after: float) -> None:
        self._kind, self._amount, self._after = kind, amount, after
        self._began = time.monotonic()

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)

    def _shifted(self, now: float) -> float:
        passed = time.monotonic() - self._began
        if self._kind == "rate":
            return now + passed * (self._amount - 1)
        return now + (self._amount if self._kind == "off" or passed > self._after else 0.0)

    def monotonic(self) -> float:
        return self._shifted(time.monotonic())

    def time(self) -> float:
        return self._shifted(time.time())


def serve(read_fd: int, write_fd: int) -> int:
    address, kind, amount, after = os.environ.get(SETTING, "- off 0 0").split()
    if address != "-" and agent.is_assigned(address):
        agent.time = WrongClock(kind, float(amount), float(after))
    return agent.serve(read_fd, write_fd)
