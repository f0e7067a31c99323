"""Partitions of the port atoms: each part has the destinations that are reached on its atoms.

Rows have a handful of parts as a rule; a source that thousands of rules concern, each with a port of its own, has
thousands. Then comparing parts with each other takes too long, and they are found from their atoms instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

from auditor.policy.bits import bits, union

Part: TypeAlias = tuple[int, int]
"""Port atoms and the destinations that they reach, both as bitsets."""

FEW = 48
"""So many openings, or parts on both sides, are compared with each other."""
MOST_REMEMBERED = 1 << 12


def partition(everything: int, openings: Mapping[int, int]) -> tuple[Part, ...]:
    """Split the atoms ``everything`` so that each part's destinations are what ``openings``, by atoms, have for all its
    atoms.
    """
    return _by_comparing(everything, openings) if len(openings) <= FEW else _by_atom(everything, openings)


def _by_comparing(everything: int, openings: Mapping[int, int]) -> tuple[Part, ...]:
    return join_equal(
        (atoms, union([openings[opening] for opening in concerned]))
        for atoms, concerned in _cut(everything, tuple(openings))
    )


@lru_cache(MOST_REMEMBERED)
def _cut(everything: int, openings: Sequence[int]) -> Sequence[tuple[int, Sequence[int]]]:
    """Split the atoms ``everything`` so that each of ``openings`` has all atoms of a part or none: the parts, each with
    the openings that have it. Many sources have the same openings, for other destinations.
    """
    parts: list[tuple[int, tuple[int, ...]]] = [(everything, ())]
    for opening in openings:
        split: list[tuple[int, tuple[int, ...]]] = []
        for atoms, concerned in parts:
            if inside := atoms & opening:
                split.append((inside, (*concerned, opening)))
            if outside := atoms & ~opening:
                split.append((outside, concerned))
        parts = split
    return parts


def _by_atom(everything: int, openings: Mapping[int, int]) -> tuple[Part, ...]:
    always = openings.get(everything, 0)
    reached: dict[int, int] = {}
    for atoms, destinations in openings.items():
        if atoms != everything:
            for atom in bits(atoms):
                reached[atom] = reached.get(atom, 0) | destinations
    return join_equal([(1 << atom, reached.get(atom, 0) | always) for atom in bits(everything)])


def intersect(one: Sequence[Part], other: Sequence[Part]) -> tuple[Part, ...]:
    """What both of two partitions of the same atoms reach."""
    if len(one) * len(other) > FEW * FEW:
        return _intersect_by_atom(one, other)
    return join_equal(
        (atoms, one_destinations & other_destinations)
        for one_atoms, one_destinations in one
        for other_atoms, other_destinations in other
        if (atoms := one_atoms & other_atoms)
    )


def _intersect_by_atom(one: Sequence[Part], other: Sequence[Part]) -> tuple[Part, ...]:
    found = {atom: destinations for atoms, destinations in other for atom in bits(atoms)}
    return join_equal((1 << atom, destinations & found[atom]) for atoms, destinations in one for atom in bits(atoms))


def join_equal(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Unite the parts that have the same destinations."""
    joined: dict[int, int] = {}
    for atoms, reached in parts:
        joined[reached] = joined.get(reached, 0) | atoms
    return tuple((atoms, reached) for reached, atoms in joined.items())
