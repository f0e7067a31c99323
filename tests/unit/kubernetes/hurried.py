"""An event loop in which time passes as soon as everybody waits: minutes of pauses are over at once, and always in the
same order.
"""

from __future__ import annotations

import asyncio
import selectors


class _Hurry(selectors.DefaultSelector):
    """Waits for nothing but files that are ready now; what it was to wait, passes."""

    def __init__(self):
        super().__init__()
        self.now = 1000.0

    def select(self, timeout=None):
        assert timeout is not None, "everybody waits for ever"
        self.now += max(0.0, timeout)
        return super().select(0)


class HurriedLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self._hurry = _Hurry()
        super().__init__(self._hurry)

    def time(self):
        return self._hurry.now


def hurried(work):
    """The result of the coroutine ``work`` in such a loop."""
    loop = HurriedLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
