"""What explains that a destination did not answer, other than the network; and taking back what was seen meanwhile.

While an agent is gone, its ports refuse; while it stands still, they are silent. Both look just like a policy at work, and the proofs
before and after notice neither if the agent is back in time. So this has to be asked about every destination that was not heard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from auditor.probing.batches import Attempt
from auditor.probing.tries import Answer, Try

LAG_SHARE = 1 / 3
"""The share of the timeout above which an agent that stood still explains silence at its seat."""


@dataclass(frozen=True, slots=True)
class Excuse:
    """Why a destination can't be blamed. ``silence_only``: what it did answer holds."""

    reason: str
    silence_only: bool = False


def excuse(seat: str, *, gone: str, restarted: bool, lag: float | None, timeout: float) -> Excuse | None:
    """The excuse of an agent that is ``gone`` (why; else empty), was ``restarted`` meanwhile, or had no turn for ``lag`` seconds."""
    if gone or lag is None:
        return Excuse(gone or f"agent of {seat} can't tell whether it was there all the time")
    if restarted:
        return Excuse(f"agent of {seat} was restarted meanwhile")
    if lag > LAG_SHARE * timeout:
        return Excuse(f"agent of {seat} stood still for {lag:.1f} s meanwhile", silence_only=True)
    return None


def questionable(volley: Iterable[Attempt], tries: Iterable[Try]) -> set[str]:
    """The seats whose agents were to answer and, as far as the network's verdict goes, did not."""
    return {
        attempt.destination
        for attempt, one in zip(volley, tries, strict=True)
        if attempt.aim.identity is not None and one.answer not in (Answer.ALLOWED, Answer.ERROR)
    }


def taken_back(volley: Iterable[Attempt], tries: Iterable[Try], excuses: Mapping[str, Excuse]) -> list[Try]:
    """The tries; those that their destination's excuse covers say nothing any more."""
    return [_taken_back(attempt, one, excuses.get(attempt.destination)) for attempt, one in zip(volley, tries, strict=True)]


def _taken_back(attempt: Attempt, one: Try, found: Excuse | None) -> Try:
    if found is None or attempt.aim.identity is None or one.answer in (Answer.ALLOWED, Answer.ERROR):
        return one
    if found.silence_only and not one.silent:
        return one
    return Try(Answer.ERROR, found.reason)
