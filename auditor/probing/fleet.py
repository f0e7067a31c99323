"""All agents of one run: started together, fired together, and closed together however the run ends.

Agents work concurrently and each request goes to all of them at once. An agent that could not be started, or that ends, leaves its seat
with a reason in place of results.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from auditor.model.errors import AuditError
from auditor.probing.batches import Aim, Batch
from auditor.probing.options import ProbingOptions, Progress
from auditor.probing.seats import AgentChannel, Seat
from auditor.probing.session import AgentSession
from auditor.probing.tries import Answer, Listener, Shot, Try

OPEN_SECONDS = 60.0
OPEN_AT_ONCE = 32
LEAST_WINDOW = 4

Volley = Sequence[tuple[str, Aim]]
"""Attempts, each with the name of the seat that makes it."""


class Fleet:
    """The agents at ``seats``; enter it to start them, leave it to end them."""

    def __init__(
        self, seats: Sequence[Seat], open_channel: Callable[[Seat], Awaitable[AgentChannel]], options: ProbingOptions, progress: Progress
    ) -> None:
        self._seats = seats
        self._open_channel = open_channel
        self._options = options
        self._progress = progress
        self._sessions: dict[str, AgentSession] = {}
        self._never_started: dict[str, str] = {}
        self._gate = asyncio.Semaphore(OPEN_AT_ONCE)
        self._run = secrets.token_hex(4)
        self.attempts = 0
        self.slowest = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Close every channel, also if cancelled again meanwhile; each has a bounded time for it."""
        closing = asyncio.gather(*(session.close() for session in self._sessions.values()))
        cancelled = False
        while not closing.done():
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled and error is None:
            raise asyncio.CancelledError

    async def start(self, listeners: Mapping[str, Sequence[Listener]]) -> None:
        """Start every agent and have it listen on what ``listeners`` has for its seat."""
        async with asyncio.TaskGroup() as tasks:
            for seat in self._seats:
                tasks.create_task(self._start(seat, listeners.get(seat.name, ())))

    async def _start(self, seat: Seat, listeners: Sequence[Listener]) -> None:
        async with self._gate:
            try:
                async with asyncio.timeout(OPEN_SECONDS):
                    channel = await self._open_channel(seat)
            except TimeoutError:
                self._never_started[seat.name] = f"agent of {seat.name} did not start within {OPEN_SECONDS:g} s"
            except (AuditError, OSError) as error:
                self._never_started[seat.name] = f"agent of {seat.name} could not be started: {error}"
            else:
                session = self._sessions[seat.name] = AgentSession(seat, channel)
                await session.listen(self._run, listeners)
        self._progress.advance(1)

    @property
    def unbound(self) -> dict[Listener, str]:
        """The listeners that could not be opened, and why."""
        return {listener: reason for session in self._sessions.values() for listener, reason in session.unbound.items()}

    def ended(self, seat: str) -> str:
        """Why there is no agent at ``seat`` (any more); empty if there is one."""
        return self._sessions[seat].ended if seat in self._sessions else self._never_started.get(seat, f"no agent runs at {seat}")

    @property
    def failures(self) -> list[str]:
        """Why agents are missing, one line for each that is."""
        return [reason for seat in self._seats if (reason := self.ended(seat.name))]

    async def fire(self, volley: Volley, seconds: float) -> list[Try]:
        """Make every attempt, give each so many seconds, and return one try for each, in order."""
        tries: list[Try | None] = [None] * len(volley)
        by_seat: dict[str, list[int]] = defaultdict(list)
        for position, (seat, aim) in enumerate(volley):
            reason = self.ended(seat) or self.ended(aim.identity)
            if reason:
                tries[position] = Try(Answer.ERROR, reason)
                self._progress.advance(1)
            else:
                by_seat[seat].append(position)
        window = max(LEAST_WINDOW, self._options.window // max(1, len(by_seat)))
        self.slowest = 0.0
        async with asyncio.TaskGroup() as tasks:
            for number, (seat, positions) in enumerate(by_seat.items()):
                # Each starts somewhere else, or all sources would meet at one destination after the other.
                turn = number * len(positions) // len(by_seat)
                turned = positions[turn:] + positions[:turn]
                batch = Batch([volley[position][1] for position in turned], seconds, self._options.datagrams, window)
                tasks.create_task(self._fire(self._sessions[seat], batch, turned, tries))
        return [one for one in tries if one is not None]

    async def _fire(self, session: AgentSession, batch: Batch, positions: Sequence[int], tries: list[Try | None]) -> None:
        await session.run(batch, self._progress.advance)
        self.attempts += len(positions)
        self.slowest = max(self.slowest, batch.slowest)
        for position, one in zip(positions, batch.results(), strict=True):
            tries[position] = one

    async def arrivals(self, shots: Mapping[str, Sequence[Shot]]) -> dict[Shot, bool | None]:
        """For UDP attempts, listed by the seat they were aimed at, whether they arrived there; None where nobody can tell."""
        known: dict[Shot, bool | None] = {}
        async with asyncio.TaskGroup() as tasks:
            for seat, aimed in shots.items():
                if seat in self._sessions:
                    tasks.create_task(self._arrivals(self._sessions[seat], aimed, known))
        return known

    async def _arrivals(self, session: AgentSession, shots: Sequence[Shot], known: dict[Shot, bool | None]) -> None:
        arrived = await session.arrivals([shot.nonce for shot in shots])
        known.update((shot, arrived[shot.nonce]) for shot in shots)
