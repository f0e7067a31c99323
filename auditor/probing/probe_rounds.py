"""Rounds: attempts that all agents make at once, each with calls that show whether the network links concerned carry
packets.

What looks like a denial says nothing where an end that answers calls as a rule did not in the same round. Calls are
few: one for each site, direction and family, however many attempts there are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from auditor.loop.apart import apart_if_large
from auditor.model.errors import ClusterError
from auditor.model.snapshot import Family
from auditor.model.words import pluralize
from auditor.probing.agent_pool import AgentPool
from auditor.probing.attempts import Answer, AttemptResult, Listener
from auditor.probing.batches import Attempt
from auditor.probing.links import End, Links
from auditor.probing.merging import DENIALS
from auditor.probing.options import ProbingProgress
from auditor.probing.paths import Path, Paths
from auditor.probing.protocols import Protocols
from auditor.probing.sites import Witnesses

CONTACT_SECONDS = 5.0
"""How long somebody else, a kubelet say, is waited for to report that it reaches a site."""
CONTACT_PAUSE = 0.5


class Calls(NamedTuple):
    """What goes out with a round to show that packets get through: ``at_ends`` calls over the links of sites,
    ``of_protocols`` those over the same links by each protocol, ``between_nodes`` those over ``paths``,
    ``by_volunteers`` those between pods of two nodes.
    """

    at_ends: Sequence[Attempt] = ()
    of_protocols: Sequence[Attempt] = ()
    between_nodes: Sequence[Attempt] = ()
    paths: Collection[Path] = ()
    by_volunteers: Sequence[Attempt] = ()


NO_CALLS = Calls()


@dataclass(slots=True)
class ProbeRounds:
    """The rounds of ``agent pool``. ``number`` is that of the last one, ``seconds`` the wall time of phases; ``facts``
    are worth reporting.
    """

    pool: AgentPool
    links: Links
    paths: Paths
    protocols: Protocols
    witnesses: Witnesses
    progress: ProbingProgress
    number: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    facts: list[str] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str, attempts: int) -> Iterator[None]:
        """Tell of a phase, and measure it."""
        self.progress.phase(name, attempts)
        began = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began

    async def start(
        self,
        listeners: Mapping[str, Sequence[Listener]],
        controls: Sequence[Attempt],
        ends: Iterable[End],
        seconds: float,
    ) -> list[AttemptResult]:
        """Start all agents; one try for each of ``controls``, which go out with the command to listen, as do calls from
        ``ends``.
        """
        calls = self.links.calls(ends)
        probe_round = [*controls, *calls]
        with self.phase("starting", self.pool.size + len(probe_round)):
            tries = await self.pool.start(listeners, probe_round, seconds)
        self.links.take(self.number, probe_round, tries, len(calls))
        return tries[: len(controls)]

    async def fire(  # noqa: PLR0913 - what a round is made of
        self,
        phase: str,
        wanted: Sequence[Attempt],
        seconds: float,
        calls: Calls = NO_CALLS,
        pause: float = 0.0,
        *,
        datagrams: int | None = None,
    ) -> list[AttemptResult]:
        """After ``pause``, make the attempts ``wanted`` and ``calls``; one try for each of the former. ``datagrams`` as
        for the pool.
        """
        probe_round = [*wanted, *calls.at_ends, *calls.of_protocols, *calls.between_nodes, *calls.by_volunteers]
        self.number += 1
        with self.phase(phase, len(probe_round)):
            await asyncio.sleep(pause)
            tries = await self.pool.fire(probe_round, seconds, datagrams)
        return await apart_if_large(len(wanted), self._take, wanted, calls, tries)

    def _take(self, wanted: Sequence[Attempt], calls: Calls, tries: Sequence[AttemptResult]) -> list[AttemptResult]:
        """Take in what was heard; the tries of those ``wanted``, of which what a dead link explains says nothing."""
        heard = [*wanted, *calls.at_ends]
        self.links.take(self.number, heard, tries[: len(heard)], len(calls.at_ends))
        heard += calls.of_protocols
        self.protocols.take(self.number, heard, tries[: len(heard)])
        self.paths.take(self.number, [*heard, *calls.between_nodes, *calls.by_volunteers], tries)
        self._take_volunteers(calls, tries[len(tries) - len(calls.by_volunteers) :])
        dead = self.links.silenced(self.number, calls.at_ends)
        apart = self.paths.silenced(self.number, calls.paths)
        answers = list(tries[: len(wanted)])
        if dead:
            answers = [_unless_dead(*each, dead) for each in zip(wanted, answers, strict=True)]
        if apart:
            answers = [self._unless_apart(*each, apart) for each in zip(wanted, answers, strict=True)]
        return answers

    def _take_volunteers(self, calls: Calls, tries: Sequence[AttemptResult]) -> None:
        """Take in what came of what volunteers tried. One whose own node doesn't hear it shows nothing about others."""
        unheard = self.links.unheard(self.number, calls.at_ends)
        well = [
            (call, one)
            for call, one in zip(calls.by_volunteers, tries, strict=True)
            if unheard.isdisjoint((end.site, end.family) for end in self.links.crossed_by(call))
        ]
        self.paths.crossings.take(well)

    def _unless_apart(self, attempt: Attempt, one: AttemptResult, apart: Mapping[Path, str]) -> AttemptResult:
        """``one``, unless it looks like a denial and nothing passed between the nodes of its ends."""
        path = self.paths.between(attempt) if one.answer in DENIALS else None
        return one if path is None or path not in apart else AttemptResult(Answer.ERROR, apart[path])

    async def wait_for_contacts(self, lacking: Callable[[], Awaitable[list[End]]], since: float) -> None:
        """Ask who else hears the sites of the ends that are ``lacking``, since that moment; wait a while where somebody
        keeps trying.
        """
        bound = time.monotonic() + CONTACT_SECONDS
        while ends := await lacking():
            names, began = sorted({end.site for end in ends}), time.monotonic()
            try:
                contacts = await self.witnesses.heard(names)
            except ClusterError as error:
                self.facts.append(
                    f"whether anybody reaches {pluralize(len(names), 'pod')} could not be found out: {error}"
                )
                return
            for name in names:
                fresh = name in contacts and began - contacts[name].seconds >= since
                self.links.take_contacts([name], contacts, self.number if fresh else None)
            if not self.links.watched(await lacking()) or time.monotonic() >= bound:
                return
            await asyncio.sleep(CONTACT_PAUSE)


def _unless_dead(attempt: Attempt, one: AttemptResult, dead: Mapping[tuple[str, Family], str]) -> AttemptResult:
    """``one``, unless it looks like a denial and one of its ends was ``dead`` (by site and family, with the reason)."""
    if one.answer not in DENIALS or attempt.source == attempt.destination:
        return one
    family = Family.IPV6 if ":" in attempt.target.address else Family.IPV4
    reasons = (dead.get((site, family)) for site in (attempt.destination, attempt.source))
    return next((AttemptResult(Answer.ERROR, reason) for reason in reasons if reason), one)
