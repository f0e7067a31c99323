"""Which of several pods that policies don't tell apart a run has taken: other ones from night to night."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from auditor.model.words import pluralize


class Place(NamedTuple):
    """A workload, ``NAMESPACE/NAME``, on a node."""

    workload: str
    node: str


@dataclass(frozen=True, slots=True)
class Draw:
    """The draw number ``seed``. ``of``: after so many in a row each pod that is drawn from has had its turn, as long as
    nothing moves.

    ``places`` are where policies isolate audited pods. ``here`` this run had a probe pod in the place of such a pod,
    ``before`` those of earlier runs that are known, so that ``runs`` are known together.
    """

    seed: int
    of: int
    places: frozenset[Place]
    here: frozenset[Place]
    before: frozenset[Place] = frozenset()
    runs: int = 1

    @property
    def tried(self) -> frozenset[Place]:
        """The places that have had their turn."""
        return (self.here | self.before) & self.places

    def after(self, past: Iterable[Iterable[Place]]) -> Draw:
        """This draw with those before it: the places of each."""
        before = list(past)
        return replace(self, before=self.before.union(*before), runs=self.runs + len(before))

    def __str__(self) -> str:
        return self._told("this run had" if self.runs == 1 else f"{self.runs} runs had")

    @property
    def ahead(self) -> str:
        """The same of a run that is yet to come."""
        return self._told("would have")

    def _told(self, having: str) -> str:
        of_many = f"draw {self.seed % self.of + 1} of {self.of} (--seed {self.seed})"
        where = pluralize(len(self.places), "place (a workload on a node)", "places (workloads on nodes)")
        return f"{of_many}: {having} a probe pod at {len(self.tried):,} of {where} where policies isolate audited pods"
