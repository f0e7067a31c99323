"""The whole of probing: controls, every cell, mismatches again until they have settled, silence again, controls once
more, and the merge.

Convergence is waited for by probing, not by sleeping: a cell that is as expected costs nothing, and one that isn't is
tried again for as long as a CNI that is slow to program its rules may take. When something did change meanwhile, one
further pass over all cells tells convergence from instability (``auditor.probing.merging``). Every round has calls
besides its attempts, which show that the network links concerned carry packets (``auditor.probing.links``), and silence
that stands for a denial is tried again with other sockets.

What becomes of each cell (docs/architecture.md has the same in sentences):

    state            event                                             next
    untried          answer agrees with the policies                   settled
                     answer differs, or nothing was learnt             doubtful
    settled,         a later try over another socket is silent, too    settled
      by silence     a later try is answered                           doubtful
    doubtful         differs until nothing changed for ``settle``      confirmed: a finding
                     agrees now                                        converged late: a further pass over all cells
                     the agent ended meanwhile                         inconclusive, never "denied"
    converged late   agrees in the further pass                        settled: a fact, "took up to N s"
                     differs again                                     unstable
    settled, over    single datagrams get lost again and again         unstable
      UDP, allowed
    any denied       listener not proven before and after              inconclusive
                     an end not heard over its own link                inconclusive
                     its link carries the other protocol alone         inconclusive
                     between two nodes, and whoever may reach one
                       from the other tries in vain                    inconclusive
                     destination stood still or overran, or too many
                       packets are lost, and it was silence            tried again, else inconclusive
                     UDP: its datagram is logged at the destination    allowed one way: a leak where denial is expected
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from auditor.loop.apart import apart_if_large
from auditor.model.addresses import IPAddress
from auditor.model.ports import Protocol
from auditor.model.probe_pod import FirstMoments
from auditor.model.verdict import Cell, Flapping, Observation, Observed, ProbingOutcome, Verdict
from auditor.model.words import pluralize
from auditor.probing.agent_pool import AgentPool
from auditor.probing.attempts import Answer, AttemptId, AttemptResult, agrees, wants_retest
from auditor.probing.batches import Attempt
from auditor.probing.controls import Controls, control_of
from auditor.probing.crossings import NO_VOLUNTEERS, Crossings, Volunteers
from auditor.probing.datagrams import DatagramCounts, sent_again
from auditor.probing.denials import Denials
from auditor.probing.disruptions import in_turns, told
from auditor.probing.first_moments import going_on, no_newcomers, open_at_first, told_of_newcomers
from auditor.probing.history import AttemptHistory
from auditor.probing.links import End, Links, neighbours
from auditor.probing.merging import find_flapping, is_late, observe
from auditor.probing.options import ProbingOptions, ProbingProgress
from auditor.probing.own_nodes import OwnNodes, made_by_kubelets
from auditor.probing.paths import Paths
from auditor.probing.probe_rounds import NO_CALLS, Calls, ProbeRounds
from auditor.probing.protocols import Protocols
from auditor.probing.routes import NOBODY, Route, Routing, route_cells
from auditor.probing.sites import NO_WITNESSES, AgentChannel, ProbeSite, Witnesses
from auditor.probing.starts import Starts
from auditor.probing.translations import Translations

Result = TypeVar("Result")

PROBING = "probing"
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 0.8
LONGEST_SETTLING = 6
"""Settle times after which nobody is waited for any more, though something still changes."""
SLOW_SHARE = 0.25
"""The share of the timeout above which the slowest answer shows that the silent ones may just have been slower."""
CONFIRMATIONS = 8
"""How often a cell is asked again when its answer is in doubt: enough to catch an enforcer that drops, or lets through,
one in three.
"""
SECOND_LOOKS = 6
"""How often it is tried to have silence that stands for a denial met often enough."""
SECOND_SECONDS = 0.65
"""How long the first of these lasts, where answers come quickly enough and the timeout is no shorter."""
FURTHER_ENDINGS = 2
"""How often the probing ends again where so much got lost meanwhile that silence has to be met more often."""
FEW_RELAPSES = 20
"""For how many connections that were closed late one may have changed its answer again: an enforcer that lets some
through now and then has more of these.
"""
MOST_CONFIRMING = 4096
"""How many such tries may go out together; with more cells in doubt, each is asked less often, but at least
once more.
"""


async def probe(  # noqa: PLR0913, PLR0917 - where it all comes together; its callers stay one line
    cells: Sequence[Cell],
    sites: Sequence[ProbeSite],
    open: Callable[[ProbeSite], Awaitable[AgentChannel]],  # noqa: A002 - the cluster's word for it
    expected: Callable[[Cell], Verdict | None],
    options: ProbingOptions,
    progress: ProbingProgress,
    *,
    absent: Mapping[str, str] = NOBODY,
    translators: Iterable[IPAddress] = (),
    witnesses: Witnesses = NO_WITNESSES,
    volunteers: Volunteers = NO_VOLUNTEERS,
    first_moments: Callable[[], Awaitable[FirstMoments]] = no_newcomers,
) -> ProbingOutcome:
    """Probe ``cells`` with agents at ``sites``, which ``open`` starts.

    ``expected`` has the verdict to compare with, or None for cells that are not to be retested for differing;
    ``absent`` the reason why an endpoint has no site, where there is more to say than just that; ``translators`` the
    addresses, those of nodes, that may stand for a source's own once the network has translated it; ``witnesses`` can
    hear the sites, ``volunteers`` show that packets cross between nodes; ``first_moments`` goes on meanwhile, and is
    waited for while agents still listen. An agent that fails makes its cells
    inconclusive and raises nothing; however this ends, by cancellation too, every channel is closed.
    """
    places, large = (*sites, *witnesses.sites), len(cells)
    kubelets = made_by_kubelets(cells, sites)
    tried = [cell for cell in cells if cell not in kubelets] if kubelets else cells
    routing = await apart_if_large(large, route_cells, tried, sites, absent)
    helping = route_cells(volunteers.cells, sites, absent)
    there = await apart_if_large(large, _there, routing, places, helping, kubelets.values())
    async with AgentPool(there, open, options, progress, translators) as pool, going_on(first_moments) as newcomers:

        def prepare() -> _ProbeRun:
            links = Links(places, routing.listeners)
            paths = Paths(places, there, Crossings(helping.routes.values()), volunteers.free)
            protocols = Protocols(links, routing.listeners)
            probe_rounds = ProbeRounds(pool, links, paths, protocols, witnesses, progress)
            return _ProbeRun(routing, probe_rounds, {cell: expected(cell) for cell in routing.routes}, options)

        probe_run = await apart_if_large(large, prepare)
        await probe_run.run()
        by_kubelets = await probe_run.own_nodes(kubelets, witnesses)
        await probe_run.look_at(newcomers)
        outcome = await apart_if_large(large, probe_run.outcome, routing.skipped)
        return replace(outcome, observations={**outcome.observations, **by_kubelets})


def _there(
    routing: Routing, places: Sequence[ProbeSite], helping: Routing, watched: Iterable[ProbeSite]
) -> tuple[ProbeSite, ...]:
    """The sites at which agents sit in this run."""
    sites = (*routing.sites, *neighbours(routing, places), *helping.sites, *watched)
    return tuple({site.name: site for site in sites}.values())


def _control_attempts(routes: Sequence[Route]) -> list[Attempt]:
    return [Attempt(route.destination.name, route.destination.name, control_of(route)) for route in routes]


class _ProbeRun:
    """One run's state, and its phases in order."""

    def __init__(
        self,
        routing: Routing,
        probe_rounds: ProbeRounds,
        expected: Mapping[Cell, Verdict | None],
        options: ProbingOptions,
    ) -> None:
        self._routes = routing.routes
        self._to_prove = routing.to_prove
        self._probe_rounds = probe_rounds
        self._pool = probe_rounds.pool
        self._links = probe_rounds.links
        self._protocols = probe_rounds.protocols
        self._between_nodes = probe_rounds.paths
        self._crossings = self._between_nodes.crossings
        wanted = self._crossings.listeners(routing.listeners)
        self._listeners = self._between_nodes.listeners(wanted, routing.routes.values())
        self._expected = expected
        self._options = options
        self._controls = Controls({})
        self._history = AttemptHistory(expected)
        self._starts = Starts(self._pool.started, self._routes)
        self._datagrams = DatagramCounts()
        self._denials = Denials(self._routes, self._history, probe_rounds)
        self._began = 0.0
        self._in_force = 0.0
        self._rounds = 0
        self._waited = 0.0
        self._silences_met = 0
        self.first_moments = FirstMoments()

    async def run(self) -> None:
        await self._start()
        self._began = time.monotonic()
        await self._pass(PROBING)
        await self._retest()
        await self._look_again()
        await self._computed(self._take_back_what_could_not_be_retested)
        self._waited = time.monotonic() - self._began
        if self._history.late:
            await self._confirm()
        await self._trace_lost_datagrams()
        if await self._look_again():
            await self._trace_lost_datagrams()
        await self._retest_one_way_leaks()
        await self._count_datagrams()
        await self._conclude()

    async def look_at(self, newcomers: asyncio.Task[FirstMoments]) -> None:
        """Wait for what newcomers show."""
        if newcomers.done():
            self.first_moments = newcomers.result()
        else:
            with self._probe_rounds.phase("new pods", 0):
                self.first_moments = await newcomers

    async def own_nodes(self, cells: Mapping[Cell, ProbeSite], witnesses: Witnesses) -> dict[Cell, Observation]:
        """What kubelets say of ``cells``."""
        isolated = {cell.destination for cell, verdict in self._expected.items() if verdict is not Verdict.ALLOWED}
        own_nodes = OwnNodes(cells, isolated)
        return await own_nodes.look(self._probe_rounds, witnesses, self._in_force, self._options.timeout)

    async def _start(self) -> None:
        """Start the agents; the controls before the probes go out with the command to listen, and so do the first
        calls.
        """
        controls, senders = _control_attempts(self._to_prove), self._denials.senders()
        tries = await self._probe_rounds.start(self._listeners, controls, senders, self._options.timeout)
        self._controls = Controls(self._pool.unbound)
        await self._control(list(zip(self._to_prove, tries, strict=True)), "before the probes")
        watched = self._denials.watched_ends()

        async def lacking() -> list[End]:
            return [end for end in watched if not self._links.moments(end)]

        await self._probe_rounds.wait_for_contacts(lacking, 0.0)

    async def _end(self) -> None:
        """The controls after the probes, and whatever it takes to show that links carried packets all the while."""
        probed, timeout = time.monotonic(), self._options.timeout
        unheard, paths = await self._unheard(), await self._computed(self._denials.paths_in_doubt)
        across = [*self._between_nodes.calls(paths), *self._between_nodes.last_calls(paths)]
        lacking = await self._computed(self._denials.protocols_lacking)
        of_protocols, helping = self._protocols.calls(lacking, patiently=True), await self._volunteering()
        at_ends = self._links.calls([*unheard, *self._ends_of(helping)])
        calls = Calls(at_ends, of_protocols, across, by_volunteers=helping)
        tries = await self._probe_rounds.fire("controls", _control_attempts(self._to_prove), timeout, calls)
        await self._control(list(zip(self._to_prove, tries, strict=True)), "after the probes")
        unheard, paths = await self._unheard(), await self._computed(self._denials.paths_in_doubt)
        across = [*self._between_nodes.calls(paths), *self._between_nodes.suspected(paths)]
        doubtful, helping = await self._computed(self._denials.protocols_in_doubt), await self._volunteering()
        if unheard or across or doubtful or helping:
            of_protocols = self._protocols.calls(doubtful, patiently=True)
            at_ends = self._links.calls([*unheard, *self._ends_of(helping)], patiently=True)
            calls = Calls(at_ends, of_protocols, across, by_volunteers=helping)
            await self._probe_rounds.fire("controls patiently", (), 2 * timeout, calls)
        await self._probe_rounds.wait_for_contacts(self._unheard, probed)

    async def _conclude(self) -> None:
        """End; once more where what got lost meanwhile asks for silence to be met more often than it was."""
        await self._end()
        for _ in range(FURTHER_ENDINGS):
            if self._denials.silences <= self._silences_met or not await self._look_again():
                return
            await self._trace_lost_datagrams()
            await self._end()

    async def _computed(self, work: Callable[[], Result]) -> Result:
        """What ``work``, which goes through all cells, returns."""
        return await apart_if_large(len(self._routes), work)

    async def _unheard(self) -> list[End]:
        return await self._computed(self._denials.ends_in_doubt)

    async def _volunteering(self) -> list[Attempt]:
        """What volunteers try, where it isn't known that what looks denied so far can get from node to node."""
        return self._crossings.calls(await self._computed(self._denials.crossings), self._pool.unbound)

    def _ends_of(self, attempts: Iterable[Attempt]) -> list[End]:
        return [end for attempt in attempts for end in self._links.crossed_by(attempt)]

    async def _control(self, controls: Sequence[tuple[Route, AttemptResult]], when: str) -> None:
        """Take in one round of controls. What failed is tried again: a busy machine is no dead listener."""
        unbound = self._pool.unbound
        again = [route for route, one in controls if one.answer is not Answer.ALLOWED and route.listener not in unbound]
        final = {route.listener: (route, one) for route, one in controls}
        if again:
            tries = await self._probe_rounds.fire(
                "controls patiently", _control_attempts(again), 2 * self._options.timeout
            )
            final |= {route.listener: (route, one) for route, one in zip(again, tries, strict=True)}
        self._controls.record(final.values(), when)

    async def _fire(self, phase: str, cells: Sequence[Cell], seconds: float, pause: float = 0.0) -> list[AttemptResult]:
        """Try ``cells`` once, with calls that show whether what they need is there."""
        wanted = await apart_if_large(len(cells), self._attempts_at, cells)
        ends, paths = await apart_if_large(len(cells), self._denials.needed, cells)
        carried = () if phase == PROBING else await apart_if_large(len(cells), self._denials.carried, cells)
        # How much is lost shows only where it lasts long enough for packets to be sent again.
        across = self._between_nodes.calls(paths, from_pods=phase == PROBING)
        calls = Calls(self._links.calls(ends), self._protocols.calls(carried), across, paths)
        return await self._probe_rounds.fire(phase, wanted, seconds, calls, pause)

    def _attempts_at(self, cells: Sequence[Cell]) -> list[Attempt]:
        routes = [self._routes[cell] for cell in cells]
        return [Attempt(route.source.name, route.destination.name, route.target) for route in routes]

    async def _pass(self, phase: str) -> None:
        """Try every cell once; silence counts only where answers came quickly enough to tell it from slowness."""
        cells, timeout, fired = list(self._routes), self._options.timeout, time.monotonic()
        self._in_force = fired
        tries = dict(zip(cells, await self._fire(phase, cells, timeout), strict=True))
        for _ in range(2):
            silent = [cell for cell, one in tries.items() if one.silent]
            if not silent or self._pool.slowest <= SLOW_SHARE * timeout:
                break
            timeout *= 2
            self._probe_rounds.facts.append(
                f"answers took up to {self._pool.slowest:.2f} s: "
                f"{pluralize(len(silent), 'silent connection')} tried again for "
                f"{timeout:g} s"
            )
            tries.update(zip(silent, await self._fire(f"{phase} patiently", silent, timeout), strict=True))
        await apart_if_large(len(tries), self._record, list(tries.items()), fired)

    def _record(self, tries: Iterable[tuple[Cell, AttemptResult]], fired: float) -> None:
        for cell, one in tries:
            self._history.record(cell, one, self._probe_rounds.number, fired - self._began)

    def _open_questions(self) -> list[Cell]:
        """The cells whose last try can't stand, between agents that can still try again."""
        tries = self._history.tries
        return [
            cell for cell in tries if wants_retest(self._expected[cell], tries[cell][-1]) and self._can_be_tried(cell)
        ]

    def _can_be_tried(self, cell: Cell) -> bool:
        route = self._routes[cell]
        return not (
            self._pool.ended(route.source.name)
            or (route.destination.answers and self._pool.ended(route.destination.name))
        )

    async def _retest(self) -> None:
        """Try mismatches again, with growing pauses, until they are gone or have lasted long enough and through enough
        retests.
        """
        pause = FIRST_PAUSE
        while pending := await self._computed(self._open_questions):
            if self._rounds >= self._retests and self._has_settled():
                break
            self._rounds += 1
            await self._again("retesting", pending, pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    @property
    def _retests(self) -> int:
        """How often a mismatch is tried again: where packets get lost, as often as it takes to tell that
        from a policy.
        """
        return max(self._options.retests, self._denials.silences - 1 if self._denials.loses_packets else 0)

    def _has_settled(self) -> bool:
        """Whether nothing has changed for the settle time. A CNI programs one pod after another: while it does, the
        others' turn comes.
        """
        settle, passed = self._options.settle, time.monotonic() - self._began
        return passed >= max(self._history.late.values(), default=0.0) + settle or passed >= LONGEST_SETTLING * settle

    def _take_back_what_could_not_be_retested(self) -> None:
        """A difference whose agent has ended meanwhile never lasted: its pod may have been going away, and its rules
        with it.
        """
        for cell, tries in self._history.tries.items():
            if self._history.differs(cell) and not self._can_be_tried(cell):
                route = self._routes[cell]
                tries.append(
                    AttemptResult(
                        Answer.ERROR, self._pool.ended(route.source.name) or self._pool.ended(route.destination.name)
                    )
                )

    async def _again(self, phase: str, cells: Sequence[Cell], pause: float = 0.0, seconds: float = 0.0) -> None:
        """Try ``cells``, which may repeat, with fresh connections, for so many ``seconds``; where these are not given,
        for the timeout, and longer where one was not heard, so that slowness doesn't look like silence.
        """
        if not cells:
            return
        unheard = any(self._history.tries[cell][-1].answer in (Answer.DROPPED, Answer.ERROR) for cell in cells)
        fired = time.monotonic() + pause
        tries = await self._fire(phase, cells, seconds or self._options.timeout * (2 if unheard else 1), pause)
        await apart_if_large(len(cells), self._record, list(zip(cells, tries, strict=True)), fired)

    async def _look_again(self) -> bool:
        """Try silence that stands for a denial again, later and over other sockets, as often as the loss of packets
        demands; whether there was any.
        """
        seconds = min(SECOND_SECONDS, self._options.timeout)
        if self._pool.slowest > SLOW_SHARE * seconds:
            seconds = self._options.timeout
        for look in range(SECOND_LOOKS):
            missing = await self._computed(self._silences_missing)
            if not missing:
                self._silences_met = self._denials.silences
                return look > 0
            await self._again("trying silence again", in_turns(missing), FIRST_PAUSE, seconds)
            leaks = [
                cell
                for cell, times in missing.items()
                if any(one.answer is Answer.ALLOWED for one in self._last(cell, times))
            ]
            if self._denials.loses_packets:
                self._history.forgive_silence(leaks)
            for _ in range(self._options.retests):
                await self._again("retesting", leaks, FIRST_PAUSE)
            seconds = 2 * self._options.timeout
        self._silences_met = self._denials.silences
        return True

    def _silences_missing(self) -> dict[Cell, int]:
        missing = self._denials.silences_missing()
        return {cell: times for cell, times in missing.items() if self._can_be_tried(cell)}

    def _last(self, cell: Cell, count: int) -> Sequence[AttemptResult]:
        """The last ``count`` tries of ``cell``."""
        return self._history.tries[cell][-count:] if count else ()

    async def _confirm(self) -> None:
        """One further pass over all cells, and more tries of those that it leaves in doubt."""
        await self._pass("confirming")
        times = min(CONFIRMATIONS, max(1, MOST_CONFIRMING // len(self._history.late)))
        await self._again("confirming", list(self._history.late) * times)
        await self._again("retesting", await self._computed(self._doubtful))

    def _doubtful(self) -> list[Cell]:
        """The cells to retest at last: those that relapsed or said nothing, and, once any relapsed, those that never
        answered.
        """
        any_relapsed = any(map(self._history.relapsed, self._routes))
        doubtful: list[Cell] = []
        for cell in self._open_questions():
            if self._history.relapsed(cell) or agrees(self._expected[cell], self._history.tries[cell][-1]) is None:
                doubtful += [cell] * self._options.retests
            elif any_relapsed and self._expected[cell] is Verdict.ALLOWED:
                doubtful += [cell] * CONFIRMATIONS
        return doubtful

    async def _trace_lost_datagrams(self) -> None:
        """Ask destinations which of the UDP probes that got no answer had reached them."""
        by_site = await self._computed(self._silent_datagrams)
        if not any(by_site.values()):
            return
        with self._probe_rounds.phase("tracing", 0):
            arrived = await self._pool.arrivals(by_site)
        await self._computed(lambda: self._history.trace(arrived))

    def _silent_datagrams(self) -> dict[str, list[AttemptId]]:
        """The UDP probes that got no answer, by the site that they were aimed at."""
        by_site: dict[str, list[AttemptId]] = defaultdict(list)
        for cell, attempt_ids in self._history.silent_datagrams():
            by_site[self._routes[cell].destination.name] += attempt_ids
        return by_site

    async def _retest_one_way_leaks(self) -> None:
        """Try again what only the destinations' logs showed to differ, after every other retest."""
        pending = [
            cell
            for cell in await self._computed(self._open_questions)
            if cell.protocol is Protocol.UDP and self._history.tries[cell][-1].milliseconds is None
        ]
        leaks = [cell for cell in pending if self._history.tries[cell][-1].answer is Answer.ALLOWED]
        for _ in range(self._options.retests if leaks else 0):
            await self._again("retesting", leaks, FIRST_PAUSE)
        if leaks:
            await self._trace_lost_datagrams()

    async def _count_datagrams(self) -> None:
        """Try with single datagrams what is answered over UDP as it should be."""
        tries = self._history.tries
        answered = {cell: tries[cell][-1] for cell in await self._computed(self._answered_datagrams)}
        fact = await self._datagrams.count(answered, self._fire_single, lambda: self._pool.slowest)
        self._probe_rounds.facts += filter(None, [fact])

    def _answered_datagrams(self) -> list[Cell]:
        return [
            cell
            for cell, ones in self._history.tries.items()
            if cell.protocol is Protocol.UDP
            and ones[-1].milliseconds is not None
            and agrees(self._expected[cell], ones[-1])
            and self._can_be_tried(cell)
        ]

    async def _fire_single(self, cells: Sequence[Cell], seconds: float, pause: float) -> list[AttemptResult]:
        """Try ``cells`` with a datagram each; with calls where some of them must be told from a dead link."""
        wanted, (ends, paths) = self._attempts_at(cells), self._denials.needed(cells)
        calls = Calls(self._links.calls(ends), (), self._between_nodes.calls(paths), paths) if pause else NO_CALLS
        return await self._probe_rounds.fire("counting datagrams", wanted, seconds, calls, pause, datagrams=1)

    def outcome(self, skipped: Mapping[Cell, str]) -> ProbingOutcome:
        """Merge everything; ``skipped`` has the reason for each cell that wasn't probed."""
        tries = self._history.tries
        observations = {cell: Observation(Observed.SKIPPED, reason) for cell, reason in skipped.items()}
        reached = {
            self._routes[cell].listener
            for cell, ones in tries.items()
            if any(one.answer is Answer.ALLOWED for one in ones)
        }
        doubts = self._denials.doubts()
        translations = Translations(self._routes, tries)
        for cell, ones in tries.items():
            route = self._routes[cell]
            unproven, unwatched = self._controls.unproven(route, reached), self._controls.unwatched(route)
            observed = observe(self._expected[cell], ones, unproven, unwatched, doubts.get(cell, ""))
            observations[cell] = translations.explained(cell, self._expected[cell], observed)
        flapping = find_flapping(self._expected, tries)
        closed_late = self._closed_late(flapping, observations)
        flapping = replace(flapping, losing=self._datagrams.unstable, closed_late=frozenset(closed_late))
        for cell in flapping.losing:
            if observations[cell].verdict is Observed.ALLOWED:
                observations[cell] = replace(observations[cell], outcome=self._datagrams.outcome(cell))
        for cell, seconds in closed_late.items():
            observations[cell] = observations[cell].closed_after(seconds)
        facts = (
            *self._pool.facts,
            *self._probe_rounds.facts,
            told(self._pool.losses),
            self._datagrams.fact,
            sent_again(tries),
            *self._convergence(flapping.unstable),
            self._first_tried(),
            told_of_newcomers(self.first_moments),
            *self._denials.facts(doubts),
            *translations.facts(),
        )
        return ProbingOutcome(
            observations, (flapping,), tuple(filter(None, facts)), self._pool.attempts, self._probe_rounds.seconds
        )

    def _closed_late(self, flapping: Flapping, observations: Mapping[Cell, Observation]) -> dict[Cell, float]:
        """The cells that are denied, as they should be, and were open for too long at first, each with the seconds
        after which it still was: after the first attempts, or after the younger of its ends started where that is new.
        """
        allowed = self._options.late_isolation
        if allowed is None:
            return {}
        open_for = {
            cell: seconds + self._starts.before(self._began, cell)
            for cell, seconds in self._history.open_at.items()
            if cell in flapping.late
        }
        few = FEW_RELAPSES * len(flapping.relapsed) <= len(open_for)
        unsteady = flapping.relapsed if few else flapping.unstable
        newcomers = open_at_first(self.first_moments)
        longest = {cell: max(each.get(cell, 0.0) for each in (open_for, newcomers)) for cell in open_for | newcomers}
        return {
            cell: seconds
            for cell, seconds in longest.items()
            if seconds > allowed and cell not in unsteady and observations[cell].verdict.is_denied
        }

    def _first_tried(self) -> str:
        """From when on it would have been seen that new pods are open: no use where nothing is to be denied."""
        denied = Verdict.DENIED in self._expected.values()
        return self._starts.fact(self._began) if denied and self._options.late_isolation is not None else ""

    def _convergence(self, shaky: frozenset[Cell]) -> Iterator[str]:
        late, tries = self._history.late, self._history.tries
        converged = [
            seconds
            for cell, seconds in late.items()
            if cell not in shaky and is_late(self._expected[cell], tries[cell])
        ]
        if converged:
            opened = sum(cell in self._history.open_at for cell in late if cell not in shaky)
            which = (
                f" ({opened:,} of them open at first, though denied)" if opened else " (shut at first, though allowed)"
            )
            yield (
                f"{pluralize(len(converged), 'connection')} took up to {max(converged):.1f} s to converge{which}; a "
                "further pass over all connections agreed"
            )
        lasting = sum(self._history.differs(cell) for cell in tries if cell not in shaky)
        if lasting:
            yield (
                f"{pluralize(lasting, 'mismatch', 'mismatches')} lasted {self._waited:.1f} s and through "
                f"{pluralize(self._rounds, 'retest')}"
            )
