"""The whole of probing: controls, every cell, mismatches again until they have settled, controls once more, and the merge.

Convergence is waited for by probing, not by sleeping: a cell that is as expected costs nothing, and one that isn't is tried again for as
long as a CNI that is slow to program its rules may take. When something did change meanwhile, one further pass over all cells tells
convergence from instability (``auditor.probing.stability``).
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from auditor.model.ports import Protocol
from auditor.model.snapshot import IPAddress
from auditor.model.verdict import Cell, Observation, Observed, Verdict
from auditor.model.words import counted
from auditor.probing.batches import Attempt
from auditor.probing.controls import Controls, control_of
from auditor.probing.fleet import Fleet
from auditor.probing.merging import lost_where, observe
from auditor.probing.options import ProbingOptions, Progress
from auditor.probing.seating import NOBODY, Route, Seating, seat_cells
from auditor.probing.seats import AgentChannel, Seat
from auditor.probing.stability import Wavering, is_late, relapsed, wavering
from auditor.probing.tries import Answer, Shot, Try, agrees, wants_retest

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 0.8
LONGEST_SETTLING = 6
"""Settle times after which nobody is waited for any more, though something still changes."""
SLOW_SHARE = 0.25
"""The share of the timeout above which the slowest answer shows that the silent ones may just have been slower."""
CONFIRMATIONS = 8
"""How often a cell is asked again when its answer is in doubt: enough to catch an enforcer that drops, or lets through, one in three."""
MOST_CONFIRMING = 4096
"""How many such tries may go out together; with more cells in doubt, each is asked less often, but at least once more."""


@dataclass(frozen=True, slots=True)
class ProbingOutcome:
    """What probing saw.

    ``observations`` has every cell that was asked for. ``wavering`` is what changed its answer, for each time that was probed. ``facts``
    are lines worth knowing beside the findings; ``seconds`` the wall time of each phase, in order.
    """

    observations: Mapping[Cell, Observation]
    wavering: tuple[Wavering, ...] = ()
    facts: tuple[str, ...] = ()
    attempts: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def unstable(self) -> frozenset[Cell]:
        """The cells that changed their answer and not for good."""
        return frozenset().union(*(each.unstable for each in self.wavering))


async def probe(  # noqa: PLR0913, PLR0917 - where it all comes together; its callers stay one line
    cells: Sequence[Cell],
    seats: Sequence[Seat],
    open: Callable[[Seat], Awaitable[AgentChannel]],  # noqa: A002 - the cluster's word for it
    expected: Callable[[Cell], Verdict | None],
    options: ProbingOptions,
    progress: Progress,
    *,
    absent: Mapping[str, str] = NOBODY,
    translators: Iterable[IPAddress] = (),
) -> ProbingOutcome:
    """Probe ``cells`` with agents at ``seats``, which ``open`` starts.

    ``expected`` has the verdict to compare with, or None for cells that are not to be retested for differing; ``absent`` the reason why an
    endpoint has no seat, where there is more to say than just that; ``translators`` the addresses, those of nodes, that may stand for a
    source's own once the network has translated it. An agent that fails makes its cells inconclusive and raises nothing;
    however this ends, by cancellation too, every channel is closed.
    """
    seating = seat_cells(cells, seats, absent)
    async with Fleet(seating.seats, open, options, progress, translators) as fleet:
        campaign = _Campaign(seating, fleet, {cell: expected(cell) for cell in seating.routes}, options, progress)
        await campaign.run()
        return campaign.outcome(seating.skipped)


def _volley_of_controls(routes: Sequence[Route]) -> list[Attempt]:
    return [Attempt(route.destination.name, route.destination.name, control_of(route)) for route in routes]


class _Campaign:
    """One run's state, and its phases in order."""

    def __init__(
        self, seating: Seating, fleet: Fleet, expected: Mapping[Cell, Verdict | None], options: ProbingOptions, progress: Progress
    ) -> None:
        self._routes = seating.routes
        self._listeners = seating.listeners
        self._to_prove = seating.to_prove
        self._fleet = fleet
        self._expected = expected
        self._options = options
        self._progress = progress
        self._controls = Controls({})
        self._tries: dict[Cell, list[Try]] = {cell: [] for cell in seating.routes}
        self._began = 0.0
        self._late: dict[Cell, float] = {}
        self._rounds = 0
        self._waited = 0.0
        self._facts: list[str] = []
        self._seconds: dict[str, float] = {}

    async def run(self) -> None:
        await self._start()
        self._began = time.monotonic()
        await self._pass("probing")
        await self._retest()
        self._take_back_what_could_not_be_retested()
        self._waited = time.monotonic() - self._began
        if self._late:
            await self._confirm()
        await self._trace_lost_datagrams()
        await self._retest_one_way_leaks()
        await self._control(await self._controls_of("controls", self._to_prove, self._options.timeout), "after the probes")

    @contextmanager
    def _phase(self, name: str, attempts: int) -> Iterator[None]:
        self._progress.phase(name, attempts)
        began = time.monotonic()
        yield
        self._seconds[name] = self._seconds.get(name, 0.0) + time.monotonic() - began

    async def _start(self) -> None:
        """Start the agents; the controls before the probes go out with the command to listen."""
        with self._phase("starting", len(self._listeners) + len(self._to_prove)):
            tries = await self._fleet.start(self._listeners, _volley_of_controls(self._to_prove), self._options.timeout)
        self._controls = Controls(self._fleet.unbound)
        await self._control(list(zip(self._to_prove, tries, strict=True)), "before the probes")

    async def _control(self, controls: Sequence[tuple[Route, Try]], when: str) -> None:
        """Take in one round of controls. What failed is tried again: a busy machine is no dead listener."""
        unbound = self._fleet.unbound
        again = [route for route, one in controls if one.answer is not Answer.ALLOWED and route.listener not in unbound]
        final = {route.listener: (route, one) for route, one in controls}
        if again:
            patient = await self._controls_of("controls patiently", again, 2 * self._options.timeout)
            final |= {route.listener: (route, one) for route, one in patient}
        self._controls.record(final.values(), when)

    async def _controls_of(self, phase: str, routes: Sequence[Route], seconds: float) -> list[tuple[Route, Try]]:
        with self._phase(phase, len(routes)):
            return list(zip(routes, await self._fleet.fire(_volley_of_controls(routes), seconds), strict=True))

    async def _fire(self, cells: Sequence[Cell], seconds: float) -> list[Try]:
        routes = [self._routes[cell] for cell in cells]
        return await self._fleet.fire([Attempt(route.source.name, route.destination.name, route.aim) for route in routes], seconds)

    async def _pass(self, phase: str) -> None:
        """Try every cell once; silence counts only where answers came quickly enough to tell it from slowness."""
        cells, timeout, fired = list(self._routes), self._options.timeout, time.monotonic()
        with self._phase(phase, len(cells)):
            tries = dict(zip(cells, await self._fire(cells, timeout), strict=True))
        for _ in range(2):
            silent = [cell for cell, one in tries.items() if one.silent]
            if not silent or self._fleet.slowest <= SLOW_SHARE * timeout:
                break
            timeout *= 2
            self._facts.append(
                f"answers took up to {self._fleet.slowest:.2f} s: {len(silent)} silent cells were tried again for {timeout:g} s"
            )
            with self._phase(f"{phase} patiently", len(silent)):
                tries.update(zip(silent, await self._fire(silent, timeout), strict=True))
        for cell, one in tries.items():
            self._record(cell, one, fired)

    def _record(self, cell: Cell, one: Try, fired: float) -> None:
        tries = self._tries[cell]
        tries.append(one)
        if cell not in self._late and is_late(self._expected[cell], tries):
            self._late[cell] = fired - self._began

    def _open_questions(self) -> list[Cell]:
        """The cells whose last try can't stand, between agents that can still try again."""
        return [cell for cell, tries in self._tries.items() if wants_retest(self._expected[cell], tries[-1]) and self._can_be_tried(cell)]

    def _relapsed(self, cell: Cell) -> bool:
        return relapsed(self._expected[cell], self._tries[cell])

    def _can_be_tried(self, cell: Cell) -> bool:
        route = self._routes[cell]
        return not (self._fleet.ended(route.source.name) or (route.destination.answers and self._fleet.ended(route.destination.name)))

    async def _retest(self) -> None:
        """Try mismatches again, with growing pauses, until they are gone or have lasted long enough and through enough retests."""
        pause = FIRST_PAUSE
        while pending := self._open_questions():
            if self._rounds >= self._options.retests and self._has_settled():
                break
            self._rounds += 1
            await self._again("retesting", pending, pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _has_settled(self) -> bool:
        """Whether nothing has changed for the settle time. A CNI programs one pod after another: while it does, the others' turn comes."""
        settle, passed = self._options.settle, time.monotonic() - self._began
        return passed >= max(self._late.values(), default=0.0) + settle or passed >= LONGEST_SETTLING * settle

    def _take_back_what_could_not_be_retested(self) -> None:
        """A difference whose agent has ended meanwhile never lasted: its pod may have been going away, and its rules with it."""
        for cell, tries in self._tries.items():
            if agrees(self._expected[cell], tries[-1]) is False and not self._can_be_tried(cell):
                route = self._routes[cell]
                tries.append(Try(Answer.ERROR, self._fleet.ended(route.source.name) or self._fleet.ended(route.destination.name)))

    async def _again(self, phase: str, cells: Sequence[Cell], pause: float = 0.0) -> None:
        """Try ``cells``, which may repeat, with fresh connections; longer where one was not heard, lest slowness look like silence."""
        if not cells:
            return
        with self._phase(phase, len(cells)):
            await asyncio.sleep(pause)
            unheard = any(self._tries[cell][-1].answer in (Answer.DROPPED, Answer.ERROR) for cell in cells)
            fired = time.monotonic()
            tries = await self._fire(cells, self._options.timeout * (2 if unheard else 1))
            for cell, one in zip(cells, tries, strict=True):
                self._record(cell, one, fired)

    async def _confirm(self) -> None:
        """One further pass over all cells, and more tries of those that it leaves in doubt."""
        await self._pass("confirming")
        times = min(CONFIRMATIONS, max(1, MOST_CONFIRMING // len(self._late)))
        await self._again("confirming", list(self._late) * times)
        await self._again("retesting", self._doubtful())

    def _doubtful(self) -> list[Cell]:
        """The cells to retest at last: those that relapsed or said nothing, and, once any relapsed, those that never answered."""
        any_relapsed = any(map(self._relapsed, self._tries))
        doubtful: list[Cell] = []
        for cell in self._open_questions():
            if self._relapsed(cell) or agrees(self._expected[cell], self._tries[cell][-1]) is None:
                doubtful += [cell] * self._options.retests
            elif any_relapsed and self._expected[cell] is Verdict.ALLOWED:
                doubtful += [cell] * CONFIRMATIONS
        return doubtful

    async def _trace_lost_datagrams(self) -> None:
        """Ask destinations which of the UDP probes that got no answer had reached them."""
        aimed: dict[str, list[Shot]] = defaultdict(list)
        for cell, tries in self._tries.items():
            if cell.protocol is Protocol.UDP:
                # One that arrived in spite of a denial is a leak, whichever try it was.
                telling = tries if self._expected[cell] is Verdict.DENIED else tries[-1:]
                aimed[self._routes[cell].destination.name] += [one.shot for one in telling if one.silent and one.shot]
        if not any(aimed.values()):
            return
        with self._phase("tracing", 0):
            known = await self._fleet.arrivals(aimed)
        for cell, tries in self._tries.items():
            for number, one in enumerate(tries):
                if one.shot in known:
                    tries[number] = lost_where(one, self._expected[cell], arrived=known[one.shot])

    async def _retest_one_way_leaks(self) -> None:
        """Try again what only the destinations' logs showed to differ, after every other retest."""
        pending = [cell for cell in self._open_questions() if cell.protocol is Protocol.UDP and self._tries[cell][-1].milliseconds is None]
        leaks = [cell for cell in pending if self._tries[cell][-1].answer is Answer.ALLOWED]
        for _ in range(self._options.retests if leaks else 0):
            await self._again("retesting", leaks, FIRST_PAUSE)
        if leaks:
            await self._trace_lost_datagrams()

    def outcome(self, skipped: Mapping[Cell, str]) -> ProbingOutcome:
        """Merge everything; ``skipped`` has the reason for each cell that wasn't probed."""
        observations = {cell: Observation(Observed.SKIPPED, reason) for cell, reason in skipped.items()}
        reached = {self._routes[cell].listener for cell, tries in self._tries.items() if any(one.answer is Answer.ALLOWED for one in tries)}
        for cell, tries in self._tries.items():
            route = self._routes[cell]
            unproven, unwatched = self._controls.unproven(route, reached), self._controls.unwatched(route)
            observations[cell] = observe(self._expected[cell], tries, unproven, unwatched)
        wavers = wavering(self._expected, self._tries)
        return ProbingOutcome(
            observations=observations,
            wavering=(wavers,),
            facts=(*self._fleet.facts, *self._facts, *self._convergence(wavers.unstable)),
            attempts=self._fleet.attempts,
            seconds=self._seconds,
        )

    def _convergence(self, shaky: frozenset[Cell]) -> Iterator[str]:
        converged = [
            seconds for cell, seconds in self._late.items() if cell not in shaky and is_late(self._expected[cell], self._tries[cell])
        ]
        if converged:
            yield f"{counted(len(converged), 'cell')} took up to {max(converged):.1f} s to converge; a further pass over all cells agreed"
        lasting = sum(agrees(self._expected[cell], tries[-1]) is False for cell, tries in self._tries.items() if cell not in shaky)
        if lasting:
            yield f"{counted(lasting, 'mismatch', 'mismatches')} lasted {self._waited:.1f} s and through {counted(self._rounds, 'retest')}"
