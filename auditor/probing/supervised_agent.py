"""One site's agent for a whole run: started, listening, and started anew where only the stream to it broke.

A stream breaks for reasons that are not the agent's: an API server restarts, a connection is cut. Then the old agent
ends with its stream, and another one takes its place and makes the attempts that had no result yet. What that does to
verdicts is the agent pool's concern.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence

from auditor.model.errors import AuditError
from auditor.probing.attempts import AttemptResult, Listener
from auditor.probing.batches import Batch
from auditor.probing.keys import RunKey
from auditor.probing.session import AgentSession
from auditor.probing.sites import AgentChannel, ProbeSite

log = logging.getLogger(__name__)

OPEN_SECONDS = 60.0
START_PAUSES = (0.5, 2.0, 5.0)
"""Seconds before each further attempt to start an agent: a kubelet that is busy, or an API server that restarts, may
refuse for a while.
"""
REOPEN_SECONDS = 45.0
"""How long a new agent is tried for where a stream broke."""
REOPEN_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each attempt; the last for all further ones."""
MOST_REOPENINGS = 5


class SupervisedAgent:
    """The agent at ``site``, whichever it is at the moment. Requests are made one at a time; none raises for what the
    agent does.
    """

    def __init__(
        self, site: ProbeSite, open_channel: Callable[[ProbeSite], Awaitable[AgentChannel]], run: RunKey
    ) -> None:
        self.site = site
        self.reopened = 0
        self._open_channel = open_channel
        self._run = run
        self._listeners: Sequence[Listener] = ()
        self._given_up = ""
        self.session: AgentSession | None = None

    @property
    def lost(self) -> bool:
        """Whether there is no agent, and a new one may be started."""
        return self.session is not None and self.session.lost and not self._given_up and self.reopened < MOST_REOPENINGS

    @property
    def gone(self) -> str:
        """Why there is no agent right now; empty if there is one."""
        return self._given_up or (self.session.ended if self.session else f"no agent runs at {self.site.name}")

    @property
    def ended(self) -> str:
        """Why there is no agent and never will be; empty otherwise."""
        return "" if self.lost else self.gone

    async def start(self, listeners: Sequence[Listener], then: Batch) -> None:
        """Start the agent and have it listen; ``then`` is the batch that ``fire`` is called with next."""
        clock = asyncio.get_running_loop().time
        bound = clock() + OPEN_SECONDS
        self._listeners = listeners
        self._given_up = await self._open(OPEN_SECONDS)
        for pause in START_PAUSES:
            if not self._given_up or clock() + pause >= bound:
                break
            await asyncio.sleep(pause)
            self._given_up = await self._open(bound - clock())
        if self.session and not self._given_up:
            await self.session.listen(listeners, then)

    async def _open(self, seconds: float) -> str:
        """Start an agent and its session; why not, if that failed."""
        try:
            async with asyncio.timeout(seconds):
                channel = await self._open_channel(self.site)
        except TimeoutError:
            return f"agent of {self.site.name} did not start within {seconds:g} s"
        except (AuditError, OSError) as error:
            return f"agent of {self.site.name} could not be started: {error}"
        log.debug("agent of %s started", self.site.name)
        self.session = AgentSession(self.site, channel, self._run)
        return ""

    async def fire(self, batch: Batch, advance: Callable[[int], None]) -> list[AttemptResult]:
        """Run ``batch``; one try for each attempt, made by as many agents as it takes. ``advance`` is called for every
        attempt once.
        """
        if self.session:
            await self.session.run(batch, advance)
        if batch.unfinished and await self.reopen():
            rest = iter(await self.fire(batch.rest(), advance))
            return [one or next(rest) for one in batch.tries]
        advance(len(batch.unfinished))
        batch.give_up(self.gone)
        return batch.results()

    async def reopen(self) -> bool:
        """Start another agent if the stream to the old one broke; whether there is one now."""
        clock = asyncio.get_running_loop().time
        bound, pauses = clock() + REOPEN_SECONDS, itertools.chain(REOPEN_PAUSES, itertools.repeat(REOPEN_PAUSES[-1]))
        while self.lost and (old := self.session):
            log.debug("agent of %s lost: %s; starting another", self.site.name, self.gone)
            await old.close()
            await asyncio.sleep(next(pauses))
            failure = await self._open(max(1.0, bound - clock()))
            if not failure:
                self.reopened += 1
                await self._listen_again(old, bound)
            elif clock() >= bound:
                self._given_up = failure
        return not self.gone

    async def _listen_again(self, old: AgentSession, bound: float) -> None:
        """Listen where ``old`` did, as soon as its agent has noticed the end of its stream and freed the ports."""
        clock = asyncio.get_running_loop().time
        for pause in itertools.chain(REOPEN_PAUSES, itertools.repeat(REOPEN_PAUSES[-1])):
            if not self.session or self.session.ended:
                return
            await self.session.listen(self._listeners)
            if not self.session.unbound.keys() - old.unbound.keys() or clock() >= bound:
                return
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """End the agent. Raises nothing but CancelledError."""
        if self.session:
            await self.session.close()
