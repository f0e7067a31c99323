"""How many single datagrams get lost where policies let them through.

An attempt over UDP sends several datagrams, so that a lost one doesn't look like a policy; which hides an enforcer, or
a network, that loses every third. So connections that are answered are tried with single datagrams as well, which are
counted: a few from each first, and more from those of which some were not answered. One that loses too many of them is
unstable. What gets lost here and there is a fact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from statistics import median

from auditor.model.ports import Protocol
from auditor.model.verdict import Cell
from auditor.model.words import in_brief, pluralize
from auditor.probing.attempts import Answer, AttemptResult

FIRST_COUNT, SECOND_COUNT = 12, 24
"""How many datagrams each connection sends at first, and how many more where ``SUSPICIOUS`` of them were lost."""
SUSPICIOUS = 2
MOST_LOST = 0.2
"""The share of unanswered ones from which on a connection is unstable. Where 1 % of packets get lost each way, fewer
than one connection in a million loses so many, where 2 % do, 4 in 100,000.
"""
SLOW_SHARE = 0.5
"""The share of the time for which answers are waited for above which the slowest answer shows that others may merely
have been late.
"""
MOST_COUNTED = 4096
"""How many go out together."""
PAUSE = 0.8
"""Seconds before the second count, so that a moment's trouble doesn't reach into it."""
SHOWN = 3
LEAST_SECONDS, MOST_SECONDS = 0.65, 0.95
"""How long an answer is waited for. Loss is measured in longer rounds: these would make it look smaller."""


def _patience(milliseconds: Iterable[float]) -> float:
    """For how many seconds to wait for an answer, where others took that long."""
    return min(MOST_SECONDS, max(LEAST_SECONDS, 4 * median([*milliseconds, 0.0]) / 1000))


Fire = Callable[[list[Cell], float, float], Awaitable[list[AttemptResult]]]
"""Tries connections with one datagram each, and waits for so many seconds, after a pause."""


class DatagramCounts:
    """Single datagrams of each connection: how many were sent, and how many not answered."""

    def __init__(self) -> None:
        self._sent: Counter[Cell] = Counter()
        self._lost: Counter[Cell] = Counter()
        self._last: dict[Cell, tuple[int, int]] = {}

    async def count(self, answered: Mapping[Cell, AttemptResult], fire: Fire, slowest: Callable[[], float]) -> str:
        """Have the connections that were ``answered`` tried with single datagrams by ``fire``.

        Why they can't be counted, empty if they can: where the ``slowest`` answer of a round took too long.
        """
        seconds = _patience(one.milliseconds or 0.0 for one in answered.values() if not one.again)
        for second in (False, True):
            cells = turns(self.suspicious(), SECOND_COUNT) if second else turns(list(answered), FIRST_COUNT)
            tries = await fire(cells, seconds, PAUSE if second else 0.0) if cells else []
            if cells and slowest() > SLOW_SHARE * seconds:
                return f"how many single datagrams get lost was not counted: answers took up to {slowest():.2f} s"
            self.take(zip(cells, tries, strict=True))
        return ""

    def take(self, tries: Iterable[tuple[Cell, AttemptResult]]) -> None:
        """Take in what came of one round; a try that failed for a reason of ours tells nothing."""
        sent, lost = Counter[Cell](), Counter[Cell]()
        for cell, one in tries:
            if one.silent or one.answer is Answer.ALLOWED:
                sent[cell] += 1
                lost[cell] += one.silent
        self._sent += sent
        self._lost += lost
        self._last |= {cell: (count, lost[cell]) for cell, count in sent.items()}

    def suspicious(self) -> list[Cell]:
        """The connections that have to send more of them."""
        return [cell for cell, lost in self._lost.items() if lost >= SUSPICIOUS]

    @property
    def unstable(self) -> frozenset[Cell]:
        """The connections that lose too many, in the second count as well. One of which nothing is answered any more
        has changed, or its link has, and loses none in this sense.
        """
        return frozenset(
            cell
            for cell in self.suspicious()
            if self._sent[cell] > FIRST_COUNT
            and self._lost[cell] >= MOST_LOST * self._sent[cell]
            and MOST_LOST * self._last[cell][0] <= self._last[cell][1] < self._last[cell][0]
        )

    def outcome(self, cell: Cell) -> str:
        """What there is to say of an unstable connection."""
        return f"{self._lost[cell]} of {pluralize(self._sent[cell], 'single datagram')} or their answers were lost"

    @property
    def fact(self) -> str:
        """What there is to say of all; empty if none was lost."""
        lost, sent = self._lost.total(), self._sent.total()
        if not lost:
            return ""
        what = f"single datagrams ({lost / sent:.0%}) that policies allow"
        return f"{lost:,} of {sent:,} {what}, or their answers, were lost"


def turns(cells: list[Cell], times: int) -> list[Cell]:
    """Each of ``cells`` so many times, one after the other; a sample of them, and each less often, where they are
    many.
    """
    if len(cells) * times > MOST_COUNTED:
        cells = cells[:: -(-len(cells) * FIRST_COUNT // MOST_COUNTED)]
    return cells * max(1, min(times, MOST_COUNTED // max(1, len(cells))))


def sent_again(tries: Mapping[Cell, Iterable[AttemptResult]]) -> str:
    """What there is to say of TCP connections that were answered only after a packet had been sent again; empty if none
    was.
    """
    cells = [cell for cell, ones in tries.items() if cell.protocol is Protocol.TCP and any(one.again for one in ones)]
    if not cells:
        return ""
    connections = pluralize(len(cells), "TCP connection")
    return f"{connections} got an answer only after a packet had been sent again: {in_brief(cells, SHOWN)}"
