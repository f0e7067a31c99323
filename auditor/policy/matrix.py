"""The expected matrix: the verdict, and its notes, for any pair of endpoints and any port."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from itertools import product
from typing import TypeAlias

from auditor.model.ports import PortRange, PortRequest, Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Snapshot
from auditor.model.verdict import Note, Verdict
from auditor.model.ways_in import NO_WAYS, WaysIn
from auditor.policy.atoms import PortAtoms
from auditor.policy.bits import bits
from auditor.policy.partition import Part

Rows: TypeAlias = Sequence[tuple[Part, ...]]
"""For each identity class as a source: parts whose atoms are disjoint and together all atoms."""


class BlockReading(Enum):
    """How ipBlocks treat addresses about which the specification, or the input, leaves a doubt."""

    BY_ADDRESS = auto()
    """Every address counts, those of pods and nodes too: the expected verdict."""
    OUTSIDE_ONLY = auto()
    """Addresses of pods and nodes never match, as with some CNIs."""
    UNKNOWN_INSIDE = auto()
    """Endpoints without a known address are wherever they are allowed the most: inside every ipBlock."""
    UNKNOWN_DENIED = auto()
    """Endpoints without a known address are wherever they are allowed the least."""
    TIES_LEAST = auto()
    """Of policies with one priority that comes first which allows the least: the specification leaves it open."""
    TIES_MOST = auto()
    """Of policies with one priority that comes first which allows the most."""


@dataclass(frozen=True, slots=True)
class IdentityClass:
    """Endpoints that no policy in force can tell apart: their names, and the index of the first in the snapshot."""

    number: int
    first: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Partition:
    """The identity classes; for each endpoint the number of its class; for each class the bit that stands for it in
    rows.
    """

    classes: tuple[IdentityClass, ...]
    class_of_endpoint: Sequence[int]
    bit_of_class: Sequence[int]


@dataclass(frozen=True, slots=True)
class PairVerdicts:
    """All that the policies say about one pair of classes over one family: sets of port atoms.

    ``cni_dependent`` is a part of ``allowed``. ``address_unknown``, ``labels_unknown`` and ``undefined``, where two
    policies have one priority, may be in it or not.
    """

    allowed: int
    cni_dependent: int
    address_unknown: int
    labels_unknown: int = 0
    undefined: int = 0


def governed(source: Endpoint, destination: Endpoint) -> bool:
    """Whether a NetworkPolicy can have a say in traffic from ``source`` to ``destination``: one of them is a pod."""
    return EndpointKind.POD in (source.kind, destination.kind)


def always_allowed(source: Endpoint, destination: Endpoint) -> bool:
    """Whether no policy can cut this pair: an endpoint and itself, a pod and its own node (concept page, "Pod
    isolation").

    A hostNetwork pod counts as its node.
    """
    if source.name == destination.name:
        return True
    same_node = bool(source.node) and source.node == destination.node
    return same_node and not (source.selectable and destination.selectable)


def common_families(source: Endpoint, destination: Endpoint) -> tuple[Family, ...]:
    """The families over which the two can talk, the destination's primary first. Unknown addresses go with any, or
    IPv4.
    """
    if not destination.addresses:
        return source.families or (Family.IPV4,)
    if not source.addresses:
        return destination.families
    return tuple(family for family in destination.families if family in source.families)


class ExpectedMatrix:
    """Who should reach whom on which port.

    Endpoints are asked for by name. ``classes`` lists the identity classes, ``atoms`` the port atoms of all protocols
    in order.
    """

    def __init__(
        self,
        *,
        snapshot: Snapshot,
        partition: Partition,
        atoms: PortAtoms,
        rows: Mapping[BlockReading, Mapping[Family, Rows]],
        extremes: Callable[[], Sequence[ExpectedMatrix]] = tuple,
    ) -> None:
        """``extremes`` are the least and the most that may be allowed, depending on labels that are not known; none
        where nothing depends on them.
        """
        self.snapshot = snapshot
        self.classes = partition.classes
        self.class_of_endpoint = partition.class_of_endpoint
        self.port_atoms = atoms
        self.bit_of_class = partition.bit_of_class
        self._make_extremes = extremes
        self._known_at_extremes: dict[int, frozenset[tuple[int, ...]]] = {}
        self._rows = rows

    @property
    def atoms(self) -> tuple[PortRange, ...]:
        """The port atoms of all protocols, in the order of Protocol and then of ports."""
        return tuple(self.port_atoms.ranges)

    @cached_property
    def class_of_bit(self) -> dict[int, int]:
        """The class that each bit in a set of destinations stands for."""
        return {bit: number for number, bit in enumerate(self.bit_of_class)}

    @cached_property
    def _index(self) -> dict[str, int]:
        return {endpoint.name: index for index, endpoint in enumerate(self.snapshot.endpoints)}

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint called ``name``; KeyError when there is none."""
        return self.snapshot.endpoints[self._index[name]]

    def class_of(self, name: str) -> int:
        """The number of the identity class of the endpoint called ``name``; KeyError when there is none."""
        return self.class_of_endpoint[self._index[name]]

    def representative(self, class_number: int) -> Endpoint:
        """The first member of a class."""
        return self.snapshot.endpoints[self.classes[class_number].first]

    def class_verdicts(self, source: int, destination: int, family: Family) -> PairVerdicts:
        """What the policies say about a pair of classes, given by number, leaving out what holds for particular members
        only.
        """
        bit = self.bit_of_class[destination]
        reached: dict[int, int] = {}
        rows = self._readings_of(source, family)
        for row in rows:
            if id(row) not in reached:
                reached[id(row)] = _reached(row, bit)
        return _pair([reached[id(row)] for row in rows], self._labels_unknown(source, destination, family))

    def _readings_of(self, source: int, family: Family) -> Sequence[tuple[Part, ...]]:
        """The row of the class ``source`` under every reading, in their order; equal ones are mostly one object."""
        return [self._rows[reading][family][source] for reading in BlockReading]

    @cached_property
    def _extremes(self) -> Sequence[ExpectedMatrix]:
        return self._make_extremes()

    @property
    def has_extremes(self) -> bool:
        """Whether anything may depend on labels that are not known."""
        return bool(self._extremes)

    def _labels_unknown(self, source: int, destination: int, family: Family) -> int:
        """The atoms on which unknown labels decide between any members of two classes."""
        if not self._extremes:
            return 0
        doubtful = 0
        for ends in product(self._classes_at_extremes(source), self._classes_at_extremes(destination)):
            least, most = (
                matrix.class_verdicts(*pair, family).allowed
                for matrix, pair in zip(self._extremes, zip(*ends, strict=True), strict=True)
            )
            doubtful |= most & ~least
        return doubtful

    def _classes_at_extremes(self, number: int) -> frozenset[tuple[int, ...]]:
        """For each member of a class, but each once, its classes at the extremes."""
        if number not in self._known_at_extremes:
            self._known_at_extremes[number] = frozenset(
                tuple(matrix.class_of(member) for matrix in self._extremes) for member in self.classes[number].members
            )
        return self._known_at_extremes[number]

    def split_by_verdicts(self, source: int, family: Family, destinations: int) -> list[tuple[PairVerdicts, int]]:
        """Split ``destinations``, a set of bits that stand for classes, by what ``class_verdicts`` says of ``source``
        and each.
        """
        rows = self._readings_of(source, family)
        distinct = list({id(row): row for row in rows}.values())
        split: list[tuple[tuple[int, ...], int]] = [((0,) * len(distinct), destinations)]
        for number, row in enumerate(distinct):
            for atoms, reachable in row:
                split = [
                    piece for reached, mask in split for piece in _split_one(reached, mask, number, atoms, reachable)
                ]
        places = {id(row): number for number, row in enumerate(distinct)}
        order = [places[id(row)] for row in rows]
        return [
            (_pair([reached[place] for place in order], doubtful), part)
            for reached, mask in split
            for doubtful, part in self._split_by_doubt(source, family, mask)
        ]

    def _split_by_doubt(self, source: int, family: Family, destinations: int) -> Iterable[tuple[int, int]]:
        """Split ``destinations``, as above, by the atoms on which unknown labels decide."""
        if not self._extremes:
            return ((0, destinations),)
        split: dict[int, int] = {}
        for bit in bits(destinations):
            doubtful = self._labels_unknown(source, self.class_of_bit[bit], family)
            split[doubtful] = split.get(doubtful, 0) | 1 << bit
        return split.items()

    def verdict(
        self, source: str, destination: str, protocol: Protocol, port: int, family: Family = Family.IPV4
    ) -> Verdict:
        """The expected verdict of one cell. Raises KeyError for a name that no endpoint has."""
        if always_allowed(self.endpoint(source), self.endpoint(destination)):
            return Verdict.ALLOWED
        bit = self.bit_of_class[self.class_of(destination)]
        allowed = _reached(self._rows[BlockReading.BY_ADDRESS][family][self.class_of(source)], bit)
        return Verdict.ALLOWED if allowed >> self.port_atoms.index(protocol, port) & 1 else Verdict.DENIED

    def notes(
        self, source: str, destination: str, protocol: Protocol, port: int, family: Family = Family.IPV4
    ) -> tuple[Note, ...]:
        """Why the expected verdict of one cell may not hold everywhere."""
        ends = (self.endpoint(source), self.endpoint(destination))
        if any(end.host_network for end in ends):
            return (Note.UNDEFINED,)
        if always_allowed(*ends):
            return ()
        atom = self.port_atoms.index(protocol, port)
        pair = self.class_verdicts(self.class_of(source), self.class_of(destination), family)
        if pair.labels_unknown >> atom & 1:
            return (Note.LABELS_UNKNOWN,)
        if pair.undefined >> atom & 1:
            return (Note.UNDEFINED,)
        if pair.cni_dependent >> atom & 1:
            return (Note.CNI_DEPENDENT,)
        return (Note.ADDRESS_UNKNOWN,) if pair.address_unknown >> atom & 1 else ()


def _pair(reached: Sequence[int], labels_unknown: int) -> PairVerdicts:
    """What to make of the atoms that are ``reached`` under each of ``BlockReading``, in their order."""
    allowed, certain, most, least, ties_least, ties_most = reached
    return PairVerdicts(
        allowed, allowed & ~certain, (most & ~allowed) | (allowed & ~least), labels_unknown, ties_most & ~ties_least
    )


def _reached(row: tuple[Part, ...], bit: int) -> int:
    """The atoms on which ``row`` reaches the destination ``bit``."""
    atoms = 0
    for part_atoms, destinations in row:
        if destinations >> bit & 1:
            atoms |= part_atoms
    return atoms


def _split_one(
    reached: tuple[int, ...], mask: int, number: int, atoms: int, reachable: int
) -> list[tuple[tuple[int, ...], int]]:
    """Split the destinations ``mask`` into those in ``reachable``, which reading ``number`` reaches on ``atoms`` too,
    and the rest.
    """
    inside, outside = mask & reachable, mask & ~reachable
    pieces = [((*reached[:number], reached[number] | atoms, *reached[number + 1 :]), inside)] if inside else []
    return [*pieces, (reached, outside)] if outside else pieces


@dataclass(frozen=True, slots=True)
class MatrixView:
    """The part of a matrix to show: between which endpoints, on which ports (all without any), by endpoint rather than
    by class. Where ``pairs`` are given, by the names of sources, only their destinations are shown for each.
    ``entry`` is what leads to the destinations from outside.
    """

    matrix: ExpectedMatrix
    sources: tuple[Endpoint, ...]
    destinations: tuple[Endpoint, ...]
    ports: tuple[PortRequest, ...] = ()
    expand: bool = False
    pairs: Mapping[str, Collection[str]] | None = None
    entry: WaysIn = NO_WAYS
