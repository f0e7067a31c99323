"""What one attempt at a cell came to: the raw material from which observed verdicts are merged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Observed, Verdict


class Answer(StrEnum):
    """The verdict of one attempt, in the words of the agents' wire format."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    DROPPED = "dropped"
    MISDELIVERED = "misdelivered"
    ERROR = "error"
    """Nothing about the network: a failure of our own, or no attempt at all."""

    @property
    def observed(self) -> Observed:
        """The verdict as it stands in a cell's history."""
        return Observed.INCONCLUSIVE if self is Answer.ERROR else Observed(self.value)


class Shot(NamedTuple):
    """Which attempt of which batch a try was: the nonce that the destination may have logged."""

    batch: str
    attempt: int

    @property
    def nonce(self) -> str:
        """The nonce on the wire: 16 hexadecimal digits."""
        return f"{self.batch}{self.attempt:08x}"


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt. ``outcome`` is the raw outcome (``token``, ``tcp-reset``, …) or, for an error, the reason in words."""

    answer: Answer
    outcome: str
    milliseconds: float | None = None
    shot: Shot | None = None

    @property
    def silent(self) -> bool:
        """Whether nothing came back, which too short a timeout can feign."""
        return self.answer is Answer.DROPPED


class Listener(NamedTuple):
    """What a control proves alive: one port of one seat over one family."""

    seat: str
    protocol: Protocol
    port: int
    family: Family

    def __str__(self) -> str:
        return f"{self.seat} on {self.protocol}/{self.port} over {self.family}"


def agrees(expected: Verdict | None, one: Try) -> bool | None:
    """Whether a try is what was expected; None when that can't be said: nothing is expected, or the try says nothing."""
    if expected is None or one.answer is Answer.ERROR:
        return None
    if one.answer is Answer.MISDELIVERED:
        return False
    return (one.answer is Answer.ALLOWED) == (expected is Verdict.ALLOWED)


def wants_retest(expected: Verdict | None, one: Try) -> bool:
    """Whether a try must not stand alone: it differs from what was expected, or says nothing."""
    return one.answer is Answer.ERROR or agrees(expected, one) is False
