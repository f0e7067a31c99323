"""All agents of one run: started together, fired together, and closed together however the run ends.

Agents work concurrently and each request goes to all of them at once. An agent that could not be started, or that ends, leaves its seat
with a reason in place of results. After each volley the destinations that did not answer everything are asked whether they were there all
the time (see ``auditor.probing.disruptions``): one request for each, however many attempts there were.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from auditor.model.snapshot import IPAddress
from auditor.model.words import counted
from auditor.probing.attempts import Answer, Arrival, Listener, Shot, Try, by_way_of
from auditor.probing.batches import Aim, Attempt, Batch, Loss
from auditor.probing.disruptions import Excuse, excuses, questionable, taken_back
from auditor.probing.keys import RunKey
from auditor.probing.options import ProbingOptions, Progress
from auditor.probing.sites import AgentChannel, Seat
from auditor.probing.supervised_agent import Post

OPEN_AT_ONCE = 32
LOSS_SECONDS = 1.0
"""How long attempts must last for loss to show: TCP sends again after a second, and what is sent again sooner may merely be slow."""
LOSS_LAG = 0.1
"""Seconds for which an agent may have had no turn where what was sent again counts as lost."""
LEAST_WINDOW = 4

Volley = Sequence[Attempt]


class Fleet:
    """The agents at ``seats``; enter it, start them, leave it to end them."""

    def __init__(
        self,
        seats: Sequence[Seat],
        open_channel: Callable[[Seat], Awaitable[AgentChannel]],
        options: ProbingOptions,
        progress: Progress,
        translators: Iterable[IPAddress] = (),
    ) -> None:
        run = RunKey.draw(seat.name for seat in seats)
        self._translators = frozenset(map(str, translators))
        self._posts = {seat.name: Post(seat, open_channel, run) for seat in seats}
        self._options = options
        self._progress = progress
        self._gate = asyncio.Semaphore(OPEN_AT_ONCE)
        self._volleys = 0
        self._fired_in: dict[str, int] = {}
        self._reopened_in: dict[str, int] = {}
        self._losses: dict[str, Loss] = {}
        self._lost_now: dict[str, Loss] = {}
        self._overruns: Counter[tuple[str, str]] = Counter()
        self.attempts = 0
        self.slowest = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Close every channel, also if cancelled again meanwhile; each has a bounded time for it."""
        closing = asyncio.gather(*(post.close() for post in self._posts.values()))
        cancelled = False
        while not closing.done():
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled and error is None:
            raise asyncio.CancelledError

    async def start(self, listeners: Mapping[str, Sequence[Listener]], proofs: Volley, seconds: float) -> list[Try]:
        """Start every agent and have it listen on what ``listeners`` has for its seat.

        ``proofs`` are attempts that agents make at their own seats: each as soon as it listens, without waiting for the others and
        without a further round trip. One try for each comes back, in order.
        """
        tries: list[Try | None] = [None] * len(proofs)
        by_seat: dict[str, list[int]] = defaultdict(list)
        for position, attempt in enumerate(proofs):
            by_seat[attempt.source].append(position)

        async def start(post: Post) -> None:
            positions = by_seat[post.seat.name]
            batch = self._batch([proofs[position].aim for position in positions], seconds, len(self._posts))
            async with self._gate:
                await post.start(listeners.get(post.seat.name, ()), batch)
            self._progress.advance(1)
            await self._fire(post, batch, positions, tries)

        await _together(start(post) for post in self._posts.values())
        return [one for one in tries if one is not None]

    @property
    def size(self) -> int:
        """How many agents there are to be."""
        return len(self._posts)

    @property
    def unbound(self) -> dict[Listener, str]:
        """The listeners that could not be opened, and why."""
        sessions = [post.session for post in self._posts.values() if post.session]
        return {listener: reason for session in sessions for listener, reason in session.unbound.items()}

    def ended(self, seat: str) -> str:
        """Why there is no agent at ``seat`` and will be none; empty if there is one, or may yet be."""
        return self._posts[seat].ended if seat in self._posts else f"no agent runs at {seat}"

    @property
    def facts(self) -> list[str]:
        """Why agents are missing, and which had to be started anew, one line for each."""
        posts = self._posts.values()
        anew = [f"the stream to the agent of {post.seat.name} broke {counted(post.reopened, 'time')}" for post in posts if post.reopened]
        lacks = [f"{seat} had no room for {counted(number, what)}" for (seat, what), number in self._overruns.items()]
        again = "silence meanwhile was tried again"
        return [
            *(reason for post in posts if (reason := post.ended)),
            *(f"{line}: it was started anew" for line in anew),
            *(f"{line} that somebody sent it: {again}" for line in lacks),
        ]

    @property
    def losses(self) -> Collection[Loss]:
        """What each agent had to send in vain so far."""
        return self._losses.values()

    async def fire(self, volley: Volley, seconds: float) -> list[Try]:
        """Make every attempt, give each so many seconds, and return one try for each, in order."""
        concerned = {attempt.source for attempt in volley} | {attempt.destination for attempt in volley}
        await _together(self._reopen(post) for name, post in self._posts.items() if name in concerned and post.lost)
        before = {name: post.reopened for name, post in self._posts.items()}
        self._volleys += 1
        tries: list[Try | None] = [None] * len(volley)
        by_seat: dict[str, list[int]] = defaultdict(list)
        for position, attempt in enumerate(volley):
            reason = self._gone(attempt)
            if reason:
                tries[position] = Try(Answer.ERROR, reason)
                self._progress.advance(1)
            else:
                by_seat[attempt.source].append(position)
        self.slowest = 0.0
        self._lost_now = {}

        async def fire(number: int, seat: str, positions: list[int]) -> None:
            # Each starts somewhere else, or all sources would meet at one destination after the other.
            turn = number * len(positions) // len(by_seat)
            turned = positions[turn:] + positions[:turn]
            batch = self._batch([volley[position].aim for position in turned], seconds, len(by_seat))
            await self._fire(self._posts[seat], batch, turned, tries)

        await _together(fire(number, *entry) for number, entry in enumerate(by_seat.items()))
        fired = [one for one in tries if one is not None]
        losing = any(loss.lost for loss in self._lost_now.values())
        asked = questionable(volley, fired) | (concerned & self._posts.keys() if losing else set())
        excuses_found, lag = await self._excuses(asked, before, seconds)
        if seconds >= LOSS_SECONDS and lag <= LOSS_LAG:
            self._note_losses()
        return taken_back(volley, fired, excuses_found)

    def _note_losses(self) -> None:
        for name, (sent, lost) in self._lost_now.items():
            before = self._losses.get(name, Loss())
            self._losses[name] = Loss(before.sent + sent, before.lost + lost)

    def _gone(self, attempt: Attempt) -> str:
        """Why an attempt can't be made, or not be answered, for want of an agent."""
        needed = (attempt.source,) if attempt.aim.identity is None else (attempt.source, attempt.destination)
        return next((gone for seat in needed if (gone := self._posts[seat].gone)), "")

    def _batch(self, aims: Sequence[Aim], seconds: float, agents: int) -> Batch:
        return Batch(aims, seconds, self._options.datagrams, max(LEAST_WINDOW, self._options.window // max(1, agents)))

    async def _fire(self, post: Post, batch: Batch, positions: Sequence[int], tries: list[Try | None]) -> None:
        before = post.reopened
        results = await post.fire(batch, self._progress.advance)
        self.attempts += len(positions)
        self.slowest = max(self.slowest, batch.slowest)
        self._lost_now[post.seat.name] = batch.loss
        if post.reopened != before:
            self._reopened_in[post.seat.name] = self._volleys
        for position, one in zip(positions, results, strict=True):
            tries[position] = by_way_of(one.seen, one) if one.seen and one.seen not in self._translators else one
            if one.shot:
                self._fired_in[one.shot.batch] = self._volleys

    async def _reopen(self, post: Post) -> None:
        await post.reopen()
        self._reopened_in[post.seat.name] = self._volleys

    async def _excuses(self, seats: Iterable[str], before: Mapping[str, int], seconds: float) -> tuple[dict[str, list[Excuse]], float]:
        """For those of ``seats`` whose agents were gone or not well meanwhile, what that explains; and the longest lag, in seconds."""
        found: dict[str, list[Excuse]] = {}
        lags = [0.0]

        async def ask(post: Post) -> None:
            name, health = post.seat.name, await post.session.health() if post.session else None
            if health:
                lags.append(health.lag)
                self._overruns.update({(name, "datagram"): health.udp_overruns or 0, (name, "connection"): health.listen_overflows or 0})
            found[name] = list(excuses(name, gone=post.gone, restarted=post.reopened != before[name], health=health, timeout=seconds))

        await _together(ask(self._posts[seat]) for seat in seats)
        self._overruns = +self._overruns
        return found, max(lags)

    async def arrivals(self, shots: Mapping[str, Sequence[Shot]]) -> dict[Shot, Arrival]:
        """For UDP attempts, listed by the seat they were aimed at, whether they arrived there."""
        known: dict[Shot, Arrival] = {}

        async def ask(post: Post, aimed: Sequence[Shot]) -> None:
            since = self._reopened_in.get(post.seat.name, -1)
            arrived = await post.session.arrivals(aimed) if post.session else {}
            for shot in aimed:
                # An agent knows nothing of what arrived before its own time.
                there = arrived.get(shot)
                known[shot] = there if there or self._fired_in[shot.batch] > since else None

        await _together(ask(self._posts[seat], aimed) for seat, aimed in shots.items())
        return known


async def _together(jobs: Iterable[Coroutine[None, None, None]]) -> None:
    """Do all jobs at once. Raises ExceptionGroup when any of them fails, which cancels the others."""
    async with asyncio.TaskGroup() as tasks:
        for job in jobs:
            tasks.create_task(job)
