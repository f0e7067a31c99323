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
    any denied       listener not proven before and after              inconclusive
                     an end not heard over its own link                inconclusive
                     its link carries the other protocol alone         inconclusive
                     destination stood still or overran, or too many
                       packets are lost, and it was silence            tried again, else inconclusive
                     UDP: its datagram is logged at the destination    allowed one way: a leak where denial is expected
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TypeVar

from auditor.loop.apart import apart_if_large
from auditor.model.addresses import IPAddress
from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.verdict import Cell, Observation, Observed, ProbingOutcome, Verdict
from auditor.model.words import pluralize
from auditor.probing.agent_pool import AgentPool
from auditor.probing.attempts import Answer, Arrival, AttemptId, AttemptResult, agrees, wants_retest
from auditor.probing.batches import Attempt
from auditor.probing.controls import Controls, control_of
from auditor.probing.disruptions import MOST_LOST, in_vain, packets, told, tries_needed, unbearable
from auditor.probing.history import AttemptHistory
from auditor.probing.links import End, Links, ends_of, neighbours
from auditor.probing.merging import find_flapping, is_late, lost_where, observe
from auditor.probing.options import ProbingOptions, ProbingProgress
from auditor.probing.paths import Path, Paths, forwarding_of, path_of
from auditor.probing.probe_rounds import Calls, ProbeRounds
from auditor.probing.protocols import Carried, Protocols
from auditor.probing.routes import NOBODY, Route, Routing, route_cells
from auditor.probing.sites import NO_WITNESSES, AgentChannel, ProbeSite, Witnesses

Result = TypeVar("Result")

