"""What is not as meant whatever the policies say that can't be read.

On a live cluster some policies in force may be unknown. Between their two extreme meanings everything is possible, so only what is wrong
under both is a finding; the rest is in doubt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

from auditor.intent.resolved_intent import Ground, Refined
from auditor.intent.violations import Wrong
from auditor.model.snapshot import Family
from auditor.policy.doubt import extremes
from auditor.policy.evaluator import evaluate


class Certainty:
    """The two extremes of what the unknown policies of a snapshot may mean; nothing is in doubt where there are none."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        unknown = ground.snapshot.unknown
        self._extremes = [Refined(evaluate(each), ground) for each in extremes(ground.snapshot, unknown)] if unknown else []

    def of(self, found: Iterable[Wrong]) -> list[Wrong]:
        """``found`` without what is in doubt."""
        if not self._extremes:
            return list(found)
        certain = (replace(wrong, atoms=self._certain(wrong)) for wrong in found)
        return [wrong for wrong in certain if wrong.atoms]

    def _certain(self, wrong: Wrong) -> dict[Family, int]:
        demand = self._ground.demand(wrong.source.signature, wrong.destination.signature)
        found: dict[Family, int] = {}
        for family, atoms in wrong.atoms.items():
            left = atoms
            for extreme in self._extremes:
                for reached in _reached(extreme, wrong, family):
                    left &= demand.wrong(reached)
            if left:
                found[family] = left
        return found


def _reached(extreme: Refined, wrong: Wrong, family: Family) -> set[int]:
    """The sets of atoms on which any member of one cohort reaches any of the other."""
    matrix = extreme.matrix
    sources, destinations = ({matrix.class_of(end.name) for end in cohort.members} for cohort in (wrong.source, wrong.destination))
    return {extreme.refine(matrix.class_verdicts(*classes, family).allowed) for classes in product(sources, destinations)}
