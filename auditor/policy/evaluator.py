"""From policies to the expected matrix, for every port at once.

How it works. Endpoints that no policy can tell apart form groups, and groups that no rule tells apart form identity
classes. A policy's subjects and a rule's peers are bitsets over groups. For one source, everything a rule grants is a
pair (port atoms, destinations), both bitsets. A source's *row* is a partition of all atoms into parts with their
allowed destinations; the egress row and the ingress row of a source are built from the rules that concern it and then
intersected. Sources that are concerned by the same rules share their rows.

Only three facts concern a pair of endpoints rather than of classes, and the matrix adds them: an endpoint reaches
itself, a pod reaches its own node, and its own node reaches it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from auditor.model.policy import Direction, NetworkPolicy, Peer, Rule
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Family, Snapshot
from auditor.policy.atoms import PortAtoms, PortName, cut_atoms, policy_ports, port_names
from auditor.policy.bits import bits, mask_of
from auditor.policy.classes import identity_classes
from auditor.policy.groups import Groups
from auditor.policy.matrix import ExpectedMatrix, Part, Partition, Reading, Rows


@dataclass(frozen=True, slots=True)
class Grant:
    """What one rule allows: its peers, found by selectors or by ipBlock, and for each set of atoms the destinations
    that it opens.

    A named port opens its atom on those destinations only that declare it; ``Groups.everything`` stands for no such
    limit. A hostNetwork pod counts as its node, which declares none.
    """

    subjects: int
    selected: int
    blocked: Mapping[Family, int]
    has_blocks: bool
    ports: Mapping[int, int]


def evaluate(snapshot: Snapshot, *, named_ports: Collection[PortRequest] = ()) -> ExpectedMatrix:
    """The expected matrix of ``snapshot``.

    ``named_ports`` are names that someone will ask the matrix for; members of one identity class agree on what they
    resolve to.
    """
    items = policy_ports(snapshot.policies)
    names = port_names(items)
    atoms = cut_atoms(items, names, snapshot.endpoints)
    names |= {(request.protocol, request.name) for request in named_ports if request.name}
    groups = Groups(snapshot, names)
    declared = {name: groups.declaring(name) for name in names}
    evaluation = _Evaluation(groups, atoms, snapshot.policies, declared)
    traits = evaluation.traits() | {mask for by_number in declared.values() for mask in by_number.values()}
    classes, class_of_group = identity_classes(snapshot, groups, traits)
    sources = [groups.of_endpoint[identity.first] for identity in classes]
    return ExpectedMatrix(
        snapshot=snapshot,
        partition=Partition(classes, [class_of_group[group] for group in groups.of_endpoint], sources),
        atoms=atoms,
        rows=evaluation.readings(sources),
    )


class _Evaluation:
    """The grants of all policies in force, and the rows that follow from them."""

    def __init__(
        self,
        groups: Groups,
        atoms: PortAtoms,
        policies: Iterable[NetworkPolicy],
        declared: Mapping[PortName, Mapping[int, int]],
    ) -> None:
        self._groups = groups
        self._atoms = atoms
        self._declared = declared
        self._ports_of = cache(self._resolve_ports)
        self.isolated = dict.fromkeys(Direction, 0)
        self.subjects: dict[Direction, dict[int, list[Grant]]] = {direction: {} for direction in Direction}
        for policy in policies:
            subjects = groups.with_labels(policy.pod_selector) & groups.in_namespace(policy.namespace)
            if not subjects:
                continue
            for direction in policy.directions:
                self.isolated[direction] |= subjects
                grants = self.subjects[direction].setdefault(subjects, [])
                grants.extend(self._grant(policy, rule, subjects) for rule in policy.rules(direction))

    def _grant(self, policy: NetworkPolicy, rule: Rule, subjects: int) -> Grant:
        selected, blocked = peers_selected(self._groups, policy, rule), peers_blocked(self._groups, rule)
        has_blocks = any(peer.ip_block is not None for peer in rule.peers)
        return Grant(subjects, selected, blocked, has_blocks, self._ports_of(rule))

    def _resolve_ports(self, rule: Rule) -> Mapping[int, int]:
        """The rule's ports as atoms with the destinations on which they mean these atoms."""
        everything = self._groups.everything
        if not rule.ports:
            return {self._atoms.everything: everything}
        numbered = 0
        named: dict[int, int] = {}
        for port in rule.ports:
            if port.name is not None:
                for number, declaring in self._declared[port.protocol, port.name].items():
                    atom = self._atoms.mask(port.protocol, number, number)
                    named[atom] = named.get(atom, 0) | (declaring & self._groups.selectable)
            elif port.number is None:
                numbered |= self._atoms.mask(port.protocol, 1, 65535)
            else:
                numbered |= self._atoms.mask(
                    port.protocol, port.number, port.number if port.end_port is None else port.end_port
                )
        if numbered:
            named[numbered] = everything
        return named

    @property
    def _grants(self) -> list[Grant]:
        return [grant for by_subjects in self.subjects.values() for grants in by_subjects.values() for grant in grants]

    def traits(self) -> set[int]:
        """Every set of groups that some policy in force treats as one; what is in the same of these sets
        can't be told apart.
        """
        sets: set[int] = set(self.isolated.values())
        for by_subjects in self.subjects.values():
            sets.update(by_subjects)
        for grant in self._grants:
            sets.add(grant.selected)
            sets.update(grant.blocked.values())
        return sets

    def readings(self, sources: list[int]) -> dict[Reading, dict[Family, Rows]]:
        """The rows of ``sources``, given as groups, under every reading and for every family; equal ones
        are the same object.
        """
        computed: dict[tuple[int, ...], Rows] = {}
        readings: dict[Reading, dict[Family, Rows]] = {}
        for reading in Reading:
            readings[reading] = {}
            for family in Family:
                peers = tuple(self._peers(grant, family, reading) for grant in self._grants)
                if peers not in computed:
                    computed[peers] = self.rows(sources, family, reading)
                readings[reading][family] = computed[peers]
        return readings

    def _peers(self, grant: Grant, family: Family, reading: Reading) -> int:
        blocked = grant.blocked[family]
        if reading is Reading.OUTSIDE_ONLY:
            blocked &= self._groups.hosts
        elif reading is Reading.UNKNOWN_INSIDE and grant.has_blocks:
            blocked |= self._groups.without_address
        return grant.selected | blocked

    def rows(self, sources: list[int], family: Family, reading: Reading) -> Rows:
        """For each of ``sources``, given as groups, its row: atoms with the destinations that they reach."""
        egress = self._egress_rows(sources, family, reading)
        ingress = self._ingress_rows(sources, family, reading)
        joint: dict[tuple[int, int], tuple[Part, ...]] = {}
        rows: list[tuple[Part, ...]] = []
        for out, into in zip(egress, ingress, strict=True):
            key = (id(out), id(into))
            if key not in joint:
                joint[key] = _intersect(out, into)
            rows.append(joint[key])
        return rows

    def _egress_rows(self, sources: list[int], family: Family, reading: Reading) -> Rows:
        opened = {
            subjects: _merge((grant.ports, self._peers(grant, family, reading)) for grant in grants)
            for subjects, grants in self.subjects[Direction.EGRESS].items()
        }
        concerning = _concerning(sources, opened)
        openings = list(opened.values())
        free: tuple[Part, ...] = ((self._atoms.everything, self._groups.everything),)
        shared: dict[tuple[int, ...], tuple[Part, ...]] = {}
        rows = []
        for source, keys in zip(sources, concerning, strict=True):
            if not self.isolated[Direction.EGRESS] >> source & 1:
                rows.append(free)
                continue
            if keys not in shared:
                shared[keys] = self._row(0, [openings[key] for key in keys])
            rows.append(shared[keys])
        return rows

    def _ingress_rows(self, sources: list[int], family: Family, reading: Reading) -> Rows:
        by_peers: dict[int, list[tuple[Mapping[int, int], int]]] = {}
        for grants in self.subjects[Direction.INGRESS].values():
            for grant in grants:
                by_peers.setdefault(self._peers(grant, family, reading), []).append((grant.ports, grant.subjects))
        opened = {peers: _merge(pairs) for peers, pairs in by_peers.items()}
        concerning = _concerning(sources, opened)
        openings = list(opened.values())
        free = self._groups.everything & ~self.isolated[Direction.INGRESS]
        shared: dict[tuple[int, ...], tuple[Part, ...]] = {}
        for keys in concerning:
            if keys not in shared:
                shared[keys] = self._row(free, [openings[key] for key in keys])
        return [shared[keys] for keys in concerning]

    def _row(self, free: int, openings: list[dict[int, int]]) -> tuple[Part, ...]:
        return _partition(
            self._atoms.everything, free, _merge((opening, self._groups.everything) for opening in openings)
        )


