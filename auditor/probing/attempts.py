"""What one attempt at a cell came to: the raw material from which observed verdicts are merged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

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


class Origin(NamedTuple):
    """A socket that packets come from."""

    address: str
    port: int


class AttemptId(NamedTuple):
    """Which attempt of which batch a try was: the nonce that the destination may have logged.

    ``origin`` is the socket that it was sent from, where it is known.
    """

    batch: str
    attempt: int
    origin: Origin | None = None

    @property
    def nonce(self) -> str:
        """The nonce on the wire: 16 hexadecimal digits."""
        return f"{self.batch}{self.attempt:08x}"


Arrival: TypeAlias = bool | Origin | None
"""Whether a datagram arrived; where it came from, if not from where it was sent; None where nobody can tell."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """One attempt. ``outcome`` is the raw outcome (``token``, ``tcp-reset``, …) or, for an error, the reason in words.

    ``seen`` is the address that it came from, as who answered saw it, if it was sent from another. ``by_way`` says that
    something did get through, by way of another address: then no other try can show that nothing does. ``again`` is how
    many packets had to be sent once more before the answer came. ``addresses`` are those that a lookup was answered.
    """

    answer: Answer
    outcome: str
    milliseconds: float | None = None
    attempt_id: AttemptId | None = None
    seen: str = ""
    by_way: bool = False
    again: int = 0
    addresses: tuple[str, ...] = ()

    @property
    def silent(self) -> bool:
        """Whether nothing came back, which too short a timeout can feign."""
        return self.answer is Answer.DROPPED


class Listener(NamedTuple):
    """What a control proves alive: one port of one site over one family."""

    site: str
    protocol: Protocol
    port: int
    family: Family

    def __str__(self) -> str:
        return f"{self.site} on {self.protocol}/{self.port} over {self.family}"


def by_way_of(address: str, one: AttemptResult) -> AttemptResult:
    """What a try is worth that reached its destination from an address that is not its source's: anybody may have sent
    it on.
    """
    reason = (
        f"it reached its destination from {address}, which is not its source: translated on the way, or "
        "repeated by somebody else"
    )
    return AttemptResult(Answer.ERROR, reason, attempt_id=one.attempt_id, seen=address, by_way=True)


def agrees(expected: Verdict | None, one: AttemptResult) -> bool | None:
    """Whether a try is what was expected; None when that can't be said: nothing is expected, or the try
    says nothing.
    """
    if expected is None or one.answer is Answer.ERROR:
        return None
    if one.answer is Answer.MISDELIVERED:
        return False
    return (one.answer is Answer.ALLOWED) == (expected is Verdict.ALLOWED)


def wants_retest(expected: Verdict | None, one: AttemptResult) -> bool:
    """Whether a try must not stand alone: it differs from what was expected, or says nothing."""
    return one.answer is Answer.ERROR or agrees(expected, one) is False
