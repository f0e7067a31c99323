"""From policies to the expected matrix, for every port at once.

How it works. Endpoints that no policy can tell apart form groups, and groups that no rule tells apart form identity
classes. A policy's subjects and a rule's peers are bitsets over groups. For one source, everything a rule grants is a
pair (port atoms, destinations), both bitsets. A source's *row* is a partition of all atoms into parts with their
allowed destinations. Each tier (``auditor.policy.tiers``) answers rows for egress and for ingress; they are folded over
the tiers, and the two directions are intersected. Sources that are concerned by the same rules share their rows.

Only three facts concern a pair of endpoints rather than of classes, and the matrix adds them: an endpoint reaches
itself, a pod reaches its own node, and its own node reaches it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat

from auditor.model.policy import Direction
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Family, Snapshot
from auditor.policy.atoms import cut_atoms, port_names
from auditor.policy.bits import bits, octet_columns
from auditor.policy.groups import Groups
from auditor.policy.matrix import BlockReading, ExpectedMatrix, IdentityClass, Partition, Rows
from auditor.policy.partition import Part, intersect
from auditor.policy.tiers import CompiledTier, Tier, Universe, fold_rows
from auditor.policy.tiers_in_order import TIERS
from auditor.policy.unknown_labels import label_extremes

SMALL = 64
"""A trait of fewer than one group in this many is small."""


def identity_classes(
    snapshot: Snapshot, groups: Groups, traits: set[int]
) -> tuple[tuple[IdentityClass, ...], list[int]]:
    """Join groups that share every trait. Returns the classes, in order of their first members, and the class of each
    group.
    """
    numbers: dict[tuple[object, ...], int] = {}
    class_of_group = []
    for signature, endpoint in zip(_signatures(groups, traits), groups.representatives, strict=True):
        key = (endpoint.kind, endpoint.host_network, endpoint.families, *signature)
        class_of_group.append(numbers.setdefault(key, len(numbers)))
    members: list[list[int]] = [[] for _ in numbers]
    for index, group in enumerate(groups.of_endpoint):
        members[class_of_group[group]].append(index)
    names = [endpoint.name for endpoint in snapshot.endpoints]
    classes = tuple(
        IdentityClass(number, indices[0], tuple(names[index] for index in indices))
        for number, indices in enumerate(members)
    )
    return classes, class_of_group


def _signatures(groups: Groups, traits: set[int]) -> Iterator[tuple[int, ...]]:
    """For each group something that is equal for two of them exactly where they share every trait.

    Small traits are gone through by their members; of others, eight at a time make one octet for each group.
    """
    everything, size = groups.everything, len(groups.representatives)
    small: list[list[int]] = [[] for _ in range(size)]
    large = []
    for number, mask in enumerate(sorted(traits)):
        outside = everything & ~mask
        fewer = mask if mask.bit_count() <= outside.bit_count() else outside
        if fewer.bit_count() * SMALL > size:
            large.append(fewer)
            continue
        for group in bits(fewer):
            small[group].append(number)
    columns = [octet_columns(large[first : first + 8], size) for first in range(0, len(large), 8)]
    together = zip(*columns, strict=True) if columns else repeat((), size)
    return ((*octets, *numbers) for octets, numbers in zip(together, small, strict=True))


def evaluate(
    snapshot: Snapshot,
    *,
    named_ports: Collection[PortRequest] = (),
    tiers: Sequence[Tier] = TIERS,
    directions: Collection[Direction] = tuple(Direction),
) -> ExpectedMatrix:
    """The expected matrix of ``snapshot``.

    ``named_ports`` are names that someone will ask the matrix for; members of one identity class agree on what they
    resolve to. Policies count in ``directions`` alone.
    """
    applying = [tier for tier in tiers if tier.applies(snapshot)]
    traits = [tier.traits(snapshot) for tier in applying]
    items = [port for each in traits for port in each.ports]
    names = port_names(items)
    atoms = cut_atoms(items, names, snapshot.endpoints)
    names |= {(request.protocol, request.name) for request in named_ports if request.name}
    groups = Groups(snapshot, names, traits, every_value=False)
    declared = {name: groups.declaring(name) for name in names}
    universe = Universe(groups, atoms, declared)
    compiled = [tier.compile(snapshot, universe) for tier in applying]
    told_apart = {mask for by_number in declared.values() for mask in by_number.values()}.union(
        groups.with_unknown_labels(), *(tier.told_apart() for tier in compiled)
    )
    classes, class_of_group = identity_classes(snapshot, groups, told_apart)
    sources = [groups.of_endpoint[identity.first] for identity in classes]
    return ExpectedMatrix(
        snapshot=snapshot,
        partition=Partition(classes, [class_of_group[group] for group in groups.of_endpoint], sources),
        atoms=atoms,
        rows=_readings(compiled, sources, universe, directions),
        extremes=lambda: _label_extremes(snapshot, named_ports, tiers, directions),
    )


def _label_extremes(
    snapshot: Snapshot, named_ports: Collection[PortRequest], tiers: Sequence[Tier], directions: Collection[Direction]
) -> Sequence[ExpectedMatrix]:
    extremes = label_extremes(snapshot)
    return (
        [
            evaluate(
                each,
                named_ports=named_ports,
                tiers=[tier.leaning_to(snapshot, most=each is extremes.most) for tier in tiers],
                directions=directions,
            )
            for each in (extremes.least, extremes.most)
        ]
        if extremes
        else ()
    )


def _readings(
    tiers: Sequence[CompiledTier], sources: Sequence[int], universe: Universe, directions: Collection[Direction]
) -> Mapping[BlockReading, Mapping[Family, Rows]]:
    """The rows of ``sources``, given as groups, under every reading and for every family; equal ones are the same
    object. What differs from the expected verdict's, and families that no endpoint has, are computed when somebody
    asks.
    """
    computed: dict[tuple[Hashable, ...], Rows] = {}

    def compute(family: Family, reading: BlockReading) -> Rows:
        key = tuple(tier.fingerprint(family, reading) for tier in tiers)
        if key not in computed:
            computed[key] = _rows(tiers, sources, universe, family, reading, directions)
        return computed[key]

    readings = {reading: _OfFamilies(compute, reading) for reading in BlockReading}
    for family in _occurring(universe.groups):
        readings[BlockReading.BY_ADDRESS][family]
    return readings


def _occurring(groups: Groups) -> Iterable[Family]:
    """The families that endpoints have; all where some have no known address."""
    if groups.without_address:
        return Family
    return {family for places in groups.interval_ids for family in places}


class _OfFamilies(dict[Family, Rows]):
    """The rows under one reading, by family, made when they are first asked for."""

    def __init__(self, compute: Callable[[Family, BlockReading], Rows], reading: BlockReading) -> None:
        super().__init__()
        self._compute = compute
        self._reading = reading

    def __missing__(self, family: Family) -> Rows:
        rows = self[family] = self._compute(family, self._reading)
        return rows


def _rows(  # noqa: PLR0913, PLR0917 - what one set of rows depends on
    tiers: Sequence[CompiledTier],
    sources: Sequence[int],
    universe: Universe,
    family: Family,
    reading: BlockReading,
    directions: Collection[Direction],
) -> Rows:
    """For each of ``sources`` its row: atoms with the destinations that they reach, by what all directions allow."""
    atoms, destinations = universe.atoms.everything, universe.groups.everything
    unlimited = ((atoms, destinations),)
    egress, ingress = (
        fold_rows([tier.rows(sources, direction, family, reading) for tier in tiers], atoms, destinations)
        if direction in directions
        else [unlimited] * len(sources)
        for direction in (Direction.EGRESS, Direction.INGRESS)
    )
    joint: dict[tuple[int, int], tuple[Part, ...]] = {}
    rows: list[tuple[Part, ...]] = []
    for out, into in zip(egress, ingress, strict=True):
        key = (id(out), id(into))
        if key not in joint:
            joint[key] = into if out == unlimited else out if into == unlimited else intersect(out, into)
        rows.append(joint[key])
    return rows
