"""The intent held against the expected matrix: from rules to findings, each with its cause and a change
that mends it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from typing import TypeAlias

from auditor.intent.administering import administering, deciding_tier
from auditor.intent.causes import Cause, Causes
from auditor.intent.certainty import Certainty
from auditor.intent.closing import carving, isolating, narrowing, parting, removing
from auditor.intent.drafts import Draft
from auditor.intent.opening import opening
from auditor.intent.resolved_intent import Refined, ResolvedIntent
from auditor.intent.sides import Effect, WhatIf
from auditor.intent.unseen import called, with_unseen
from auditor.intent.violations import Violation, find_violations
from auditor.model.admin_policy import AdminTier
from auditor.model.intent import AlsoCloses, CellGroup, Intent, IntentFinding, IntentKind, ProposedChange
from auditor.model.policy import Direction
from auditor.model.snapshot import Family
from auditor.model.verdict import Verdict
from auditor.model.words import pluralize
from auditor.policy.explain import Decision
from auditor.policy.matrix import ExpectedMatrix
from auditor.policy.tiers import TierAnswer, fold_judgements

MOST_TRIES = 24
"""So many changes are evaluated for one finding."""
MOST_EFFORT = 800_000
"""So many pairs are looked at for all changes together, which takes some seconds; findings after that get no change."""
BOTH_SIDES = 4
"""Where both sides deny: how many changes of each are combined."""


Alike: TypeAlias = tuple[int, tuple[Family, ...]]
"""A set of port atoms, and families."""


def check_intent(matrix: ExpectedMatrix, intent: Intent) -> tuple[IntentFinding, ...]:
    """Where the policies behind ``matrix`` are not what ``intent`` means, in the order of its rules.

    What depends on policies that can't be read is in doubt, and no finding. The hosts of the intent must be in the
    matrix: evaluate ``intent.with_hosts(snapshot)``. Raises InputError when rules contradict each other about a cell of
    this cluster.
    """
    resolved = ResolvedIntent(matrix.snapshot, intent)
    numbers = {id(rule): number for number, rule in enumerate(resolved.rules)}
    findings = [
        (numbers[id(rule)], IntentFinding(IntentKind.EMPTY, rule, f"{rule}: {words}")) for rule, words in resolved.empty
    ]
    found = find_violations(Refined(matrix, resolved), resolved)
    if found:
        what_if = WhatIf(ResolvedIntent(with_unseen(matrix.snapshot), intent, trusted=True))
        causes = Causes(resolved, what_if)
        certainty = Certainty(resolved)
        for number, (violations, is_cut) in found.items():
            violation = certainty.of(violations)
            findings += [(number, _finding(resolved, what_if, causes, cause)) for cause in causes.of(number, violation)]
            if is_cut:
                findings.append((number, _more(resolved, number)))
    return tuple(finding for _, finding in sorted(findings, key=lambda each: each[0]))


def _kind(resolved: ResolvedIntent, rule: int) -> IntentKind:
    return IntentKind.OPEN if resolved.rules[rule].verdict is Verdict.DENIED else IntentKind.CLOSED


def _more(resolved: ResolvedIntent, number: int) -> IntentFinding:
    rule = resolved.rules[number]
    return IntentFinding(
        _kind(resolved, number), rule, f"{rule}: too many more connections to find their causes; fix those above first"
    )


def _finding(resolved: ResolvedIntent, what_if: WhatIf, causes: Causes, cause: Cause) -> IntentFinding:
    rule, decision = resolved.rules[cause.rule], cause.decision
    kind = _kind(resolved, cause.rule)
    pairs = sum(violation.pairs(resolved) for violation in cause.violation)
    now = "denied" if kind is IntentKind.CLOSED else "allowed"
    mending = _mend(resolved, what_if, causes, cause)
    return IntentFinding(
        kind,
        rule,
        f"{rule}: meant {rule.verdict}, but {now}, for {pluralize(pairs, 'pair')} of endpoints",
        pairs,
        _groups(resolved, cause.violation),
        decision.cell,
        decision.because(),
        mending.change,
        mending.tried,
        mending.closes,
        tuple(_decided_before(decision, TierAnswer.DENY if kind is IntentKind.CLOSED else TierAnswer.ACCEPT)),
    )


def _decided_before(decision: Decision, answer: TierAnswer) -> Iterator[str]:
    """The rules of administrators that give ``answer`` before any NetworkPolicy is asked."""
    for chain in decision.chain.values():
        judgement = fold_judgements(chain)
        if judgement is None or judgement.decider is None:
            continue
        if judgement.tier == AdminTier.ADMIN and judgement.answer is answer:
            yield f"{judgement.decider.policy} {judgement.decider.path}"


@dataclass(frozen=True, slots=True)
class _Mending:
    """A change that mends a cause, how many were tried, and what else the least harmful would close where all do."""

    change: ProposedChange | None
    tried: int
    closes: AlsoCloses | None


def _mend(resolved: ResolvedIntent, what_if: WhatIf, causes: Causes, cause: Cause) -> _Mending:
    """The change that mends ``cause`` and touches least of what the intent is silent of, without closing any of it."""
    best: tuple[int, Draft] | None = None
    closing: tuple[Effect, Draft] | None = None
    tried = 0
    for draft in islice(_drafts(resolved, causes, cause), MOST_TRIES):
        if what_if.spent > MOST_EFFORT:
            break
        tried += 1
        effect = what_if.judge(draft.edits, cause.violation)
        if effect is None:
            continue
        if effect.closed:
            closing = min(filter(None, (closing, (effect, draft))), key=lambda each: _harm(each[0]))
        elif best is None or effect.pairs < best[0]:
            best = (effect.pairs, draft)
        if best is not None and not best[0]:
            break
    if best is not None:
        return _Mending(ProposedChange(best[1].title, best[1].yaml, best[1].edits, best[0]), tried, None)
    return _Mending(None, tried, _also_closes(*closing) if closing is not None else None)


def _harm(effect: Effect) -> tuple[int, int]:
    return effect.closing, len(effect.closed)


def _also_closes(effect: Effect, draft: Draft) -> AlsoCloses:
    ends = dict.fromkeys(f"{called(source)} -> {called(destination)}" for source, destination in effect.closed)
    return AlsoCloses(draft.title, effect.closing, tuple(ends))


def _drafts(resolved: ResolvedIntent, causes: Causes, cause: Cause) -> Iterator[Draft]:
    rule = resolved.rules[cause.rule]
    if rule.verdict is Verdict.DENIED:
        for direction in cause.sides:
            tier = deciding_tier(cause, direction)
            if tier is not None:
                yield from administering(resolved, cause, direction)
            grant = cause.side(direction).grant
            if tier is AdminTier.ADMIN:
                pass  # no NetworkPolicy is asked
            elif grant is not None:
                places = causes.all_openings(direction, cause.violation)
                yield from narrowing(resolved, grant, cause.violation)
                yield from removing(resolved, direction, places, cause.violation)
                yield from carving(resolved, direction, places, cause.violation, rule)
                yield from parting(resolved, direction, places, cause.violation, rule)
            else:
                pod = cause.violation[0].destination if direction is Direction.INGRESS else cause.violation[0].source
                yield from isolating(resolved, direction, pod.example.namespace, cause.violation, rule)
        return
    ways = [_opening(resolved, cause, direction) for direction in cause.sides]
    if len(ways) == 1:
        yield from ways[0]
    else:
        for first, second in product(*(list(islice(way, BOTH_SIDES)) for way in ways)):
            yield first + second


def _opening(resolved: ResolvedIntent, cause: Cause, direction: Direction) -> Iterator[Draft]:
    """Ways to open one side: in the tier that denies, and by NetworkPolicies where these are asked before it."""
    tier = deciding_tier(cause, direction)
    if tier is not AdminTier.ADMIN:
        yield from opening(resolved, resolved.rules[cause.rule], cause.side(direction), cause.violation)
    if tier is not None:
        yield from administering(resolved, cause, direction)


def _groups(resolved: ResolvedIntent, found: list[Violation]) -> tuple[CellGroup, ...]:
    """The cells of ``found``, those together that are alike."""
    by_destination: dict[tuple[Alike, tuple[str, ...]], list[str]] = {}
    for violation in found:
        for alike in _alike(resolved, violation):
            key = (alike, tuple(member.name for member in violation.destination.members))
            by_destination.setdefault(key, []).extend(member.name for member in violation.source.members)
    by_sources: dict[tuple[Alike, tuple[str, ...]], list[str]] = {}
    for (alike, destinations), sources in by_destination.items():
        by_sources.setdefault((alike, tuple(sources)), []).extend(destinations)
    return tuple(
        CellGroup(sources, tuple(destinations), resolved.atoms.joined(alike[0]), alike[1])
        for (alike, sources), destinations in by_sources.items()
    )


def _alike(resolved: ResolvedIntent, violation: Violation) -> list[Alike]:
    """The ports of ``wrong`` with the families that they are wrong over, none where it is all."""
    by_atoms: dict[int, list[Family]] = {}
    for family, atoms in violation.atoms.items():
        by_atoms.setdefault(atoms, []).append(family)
    common = len(resolved.families(violation.source.example, violation.destination.example))
    return [(atoms, () if len(families) == common else tuple(families)) for atoms, families in by_atoms.items()]
