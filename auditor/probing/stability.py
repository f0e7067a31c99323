"""Did a cell that changed its answer converge, or is it unstable?

A CNI takes time to program new rules, and no API says when it is done; so a difference that goes away is no finding by
itself. But an enforcer that drops some connections and not others looks just the same on one cell. What tells them
apart is a further pass over all cells once nothing changes any more: after convergence nothing differs there that had
agreed before.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from auditor.model.outcome import Flapping
from auditor.model.verdict import Cell, Verdict
from auditor.probing.attempts import AttemptResult, agrees


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
