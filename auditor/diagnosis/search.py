"""The search for the smallest hypothesis that explains what was observed.

One fault is looked for first, in every scope; only where none explains everything, two. What no known fault explains is
said to be unexplained. Hypotheses that fit the same observations equally well are shown beside the chosen one, but for
those that say the same of a smaller scope: "on 3 of 3 nodes" is no better than "in the cluster". And it is said which
probes would tell them apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import combinations, islice, product, zip_longest

from auditor.diagnosis.cells import Cells
from auditor.diagnosis.evidence import Evidence, Fit
from auditor.diagnosis.hypotheses import Concerned, faults, is_part_of
from auditor.diagnosis.predictors import Prediction, Predictor
from auditor.diagnosis.sentences import diagnosis_of, nothing_known
from auditor.model.diagnosis import Diagnosis, Fault, Hypothesis, ScopeKind
from auditor.model.policy import NetworkPolicy
from auditor.model.report import CellResult
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell
from auditor.policy.bits import bits

PAIRED_FAULTS = 120
"""How many single faults are tried in pairs, the best first."""

WORTHY_RATIO = 2
"""What is named may have this many times as much against it as the least that any single fault has."""

BEST_WITH_MASKED = 2
"""For how many of the best single faults one is looked for that changes nothing but beside it."""

OF_ONE_POD_ALONE = (ScopeKind.POD, ScopeKind.PEER)
"""Faults of one pod are not tried beside others: with some pod or other, almost any fault explains more than alone."""

VARIED, VARIANTS = 6, 8
"""For how many of the best pairs, and with how many others of the same prediction, each fault is replaced."""


def diagnose(
    snapshot: Snapshot,
    results: Sequence[CellResult],
    previous_policies: Sequence[NetworkPolicy] | None = None,
    candidates: Sequence[Cell] = (),
    without: AbstractSet[ScopeKind] = frozenset(),
) -> Diagnosis | None:
    """What explains the cells among ``results`` that differ from the specification; None when none does.

    ``previous_policies`` are those that were in force before the last change, where anybody knows. ``candidates`` are
    cells that could still be probed: the diagnosis names those of them that would tell hypotheses apart. Probe these,
    add their results, diagnose again. Faults in scopes of the kinds ``without`` are not looked for.
    """
    evidence = Evidence(snapshot, results, previous_policies)
    if not evidence.differing:
        return nothing_known(evidence) if evidence.untold else None
    fits = search(evidence, stale=previous_policies is not None, without=without)
    if not fits:
        return nothing_known(evidence)
    diagnosis = diagnosis_of(evidence, fits)
    return replace(
        diagnosis,
        discriminating=discriminating_cells(
            snapshot, diagnosis.hypotheses, _unseen(candidates, evidence), previous_policies
        ),
    )


def _unseen(candidates: Sequence[Cell], evidence: Evidence) -> list[Cell]:
    seen = set(evidence.cells.cells)
    return [cell for cell in candidates if cell not in seen]


def search(evidence: Evidence, *, stale: bool = False, without: AbstractSet[ScopeKind] = frozenset()) -> list[Fit]:
    """The best hypothesis and those that can't be told apart from it, best first; empty when none is credible."""
    every = list(
        faults(
            evidence.predictor,
            stale=stale,
            differing=evidence.differing,
            without=without,
            loses_datagrams=evidence.loses_datagrams,
        )
    )
    singles = [fit for fit in map(evidence.fit, _alone(every, evidence)) if fit.explained]
    best = min((fit for fit in singles if fit.is_credible), key=lambda fit: fit.rank, default=None)
    if best is not None and not best.errors:
        return _with_ties(best, singles)
    promising = [fit for fit in singles if fit.faults[0].scope.kind not in OF_ONE_POD_ALONE]
    classes = _by_prediction(promising)
    pairs = _pairs(evidence, classes)
    if all(fit.errors for fit in pairs):
        telling = {fit.faults for fit in singles}
        pairs += _with_masked(evidence, promising, [fault for fault in every if (fault,) not in telling])
    best_pair = min((fit for fit in pairs if fit.is_credible), key=lambda fit: fit.rank, default=None)
    if best_pair is None or (best is not None and best.price < best_pair.price):
        found = _with_ties(best, singles) if best is not None else []
    else:
        found = _with_ties(best_pair, _variants(evidence, [fit for fit in pairs if fit.fits_like(best_pair)], classes))
    least = min((fit.errors for fit in singles), default=0)
    # What is right but for a few contradictions is not made wrong by something else that has more against it.
    return [] if found and found[0].errors > WORTHY_RATIO * least else found


def _alone(every: Iterable[Fault], evidence: Evidence) -> Iterator[Hypothesis]:
    """Those of ``every`` that may explain anything by themselves."""
    concerned = Concerned(evidence.predictor, evidence.differing)
    return ((fault,) for fault in every if concerned(fault))


Classes = dict[Prediction, list[Fit]]


def _by_prediction(fits: Iterable[Fit]) -> Classes:
    """Fits with the same prediction together, the best prediction and, within it, the best fit first."""
    promising = sorted(fits, key=lambda fit: (fit.contradictions.bit_count() - fit.explained.bit_count(), *fit.rank))
    classes: Classes = {}
    for fit in promising:
        classes.setdefault(fit.prediction, []).append(fit)
    return classes