def peers_selected(groups: Groups, policy: NetworkPolicy, rule: Rule) -> int:
    """The groups that the peers of ``rule``, one of ``policy``, name by selectors: all of them where it
    names no peer at all.
    """
    selected = 0 if rule.peers else groups.everything
    for peer in rule.peers:
        if peer.ip_block is None:
            selected |= _select(groups, policy, peer)
    return selected


def peers_blocked(groups: Groups, rule: Rule) -> dict[Family, int]:
    """The groups that the peers of ``rule`` name by ipBlocks, for each family."""
    blocked = dict.fromkeys(Family, 0)
    for peer in rule.peers:
        if peer.ip_block is not None:
            for family in Family:
                blocked[family] |= groups.in_block(peer.ip_block, family)
    return blocked


def _select(groups: Groups, policy: NetworkPolicy, peer: Peer) -> int:
    mask = (
        groups.in_namespace(policy.namespace)
        if peer.namespace_selector is None
        else groups.in_namespaces(peer.namespace_selector)
    )
    return mask if peer.pod_selector is None else mask & groups.with_labels(peer.pod_selector)


def _merge(pairs: Iterable[tuple[Mapping[int, int], int]]) -> dict[int, int]:
    """Unite maps from atoms to destinations, each cut to its own limit, under equal sets of atoms."""
    merged: dict[int, int] = {}
    for ports, limit in pairs:
        for atoms, destinations in ports.items():
            merged[atoms] = merged.get(atoms, 0) | (destinations & limit)
    return merged


