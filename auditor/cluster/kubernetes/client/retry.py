"""When a request goes out: its turn, and after a failure whether it is sent again, and after which pause.

Turns are ``--qps`` a second, after a rest a burst at once, and what is urgent goes before everything else.

Retrying stands apart from the sending, so that requests and watches outlast the same things. What is never tried again:
refusals, silence, and whatever could do a thing twice. A lost answer is none of these: Kubernetes names its objects and
counts their versions, so a second create or update is refused with a conflict, which shows that there was a first one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Protocol

import aiohttp

from auditor.cluster.kubernetes.client.config import Connection
from auditor.cluster.kubernetes.client.errors import ConflictError, Question, refusal, unreachable

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


ATTEMPTS = 4
"""How often one thing is asked before we say that it can't be had."""
FIRST_PAUSE, LONGEST_PAUSE, PATIENT_PAUSE = 0.25, 8.0, 1.0
LATER = frozenset({429, 500, 502, 503, 504})
JUST_STARTED = LATER | {401, 403}
"""What an API server that has just come up may say of anybody, before it has read its own rules."""
BROKEN = (aiohttp.ServerConnectionError, aiohttp.ClientPayloadError, aiohttp.ClientOSError, ConnectionResetError)


class Server(Protocol):
    """What is known of the server that is asked: how to name it, and whether it has been in trouble of late."""

    patience: float
    first_pause: float
    connection: Connection

    @property
    def place(self) -> str:
        """Which server it is, for messages."""

    def note_failure(self) -> None:
        """Take note that a connection failed just now."""

    def is_disturbed(self) -> bool:
        """Whether one has failed of late."""


class Tries:
    """One request's failures so far. After each one: the seconds to wait before the next try, or the error that ends
    them.
    """

    def __init__(self, api: Server, method: str, question: Question, *, repeatable: bool = True) -> None:
        self._api = api
        self._question = question
        self._reads = method in {"GET", "DELETE"}
        self._repeatable = repeatable
        self._lost = False
        self._attempt = 1
        self._pause = api.first_pause
        self._failing_since: float | None = None

    def after_failure(self, error: Exception) -> float:
        unsent = isinstance(error, aiohttp.ClientConnectorError) and not isinstance(
            error, aiohttp.ClientConnectorCertificateError
        )
        lost = isinstance(error, BROKEN) and not isinstance(error, (aiohttp.ClientConnectorError, TimeoutError))
        end = unreachable(self._api.place, self._question, error, self._api.connection.options.request_timeout)
        if not unsent and not (lost and self._repeatable):
            raise end from error
        self._lost |= lost
        self._api.note_failure()
        if self._is_patient():
            return min(self._next_pause(), PATIENT_PAUSE)
        if unsent or self._attempt == ATTEMPTS:
            raise end from error
        self._attempt += 1
        return self._next_pause()

    def after_refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> float:
        undone = self._reads or status < 500 or (status == 503 and "Retry-After" in headers)
        may_repeat = undone or self._repeatable
        disturbed = self._api.is_disturbed() and status in JUST_STARTED
        later = status in LATER and self._attempt < ATTEMPTS and (undone or status != 500)
        if not may_repeat or not (disturbed or later):
            end = refusal(self._api.place, self._question, status, body, self._attempt)
            if isinstance(end, ConflictError):
                end.after_lost_answer = self._lost
            raise end
        self._lost |= not undone
        if disturbed:
            return min(self._next_pause(), PATIENT_PAUSE)
        self._attempt += 1
        self._pause = max(self._pause, retry_after(headers))
        return self._next_pause()

    def _is_patient(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._failing_since is None:
            self._failing_since = now
        return now - self._failing_since < self._api.patience

    def _next_pause(self) -> float:
        pause = min(self._pause, LONGEST_PAUSE)
        self._pause *= 2
        return pause


def retry_after(headers: Mapping[str, str]) -> float:
    """The pause in seconds that the server asks for; 0 when it doesn't."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0
