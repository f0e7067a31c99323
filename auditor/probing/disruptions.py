"""What explains that a destination did not answer, other than the network; and taking back what was seen meanwhile.

While an agent is gone, its ports refuse; while it stands still, they are silent. Both look just like a policy at work,
and the proofs before and after notice neither if the agent is back in time. A receive buffer or a listener that has no
room for more, since somebody floods it, is silent just the same. So this has to be asked about every destination that
was not heard.

A packet that gets lost looks like a policy at work, too. What attempts that were answered had to send twice shows how
much is lost; silence counts once so many tries were silent that loss alone leaves a connection that is let through less
than ``MISSED`` of a chance to look denied.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from auditor.model.ports import Protocol
from auditor.model.words import pluralize
from auditor.probing.attempts import Answer, AttemptResult
from auditor.probing.batches import Attempt, Loss
from auditor.probing.session import Health

Tried = TypeVar("Tried")

LAG_SHARE = 1 / 3
"""The share of the timeout above which an agent that stood still explains silence at its site."""


@dataclass(frozen=True, slots=True)
class Disruption:
    """Why a destination can't be blamed. ``silence_only``: what it did answer holds. ``protocol``: that one alone;
    None: any.
    """

    reason: str
    silence_only: bool = False
    protocol: Protocol | None = None

    def covers(self, attempt: Attempt, one: AttemptResult) -> bool:
        """Whether it explains ``one``, which is what came of ``attempt`` and no answer."""
        return (one.silent or not self.silence_only) and self.protocol in (None, attempt.target.protocol)


def disruptions(
    site: str, *, gone: str, restarted: bool, health: Health | None, timeout: float
) -> Iterator[Disruption]:
    """What disrupted an agent that is ``gone`` (why; else empty), was ``restarted`` meanwhile, or was not well."""
    if gone or health is None:
        yield Disruption(gone or f"agent of {site} can't tell whether it was there all the time")
        return
    if restarted:
        yield Disruption(f"agent of {site} was restarted meanwhile")
    if health.lag > LAG_SHARE * timeout:
        yield Disruption(f"agent of {site} stood still for {health.lag:.1f} s meanwhile", silence_only=True)
    if health.udp_overruns:
        lost = pluralize(health.udp_overruns, "datagram")
        yield Disruption(f"{site} had no room for {lost} meanwhile", silence_only=True, protocol=Protocol.UDP)
    if health.listen_overflows:
        lost = pluralize(health.listen_overflows, "connection")
        yield Disruption(f"{site} had no room for {lost} meanwhile", silence_only=True, protocol=Protocol.TCP)


def questionable(probe_round: Iterable[Attempt], tries: Iterable[AttemptResult]) -> set[str]:
    """The sites whose agents were to answer and, as far as the network's verdict goes, did not."""
    return {
        attempt.destination
        for attempt, one in zip(probe_round, tries, strict=True)
        if attempt.target.identity is not None and one.answer not in (Answer.ALLOWED, Answer.ERROR)
    }


def taken_back(
    probe_round: Iterable[Attempt], tries: Iterable[AttemptResult], found: Mapping[str, Collection[Disruption]]
) -> list[AttemptResult]:
    """The tries; those that a disruption at their destination covers no longer say anything."""
    return [
        _taken_back(attempt, one, found.get(attempt.destination, ()))
        for attempt, one in zip(probe_round, tries, strict=True)
    ]


def _taken_back(attempt: Attempt, one: AttemptResult, found: Collection[Disruption]) -> AttemptResult:
    if not found or attempt.target.identity is None or one.answer in (Answer.ALLOWED, Answer.ERROR):
        return one
    return next(
        (AttemptResult(Answer.ERROR, disruption.reason) for disruption in found if disruption.covers(attempt, one)), one
    )


MISSED = 1 / 1000
MOST_LOST = 0.25
"""The share of packets above which silence proves nothing, however often it is met."""
UNSEEN = 1.2
"""An attempt none of whose packets was answered does not count among those that were: so loss is more than what these
tell.
"""
FEW = 10
"""As if that many more packets had been sent, and half of one lost: a handful of answers doesn't show that nothing gets
lost.
"""
TELLING = 16
"""Packets of one agent from which on it may be found worse off than all together."""


def in_vain(losses: Iterable[Loss]) -> float:
    """The share, 0 to 1, of questions that go unanswered for loss alone: of all agents' ``losses``, or of the worst
    agent's.
    """
    several = list(losses)
    total = Loss(sum(loss.sent for loss in several), sum(loss.lost for loss in several))
    return max(_share(loss) for loss in [total, *(loss for loss in several if loss.sent >= TELLING)])


def _share(loss: Loss) -> float:
    return min(1.0, UNSEEN * (loss.lost + 0.5) / (loss.sent + FEW))


def packets(share: float) -> float:
    """The share of packets that get lost where ``share`` of the questions goes unanswered: either question or answer
    was lost.
    """
    return 1 - math.sqrt(1 - share)


def tries_needed(share: float) -> int:
    """How many tries have to be silent where ``share`` of the questions goes unanswered for loss alone; two
    at least.
    """
    return max(2, math.ceil(math.log2(MISSED) / math.log2(max(1e-9, min(share, unbearable())))))


def in_turns(times: Mapping[Tried, int]) -> list[Tried]:
    """What is to be tried once more so many ``times``: each once, then each that is to be tried twice, and so on."""
    turns = range(max(times.values(), default=0))
    return [each for turn in turns for each, wanted in times.items() if turn < wanted]


def unbearable() -> float:
    """The share of questions unanswered for loss alone above which silence proves nothing."""
    return 1 - (1 - MOST_LOST) ** 2


def told(losses: Iterable[Loss]) -> str:
    """What there is to say of loss; empty if nothing was lost."""
    several = list(losses)
    lost = sum(loss.lost for loss in several)
    if not lost:
        return ""
    share = in_vain(several)
    line = f"about {packets(share):.0%} of packets were lost ({pluralize(lost, 'packet')} had to be sent again)"
    if share > unbearable():
        return f"{line}: above {MOST_LOST:.0%}, silence proves nothing"
    return f"{line}: silence that counts as a denial was tried {pluralize(tries_needed(share), 'time')} or more"
