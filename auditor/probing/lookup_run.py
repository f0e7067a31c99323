"""Lookups by the cluster's own DNS from audited pods, once it is known which ends carry packets.

What answers is not ours and has no key. What counts as an answer came to the very socket that asked, from the address
and port that it asked, with the id and the question of one of its questions (``probes.agent``). A denial counts only
where the server was seen to answer somebody, before it or in the same round and once more afterwards, by the same
node's translation or, where the DNS's pods were asked at their own addresses as well and are silent, too, from
anywhere.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb, sqrt

from auditor.model.dns_seen import LookupCell, PairsLost
from auditor.model.ports import Protocol
from auditor.model.verdict import Observation, Observed, Verdict
from auditor.model.words import pluralize
from auditor.probing.agent_pool import AgentPool
from auditor.probing.attempts import Answer, AttemptResult
from auditor.probing.batches import HALF_ANSWERED, Attempt, Loss, Target
from auditor.probing.disruptions import MISSED, MOST_LOST, in_vain, packets, tries_needed, unbearable
from auditor.probing.merging import DENIALS
from auditor.probing.options import ProbingOptions, ProbingProgress
from auditor.probing.sites import ProbeSite

PHASE = "looking names up"
LEAST_ROUNDS = 3
MOST_ROUNDS = 12
PAUSE = 0.2
LEAST_PAIRS = 3
"""Pairs of questions that have to lose one of the two before that is said of a node, each in another round."""
LEAST_LOSS = 0.02
CHANCE = 1e-4
"""How probable it may be at the most that so many pairs lose one for loss alone."""


@dataclass(frozen=True, slots=True)
class LookupTry:
    """A lookup that can be tried: what is demanded of it, from where, and the addresses and ports of pods of the DNS
    that are asked beside, without any translation. ``judged``: whether it is more than a proof for others.
    ``several``: other pods than those that answered to others may be asked.
    """

    cell: LookupCell
    demanded: Verdict | None
    site: ProbeSite
    behind: tuple[tuple[str, int], ...] = ()
    judged: bool = True
    several: bool = False


@dataclass(frozen=True, slots=True)
class LookupOutcome:
    """What was observed of each lookup, the nodes on which one of two questions gets lost, and the codes other than
    NOERROR that servers answered with, by how many lookups. ``answers`` are all that came to each.
    """

    observations: Mapping[LookupCell, Observation] = field(default_factory=dict)
    pairs_lost: tuple[PairsLost, ...] = ()
    codes: Mapping[str, int] = field(default_factory=dict)
    facts: tuple[str, ...] = ()
    answers: Mapping[LookupCell, tuple[AttemptResult, ...]] = field(default_factory=dict)


async def probe_lookups(
    tries: Sequence[LookupTry], name: str, pool: AgentPool, options: ProbingOptions, progress: ProbingProgress
) -> LookupOutcome:
    """Look ``name``, or what a try itself names, up as ``tries`` say, by the agents of ``pool``, which have been
    started.
    """
    return await _LookupRun(tries, name, pool, options, progress).run() if tries else LookupOutcome()


class _LookupRun:
    """One probing of lookups."""

    def __init__(
        self,
        tries: Sequence[LookupTry],
        name: str,
        pool: AgentPool,
        options: ProbingOptions,
        progress: ProbingProgress,
    ) -> None:
        self._tries = tries
        self._name = name
        self._pool = pool
        self._options = options
        self._progress = progress
        self._number = 0
        self._results: list[list[AttemptResult]] = [[] for _ in tries]
        self._beside: list[dict[str, list[AttemptResult]]] = [
            {address: [] for address, _ in each.behind} for each in tries
        ]
        self._silent_in: dict[int, int] = {}
        self._answered_on: defaultdict[tuple[str, int, str], set[int]] = defaultdict(set)
        self._pairs: defaultdict[str, list[bool]] = defaultdict(list)
        self._halved_in: defaultdict[str, set[int]] = defaultdict(set)

    async def run(self) -> LookupOutcome:
        everything = list(range(len(self._tries)))
        for number in range(MOST_ROUNDS):
            if number >= self._rounds:
                break
            await self._fire([each for each in everything if self._is_open(each)], pause=PAUSE if number else 0.0)
        for _ in range(self._number, MOST_ROUNDS):
            if not (unlucky := self._may_be_unlucky()):
                break
            await self._fire(unlucky, pause=PAUSE)
        await self._fire(self._proving(), pause=PAUSE)
        return self._outcome()

    def _may_be_unlucky(self) -> list[int]:
        """Which should be answered and are by a pod of the DNS that is asked itself, and which others go unanswered
        as often by chance: of several pods one may be dead, and be the one that was chosen each time.
        """
        at_times = {place: in_vain([loss]) for place, loss in self._unanswered().items()}
        return [
            each
            for each, wanted in enumerate(self._tries)
            if wanted.judged and self._answer(each) is None
            if (wanted.demanded is Verdict.ALLOWED and self._answer_beside(each))
            or at_times.get(_served_by(wanted.cell), 0.0) ** self._number > MISSED
        ]

    def _unanswered(self) -> Mapping[tuple[str, int, Protocol], Loss]:
        """How often those that were answered at other times got nothing, by what they asked."""
        found: defaultdict[tuple[str, int, Protocol], Loss] = defaultdict(Loss)
        for each, wanted in enumerate(self._tries):
            if self._answer(each) is not None:
                before, ones = found[_served_by(wanted.cell)], self._results[each]
                denied = sum(one.answer in DENIALS for one in ones)
                told = sum(one.answer is Answer.ALLOWED for one in ones) + denied
                found[_served_by(wanted.cell)] = Loss(before.sent + told, before.lost + denied)
        return found

    def _is_open(self, each: int) -> bool:
        """Whether it is asked again: a Service's pods have been bothered enough once a connection has come about."""
        return not self._tries[each].cell.service or self._answer(each) is None

    def _proving(self) -> list[int]:
        """Which show once more that there is an answer: all that had one and, of Services, one on each node."""
        answered = [each for each in range(len(self._tries)) if self._answer(each) is not None]
        of_services: dict[tuple[str, int, str], int] = {}
        for each in answered:
            if self._tries[each].cell.service:
                of_services.setdefault(self._place(each), each)
        silent = any(self._answer(each) is None for each in range(len(self._tries)))
        return [
            *(each for each in answered if not self._tries[each].cell.service),
            *(of_services.values() if silent else ()),
        ]

    def _place(self, each: int) -> tuple[str, int, str]:
        """The address and port that are asked, and the node that they are asked from."""
        wanted = self._tries[each]
        return wanted.cell.address, wanted.cell.port, wanted.site.node

    @property
    def _rounds(self) -> int:
        return max(LEAST_ROUNDS, self._options.retests + 1, tries_needed(in_vain(self._pool.losses)))

    async def _fire(self, which: Sequence[int], pause: float) -> None:
        """Ask once for each of the tries ``which``, and the pods behind the server where it has given no answer yet."""
        await asyncio.sleep(pause)
        self._number += 1
        asked = [(each, "") for each in which]
        asked += [
            (each, address) for each in which if self._answer(each) is None for address, _ in self._tries[each].behind
        ]
        wanted = [self._attempt(self._tries[each], address) for each, address in asked]
        self._progress.phase(PHASE, len(wanted))
        # One datagram for each question: what a second one brings back is no longer that of a pair.
        results = await self._pool.fire(wanted, self._options.timeout, 1)
        for (each, address), one in zip(asked, results, strict=True):
            if address:
                self._beside[each][address].append(one)
            else:
                self._take(each, one)

    def _attempt(self, wanted: LookupTry, beside: str) -> Attempt:
        cell = wanted.cell
        address, port = (beside, dict(wanted.behind)[beside]) if beside else (cell.address, cell.port)
        name = "" if cell.service else cell.name or self._name
        return Attempt(wanted.site.name, wanted.site.name, Target(address, cell.protocol, port, None, name))

    def _take(self, each: int, one: AttemptResult) -> None:
        wanted = self._tries[each]
        self._results[each].append(one)
        if one.answer in DENIALS:
            self._silent_in[each] = self._number
        if one.answer is not Answer.ALLOWED:
            return
        self._answered_on[self._place(each)].add(self._number)
        if wanted.cell.protocol is Protocol.UDP and wanted.site.node and not wanted.site.is_node:
            halved = one.outcome.startswith(HALF_ANSWERED)
            self._pairs[wanted.site.node].append(halved)
            if halved:
                self._halved_in[wanted.site.node].add(self._number)

    def _answer(self, each: int) -> AttemptResult | None:
        """What was answered, if anything was."""
        return next((one for one in self._results[each] if one.answer is Answer.ALLOWED), None)

    def _answer_beside(self, each: int) -> str:
        """The pod of the DNS that answered where it was asked itself; empty for none."""
        answered = (
            address for address, ones in self._beside[each].items() if any(one.answer is Answer.ALLOWED for one in ones)
        )
        return next(answered, "")

    def _outcome(self) -> LookupOutcome:
        observations, codes = {}, defaultdict[str, int](int)
        unanswered = self._unanswered()
        for each, wanted in enumerate(self._tries):
            if wanted.judged:
                observations[wanted.cell] = self._observed(each, unanswered.get(_served_by(wanted.cell)))
                answer = self._answer(each)
                if answer is not None and (code := answer.outcome.partition(": ")[2]):
                    codes[code] += 1
        return LookupOutcome(
            observations, tuple(self._pairs_lost(unanswered)), codes, tuple(self._pool.facts), self._answers()
        )

    def _answers(self) -> Mapping[LookupCell, tuple[AttemptResult, ...]]:
        return {
            wanted.cell: tuple(one for one in ones if one.answer is Answer.ALLOWED)
            for wanted, ones in zip(self._tries, self._results, strict=True)
        }

    def _observed(self, each: int, unanswered: Loss | None) -> Observation:
        wanted, ones = self._tries[each], self._results[each]
        history = tuple(one.answer.observed for one in ones)
        answer = self._answer(each)
        if answer is not None:
            return Observation(Observed.ALLOWED, answer.outcome, history, answer.milliseconds)
        telling = next((one for one in reversed(ones) if one.answer is not Answer.ERROR), None)
        if telling is None:
            return Observation(Observed.INCONCLUSIVE, ones[-1].outcome, history)
        if (beside := self._answer_beside(each)) and wanted.demanded is not Verdict.ALLOWED:
            return Observation(
                Observed.ALLOWED, f"answered by {beside}, a pod of the DNS that was asked itself", history
            )
        doubt = ""
        if telling.answer in DENIALS:
            doubt = self._doubt(each, telling, beside) or _by_chance(ones, unanswered)
        if doubt:
            return Observation(Observed.INCONCLUSIVE, f"{doubt}, so {DENIALS[telling.answer]} proves nothing", history)
        return Observation(telling.answer.observed, telling.outcome, history)

    def _doubt(self, each: int, telling: AttemptResult, beside: str) -> str:
        """Why a denial says nothing of policies; empty where it counts."""
        wanted, last = self._tries[each], self._silent_in[each]
        if wanted.cell.service and not telling.silent:
            return "a pod that does not listen refuses, too"
        if wanted.several and wanted.demanded is Verdict.ALLOWED:
            return "of several pods behind it one may be what does not answer"
        here = self._is_bracketed(self._answered_here(each), last)
        unproven = "" if here else self._unproven(each, beside)
        share, met = in_vain(self._pool.losses), sum(one.silent for one in self._results[each])
        if unproven or not telling.silent:
            return unproven
        if share > unbearable():
            return f"about {packets(share):.0%} of packets were lost, more than {MOST_LOST:.0%}"
        if met < LEAST_ROUNDS:
            return f"it could be tried {pluralize(met, 'time')} only, of {LEAST_ROUNDS}"
        return ""

    def _unproven(self, each: int, beside: str) -> str:
        """Why a denial says nothing where nobody on its node got an answer; empty where it counts all the same."""
        last, (address, port, node) = self._silent_in[each], self._place(each)
        anywhere = {
            number
            for (there, at, _), known in self._answered_on.items()
            if (there, at) == (address, port)
            for number in known
        }
        if not self._is_bracketed(anywhere, last):
            return f"nobody got an answer from {address} before and after"
        nobody_here = f"nobody on node {node} got an answer from {address}"
        if beside:
            return f"{beside}, a pod of the DNS, answers where it is asked itself, and {nobody_here}"
        asked = self._beside[each].values()
        if not asked or not all(any(one.answer in DENIALS for one in ones) for ones in asked):
            return f"{nobody_here} before and after"
        return ""

    def _answered_here(self, each: int) -> set[int]:
        """The rounds in which somebody on the same node got an answer there. For a Service any other's does as well,
        where this one has answered somebody elsewhere.
        """
        wanted, place = self._tries[each], self._place(each)
        if not wanted.cell.service:
            return self._answered_on.get(place, set())
        elsewhere = {number for there, known in self._answered_on.items() if there[:2] == place[:2] for number in known}
        here = {number for there, known in self._answered_on.items() if there[2] == place[2] for number in known}
        return here if self._is_bracketed(elsewhere, self._silent_in[each]) else set()

    def _is_bracketed(self, rounds: Iterable[int], last: int) -> bool:
        """Whether something was answered in ``rounds`` up to the ``last`` denial, and after it."""
        known = set(rounds)
        return any(number <= last for number in known) and any(number > last for number in known)

    def _pairs_lost(self, unanswered: Mapping[tuple[str, int, Protocol], Loss]) -> Iterable[PairsLost]:
        # Who gets nothing at times lost both of two questions: one of them is lost more often.
        of_both = [loss.lost / loss.sent for (*_, protocol), loss in unanswered.items() if protocol is Protocol.UDP]
        share = max(LEAST_LOSS, packets(in_vain(self._pool.losses)), *map(sqrt, of_both))
        for node, halved in sorted(self._pairs.items()):
            lost = sum(halved)
            by_chance = 2 * share  # either question or answer, of either of the two, and the others came back
            if len(self._halved_in[node]) >= LEAST_PAIRS and _at_least(lost, len(halved), by_chance) < CHANCE:
                yield PairsLost(node, len(halved), lost)


def _served_by(cell: LookupCell) -> tuple[str, int, Protocol]:
    return cell.address, cell.port, cell.protocol


def _by_chance(ones: Sequence[AttemptResult], unanswered: Loss | None) -> str:
    """Why denials may be mere chance where others were ``unanswered`` at times, too; empty where they aren't."""
    if unanswered is None or not unanswered.lost:
        return ""
    if in_vain([unanswered]) ** sum(one.answer in DENIALS for one in ones) <= MISSED:
        return ""
    return f"others go unanswered there in about {unanswered.lost / unanswered.sent:.0%} of tries, too"


def _at_least(number: int, of: int, probability: float) -> float:
    """How probable it is that ``number`` or more ``of`` independent events come about."""
    p = min(1.0, probability)
    return sum(comb(of, k) * p**k * (1 - p) ** (of - k) for k in range(number, of + 1))
