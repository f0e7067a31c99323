"""One symbol for everything between two endpoints: what a matrix shows in a single character.

The worst that happened to any port decides. Faults are letters, so that they stand out without colour and survive any
encoding.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from auditor.model.report import CellResult
from auditor.model.verdict import Observed, Result


@dataclass(frozen=True, slots=True)
class Look:
    """How a mark is shown: its symbol, the one for encodings without that, a rich style, and its words in
    the legend.
    """

    symbol: str
    plain: str
    style: str
    meaning: str


class Mark(Enum):
    """What is known of a pair (or of two groups of endpoints), worst first."""

    LEAK = Look("L", "L", "bold white on red", "leak: got through, should not")
    OUTAGE = Look("O", "O", "bold white on magenta", "outage: cut off, should not be")
    MISDELIVERED = Look("M", "M", "bold black on yellow", "misdelivered: someone else answered")
    UNSTABLE = Look("U", "U", "bold black on yellow", "unstable: answers differ from try to try")
    INCONCLUSIVE = Look("?", "?", "bold yellow", "inconclusive")
    UNDECIDED = Look("~", "~", "cyan", "left open by the specification")
    ALLOWED = Look("●", "+", "green", "every port allowed")
    SOME = Look("◐", "%", "green", "some ports allowed")
    DENIED = Look("·", ".", "dim", "no port allowed")
    SKIPPED = Look("-", "-", "dim", "skipped")
    NONE = Look(" ", " ", "", "")

    @property
    def is_finding(self) -> bool:
        """Whether it calls for a look, as opposed to being as expected."""
        return self in WORST_FIRST


BY_RESULT = {
    Result.LEAK: Mark.LEAK,
    Result.OUTAGE: Mark.OUTAGE,
    Result.MISDELIVERED: Mark.MISDELIVERED,
    Result.UNSTABLE: Mark.UNSTABLE,
    Result.INCONCLUSIVE: Mark.INCONCLUSIVE,
    Result.CNI_DEPENDENT: Mark.UNDECIDED,
    Result.UNDEFINED: Mark.UNDECIDED,
}

WORST_FIRST = (Mark.LEAK, Mark.OUTAGE, Mark.MISDELIVERED, Mark.UNSTABLE, Mark.INCONCLUSIVE, Mark.UNDECIDED)


def mark(cells: Collection[CellResult]) -> Mark:
    """The mark for ``cells``; NONE when there are none. Skipped cells show only where nothing else does."""
    if not cells:
        return Mark.NONE
    found = {BY_RESULT.get(cell.result) for cell in cells}
    for bad in WORST_FIRST:
        if bad in found:
            return bad
    verdicts = {cell.observation.verdict for cell in cells if cell.result is not Result.SKIPPED}
    if not verdicts:
        return Mark.SKIPPED
    if verdicts == {Observed.ALLOWED}:
        return Mark.ALLOWED
    return Mark.SOME if Observed.ALLOWED in verdicts else Mark.DENIED


@dataclass(frozen=True, slots=True)
class Symbols:
    """A choice between symbols and their plain replacements."""

    plain: bool = False

    def of(self, shown: Mark) -> str:
        return shown.value.plain if self.plain else shown.value.symbol

    @property
    def ellipsis(self) -> str:
        return "..." if self.plain else "…"

    @property
    def arrow(self) -> str:
        return "->" if self.plain else "→"


EVERY_SYMBOL = "".join(each.value.symbol for each in Mark) + "…→"
