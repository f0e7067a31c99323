"""All agents of one run: started together, fired together, and closed together however the run ends.

Agents work concurrently and each request goes to all of them at once. An agent that could not be started, or that ends,
leaves its site with a reason in place of results. After each round the destinations that did not answer everything are
asked whether they were there all the time (see ``auditor.probing.disruptions``): one request for each, however many
attempts there were.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from auditor.loop.apart import apart_if_large
from auditor.model.addresses import IPAddress
from auditor.model.words import pluralize
from auditor.probing.attempts import Answer, Arrival, AttemptId, AttemptResult, Listener, by_way_of
from auditor.probing.batches import Attempt, Batch, Loss, Target
from auditor.probing.disruptions import Disruption, disruptions, questionable, taken_back
from auditor.probing.keys import RunKey
from auditor.probing.options import ProbingOptions, ProbingProgress
from auditor.probing.session import Resolvers
from auditor.probing.sites import AgentChannel, ProbeSite
from auditor.probing.supervised_agent import SupervisedAgent

OPEN_AT_ONCE = 32
LOSS_SECONDS = 1.0
"""How long attempts must last for loss to show: TCP sends again after a second, and what is sent again sooner may
merely be slow.
"""
LOSS_LAG = 0.1
"""Seconds for which an agent may have had no turn where what was sent again counts as lost."""
LEAST_WINDOW = 4

ProbeRound = Sequence[Attempt]


class AgentPool:
    """The agents at ``sites``; enter it, start them, leave it to end them."""

    def __init__(
        self,
        sites: Sequence[ProbeSite],
        open_channel: Callable[[ProbeSite], Awaitable[AgentChannel]],
        options: ProbingOptions,
        progress: ProbingProgress,
        translators: Iterable[IPAddress] = (),
    ) -> None:
        run = RunKey.draw(site.name for site in sites)
        self._translators = frozenset(map(str, translators))
        self._agents = {site.name: SupervisedAgent(site, open_channel, run) for site in sites}
        self._options = options
        self._progress = progress
        self._gate = asyncio.Semaphore(OPEN_AT_ONCE)
        self._probe_rounds = 0
        self._fired_in: dict[str, int] = {}
        self._reopened_in: dict[str, int] = {}
        self._losses: dict[str, Loss] = {}
        self._lost_now: dict[str, Loss] = {}
        self._overruns: Counter[tuple[str, str]] = Counter()
        self.attempts = 0
        self.slowest = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close every channel, also if cancelled again meanwhile; each has a bounded time for it."""
        closing = asyncio.gather(*(agent.close() for agent in self._agents.values()))
        cancelled = False
        while not closing.done():
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled and error is None:
            raise asyncio.CancelledError

    async def start(
        self, listeners: Mapping[str, Sequence[Listener]], proofs: ProbeRound, seconds: float
    ) -> list[AttemptResult]:
        """Start every agent and have it listen on what ``listeners`` has for its site.

        ``proofs`` are attempts that agents make at their own sites: each as soon as it listens, without waiting for the
        others and without a further round trip. One try for each comes back, in order.
        """
        tries: list[AttemptResult | None] = [None] * len(proofs)
        by_site: dict[str, list[int]] = defaultdict(list)
        for position, attempt in enumerate(proofs):
            by_site[attempt.source].append(position)

        async def start(agent: SupervisedAgent) -> None:
            positions = by_site[agent.site.name]
            batch = self._batch([proofs[position].target for position in positions], seconds, len(self._agents))
            async with self._gate:
                await agent.start(listeners.get(agent.site.name, ()), batch)
            self._progress.advance(1)
            await self._fire(agent, batch, positions, tries)

        await _together(start(agent) for agent in self._agents.values())
        return [one for one in tries if one is not None]

    @property
    def size(self) -> int:
        """How many agents there are to be."""
        return len(self._agents)

    @property
    def unbound(self) -> dict[Listener, str]:
        """The listeners that could not be opened, and why."""
        sessions = [agent.session for agent in self._agents.values() if agent.session]
        return {listener: reason for session in sessions for listener, reason in session.unbound.items()}

    def ended(self, site: str) -> str:
        """Why there is no agent at ``site`` and never will be; empty if there is one, or may yet be."""
        return self._agents[site].ended if site in self._agents else f"no agent runs at {site}"

    def started(self, site: str) -> float | None:
        """When the container at ``site`` began, where that is a new pod of ours and its agent can tell."""
        session = self._agents[site].session if site in self._agents else None
        return session.started if session else None

    @property
    def facts(self) -> list[str]:
        """Why agents are missing, and which had to be started anew, one line for each."""
        agents = self._agents.values()
        anew = [
            f"the stream to the agent of {agent.site.name} broke {pluralize(agent.reopened, 'time')}"
            for agent in agents
            if agent.reopened
        ]
        lacks = [f"{site} had no room for {pluralize(number, what)}" for (site, what), number in self._overruns.items()]
        again = "silence meanwhile was tried again"
        return [
            *(reason for agent in agents if (reason := agent.ended)),
            *(f"{line}: it was started again" for line in anew),
            *(f"{line} that somebody sent it: {again}" for line in lacks),
        ]

    @property
    def losses(self) -> Collection[Loss]:
        """What each agent had to send in vain so far."""
        return self._losses.values()

    async def fire(self, probe_round: ProbeRound, seconds: float, datagrams: int | None = None) -> list[AttemptResult]:
        """Make every attempt, give each that many seconds, and return one try for each, in order. ``datagrams``: how
        many each attempt over UDP sends; None: as options have it.
        """
        concerned = await apart_if_large(len(probe_round), _concerned, probe_round)
        await _together(self._reopen(agent) for name, agent in self._agents.items() if name in concerned and agent.lost)
        before = {name: agent.reopened for name, agent in self._agents.items()}
        self._probe_rounds += 1
        gone = {name: agent.gone for name, agent in self._agents.items()}
        by_site, tries = await apart_if_large(len(probe_round), _divided, probe_round, gone)
        self._progress.advance(sum(one is not None for one in tries))
        self.slowest = 0.0
        self._lost_now = {}

        async def fire(number: int, site: str, positions: list[int]) -> None:
            # Each starts somewhere else, or all sources would meet at one destination after the other.
            turn = number * len(positions) // len(by_site)
            turned = positions[turn:] + positions[:turn]
            batch = self._batch([probe_round[position].target for position in turned], seconds, len(by_site), datagrams)
            await self._fire(self._agents[site], batch, turned, tries)

        await _together(fire(number, *entry) for number, entry in enumerate(by_site.items()))
        fired = [one for one in tries if one is not None]
        losing = any(loss.lost for loss in self._lost_now.values())
        questioned = await apart_if_large(len(fired), questionable, probe_round, fired)
        asked = questioned | (concerned & self._agents.keys() if losing else set())
        disruptions_found, lag = await self._disruptions(asked, before, seconds)
        if seconds >= LOSS_SECONDS and lag <= LOSS_LAG:
            self._note_losses()
        return await apart_if_large(len(fired), taken_back, probe_round, fired, disruptions_found)

    def _note_losses(self) -> None:
        for name, (sent, lost) in self._lost_now.items():
            before = self._losses.get(name, Loss())
            self._losses[name] = Loss(before.sent + sent, before.lost + lost)

    def _batch(self, targets: Sequence[Target], seconds: float, agents: int, datagrams: int | None = None) -> Batch:
        window = max(LEAST_WINDOW, self._options.window // max(1, agents))
        return Batch(targets, seconds, datagrams or self._options.datagrams, window)

    async def _fire(
        self, agent: SupervisedAgent, batch: Batch, positions: Sequence[int], tries: list[AttemptResult | None]
    ) -> None:
        before = agent.reopened
        results = await agent.fire(batch, self._progress.advance)
        self.attempts += len(positions)
        self.slowest = max(self.slowest, batch.slowest)
        self._lost_now[agent.site.name] = batch.loss
        if agent.reopened != before:
            self._reopened_in[agent.site.name] = self._probe_rounds
        for position, one in zip(positions, results, strict=True):
            tries[position] = by_way_of(one.seen, one) if one.seen and one.seen not in self._translators else one
            if one.attempt_id:
                self._fired_in[one.attempt_id.batch] = self._probe_rounds

    async def _reopen(self, agent: SupervisedAgent) -> None:
        await agent.reopen()
        self._reopened_in[agent.site.name] = self._probe_rounds

    async def _disruptions(
        self, sites: Iterable[str], before: Mapping[str, int], seconds: float
    ) -> tuple[dict[str, list[Disruption]], float]:
        """For those of ``sites`` whose agents were gone or not well meanwhile, what that explains; and the longest lag,
        in seconds.
        """
        found: dict[str, list[Disruption]] = {}
        lags = [0.0]

        async def ask(agent: SupervisedAgent) -> None:
            name, health = agent.site.name, await agent.session.health() if agent.session else None
            if health:
                lags.append(health.lag)
                self._overruns.update(
                    {(name, "datagram"): health.udp_overruns or 0, (name, "connection"): health.listen_overflows or 0}
                )
            found[name] = list(
                disruptions(
                    name, gone=agent.gone, restarted=agent.reopened != before[name], health=health, timeout=seconds
                )
            )

        await _together(ask(self._agents[site]) for site in sites)
        self._overruns = +self._overruns
        return found, max(lags)

    async def resolvers(self) -> dict[str, Resolvers]:
        """What resolv.conf says at each site whose agent tells."""
        known: dict[str, Resolvers] = {}

        async def ask(agent: SupervisedAgent) -> None:
            found = await agent.session.resolvers() if agent.session else None
            if found is not None:
                known[agent.site.name] = found

        await _together(ask(agent) for agent in self._agents.values())
        return known

    async def arrivals(self, attempt_ids: Mapping[str, Sequence[AttemptId]]) -> dict[AttemptId, Arrival]:
        """For UDP attempts, listed by the site they were sent to, whether they arrived there."""
        known: dict[AttemptId, Arrival] = {}

        async def ask(agent: SupervisedAgent, asked: Sequence[AttemptId]) -> None:
            since = self._reopened_in.get(agent.site.name, -1)
            arrived = await agent.session.arrivals(asked) if agent.session else {}
            for attempt_id in asked:
                # An agent knows nothing of what arrived before its own time.
                there = arrived.get(attempt_id)
                known[attempt_id] = there if there or self._fired_in[attempt_id.batch] > since else None

        await _together(ask(self._agents[site], asked) for site, asked in attempt_ids.items())
        return known


def _concerned(probe_round: ProbeRound) -> set[str]:
    """The names of the sites at either end of the attempts."""
    return {attempt.source for attempt in probe_round} | {attempt.destination for attempt in probe_round}


def _divided(
    probe_round: ProbeRound, gone: Mapping[str, str]
) -> tuple[dict[str, list[int]], list[AttemptResult | None]]:
    """The positions of the attempts that each site is to make, and a try for each attempt that can't be made, or not be
    answered, for want of an agent: ``gone`` says why there is none at a site, empty if there is one.
    """
    tries: list[AttemptResult | None] = [None] * len(probe_round)
    by_site: dict[str, list[int]] = defaultdict(list)
    for position, attempt in enumerate(probe_round):
        reason = gone[attempt.source] or (gone[attempt.destination] if attempt.target.identity is not None else "")
        if reason:
            tries[position] = AttemptResult(Answer.ERROR, reason)
        else:
            by_site[attempt.source].append(position)
    return by_site, tries


async def _together(jobs: Iterable[Coroutine[None, None, None]]) -> None:
    """Do all jobs at once. Raises ExceptionGroup when any of them fails, which cancels the others."""
    async with asyncio.TaskGroup() as tasks:
        for job in jobs:
            tasks.create_task(job)
            await asyncio.sleep(0)  # or all of them would begin in one turn of the loop
