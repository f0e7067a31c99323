"""What probing saw: an observation for each cell, and what changed its answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from auditor.model.verdict import Cell, Observation


@dataclass(frozen=True, slots=True)
class Flapping:
    """What changed its answer in one probing: the cells that ``relapsed``, and those that were merely ``late``."""

    relapsed: frozenset[Cell]
    late: frozenset[Cell]

    @property
    def unstable(self) -> frozenset[Cell]:
        """The cells whose answer can't be relied on: those that relapsed and, if there are any, those that were merely
        late as well.
        """
        return self.relapsed | self.late if self.relapsed else frozenset()

    def without(self, cells: Collection[Cell]) -> Flapping:
        """The same where ``cells`` have been judged by something else since: their relapse speaks against no other
        cell, either.
        """
        return Flapping(self.relapsed.difference(cells), self.late.difference(cells))


@dataclass(frozen=True, slots=True)
class ProbingOutcome:
    """What probing saw.

    ``observations`` has every cell that was asked for. ``flapping`` is what changed its answer, for each time that was
    probed. ``facts`` are lines worth knowing beside the findings; ``seconds`` the wall time of each phase, in order.
    """

    observations: Mapping[Cell, Observation]
    flapping: tuple[Flapping, ...] = ()
    facts: tuple[str, ...] = ()
    attempts: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def unstable(self) -> frozenset[Cell]:
        """The cells that changed their answer and not for good."""
        return frozenset().union(*(each.unstable for each in self.flapping))
