"""What is not as meant whatever the policies say that can't be read.

On a live cluster some policies in force may be unknown. Between their two extreme meanings everything is possible, so
only what is wrong under both is a finding; the rest is in doubt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

from auditor.intent.resolved_intent import Refined, ResolvedIntent
from auditor.intent.violations import Violation
from auditor.model.snapshot import Family
from auditor.policy.doubt import extremes
from auditor.policy.evaluator import evaluate
from auditor.policy.unknown_labels import label_extremes


class Certainty:
    """The two extremes of what the unknown policies of a snapshot may mean; nothing is in doubt where there
    are none.
    """

    def __init__(self, resolved: ResolvedIntent) -> None:
        self._resolved = resolved
        unknown = resolved.snapshot.unknown
        self._extremes = (
            [
                Refined(evaluate(each.snapshot, tiers=each.tiers), resolved)
                for each in extremes(resolved.snapshot, unknown)
            ]
            if unknown or label_extremes(resolved.snapshot)
            else []
        )

    def of(self, found: Iterable[Violation]) -> list[Violation]:
        """``found`` without what is in doubt."""
        if not self._extremes:
            return list(found)
        certain = (replace(violation, atoms=self._certain(violation)) for violation in found)
        return [violation for violation in certain if violation.atoms]

    def _certain(self, violation: Violation) -> dict[Family, int]:
        demand = self._resolved.demand(violation.source.signature, violation.destination.signature)
        found: dict[Family, int] = {}
        for family, atoms in violation.atoms.items():
            left = atoms
            for extreme in self._extremes:
                for reached in _reached(extreme, violation, family):
                    left &= demand.violation(reached)
            if left:
                found[family] = left
        return found


def _reached(extreme: Refined, violation: Violation, family: Family) -> set[int]:
    """The sets of atoms on which any member of one cohort reaches any of the other."""
    matrix = extreme.matrix
    sources, destinations = (
        {matrix.class_of(end.name) for end in cohort.members} for cohort in (violation.source, violation.destination)
    )
    return {
        extreme.refine(matrix.class_verdicts(*classes, family).allowed) for classes in product(sources, destinations)
    }
