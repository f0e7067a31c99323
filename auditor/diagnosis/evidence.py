"""What the observations say, as bitsets, and how well a prediction fits them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log2

from auditor.diagnosis.cells import Cells
from auditor.diagnosis.dialects import SPECS, Timing
from auditor.diagnosis.predictors import Prediction, Predictor
from auditor.diagnosis.price import NOISE, Prices
from auditor.model.diagnosis import Hypothesis, ScopeKind
from auditor.model.dialect import Dialect
from auditor.model.policy import NetworkPolicy
from auditor.model.ports import Protocol
from auditor.model.report import CellResult
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Note, Result, Verdict

TELLING = (Result.MATCH, Result.LEAK, Result.OUTAGE, Result.UNSTABLE, Result.CNI_DEPENDENT)
"""The results that say what the enforcer did. What wasn't observed, is undefined or was answered by a stranger says
nothing of it.
"""

DOUBT = 8.0
"""Bits within which chance decides between two hypotheses."""

CHANCE = 5
"""At a share of losses that retests still find, no more than this many cells look steadily denied for each that is seen
to change.
"""

CREDIBLE = 20
"""The cells that a fault has to explain for each one that contradicts it."""

SCOPES, DIALECTS = tuple(ScopeKind), tuple(Dialect)
"""In the order in which those at one price are shown."""


def is_telling(result: CellResult) -> bool:
    """Whether ``result`` says what the enforcer did."""
    return result.result in TELLING and Note.ADDRESS_UNKNOWN not in result.notes


def _in_the_end(result: CellResult) -> CellResult:
    """What is closed too late is told by itself, and is as it should be from then on."""
    return result if result.observation.open_seconds is None else replace(result, result=Result.MATCH)


class Evidence:
    """The conclusive results among ``results``: cells as bitsets over ``cells``.

    ``differing`` holds those that aren't as the specification says, ``changing`` those of them that changed between
    tries; it ``loses_datagrams`` where these are over UDP alone. Results whose expectation isn't that of ``snapshot``,
    since the cluster changed meanwhile, are left out.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        results: Sequence[CellResult],
        previous_policies: Sequence[NetworkPolicy] | None = None,
    ) -> None:
        telling = [_in_the_end(result) for result in results if is_telling(result)]
        predictor = Predictor(Cells(snapshot, [result.cell for result in telling]), previous_policies)
        expected = predictor.specification
        steady = [
            result
            for number, result in enumerate(telling)
            if (result.expected is Verdict.ALLOWED) == bool(expected >> number & 1)
        ]
        if len(steady) < len(telling):
            predictor = Predictor(Cells(snapshot, [result.cell for result in steady]), previous_policies)
        self.predictor = predictor
        self.cells = predictor.cells
        self.results = tuple(steady)
        self.changing = self.where(Result.UNSTABLE)
        udp = self.cells.protocols.get(Protocol.UDP, 0)
        # Over TCP, packets that get lost are sent again: that nothing changes there says nothing of loss.
        self.loses_datagrams = bool(self.changing) and not self.changing & ~udp
        self._may_vary = udp if self.loses_datagrams else self.cells.everything
        self.differing = self.cells.everything & ~self.where(Result.MATCH)
        self.allowed = predictor.specification ^ self.differing
        self.untold = tuple(result.cell for result in results if result.result is Result.MISDELIVERED)
        self.prices = Prices(predictor.parts_of_cluster)

    def where(self, kind: Result) -> int:
        """The cells with this result."""
        numbers = {result.cell for result in self.results if result.result is kind}
        return self.cells.where(lambda cell: cell in numbers)

    def fit(self, faults: Hypothesis) -> Fit:
        """How well ``faults`` fit."""
        prediction = self.predictor.predict(faults, timed=bool(self.changing))
        varying = prediction.varying
        if all(SPECS[fault.dialect].timing is Timing.NOW_AND_THEN for fault in faults):
            varying &= self._may_vary
        if not varying & self.changing and all(SPECS[fault.dialect].tracks_connections for fault in faults):
            varying = 0
        settled = self.cells.everything & ~self.changing
        wrong = (prediction.allowed ^ self.allowed) & settled
        by_chance = self.differing & wrong & varying
        against, unlikely = self._against_chance(faults, Prediction(prediction.allowed, varying))
        if by_chance.bit_count() > CHANCE * (varying & self.changing).bit_count():
            unlikely |= by_chance
        explained = self.differing & (settled & ~wrong | varying) & ~unlikely
        contradictions = (
            prediction.allowed ^ self.predictor.specification
        ) & wrong & ~varying & ~self.differing | against
        errors = contradictions.bit_count() + (self.differing & ~explained).bit_count()
        chance = _surprise(varying.bit_count(), (by_chance & ~unlikely | varying & self.changing).bit_count())
        return Fit(
            faults=faults,
            prediction=Prediction(prediction.allowed, varying),
            explained=explained,
            contradictions=contradictions,
            unexplained=self.differing & ~explained,
            changing=self.changing,
            surprise=chance + self.prices.of_place(faults) if chance else 0.0,
            price=self.prices.of(faults) + NOISE * errors + chance,
        )

    def _against_chance(self, faults: Hypothesis, prediction: Prediction) -> tuple[int, int]:
        """Of the cells that ``prediction`` has open for a while or mostly, those that contradict it, and those that it
        can't explain.

        A slow enforcer closes all of them together: some that are closed already and some that stay open can't both be
        its doing. A lossy one closes hardly more of them than it is seen to change.
        """
        cells = prediction.allowed & prediction.varying & ~self.predictor.specification
        closed, changing = cells & ~self.differing, cells & self.changing
        stays_open = cells & self.differing & ~changing
        if any(SPECS[fault.dialect].timing is Timing.LATE for fault in faults):
            return (closed, 0) if closed.bit_count() <= stays_open.bit_count() else (0, stays_open)
        return (closed, 0) if closed.bit_count() > changing.bit_count() else (0, 0)