def _concerning(sources: list[int], sets: Iterable[int]) -> list[tuple[int, ...]]:
    """For each source, the positions in ``sets`` of those that hold it."""
    position = {source: number for number, source in enumerate(sources)}
    wanted = mask_of(sources)
    found: list[list[int]] = [[] for _ in sources]
    for number, mask in enumerate(sets):
        for source in bits(mask & wanted):
            found[position[source]].append(number)
    return [tuple(numbers) for numbers in found]


def _partition(everything: int, free: int, openings: Mapping[int, int]) -> tuple[Part, ...]:
    """Split ``everything`` so that each part's destinations are ``free`` and whatever ``openings`` add for
    all its atoms.
    """
    parts: list[Part] = [(everything, free)]
    for atoms, destinations in openings.items():
        split: list[Part] = []
        for part_atoms, part_destinations in parts:
            inside = part_atoms & atoms
            if not inside:
                split.append((part_atoms, part_destinations))
                continue
            split.append((inside, part_destinations | destinations))
            if inside != part_atoms:
                split.append((part_atoms & ~atoms, part_destinations))
        parts = split
    return _join_equal(parts)


def _intersect(one: tuple[Part, ...], other: tuple[Part, ...]) -> tuple[Part, ...]:
    return _join_equal(
        (atoms, one_destinations & other_destinations)
        for one_atoms, one_destinations in one
        for other_atoms, other_destinations in other
        if (atoms := one_atoms & other_atoms)
    )


def _join_equal(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Unite the parts that have the same destinations."""
    joined: dict[int, int] = {}
    for atoms, destinations in parts:
        joined[destinations] = joined.get(destinations, 0) | atoms
    return tuple((atoms, destinations) for destinations, atoms in joined.items())
