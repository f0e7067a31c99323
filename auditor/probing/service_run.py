"""Probing connections through Services, once the same connections without them have been probed.

These have shown which ends are alive and carry packets; what is to be shown here besides is that the node concerned
translates Services at all. So a denial counts only if something that goes through a Service on the same node, and that
nothing may deny, was answered before it, or in the same round, and after it.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from auditor.model.addresses import IPAddress
from auditor.model.ports import Protocol
from auditor.model.service_seen import ServiceCell
from auditor.model.verdict import Observation, Observed, Verdict
from auditor.model.words import pluralize
from auditor.probing.agent_pool import AgentPool
from auditor.probing.attempts import Answer, AttemptId, AttemptResult, Listener, Origin, agrees, wants_retest
from auditor.probing.disruptions import MOST_LOST, in_turns, in_vain, packets, tries_needed, unbearable
from auditor.probing.merging import DENIALS, decisive, observe, relapsed
from auditor.probing.options import ProbingOptions, ProbingProgress
from auditor.probing.service_routes import Proof, ServiceTry, Translating, control_of, taking_part
from auditor.probing.sites import AgentChannel, ProbeSite

PHASE = "through Services"
WAITING = 0.5
"""Seconds between two looks whether nodes translate what is new."""
LEAST_SILENCES = 3
MOST_ROUNDS = 40
"""Rounds in which what differs is tried again, however long nothing settles."""
LOOKS = 4
"""Rounds in which silence is met again, in each of ``ENDINGS``: a machine that is busy may keep an agent from one."""
ENDINGS = 3
"""How often the probing ends where so much gets lost meanwhile that silence has to be met more often."""
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 0.8


@dataclass(frozen=True, slots=True)
class ServiceOutcome:
    """What was observed of each connection, the address that its backend saw as the source where that was not the
    source's own, and what changed its answer and not for good.
    """

    observations: Mapping[ServiceCell, Observation] = field(default_factory=dict)
    seen: Mapping[ServiceCell, str] = field(default_factory=dict)
    unstable: frozenset[ServiceCell] = frozenset()
    facts: tuple[str, ...] = ()
    attempts: int = 0


async def probe_services(  # noqa: PLR0913, PLR0917 - what a probing depends on
    tries: Sequence[ServiceTry],
    proofs: Sequence[Proof],
    places: Sequence[ProbeSite],
    open: Callable[[ProbeSite], Awaitable[AgentChannel]],  # noqa: A002 - the cluster's word for it
    options: ProbingOptions,
    progress: ProbingProgress,
    *,
    translators: Iterable[IPAddress] = (),
    inner: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> ServiceOutcome:
    """Try ``tries``, with ``proofs`` that nodes translate Services, by agents at ``places``. ``translators`` are the
    addresses of nodes, ``inner`` those that a node, by its bare name, has towards pods: these count for what takes a
    NodePort of that node alone. However this ends, every channel is closed.
    """
    if not tries:
        return ServiceOutcome()
    async with AgentPool(taking_part(tries, proofs, places), open, options, progress, translators) as pool:
        return await _ServiceRun(tries, proofs, pool, options, progress, inner).run()


class _ServiceRun:
    """One probing of connections through Services."""

    def __init__(  # noqa: PLR0913, PLR0917 - as probe_services
        self,
        tries: Sequence[ServiceTry],
        proofs: Sequence[Proof],
        pool: AgentPool,
        options: ProbingOptions,
        progress: ProbingProgress,
        inner: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self._tries = {each.cell: each for each in tries}
        self._proofs = proofs
        self._pool = pool
        self._options = options
        self._progress = progress
        self._inner = inner
        self._results: dict[ServiceCell, list[AttemptResult]] = {cell: [] for cell in self._tries}
        self._told_in: dict[ServiceCell, int] = {}
        self._proven: defaultdict[Translating, set[int]] = defaultdict(set)
        self._nodes_seen: defaultdict[str, set[str]] = defaultdict(set)
        self._unproven: dict[Listener, str] = {}
        self._number = 0

    async def run(self) -> ServiceOutcome:
        await self._start()
        await self._wait_until_translated()
        await self._fire(list(self._tries), self._options.timeout)
        await self._retest()
        await self._conclude()
        return self._outcome()

    @property
    def _listeners(self) -> list[Listener]:
        several: tuple[ServiceTry | Proof, ...] = (*self._tries.values(), *self._proofs)
        return list(dict.fromkeys(each.listener for each in several))

    async def _start(self) -> None:
        listeners = self._listeners
        by_site: dict[str, list[Listener]] = defaultdict(list)
        for listener in listeners:
            by_site[listener.site].append(listener)
        controls = [control_of(listener) for listener in listeners]
        self._progress.phase(PHASE, self._pool.size + len(controls))
        results = await self._pool.start(by_site, controls, self._options.timeout)
        self._control(listeners, results, "before")

    def _control(self, listeners: Sequence[Listener], results: Sequence[AttemptResult], when: str) -> None:
        for listener, one in zip(listeners, results, strict=True):
            if one.answer is not Answer.ALLOWED:
                why = f"the listener of {listener} did not answer its own agent {when}: {one.outcome}"
                self._unproven.setdefault(listener, self._pool.unbound.get(listener) or why)

    async def _wait_until_translated(self) -> None:
        """Wait until each node translates what is new there, at most for the settle time: what should be allowed
        shows it.
        """
        until = time.monotonic() + self._options.settle
        wanted = {proof.translating for proof in self._proofs}
        for _ in range(MOST_ROUNDS):
            await self._fire((), self._options.timeout)
            if not wanted - self._proven.keys() or time.monotonic() >= until:
                return
            await asyncio.sleep(WAITING)

    async def _fire(self, cells: Sequence[ServiceCell], seconds: float, pause: float = 0.0) -> None:
        """Try ``cells`` once, and all proofs with them."""
        await asyncio.sleep(pause)
        self._number += 1
        wanted = [*(self._tries[cell].attempt for cell in cells), *(proof.attempt for proof in self._proofs)]
        self._progress.phase(PHASE, len(wanted))
        results = await self._pool.fire(wanted, seconds)
        for proof, one in zip(self._proofs, results[len(cells) :], strict=True):
            if one.answer is Answer.ALLOWED or one.by_way:
                self._proven[proof.translating].add(self._number)
            if one.by_way and proof.attempt.source == proof.attempt.destination:
                self._nodes_seen[proof.translating.node].add(one.seen)
        tried = list(zip(cells, results, strict=False))
        for cell, one in tried:
            if cell.source == cell.backend and one.by_way:
                self._nodes_seen[self._tries[cell].backend.node].add(one.seen)
        for cell, one in tried:
            taken = self._unless_translated_by_a_node(cell, one)
            self._results[cell].append(taken)
            if taken.answer is not Answer.ERROR:
                self._told_in[cell] = self._number
            if taken.answer is Answer.ALLOWED:
                self._proven[self._tries[cell].translating].add(self._number)

    def _unless_translated_by_a_node(self, cell: ServiceCell, one: AttemptResult) -> AttemptResult:
        """``one``; where it came from an address that only a node can have given it, it came from its source. What a
        pod sends to itself nobody else asked, and the addresses that it shows are the node's own.
        """
        if not one.by_way:
            return one
        own = {*self._nodes_seen[self._tries[cell].translating.node], *self._inner.get(cell.at, ())}
        if cell.source == cell.backend or one.seen in own:
            return replace(one, answer=Answer.ALLOWED, outcome="token", by_way=False)
        return one

    async def _retest(self) -> None:
        """Try again what differs, or says nothing, until that has lasted for the settle time."""
        began, pause = time.monotonic(), FIRST_PAUSE
        for number in range(MOST_ROUNDS):
            pending = [
                cell for cell, ones in self._results.items() if wants_retest(self._tries[cell].demanded, ones[-1])
            ]
            lasted = time.monotonic() - began >= self._options.settle
            if not pending or (number >= self._options.retests and lasted):
                return
            await self._fire(pending, self._options.timeout, pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    @property
    def _silences(self) -> int:
        """How often silence must be met where it stands for a denial."""
        return max(LEAST_SILENCES, tries_needed(in_vain(self._pool.losses)))

    def _silences_missing(self, needed: int) -> dict[ServiceCell, int]:
        """How often each connection whose silence stands for a denial is to be tried once more, where silence has to
        be met as often as ``needed``.
        """
        missing = {}
        for cell, ones in self._results.items():
            silent = sum(one.silent for one in ones)
            if 0 < silent < needed and (ones[-1].silent or ones[-1].answer is Answer.ERROR):
                missing[cell] = needed - silent
        return missing

    async def _conclude(self) -> None:
        """Meet silence often enough, and end; once more where what got lost meanwhile asks for more of it."""
        for _ in range(ENDINGS):
            needed = await self._look_again()
            await self._trace()
            await self._end()
            if self._silences <= needed:
                return

    async def _look_again(self) -> int:
        """Meet silence that stands for a denial as often as the loss of packets demands, over as many sockets; how
        often that was in the end.
        """
        for _ in range(LOOKS):
            missing = self._silences_missing(self._silences)
            if not missing:
                break
            await self._fire(in_turns(missing), self._options.timeout, FIRST_PAUSE)
            leaks = [
                cell
                for cell, times in missing.items()
                if any(one.answer is Answer.ALLOWED for one in self._results[cell][-times:])
            ]
            for _ in range(self._options.retests if leaks else 0):
                await self._fire(leaks, self._options.timeout, FIRST_PAUSE)
        return self._silences

    async def _trace(self) -> None:
        """What arrived where it ought not to is allowed, whatever became of the answer."""
        asked: dict[str, list[AttemptId]] = defaultdict(list)
        of: dict[AttemptId, ServiceCell] = {}
        for cell, ones in self._results.items():
            ids = [one.attempt_id for one in ones if one.silent and one.attempt_id]
            if cell.protocol is Protocol.UDP and self._tries[cell].demanded is not Verdict.ALLOWED:
                asked[self._tries[cell].backend.name] += ids
                of |= dict.fromkeys(ids, cell)
        arrived = await self._pool.arrivals(asked) if of else {}
        for attempt_id, there in arrived.items():
            if there:
                seen = there.address if isinstance(there, Origin) else ""
                self._results[of[attempt_id]].append(AttemptResult(Answer.ALLOWED, "reply-lost", seen=seen))

    async def _end(self) -> None:
        """Show once more that nodes translate and that listeners are alive."""
        listeners = self._listeners
        await self._fire((), self._options.timeout)
        results = await self._pool.fire([control_of(listener) for listener in listeners], 2 * self._options.timeout)
        self._control(listeners, results, "after")

    def _outcome(self) -> ServiceOutcome:
        observations, seen = {}, {}
        for cell, ones in self._results.items():
            wanted = self._tries[cell]
            told = decisive(wanted.demanded, ones)
            unheard = self._doubt(wanted, told) if told.answer in DENIALS else ""
            unproven = self._unproven.get(wanted.listener, "")
            observed = observe(wanted.demanded, ones, unproven, unheard=unheard)
            observations[cell] = observed
            address = next((one.seen for one in ones if one.seen), "")
            if address and observed.verdict in (Observed.ALLOWED, Observed.INCONCLUSIVE):
                seen[cell] = address
        unstable = frozenset(cell for cell, ones in self._results.items() if self._is_unstable(cell, ones))
        return ServiceOutcome(observations, seen, unstable, tuple(self._pool.facts), self._pool.attempts)

    def _is_unstable(self, cell: ServiceCell, ones: Sequence[AttemptResult]) -> bool:
        """Whether it agreed and differed again, and agreed on none of its last tries."""
        demanded = self._tries[cell].demanded
        return relapsed(demanded, ones) and demanded is Verdict.ALLOWED and agrees(demanded, ones[-1]) is not True

    def _doubt(self, wanted: ServiceTry, told: AttemptResult) -> str:
        """Why a denial says nothing of policies; empty where it counts."""
        where, family = wanted.translating, wanted.cell.family
        rounds = self._proven.get(wanted.translating, set())
        number = self._told_in.get(wanted.cell, 0)
        if not any(each <= number for each in rounds):
            return f"nothing that goes {where} was answered over {family}"
        if not any(each > number for each in rounds):
            return f"nothing that goes {where} was answered over {family} afterwards"
        share = in_vain(self._pool.losses)
        if told.silent and share > unbearable():
            return f"about {packets(share):.0%} of packets were lost, more than {MOST_LOST:.0%}"
        met = sum(one.silent for one in self._results[wanted.cell])
        if told.silent and met < self._silences:
            return f"it could be tried {pluralize(met, 'time')} only, of {self._silences}"
        return ""