@dataclass(frozen=True, slots=True)
class Fit:
    """How well a hypothesis fits: cells as bitsets.

    ``changing`` are all that changed between tries; ``surprise`` is the number of bits it takes to say which of the
    cells that may vary did, and where they are. ``price`` is that of ``auditor.diagnosis.price``.
    """

    faults: Hypothesis
    prediction: Prediction
    explained: int
    contradictions: int
    unexplained: int
    changing: int
    surprise: float
    price: float

    @property
    def errors(self) -> int:
        """The cells that contradict it."""
        return self.contradictions.bit_count() + self.unexplained.bit_count()

    @property
    def is_credible(self) -> bool:
        """Whether it explains what differs: with one steady cell at most that it doesn't explain, and one
        contradiction, for every twenty that it explains, and one changing cell for every two. Two faults together have
        to explain all.

        Among some hundred hypotheses there is mostly one that by chance explains a good part of a fault that is none of
        them, and among their pairs one that explains more. A few cells that change are no reason to add a fault that
        would have many more of them change.
        """
        if len(self.faults) > 1:
            changed = (self.explained & self.changing).bit_count()
            few = 0 < CREDIBLE * changed < self.prediction.varying.bit_count()
            return bool(self.explained) and not self.errors and not few
        steady = self.unexplained & ~self.changing
        worst = max(steady.bit_count(), self.contradictions.bit_count())
        return 0 < self.explained.bit_count() >= max(CREDIBLE * worst, 2 * self.unexplained.bit_count())

    @property
    def rank(self) -> tuple[float, ...]:
        """The cheapest first; at one price, the simpler scope, and the order of the dialects."""
        return (
            round(self.price, 3),
            sum(SCOPES.index(fault.scope.kind) for fault in self.faults),
            *sorted(DIALECTS.index(fault.dialect) for fault in self.faults),
        )

    def fits_like(self, other: Fit) -> bool:
        """Whether as few cells contradict one as the other, for as many faults."""
        return abs(self.surprise - other.surprise) <= DOUBT and (self.errors, len(self.faults)) == (
            other.errors,
            len(other.faults),
        )


def _surprise(varying: int, varied: int) -> float:
    """The bits that it takes to say which of so many cells did vary."""
    if not varied:
        return 0.0
    share = varied / varying
    return -varying * sum(part * log2(part) for part in (share, 1 - share) if part)
