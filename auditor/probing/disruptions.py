"""What explains that a destination did not answer, other than the network; and taking back what was seen meanwhile.

While an agent is gone, its ports refuse; while it stands still, they are silent. Both look just like a policy at work, and the proofs
before and after notice neither if the agent is back in time. A receive buffer or a listener that has no room for more, since somebody
floods it, is silent just the same. So this has to be asked about every destination that was not heard.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from auditor.model.ports import Protocol
from auditor.model.words import counted
from auditor.probing.attempts import Answer, Try
from auditor.probing.batches import Attempt
from auditor.probing.session import Health

LAG_SHARE = 1 / 3
"""The share of the timeout above which an agent that stood still explains silence at its seat."""


@dataclass(frozen=True, slots=True)
class Excuse:
    """Why a destination can't be blamed. ``silence_only``: what it did answer holds. ``protocol``: that one alone; None: any."""

    reason: str
    silence_only: bool = False
    protocol: Protocol | None = None

    def covers(self, attempt: Attempt, one: Try) -> bool:
        """Whether it explains ``one``, which is what came of ``attempt`` and no answer."""
        return (one.silent or not self.silence_only) and self.protocol in (None, attempt.aim.protocol)


def excuses(seat: str, *, gone: str, restarted: bool, health: Health | None, timeout: float) -> Iterator[Excuse]:
    """The excuses of an agent that is ``gone`` (why; else empty), was ``restarted`` meanwhile, or was not well."""
    if gone or health is None:
        yield Excuse(gone or f"agent of {seat} can't tell whether it was there all the time")
        return
    if restarted:
        yield Excuse(f"agent of {seat} was restarted meanwhile")
    if health.lag > LAG_SHARE * timeout:
        yield Excuse(f"agent of {seat} stood still for {health.lag:.1f} s meanwhile", silence_only=True)
    if health.udp_overruns:
        lost = counted(health.udp_overruns, "datagram")
        yield Excuse(f"{seat} had no room for {lost} meanwhile", silence_only=True, protocol=Protocol.UDP)
    if health.listen_overflows:
        lost = counted(health.listen_overflows, "connection")
        yield Excuse(f"{seat} had no room for {lost} meanwhile", silence_only=True, protocol=Protocol.TCP)


def questionable(volley: Iterable[Attempt], tries: Iterable[Try]) -> set[str]:
    """The seats whose agents were to answer and, as far as the network's verdict goes, did not."""
    return {
        attempt.destination
        for attempt, one in zip(volley, tries, strict=True)
        if attempt.aim.identity is not None and one.answer not in (Answer.ALLOWED, Answer.ERROR)
    }


def taken_back(volley: Iterable[Attempt], tries: Iterable[Try], found: Mapping[str, Collection[Excuse]]) -> list[Try]:
    """The tries; those that an excuse of their destination covers say nothing any more."""
    return [_taken_back(attempt, one, found.get(attempt.destination, ())) for attempt, one in zip(volley, tries, strict=True)]


def _taken_back(attempt: Attempt, one: Try, found: Collection[Excuse]) -> Try:
    if not found or attempt.aim.identity is None or one.answer in (Answer.ALLOWED, Answer.ERROR):
        return one
    return next((Try(Answer.ERROR, excuse.reason) for excuse in found if excuse.covers(attempt, one)), one)
