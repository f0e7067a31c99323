"""How much silence the loss of packets explains, and how many tries make it count all the same.

A dropped packet looks like a policy at work. What attempts that were answered had to send twice tells how much is lost;
silence counts once so many tries were silent that loss alone leaves a connection that is let through less than
``MISSED`` of a chance to look denied.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from auditor.model.words import pluralize
from auditor.probing.batches import Loss

MISSED = 1 / 1000
MOST_LOST = 0.25
"""The share of packets above which silence proves nothing, however often it is met."""
UNSEEN = 1.2
"""An attempt none of whose packets was answered does not count among those that were: so loss is more than what these
tell.
"""
FEW = 10
"""As if so many packets more had been sent, and half of one lost: a handful of answers doesn't show that nothing gets
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
    return f"{line}: silence that stands for a denial was tried {pluralize(tries_needed(share), 'time')} or more"