def _pairs(evidence: Evidence, classes: Classes) -> list[Fit]:
    """Two faults together, each of which explains something."""
    queues = [iter(_kinds_in_turn(fits)) for fits in classes.values()]
    candidates = list(islice((fit for row in zip_longest(*queues) for fit in row if fit is not None), PAIRED_FAULTS))
    return [evidence.fit((*one.faults, *other.faults)) for one, other in combinations(candidates, 2)]


def _with_masked(evidence: Evidence, singles: Sequence[Fit], silent: Iterable[Fault]) -> list[Fit]:
    """The best single faults, each with those that explain nothing alone: one of them may close what the
    other opens.
    """
    best = sorted(singles, key=lambda fit: fit.rank)[:BEST_WITH_MASKED]
    wide = [fault for fault in silent if fault.scope.kind not in (*OF_ONE_POD_ALONE, ScopeKind.POLICY)]
    return [evidence.fit((*one.faults, other)) for one in best for other in wide]


def _kinds_in_turn(fits: Sequence[Fit]) -> list[Fit]:
    """The best of each kind of scope first, then the second best: alone they predict the same, but beside another fault
    they may not.
    """
    seen: Counter[ScopeKind] = Counter()
    turns: list[tuple[int, Fit]] = []
    for fit in fits:
        kind = fit.faults[0].scope.kind
        turns.append((seen[kind], fit))
        seen[kind] += 1
    return [fit for _, fit in sorted(turns, key=lambda turn: turn[0])]


def _variants(evidence: Evidence, pairs: Sequence[Fit], classes: Classes) -> list[Fit]:
    """``pairs``, with each fault replaced by others that predict the same for it alone."""
    alike = {fit.faults: fits for fits in classes.values() for fit in fits}
    found = list(pairs)
    for pair in pairs[:VARIED]:
        one, other = (_kinds_in_turn(alike.get((fault,), [evidence.fit((fault,))]))[:VARIANTS] for fault in pair.faults)
        found += [
            evidence.fit((*a.faults, *b.faults))
            for a, b in product(one, other)
            if (*a.faults, *b.faults) != pair.faults
        ]
    return found


def _with_ties(best: Fit, fits: Iterable[Fit]) -> list[Fit]:
    chosen = [best]
    for fit in sorted((fit for fit in fits if fit.is_credible and fit.fits_like(best)), key=lambda fit: fit.rank):
        if not any(_says_no_more(fit, other) for other in chosen):
            chosen.append(fit)
    return chosen


def _says_no_more(fit: Fit, other: Fit) -> bool:
    if fit.prediction == other.prediction:
        return is_part_of(fit.faults, other.faults)
    return {*fit.faults} == {*other.faults}


MOST_CELLS = 8


def discriminating_cells(
    snapshot: Snapshot,
    ties: Sequence[Hypothesis],
    candidates: Sequence[Cell],
    previous_policies: Sequence[NetworkPolicy] | None = None,
) -> tuple[Cell, ...]:
    """Cells among ``candidates`` on which ``ties`` part, at most ``MOST_CELLS``: each splits what the ones before it
    left together.

    Candidates are cells that could still be probed, or probed again, between endpoints of ``snapshot``. Empty: none of
    them can tell any two of the hypotheses apart.
    """
    groups = [answers(snapshot, ties, candidates, previous_policies)]
    chosen: list[int] = []
    while len(chosen) < MOST_CELLS and (best := _best_split(groups)) is not None:
        chosen.append(best)
        groups = [part for group in groups for part in _split(group, best) if len(set(part)) > 1]
    return tuple(candidates[number] for number in chosen)


def answers(
    snapshot: Snapshot,
    ties: Sequence[Hypothesis],
    cells: Sequence[Cell],
    previous_policies: Sequence[NetworkPolicy] | None = None,
    spared: Sequence[str] = (),
) -> list[int]:
    """Which of ``cells`` each of ``ties`` lets through, as bitsets over their order, without those of which any of them
    says nothing certain. With ``spared``, what the first lets through where the filters of these endpoints are right
    comes last.
    """
    predictor = Predictor(Cells(snapshot, cells), previous_policies)
    predictions = [predictor.predict(faults, timed=False) for faults in ties]
    certain = predictor.cells.everything
    for prediction in predictions:
        certain &= ~prediction.varying
    said = [prediction.allowed & certain for prediction in predictions]
    return [*said, predictor.besides(ties[0], spared) & certain] if spared else said


def _split(group: Sequence[int], number: int) -> tuple[list[int], list[int]]:
    """Those that let the cell through, and those that don't."""
    return [allowed for allowed in group if allowed >> number & 1], [
        allowed for allowed in group if not allowed >> number & 1
    ]


def _best_split(groups: Sequence[Sequence[int]]) -> int | None:
    """The cell that separates most pairs of hypotheses; None when no cell separates any."""
    separated: dict[int, int] = {}
    for group in groups:
        anybody, everybody = 0, -1
        for allowed in group:
            anybody |= allowed
            everybody &= allowed
        for number in bits(anybody & ~everybody):
            through, stopped = _split(group, number)
            separated[number] = separated.get(number, 0) + len(through) * len(stopped)
    return max(separated, key=lambda number: (separated[number], -number), default=None)