PROBING = "probing"
LEAST_SILENCES = 3
"""How often silence is met before it stands for a denial, two of them in the second pass; unless it would take long."""
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
) -> ProbingOutcome:
    """Probe ``cells`` with agents at ``sites``, which ``open`` starts.

    ``expected`` has the verdict to compare with, or None for cells that are not to be retested for differing;
    ``absent`` the reason why an endpoint has no site, where there is more to say than just that; ``translators`` the
    addresses, those of nodes, that may stand for a source's own once the network has translated it; ``witnesses`` can
    hear the sites. An agent that fails makes its cells inconclusive and raises nothing; however this ends, by
    cancellation too, every channel is closed.
    """
    places, large = (*sites, *witnesses.sites), len(cells)
    routing = await apart_if_large(large, route_cells, cells, sites, absent)
    there = await apart_if_large(large, lambda: (*routing.sites, *neighbours(routing, places)))
    async with AgentPool(there, open, options, progress, translators) as pool:

        def prepare() -> _ProbeRun:
            links, paths = Links(places, routing.listeners), Paths(places, there)
            protocols = Protocols(links, routing.listeners)
            probe_rounds = ProbeRounds(pool, links, paths, protocols, witnesses, progress)
            return _ProbeRun(routing, probe_rounds, {cell: expected(cell) for cell in routing.routes}, options)

        probe_run = await apart_if_large(large, prepare)
        await probe_run.run()
        return await apart_if_large(large, probe_run.outcome, routing.skipped)


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
        self._listeners = self._between_nodes.listeners(routing.listeners, routing.routes.values())
        self._expected = expected
        self._options = options
        self._controls = Controls({})
        pairs = {route.pair: route for route in routing.routes.values()}
        self._ends = {pair: ends_of(route) for pair, route in pairs.items()}
        self._paths = {
            pair: path for pair, route in pairs.items() if (path := path_of(route.source, route.destination, pair[2]))
        }
        deniable = sum(verdict is Verdict.DENIED for verdict in expected.values())
        self._least_silences = LEAST_SILENCES if deniable <= MOST_CONFIRMING else 0
        self._history = AttemptHistory(expected)
        self._began = 0.0
        self._rounds = 0
        self._waited = 0.0

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
        await self._end()

    async def _start(self) -> None:
        """Start the agents; the controls before the probes go out with the command to listen, and so do the first
        calls.
        """
        timeout, sources = (
            self._options.timeout,
            {end._replace(direction=Direction.EGRESS) for ends in self._ends.values() for end in ends},
        )
        tries = await self._probe_rounds.start(
            self._listeners, _control_attempts(self._to_prove), sorted(sources), timeout
        )
        self._controls = Controls(self._pool.unbound)
        await self._control(list(zip(self._to_prove, tries, strict=True)), "before the probes")
        deniable = (route for cell, route in self._routes.items() if self._expected[cell] is not Verdict.ALLOWED)
        watched = self._links.watched(self._ends_of(deniable))

        async def lacking() -> list[End]:
            return [end for end in watched if not self._links.moments(end)]

        await self._probe_rounds.wait_for_contacts(lacking, 0.0)

    async def _end(self) -> None:
        """The controls after the probes, and whatever it takes to show that links carried packets all the while."""
        probed, timeout = time.monotonic(), self._options.timeout
        unheard, paths = await self._unheard(), await self._computed(self._untravelled)
        across = [*self._between_nodes.calls(paths), *self._between_nodes.last_calls(paths)]
        lacking = await self._computed(self._protocols_lacking)
        calls = Calls(self._links.calls(unheard), self._protocols.calls(lacking, patiently=True), across)
        tries = await self._probe_rounds.fire("controls", _control_attempts(self._to_prove), timeout, calls)
        await self._control(list(zip(self._to_prove, tries, strict=True)), "after the probes")
        unheard, paths = await self._unheard(), await self._computed(self._untravelled)
        across = self._between_nodes.calls(paths)
        doubtful = await self._computed(self._protocols_in_doubt)
        if unheard or across or doubtful:
            of_protocols = self._protocols.calls(doubtful, patiently=True)
            calls = Calls(self._links.calls(unheard, patiently=True), of_protocols, across)
            await self._probe_rounds.fire("controls patiently", (), 2 * timeout, calls)
        await self._probe_rounds.wait_for_contacts(self._unheard, probed)

    async def _computed(self, work: Callable[[], Result]) -> Result:
        """What ``work``, which goes through all cells, returns."""
        return await apart_if_large(len(self._routes), work)

    async def _unheard(self) -> list[End]:
        return await self._computed(self._ends_in_doubt)

    def _untravelled(self) -> list[Path]:
        """The paths of what looks denied so far, where more must be known of them."""
        counting = {
            (path, probe_round)
            for cell, _, probe_round in self._history.denials()
            if (path := self._paths.get(self._routes[cell].pair))
        }
        provable = self._between_nodes.is_provable
        return sorted({path for path, at in counting if not provable(path) or self._between_nodes.doubt(path, at)})

    def _ends_in_doubt(self) -> list[End]:
        """The ends of what looks denied so far, where more must be known of their links before that counts."""
        counting = {
            (end, probe_round)
            for cell, _, probe_round in self._history.denials()
            for end in self._ends[self._routes[cell].pair]
        }
        return sorted({end for end, probe_round in counting if self._links.doubt(end, probe_round)})

    def _protocols_lacking(self) -> list[Carried]:
        """The protocols of what looks denied so far, at the ends where they were not heard before and after."""
        lacks = self._protocols.lacks
        return sorted({carried for carried, at in self._denied_protocols() if lacks(carried, at)})

    def _protocols_in_doubt(self) -> list[Carried]:
        doubt = self._protocols.doubt
        return sorted({carried for carried, at in self._denied_protocols() if doubt(carried, at)})

    def _denied_protocols(self) -> set[tuple[Carried, int]]:
        """The protocols and ends of what looks denied so far, as it should, with the rounds that say so."""
        return {
            (Carried(end, cell.protocol), probe_round)
            for cell, _, probe_round in self._history.denials()
            if self._expected[cell] is not Verdict.ALLOWED
            for end in self._ends[self._routes[cell].pair]
        }

    def _ends_of(self, routes: Iterable[Route]) -> list[End]:
        pairs = dict.fromkeys(route.pair for route in routes)
        return list(dict.fromkeys(end for pair in pairs for end in self._ends[pair]))

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
        wanted, ends, paths = await apart_if_large(len(cells), self._attempts_at, cells)
        # How much is lost shows only where it lasts long enough for packets to be sent again.
        across = self._between_nodes.calls(paths, from_pods=phase == PROBING)
        carried = () if phase == PROBING else await apart_if_large(len(cells), self._carried_by, cells)
        calls = Calls(self._links.calls(ends), self._protocols.calls(carried), across, paths)
        return await self._probe_rounds.fire(phase, wanted, seconds, calls, pause)

    def _attempts_at(self, cells: Sequence[Cell]) -> tuple[list[Attempt], list[End], list[Path]]:
        """An attempt for each of ``cells``, and the ends and paths that they need."""
        routes = [self._routes[cell] for cell in cells]
        wanted = [Attempt(route.source.name, route.destination.name, route.target) for route in routes]
        pairs = dict.fromkeys(route.pair for route in routes)
        paths = dict.fromkeys(path for pair in pairs if (path := self._paths.get(pair)))
        return wanted, self._ends_of(routes), list(paths)

    def _carried_by(self, cells: Iterable[Cell]) -> list[Carried]:
        """What must carry ``cells``: which protocol at which ends."""
        pairs = dict.fromkeys((self._routes[cell].pair, cell.protocol) for cell in cells)
        return list(dict.fromkeys(Carried(end, protocol) for pair, protocol in pairs for end in self._ends[pair]))

    async def _pass(self, phase: str) -> None:
        """Try every cell once; silence counts only where answers came quickly enough to tell it from slowness."""
        cells, timeout, fired = list(self._routes), self._options.timeout, time.monotonic()
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
        return max(self._options.retests, self._silences - 1 if self._loses_packets else 0)

    @property
    def _loses_packets(self) -> bool:
        return any(loss.lost for loss in self._pool.losses)

    @property
    def _silences(self) -> int:
        """How many silent tries stand for a denial."""
        return max(self._least_silences, tries_needed(in_vain(self._pool.losses)))

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
            cells = [
                cell
                for turn in range(max(missing.values(), default=0))
                for cell, times in missing.items()
                if turn < times
            ]
            if not cells:
                return look > 0
            await self._again("trying silence again", cells, FIRST_PAUSE, seconds)
            leaks = [
                cell
                for cell, times in missing.items()
                if any(one.answer is Answer.ALLOWED for one in self._last(cell, times))
            ]
            if self._loses_packets:
                self._history.forgive_silence(leaks)
            for _ in range(self._options.retests):
                await self._again("retesting", leaks, FIRST_PAUSE)
            seconds = 2 * self._options.timeout
        return True

    def _silences_missing(self) -> dict[Cell, int]:
        """How often each cell whose silence stands for a denial is to be tried once more for that."""
        needed, late = self._silences, self._history.late
        missing = {cell: self._history.silences_missing(cell, needed) for cell in self._routes}
        # Those that came to agree are confirmed more often than that.
        return {cell: n for cell, n in missing.items() if n and cell not in late and self._can_be_tried(cell)}

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
            known = await self._pool.arrivals(by_site)
        await self._computed(lambda: self._tell_where_lost(known))

    def _silent_datagrams(self) -> dict[str, list[AttemptId]]:
        """The UDP probes that got no answer, by the site that they were aimed at."""
        by_site: dict[str, list[AttemptId]] = defaultdict(list)
        for cell, tries in self._history.tries.items():
            if cell.protocol is Protocol.UDP:
                # One that arrived in spite of a denial is a leak, whichever try it was.
                telling = tries if self._expected[cell] is Verdict.DENIED else tries[-1:]
                by_site[self._routes[cell].destination.name] += [
                    one.attempt_id for one in telling if one.silent and one.attempt_id
                ]
        return by_site

    def _tell_where_lost(self, known: Mapping[AttemptId, Arrival]) -> None:
        for cell, tries in self._history.tries.items():
            for number, one in enumerate(tries):
                if one.attempt_id and one.attempt_id in known:
                    tries[number] = lost_where(one, self._expected[cell], arrived=known[one.attempt_id])

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

    def outcome(self, skipped: Mapping[Cell, str]) -> ProbingOutcome:
        """Merge everything; ``skipped`` has the reason for each cell that wasn't probed."""
        tries = self._history.tries
        observations = {cell: Observation(Observed.SKIPPED, reason) for cell, reason in skipped.items()}
        reached = {
            self._routes[cell].listener
            for cell, ones in tries.items()
            if any(one.answer is Answer.ALLOWED for one in ones)
        }
        unheard = self._doubts()
        for cell, ones in tries.items():
            route = self._routes[cell]
            unproven, unwatched = self._controls.unproven(route, reached), self._controls.unwatched(route)
            observations[cell] = observe(self._expected[cell], ones, unproven, unwatched, unheard.get(cell, ""))
        flapping = find_flapping(self._expected, tries)
        facts = (
            *self._pool.facts,
            *self._probe_rounds.facts,
            told(self._pool.losses),
            *self._convergence(flapping.unstable),
            *self._between_nodes.unshown(self._denied_between_nodes(unheard)),
        )
        return ProbingOutcome(
            observations, (flapping,), tuple(filter(None, facts)), self._pool.attempts, self._probe_rounds.seconds
        )

    def _doubts(self) -> dict[Cell, str]:
        """Why what looks like a denial says nothing of policies, for each cell of which that is so."""
        doubt_of_end, doubt_of_protocol = cache(self._links.doubt), cache(self._protocols.doubt)
        doubts: dict[Cell, str] = {}
        for cell, told_by, probe_round in self._history.denials():
            ends = self._ends[self._routes[cell].pair]
            reasons = [doubt_of_end(end, probe_round) for end in ends]
            if path := self._paths.get(self._routes[cell].pair):
                reasons.append(self._between_nodes.doubt(path, probe_round))
            if self._expected[cell] is not Verdict.ALLOWED:  # an outage is one, whatever keeps the protocol away
                reasons += [doubt_of_protocol(Carried(end, cell.protocol), probe_round) for end in ends]
            if told_by.silent and ends:
                reasons.append(self._doubt_of_silence(cell))
            doubts[cell] = next(filter(None, reasons), "")
        return doubts

    def _denied_between_nodes(self, doubts: Mapping[Cell, str]) -> Counter[Path]:
        """How many connections count as denied, by the paths that they take: those on which nodes forward them, and
        for what nodes themselves send or get, those over which nothing was heard.
        """
        counts = Counter(self._routes[cell].pair for cell, doubt in doubts.items() if not doubt)
        routes = {self._routes[cell].pair: self._routes[cell] for cell, doubt in doubts.items() if not doubt}
        found: Counter[Path] = Counter()
        for pair, route in routes.items():
            path = forwarding_of(route.source, route.destination, pair[2]) or self._paths.get(pair)
            if path and not self._between_nodes.is_shown(path, route):
                found[path] += counts[pair]
        return found

    def _doubt_of_silence(self, cell: Cell) -> str:
        """Why silence does not stand for a denial; empty if it does."""
        share, needed = in_vain(self._pool.losses), self._silences
        if share > unbearable():
            return f"about {packets(share):.0%} of packets were lost, more than {MOST_LOST:.0%}"
        if not self._history.silences_missing(cell, needed):
            return ""
        return ": ".join(
            filter(None, [f"{cell} could not be tried {pluralize(needed, 'time')}", self._history.last_failure(cell)])
        )

    def _convergence(self, shaky: frozenset[Cell]) -> Iterator[str]:
        late, tries = self._history.late, self._history.tries
        converged = [
            seconds
            for cell, seconds in late.items()
            if cell not in shaky and is_late(self._expected[cell], tries[cell])
        ]
        if converged:
            yield (
                f"{pluralize(len(converged), 'connection')} took up to {max(converged):.1f} s to converge; a further "
                "pass over all connections agreed"
            )
        lasting = sum(self._history.differs(cell) for cell in tries if cell not in shaky)
        if lasting:
            yield (
                f"{pluralize(lasting, 'mismatch', 'mismatches')} lasted {self._waited:.1f} s and through "
                f"{pluralize(self._rounds, 'retest')}"
            )
