"""Cells by number, and what they have in common as bitsets over them.

Diagnosis asks the same question of thousands of hypotheses: which of the observed cells would this enforcer let
through? With a set of cells in one int, an answer is a few ANDs and ORs, and comparing it with the observations an XOR.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from typing import TypeVar

from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, Family, Snapshot
from auditor.model.verdict import Cell
from auditor.policy.bits import bits, octets_of, span, union
from auditor.policy.matrix import always_allowed

Key = TypeVar("Key", bound=Hashable)


class Cells:
    """``cells``, numbered in their order; every set here is a bitset over these numbers. Every end must be in
    ``snapshot``.
    """

    def __init__(self, snapshot: Snapshot, cells: Sequence[Cell]) -> None:
        self.snapshot = snapshot
        self.cells = tuple(cells)
        self.everything = span(0, len(self.cells) - 1)
        self.endpoints = {endpoint.name: endpoint for endpoint in snapshot.endpoints}
        self.sources = self._by(lambda cell: cell.source)
        self.destinations = self._by(lambda cell: cell.destination)
        self.ports = self._by(lambda cell: (cell.protocol, cell.port))
        self.protocols: dict[Protocol, int] = self._by(lambda cell: cell.protocol)
        self.families: dict[Family, int] = self._by(lambda cell: cell.family)

    def _by(self, key: Callable[[Cell], Key]) -> dict[Key, int]:
        numbers: dict[Key, list[int]] = {}
        for number, cell in enumerate(self.cells):
            numbers.setdefault(key(cell), []).append(number)
        return {found: octets_of(several, len(self.cells)) for found, several in numbers.items()}

    def where(self, holds: Callable[[Cell], bool]) -> int:
        """The cells of which ``holds`` is true."""
        return octets_of((number for number, cell in enumerate(self.cells) if holds(cell)), len(self.cells))

    def listed(self, mask: int) -> tuple[Cell, ...]:
        """The cells in ``mask``, in order."""
        return tuple(self.cells[number] for number in bits(mask))

    def subjects(self, direction: Direction) -> dict[str, int]:
        """For each endpoint the cells in which its filter of ``direction`` has a say: those that it sends, or that it
        receives.
        """
        return self.sources if direction is Direction.EGRESS else self.destinations

    def filtered_at(self, names: Iterable[str], direction: Direction) -> int:
        """The cells whose filter of ``direction`` is that of one of the endpoints called ``names``."""
        subjects = self.subjects(direction)
        return union(subjects.get(name, 0) for name in names)

    def others(self, direction: Direction) -> dict[str, int]:
        """For each endpoint the cells in which it is at the other end of a filter of ``direction``."""
        return self.destinations if direction is Direction.EGRESS else self.sources

    def at(self, direction: Direction, holds: Callable[[Endpoint], bool]) -> int:
        """The cells whose filter of ``direction`` belongs to a pod of which ``holds`` is true."""
        mask = 0
        for name, part in self.subjects(direction).items():
            endpoint = self.endpoints[name]
            if endpoint.selectable and holds(endpoint):
                mask |= part
        return mask

    def between(self, one: str, other: str) -> int:
        """The cells between pods on the nodes with these names, in either direction."""
        sides = [
            {node: union(part for name, part in ends.items() if self._is_on(name, node)) for node in (one, other)}
            for ends in (self.sources, self.destinations)
        ]
        return sides[0][one] & sides[1][other] | sides[0][other] & sides[1][one]

    def _is_on(self, name: str, node: str) -> bool:
        endpoint = self.endpoints[name]
        return endpoint.selectable and endpoint.node == node

    @cached_property
    def to_itself(self) -> int:
        """The cells from an endpoint to itself."""
        return self.where(lambda cell: cell.source == cell.destination)

    @cached_property
    def with_own_node(self) -> int:
        """The cells between a pod and its own node, or a hostNetwork pod there, which no policy can cut."""
        pairs = {
            (source, destination)
            for source, destination in {(cell.source, cell.destination) for cell in self.cells}
            if source != destination and always_allowed(self.endpoints[source], self.endpoints[destination])
        }
        return self.where(lambda cell: (cell.source, cell.destination) in pairs)

    def replies(self, client_port: int) -> Cells:
        """The same numbers for the replies to connections from ``client_port``."""
        return Cells(
            self.snapshot,
            [Cell(cell.destination, cell.source, cell.protocol, client_port, cell.family) for cell in self.cells],
        )
