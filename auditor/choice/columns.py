"""Connections on one port over one family, for which what filters let through are sets of groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from auditor.model.policy import Direction
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Family
from auditor.policy.bits import bits

Masks: TypeAlias = Sequence[int]
"""For each column a set of groups at the other end."""


class Column(NamedTuple):
    """Connections on one port over one family; ``atom`` is the number of the port's atom."""

    family: Family
    atom: int
    port: PortRequest


class Columns(NamedTuple):
    """Several columns, and for each direction who can be at the other end in each of them.

    Where ipBlocks hold pods, the same columns once more, as if they held none: an enforcer may take it so, and what is
    closed to a pod that only an ipBlock lets through is no fault.
    """

    each: tuple[Column, ...]
    at_other_end: Mapping[Direction, Sequence[int]]
    by_atom: Mapping[int, Sequence[int]]
    """The places of the columns of each atom."""
    atoms: int
    """The atoms that have columns."""
    doubled: bool = False

    @property
    def without_blocks(self) -> int:
        """The place from which on ipBlocks hold no pods."""
        return len(self.each) // 2 if self.doubled else len(self.each)

    def of_atoms(self, atoms: int) -> Iterator[tuple[int, Column]]:
        """Those of any of ``atoms``, with their places."""
        here = atoms & self.atoms
        if here == self.atoms:
            return enumerate(self.each)
        return ((place, self.each[place]) for atom in bits(here) for place in self.by_atom[atom])
