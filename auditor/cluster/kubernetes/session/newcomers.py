"""Probe pods that come while the others are there already: only they can be told at their creation whom to try, so only
they show what is open from a pod's first moment on.

What a newcomer sends, its first process tries from its start on. What it receives, a pod that was there before tries as
soon as the newcomer's address is known. Both are handshakes alone, and need no key. All times are those since the
newcomer's start; where two clocks meet, what was open is never said to have been so for longer than it was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from auditor.cluster.kubernetes.client.exec import ExecStream
from auditor.cluster.kubernetes.session.first_tries import ASK, KNOCK, Told, as_arguments, read_told
from auditor.model.addresses import IPAddress
from auditor.model.errors import ClusterError
from auditor.model.probe_pod import AfterStart, Newcomer
from auditor.model.snapshot import Endpoint
from auditor.model.verdict import Cell

ASK_SECONDS = 10.0
PAUSE = 0.2
CLOSED_SECONDS = 1.0
"""How long what was open must have been closed until it is no longer waited for."""
TRIED_SECONDS = 0.35
"""How long something is tried at least: longer than one try may take."""

Run = Callable[[str, Sequence[str]], Awaitable[ExecStream]]
"""Starts a process in the pod of the endpoint with this name."""


class _Asked(NamedTuple):
    """What a process told that was asked between two moments, by ``time.monotonic``."""

    told: Told
    before: float
    after: float


class _Knocking:
    """A process in a pod that was there before, which tries a newcomer."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells = cells
        self.latest: _Asked | None = None

    async def run(self, start: Awaitable[ExecStream]) -> None:
        """Take in what it says until cancelled, or it ends."""
        before = time.monotonic()
        with suppress(ClusterError, OSError):
            stream = await start
            try:
                while line := await stream.receive():
                    told = read_told(line, len(self.cells))
                    if told is not None:
                        # It was started after ``before``, and what it has seen was before this line came.
                        self.latest = _Asked(told, before, time.monotonic())
            finally:
                await stream.close()


class NewcomerWatch:
    """What is tried at and by one ``newcomer``; ``run`` and ``knock`` start processes in it and in pods that were
    there before.
    """

    def __init__(self, newcomer: Newcomer, pod: Endpoint, run: Run, knock: Run) -> None:
        self._newcomer = newcomer
        self._pod = pod
        self._run = run
        self._knock = knock
        self.sends: dict[Cell, AfterStart] = {}
        self.receives: dict[Cell, AfterStart] = {}

    async def until_closed(self, seconds: float) -> None:
        """Look on until all has been closed for a while, at most so many ``seconds``; ``sends`` and ``receives`` then
        have what was seen.
        """
        knocking = [_Knocking(cells) for cells in self._by_source().values()]
        tasks = [asyncio.create_task(one.run(self._start_knocking(one.cells))) for one in knocking]
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._settle(knocking)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _settle(self, knocking: Sequence[_Knocking]) -> None:
        while not await self._is_settled(knocking):  # noqa: ASYNC110 - somebody else's doing
            await asyncio.sleep(PAUSE)

    def _by_source(self) -> Mapping[str, list[Cell]]:
        found: dict[str, list[Cell]] = {}
        for cell in self._newcomer.receives:
            if any(address.version == cell.family.value for address in self._pod.addresses):
                found.setdefault(cell.source, []).append(cell)
        return found

    async def _start_knocking(self, cells: Sequence[Cell]) -> ExecStream:
        targets = [(self._address(cell), cell.port) for cell in cells]
        return await self._knock(cells[0].source, ("python3", "-ISc", KNOCK, *as_arguments(targets)))

    def _address(self, cell: Cell) -> IPAddress:
        return next(address for address in self._pod.addresses if address.version == cell.family.value)

    async def _is_settled(self, knocking: Sequence[_Knocking]) -> bool:
        """Ask the newcomer, and whether nothing has been open lately."""
        asked = await self._ask()
        if asked is None:
            return False
        self.sends = dict(zip(self._newcomer.sends, asked.told.tries, strict=True))
        for one in knocking:
            if one.latest is not None:
                seen = [_by_newcomers_clock(each, one.latest, asked) for each in one.latest.told.tries]
                self.receives |= dict(zip(one.cells, seen, strict=True))
        known = [*self.sends.values(), *self.receives.values()]
        every = len(self._newcomer.sends) + sum(len(one.cells) for one in knocking)
        return len(known) == every and all(map(_is_closed, known))

    async def _ask(self) -> _Asked | None:
        """What the newcomer has seen so far; None where it can't be asked."""
        before = time.monotonic()
        with suppress(ClusterError, OSError, TimeoutError):
            async with asyncio.timeout(ASK_SECONDS):
                stream = await self._run(self._newcomer.like, ("python3", "-ISc", ASK))
                try:
                    told = read_told(await stream.receive(), len(self._newcomer.sends))
                finally:
                    await stream.close()
            return None if told is None else _Asked(told, before, time.monotonic())
        return None


def _by_newcomers_clock(one: AfterStart, knocking: _Asked, newcomer: _Asked) -> AfterStart:
    """What a pod that was there before saw, in seconds since the newcomer's start."""
    earliest, latest = newcomer.before - newcomer.told.age, newcomer.after - newcomer.told.age
    began = knocking.after - (knocking.told.age - one.began) - earliest
    until = None if one.open_until is None else max(0.0, knocking.before + one.open_until - latest)
    age = max(knocking.before + knocking.told.age - latest, began, until or 0.0)
    return AfterStart(age, began, until)


def _is_closed(one: AfterStart) -> bool:
    if one.open_until is None:
        return one.age - one.began >= TRIED_SECONDS
    return one.age - one.open_until >= CLOSED_SECONDS
