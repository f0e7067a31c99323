"""When the next request may start: ``--qps`` a second, after a rest a burst at once, and what is urgent before
everything else.
"""

from __future__ import annotations

import asyncio
from collections import deque

BURST_SECONDS = 2.0
"""How many seconds' worth of requests may start together after a rest (kubectl itself: 6 s, 300 requests at 50 per
second).
"""


class Turns:
    """Hands out at most ``qps`` turns a second."""

    def __init__(self, qps: float) -> None:
        self._step = 1 / qps
        self._next = float("-inf")
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, *, urgent: bool = False) -> None:
        """Wait for a turn. Whoever is cancelled meanwhile leaves theirs to the next."""
        turn = asyncio.get_running_loop().create_future()
        (self._urgent if urgent else self._others).append(turn)
        self._hand_out()
        await turn

    def _hand_out(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._next = max(self._next, now - max(0.0, BURST_SECONDS - self._step))
        while self._first() is not None and self._next <= now:
            (self._urgent or self._others).popleft().set_result(None)
            self._next += self._step
        if self._first() is not None and self._timer is None:
            self._timer = loop.call_at(self._next, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        self._hand_out()

    def _first(self) -> asyncio.Future[None] | None:
        """Whose turn is next; those who no longer wait are forgotten."""
        for waiting in (self._urgent, self._others):
            while waiting and waiting[0].done():
                waiting.popleft()
        return next((waiting[0] for waiting in (self._urgent, self._others) if waiting), None)
