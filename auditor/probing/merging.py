"""From a cell's tries and its destination's controls to what was observed.

Pure, and the one place where the rule stands that nothing that went wrong on our side is ever read as "denied":
silence, a refusal or a stranger's answer counts only where the destination's listener was proven alive before and
after, and a denial only where packets are known to cross both ends' network links, and not too many of them get lost.

A cell that changed its answer has converged or is unstable. A CNI takes time to program new rules, and no API says when
it is done; so a difference that goes away is not a finding by itself. But an enforcer that drops some connections and
not others looks just the same on one cell. What tells them apart is a further pass over all cells once nothing changes
any more: after convergence nothing differs there that had agreed before.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from auditor.model.verdict import Cell, Flapping, Observation, Observed, Verdict
from auditor.probing.attempts import Answer, Arrival, AttemptResult, Origin, agrees, by_way_of

DENIALS = {Answer.DROPPED: "silence", Answer.REFUSED: "a refusal"}
"""What stands for a denial, and the words for it."""


def observe(
    expected: Verdict | None, tries: Sequence[AttemptResult], unproven: str, unwatched: str = "", unheard: str = ""
) -> Observation:
    """Merge ``tries``, oldest first and at least one. ``unproven`` says why the listener isn't proven alive, empty if
    it is, ``unwatched`` why somebody else may have taken its place, and ``unheard`` why a denial would say nothing of
    policies.
    """
    history = tuple(one.answer.observed for one in tries)
    telling = decisive(expected, tries)
    if telling.answer is Answer.ERROR:
        return Observation(Observed.INCONCLUSIVE, telling.outcome, history)
    doubt = unwatched if telling.answer is Answer.ALLOWED else unproven
    if unheard and not doubt and telling.answer in DENIALS:
        doubt = f"{unheard}, so {DENIALS[telling.answer]} proves nothing"
    if doubt:
        return Observation(Observed.INCONCLUSIVE, doubt, history)
    return Observation(telling.answer.observed, telling.outcome, history, telling.milliseconds)


def decisive(expected: Verdict | None, tries: Sequence[AttemptResult]) -> AttemptResult:
    """The last try that says something; but a difference whose retest failed isn't reported: then the
    failure decides.
    """
    telling = [one for one in tries if one.answer is not Answer.ERROR]
    if not telling:
        return tries[-1]
    by_way = next((one for one in tries if one.by_way), None)
    if by_way and telling[-1].answer.observed.is_denied and agrees(expected, telling[-1]) is not False:
        return by_way
    if tries[-1].answer is Answer.ERROR and agrees(expected, telling[-1]) is False:
        return AttemptResult(Answer.ERROR, f"could not be retested: {tries[-1].outcome}")
    return telling[-1]


def lost_where(one: AttemptResult, expected: Verdict | None = None, *, arrived: Arrival) -> AttemptResult:
    """A silent UDP try, with the way on which it got lost, if the destination knows (``arrived`` not None).

    A datagram that arrived where it ought not to is allowed traffic, whatever became of the reply; unless it came from
    somewhere else.
    """
    if arrived is None:
        return one
    if isinstance(arrived, Origin):
        return by_way_of(arrived.address, one)
    answer = Answer.ALLOWED if arrived and expected is Verdict.DENIED else one.answer
    return AttemptResult(answer, "reply-lost" if arrived else "request-lost", one.milliseconds, one.attempt_id)


def opinions(expected: Verdict | None, tries: Sequence[AttemptResult]) -> list[bool]:
    """Which tries agreed with the expectation, of those that say anything."""
    return [agreed for one in tries if (agreed := agrees(expected, one)) is not None]


def is_late(expected: Verdict | None, tries: Sequence[AttemptResult]) -> bool:
    """Whether a cell that differed came to agree."""
    agreed = opinions(expected, tries)
    return bool(agreed) and agreed[-1] and not all(agreed)


def relapsed(expected: Verdict | None, tries: Sequence[AttemptResult]) -> bool:
    """Whether a cell that had agreed differed again."""
    agreed = opinions(expected, tries)
    return any(before and not after for before, after in itertools.pairwise(agreed))


def find_flapping(expected: Mapping[Cell, Verdict | None], tries: Mapping[Cell, Sequence[AttemptResult]]) -> Flapping:
    """What changed its answer; ``tries`` has all tries of each cell, oldest first, the further pass included."""
    relapses = frozenset(cell for cell, ones in tries.items() if relapsed(expected[cell], ones))
    return Flapping(relapses, frozenset(cell for cell, ones in tries.items() if is_late(expected[cell], ones)))
