"""What a choice of probe pods claims to notice, way by way, in a form that tests can hold against what is so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from auditor.choice.admin_misreadings import AdminReading
from auditor.choice.area import Area, Kind
from auditor.choice.choose import Bounds, choose
from auditor.choice.filter import What
from auditor.choice.misreadings import Reading
from auditor.choice.noticing import Ledger
from auditor.choice.world import World
from auditor.model.admin_policy import AdminPolicy
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot
from auditor.model.verdict import Cell, Note
from auditor.policy.matrix import ExpectedMatrix
from auditor.probe_pods.choice import ProbeRequest


def claimed_by(ledger: Ledger) -> dict[tuple[str, int, What], bool]:
    """For each way of misreading, by the area, the kind and the way, whether it is said to be noticed."""
    noticed = 0
    for mask in ledger.shown.values():
        noticed |= mask
    found, place = {}, 0
    for area in ledger.areas:
        for bundle in area.bundles:
            for way in bundle.ways:
                found[area.namespace, bundle.kind, area.whats[way]] = bool(noticed >> place & 1)
            place += 1
    return found


NO_FAULT = frozenset({Note.CNI_DEPENDENT, Note.UNDEFINED, Note.ADDRESS_UNKNOWN})
"""With these a difference says nothing against an enforcer."""


def differ(written: ExpectedMatrix, read: ExpectedMatrix, cells: Iterable[Cell]) -> bool:
    """Whether any of ``cells`` is let through that should not be, or closed that is sure to be open."""
    return any(
        written.verdict(*cell) is not read.verdict(*cell) and NO_FAULT.isdisjoint(written.notes(*cell))
        for cell in cells
    )


class Claims:
    """A choice of at most ``most`` probe pods for ``request`` in ``snapshot``, and what it claims."""

    def __init__(self, snapshot: Snapshot, request: ProbeRequest, most: int) -> None:
        self.snapshot = snapshot
        self.request = request
        self.chosen = choose(snapshot, (), request, Bounds(most))
        self.areas = self.chosen.ledger.areas
        self.world = World(snapshot, ())
        self._probes: dict[Kind, set[str]] = {}

    @cached_property
    def noticed(self) -> dict[tuple[str, int, What], bool]:
        """``claimed_by`` what is chosen."""
        return claimed_by(self.chosen.ledger)

    def planned(self, area: Area) -> list[Cell]:
        """The connections that are tried on the ports that are asked about in ``area``: others are chosen for what
        they notice elsewhere, and whatever they notice here is not counted.
        """
        families, ports = ({getattr(column, name) for column in area.columns} for name in ("family", "port"))
        return [
            Cell(one.source, one.destination, one.port.protocol, one.port.number, family)
            for one in self.chosen.connections
            if one.port in ports
            for family in families
        ]

    @cached_property
    def members(self) -> dict[int, list[str]]:
        """The names of the pods of each group."""
        world = self.world
        found: dict[int, list[str]] = {}
        for end, group in zip(world.snapshot.endpoints, world.groups.of_endpoint, strict=True):
            found.setdefault(group, []).append(end.name)
        return found

    def members_of(self, kind: Kind) -> list[str]:
        """The names of all pods of ``kind``."""
        groups = (group for subject in kind for group in self.members if subject.groups >> group & 1)
        return [name for group in groups for name in self.members[group]]

    def probes_of(self, kind: Kind) -> set[str]:
        """The names of the probe pods for ``kind``."""
        if kind not in self._probes:
            names = set(self.members_of(kind))
            self._probes[kind] = {probe.name for probe in self.chosen.probe_pods if names & set(probe.stands_for)}
        return self._probes[kind]


def possible(ends: Sequence[Endpoint], area: Area, members: Iterable[Endpoint], direction: Direction) -> list[Cell]:
    """All connections in ``area`` that have one of ``members`` at the end of ``direction``, and another of ``ends``."""
    pairs = [(member, other) for member in members for other in ends if other.name != member.name]
    return [
        Cell(
            *((other.name, member.name) if direction is Direction.INGRESS else (member.name, other.name)),
            column.port.protocol,
            column.port.number,
            column.family,
        )
        for member, other in pairs
        for column in area.columns
    ]


def at_end(cells: Sequence[Cell], direction: Direction, names: set[str]) -> Iterator[Cell]:
    """Those of ``cells`` that pass the filters in ``direction`` of pods with these ``names``."""
    return (cell for cell in cells if (cell.destination if direction is Direction.INGRESS else cell.source) in names)


def read_so(
    policies: Sequence[NetworkPolicy], policy: NetworkPolicy, direction: Direction, reading: Reading
) -> tuple[NetworkPolicy, ...]:
    """``policies`` with ``policy`` read so in ``direction``, and as it is written in the other."""
    rest = replace(policy, directions=policy.directions - {direction})
    rules = {"ingress" if direction is Direction.INGRESS else "egress": reading.rules}
    read = replace(rest, name=f"{policy.name}-read", directions=frozenset({direction}), pod_selector=reading.selector)
    others = [each for each in policies if each is not policy]
    added = [replace(read, **rules)] if reading.isolates else []
    return (*others, rest, *added)


def admin_read_so(
    policies: Sequence[AdminPolicy], policy: AdminPolicy, direction: Direction, reading: AdminReading
) -> tuple[AdminPolicy, ...]:
    """The same of policies of administrators."""
    rest = replace(policy, ingress=()) if direction is Direction.INGRESS else replace(policy, egress=())
    others = [each for each in policies if each is not policy]
    return (*others, rest, reading.put_into(policy, direction))


def stand_ins(claims: Claims) -> tuple[Endpoint, ...]:
    """An endpoint for each probe pod, with the address that any pod may have."""
    addresses = next(end.addresses for end in claims.world.snapshot.endpoints)
    return tuple(
        Endpoint(probe.name, EndpointKind.POD, probe.namespace, probe.labels, addresses, probe.ports, probe.node)
        for probe in claims.chosen.probe_pods
    )
