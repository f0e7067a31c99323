"""Which of many peers, selectors or port sets can include a given one, without comparing it with each of them.

An index answers with buckets of positions: each one that includes what is asked for is in some bucket, and most of the
others are in none. Whether one of them really does, ``implication`` says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import groupby, islice
from typing import Any, TypeAlias

from auditor.lint.implication import ANYTHING, LabelCondition, conditions
from auditor.model.labels import NAMESPACE_NAME_LABEL, LabelSelector
from auditor.model.policy import IPBlock, Peer
from auditor.policy.addresses import bounds
from auditor.policy.bits import bits

COMPARISONS = 500_000
"""How many pairs a check compares within one rule or namespace; where that doesn't reach for all, each part meets
``LEAST`` others.
"""
LEAST = 50
FEW = 16
"""Port sets with more atoms than this are candidates for every question, and lists with more peers than this get an
index.
"""

Buckets: TypeAlias = Sequence[Sequence[int]]
"""Positions in several parts, each ascending."""

Conditions: TypeAlias = Mapping[Any, LabelCondition]
"""What is asked of each of several labels, whatever stands for a label."""


def most_compared(number: int) -> int:
    """With how many others each of ``number`` parts is compared: with all of them, unless they are many."""
    return max(LEAST, COMPARISONS // max(number, 1))


def in_order(buckets: Buckets, most: int) -> Iterator[int]:
    """The positions in ``buckets``, ascending and each once, the first ``most`` of them."""
    return islice((position for position, _ in groupby(merge(*buckets))), most)


def fewest(*choices: Buckets) -> Buckets:
    """The one of ``choices``, each of which has the answer, with fewest positions."""
    return min(choices, key=lambda buckets: sum(map(len, buckets)))


class ConditionIndex:
    """Sets of conditions, each found by one condition of it: the one that it shares with fewest others."""

    def __init__(self, wanted: Iterable[tuple[int, Conditions]]) -> None:
        """``wanted`` are ascending positions with the conditions there."""
        entries = [
            (position, {key: each for key, each in found.items() if each != ANYTHING}) for position, found in wanted
        ]
        frequency: dict[Hashable, int] = defaultdict(int)
        for _, found in entries:
            for key, condition in found.items():
                for place in _places(key, condition):
                    frequency[place] += 1
        self._at: dict[Hashable, list[int]] = defaultdict(list)
        for position, found in entries:
            if found:
                key, condition = min(found.items(), key=lambda item: max(frequency[place] for place in _places(*item)))
                for place in (*_places(key, condition), (key,)):
                    self._at[place].append(position)
                if condition.negated:
                    self._at[key, False].append(position)
            else:
                self._at[()].append(position)

    def including(self, given: Conditions) -> Buckets:
        """Where all those are that hold wherever ``given`` holds."""
        places = [()] + [place for key, condition in given.items() for place in self._asked(key, condition)]
        return [self._at[place] for place in places if place in self._at]

    def _asked(self, key: Hashable, condition: LabelCondition) -> Sequence[Hashable]:
        """Where what ``condition`` implies may be."""
        if condition.negated:
            return (*_places(key, condition), (key, False, None))
        if not condition.values:
            return ((key,),)
        # A wider set of values has each one of these.
        return min(
            ((key, True, value) for value in condition.values), key=lambda place: len(self._at.get(place, ()))
        ), (key, False)


def _places(key: Hashable, condition: LabelCondition) -> list[Hashable]:
    """Where a condition is put: at each value that it allows, at the one by which one that excludes values is found, or
    without any.
    """
    if condition.negated:
        return [(key, False, value) for value in condition.values] or [(key, False, None)]
    return [(key, True, value) for value in condition.values] or [(key, True, None)]


def peer_conditions(peer: Peer, namespace: str) -> Conditions:
    """What a peer made of selectors, in a policy of ``namespace``, asks of the labels of a pod and of its namespace."""
    spaces = peer.namespace_selector or LabelSelector(((NAMESPACE_NAME_LABEL, namespace),))
    pods = peer.pod_selector or LabelSelector()
    return {
        **{("namespace", key): condition for key, condition in conditions(spaces).items()},
        **{("pod", key): condition for key, condition in conditions(pods).items()},
    }


class PeerIndex:
    """Peers of policies of one namespace by position. A peer None is everyone."""

    def __init__(self, peers: Iterable[tuple[int, Peer | None]], namespace: str) -> None:
        """``peers`` by ascending positions, which may occur more than once."""
        entries = list(peers)
        self._namespace = namespace
        self._everyone = [position for position, peer in entries if peer is None]
        self._selectors = ConditionIndex(
            (position, peer_conditions(peer, namespace))
            for position, peer in entries
            if peer is not None and peer.ip_block is None
        )
        self._blocks = BlockIndex(
            (position, peer.ip_block) for position, peer in entries if peer is not None and peer.ip_block is not None
        )

    def including(self, peer: Peer | None) -> Buckets:
        """Where all those are that may include ``peer``."""
        if peer is None:
            return [self._everyone]
        found = (
            self._blocks.including(peer.ip_block)
            if peer.ip_block is not None
            else self._selectors.including(peer_conditions(peer, self._namespace))
        )
        return [self._everyone, *found]


class BlockIndex:
    """ipBlocks by their cidrs."""

    def __init__(self, blocks: Iterable[tuple[int, IPBlock]]) -> None:
        self._at: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for position, block in blocks:
            self._at[block.cidr.version, block.cidr.prefixlen, bounds(block.cidr)[0]].append(position)
        self._lengths = sorted({(version, length) for version, length, _ in self._at})

    def including(self, block: IPBlock) -> Buckets:
        """Where all those are whose cidr has that of ``block`` inside."""
        cidr, first = block.cidr, bounds(block.cidr)[0]
        lengths = [length for version, length in self._lengths if version == cidr.version and length <= cidr.prefixlen]
        shifts = [(length, cidr.max_prefixlen - length) for length in lengths]
        places = [(cidr.version, length, first >> shift << shift) for length, shift in shifts]
        return [self._at[place] for place in places if place in self._at]


class PortIndex:
    """Sets of port atoms by their atoms."""

    def __init__(self, sets: Iterable[tuple[int, int]]) -> None:
        """``sets`` by ascending positions."""
        self._at: dict[int, list[int]] = defaultdict(list)
        self._wide: list[int] = []
        for position, atoms in sets:
            if atoms and atoms.bit_count() <= FEW:
                for atom in bits(atoms):
                    self._at[atom].append(position)
            else:
                self._wide.append(position)

    def sharing(self, atoms: int) -> Buckets | None:
        """Where all those are that share any of ``atoms``; None when that would be too many to list."""
        if not atoms or atoms.bit_count() > FEW:
            return None
        return [self._wide, *(self._at[atom] for atom in bits(atoms) if atom in self._at)]
