"""Every try of every cell of a run, and what they say so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from auditor.model.ports import Protocol
from auditor.model.verdict import Cell, Verdict
from auditor.probing.attempts import Answer, Arrival, AttemptId, AttemptResult, agrees
from auditor.probing.merging import DENIALS, decisive, is_late, lost_where, relapsed

LOST = "nothing came back, and packets do get lost here"


class AttemptHistory:
    """The tries of each cell, oldest first. ``late`` has the cells that came to agree, each with the seconds that this
    took, ``open_at`` those that should be denied and were open, each with the seconds after which it last was.
    """

    def __init__(self, expected: Mapping[Cell, Verdict | None]) -> None:
        self.expected = expected
        self.tries: dict[Cell, list[AttemptResult]] = {cell: [] for cell in expected}
        self.late: dict[Cell, float] = {}
        self.open_at: dict[Cell, float] = {}
        self._probe_rounds: dict[Cell, list[int]] = {cell: [] for cell in expected}

    def record(self, cell: Cell, one: AttemptResult, probe_round: int, seconds: float) -> None:
        """Take in a try of the round with that number, which began that many seconds after the first."""
        tries = self.tries[cell]
        tries.append(one)
        self._probe_rounds[cell].append(probe_round)
        if one.answer is Answer.ALLOWED and self.expected[cell] is Verdict.DENIED:
            self.open_at[cell] = seconds
        if cell not in self.late and is_late(self.expected[cell], tries):
            self.late[cell] = seconds

    def relapsed(self, cell: Cell) -> bool:
        """Whether it had agreed and differed again."""
        return relapsed(self.expected[cell], self.tries[cell])

    def differs(self, cell: Cell) -> bool:
        """Whether its last try is not what was expected."""
        return agrees(self.expected[cell], self.tries[cell][-1]) is False

    def denials(self) -> Iterator[tuple[Cell, AttemptResult, int]]:
        """The cells that look denied so far, with the try that decides, and the last round in which any try said
        something.
        """
        for cell, tries in self.tries.items():
            told = decisive(self.expected[cell], tries)
            if told.answer in DENIALS:
                yield cell, told, self.telling_round(cell)

    def telling_round(self, cell: Cell) -> int:
        """The last round in which a try of ``cell`` said something."""
        tries = zip(self._probe_rounds[cell], self.tries[cell], strict=False)
        return max((probe_round for probe_round, one in tries if one.answer is not Answer.ERROR), default=0)

    def silences_missing(self, cell: Cell, needed: int) -> int:
        """How many more silent tries it takes for the silence of ``cell`` to stand for a denial; 0 where it doesn't
        stand for one.
        """
        if self.expected[cell] is not Verdict.DENIED:
            return 0
        silent = 0
        for one in reversed(self.tries[cell]):
            if not one.silent and one.answer is not Answer.ERROR:
                break
            silent += one.silent
        return max(0, needed - silent) if silent else 0

    def forgive_silence(self, cells: Iterable[Cell]) -> None:
        """Have the silence before the first answer say nothing: a lost packet is not a change of mind."""
        for cell in cells:
            tries = self.tries[cell]
            first = next(number for number, one in enumerate(tries) if one.answer is Answer.ALLOWED)
            tries[:first] = [AttemptResult(Answer.ERROR, LOST) for _ in range(first)]

    def last_failure(self, cell: Cell) -> str:
        """Why the last try of ``cell`` that said nothing did; empty if there is none."""
        return next((one.outcome for one in reversed(self.tries[cell]) if one.answer is Answer.ERROR), "")

    def silent_datagrams(self) -> Iterator[tuple[Cell, list[AttemptId]]]:
        """The UDP attempts that got no answer and may have arrived all the same."""
        for cell, tries in self.tries.items():
            if cell.protocol is Protocol.UDP:
                # One that arrived in spite of a denial is a leak, whichever try it was.
                telling = tries if self.expected[cell] is Verdict.DENIED else tries[-1:]
                yield cell, [one.attempt_id for one in telling if one.silent and one.attempt_id]

    def trace(self, arrived: Mapping[AttemptId, Arrival]) -> None:
        """Take in which attempts ``arrived``, as their destinations logged them."""
        for cell, tries in self.tries.items():
            for number, one in enumerate(tries):
                if one.attempt_id and one.attempt_id in arrived:
                    tries[number] = lost_where(one, self.expected[cell], arrived=arrived[one.attempt_id])
