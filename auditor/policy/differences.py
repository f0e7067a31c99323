"""What changes between two clusters, or two states of one: connections that open, that close, and that may.

Workloads are compared by what they are called, not pod by pod: controllers give their pods names that mean nothing.
Both states get the same peers outside, cut by the rules of either. Only what is there before and after is compared;
what comes or goes is named. A connection in doubt, before or after, is never said to open or to close.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import TypeAlias

from auditor.model.admin_policy import AdminPolicy
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.ports import FIRST_PORT, LAST_PORT, PortRange, Protocol
from auditor.model.snapshot import Endpoint, Family, Snapshot
from auditor.model.verdict import Cell
from auditor.model.workloads import workload_identity
from auditor.policy.absent_peers import Admission, Opening, absent_peers
from auditor.policy.atoms import PortAtoms, cut_atoms, policy_ports, port_names
from auditor.policy.doubt import Unreadable
from auditor.policy.evaluator import evaluate
from auditor.policy.explain import Decision, decide
from auditor.policy.matrix import PairVerdicts, always_allowed, common_families, governed
from auditor.policy.outside import outside_peers
from auditor.policy.traits import admin_ports

ABSENT = "it depends on pods that are not in the input"
MOST_REASONS = 2_000
"""So many connections are explained; of more, nobody reads why."""


class ChangeKind(StrEnum):
    """What becomes of a connection."""

    OPENED = "opened"
    CLOSED = "closed"
    IN_DOUBT = "in-doubt"


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the connections from each of ``sources`` to each of ``destinations`` on all of ``ports``. From a
    workload to itself they are those between its pods, none where it has but one.

    ``pairs`` counts them, ``families`` are those in which it is so, none where it is so in all that they have in
    common. ``because`` has the rules behind it in explain's words, ``doubts`` what makes it doubtful.
    """

    kind: ChangeKind
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    pairs: int
    ports: tuple[PortRange, ...]
    families: tuple[Family, ...] = ()
    because: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Names:
    """What of one kind of thing is there only afterwards, only before, or on both sides and different."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """All that changes. ``pairs`` counts pairs of workloads and other peers by kind of change; ``compared`` those that
    are there before and after. ``unsure`` says whether something of the input can't be read.
    """

    changes: tuple[Change, ...]
    pairs: Mapping[ChangeKind, int]
    compared: int
    workloads: Names = Names()
    policies: Names = Names()
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class _Unit:
    """A workload, or an endpoint without one: its pods before and after."""

    name: str
    before: tuple[Endpoint, ...]
    after: tuple[Endpoint, ...]

    @property
    def is_one(self) -> bool:
        return max(len(self.before), len(self.after)) == 1


Identity: TypeAlias = tuple[str, ...]
Segment: TypeAlias = tuple[PortRange, int, int]
"""Ports that are in one atom before and in one after, and these atoms."""
State: TypeAlias = tuple[PairVerdicts, tuple[str, ...]]
"""What the policies say of a pair, and what makes all of it doubtful."""
Part: TypeAlias = tuple[ChangeKind, tuple[str, ...], PortRange]


def differences(before: Snapshot, after: Snapshot) -> Difference:
    """What changes from ``before`` to ``after``."""
    peers = outside_peers([before, after])
    return _Comparison(*(replace(each, endpoints=(*each.endpoints, *peers)) for each in (before, after))).difference()


class _Comparison:
    def __init__(self, before: Snapshot, after: Snapshot) -> None:
        self._snapshots = (before, after)
        self._matrices = (evaluate(before), evaluate(after))
        self._unreadable = (Unreadable(before), Unreadable(after))
        self._segments = list(_segments(*(matrix.port_atoms.ranges for matrix in self._matrices)))
        self._known: dict[tuple[State, State], list[Part]] = {}
        self._pairs = dict.fromkeys(ChangeKind, 0)
        self._reasons_left = MOST_REASONS

    def difference(self) -> Difference:
        units = list(self._units())
        both = [unit for unit in units if unit.before and unit.after]
        changes = _together(self._changes(both))
        order = list(ChangeKind)
        workloads = Names(
            tuple(unit.name for unit in units if not unit.before), tuple(unit.name for unit in units if not unit.after)
        )
        return Difference(
            tuple(sorted(changes, key=lambda each: order.index(each.kind))),
            self._pairs,
            sum(not unit.before[0].ranges for unit in both),
            workloads,
            self._policies(),
            any(each.unknown or each.problems for each in self._snapshots),
        )

    def _policies(self) -> Names:
        old, new = map(_by_name, self._snapshots)
        return Names(
            tuple(sorted(new.keys() - old.keys())),
            tuple(sorted(old.keys() - new.keys())),
            tuple(sorted(name for name in old.keys() & new.keys() if old[name] != new[name])),
        )

    def _units(self) -> Iterator[_Unit]:
        """All of both sides, the pods of a workload that policies tell apart each by itself."""
        sides = [_by_identity(snapshot.endpoints) for snapshot in self._snapshots]
        kinds: dict[Identity, set[Identity]] = {}
        for identity in {**sides[0], **sides[1]}:
            kinds.setdefault((identity[0], identity[-1]), set()).add(identity)
        for identity in {**sides[0], **sides[1]}:
            before, after = (side.get(identity, ()) for side in sides)
            if all(self._alike(number, members) for number, members in enumerate((before, after))):
                several = len(kinds[identity[0], identity[-1]]) > 1
                yield _Unit(_name(identity, (before or after)[0], several=several), before, after)
                continue
            old, new = ({each.name: each for each in members} for members in (before, after))
            for name in {**old, **new}:
                yield _Unit(name, *(tuple(side[name] for _ in range(name in side)) for side in (old, new)))

    def _alike(self, side: int, members: Sequence[Endpoint]) -> bool:
        return len({self._matrices[side].class_of(each.name) for each in members}) <= 1

    def _changes(self, units: Iterable[_Unit]) -> Iterator[Change]:
        alike: dict[tuple[int, ...], list[_Unit]] = {}
        for unit in units:
            key = tuple(
                number
                for side, members in enumerate((unit.before, unit.after))
                for number in (
                    self._matrices[side].class_of(members[0].name),
                    int(self._unreadable[side].touches(members)),
                )
            )
            alike.setdefault(key, []).append(unit)
        for sources in alike.values():
            for destinations in alike.values():
                yield from self._between(sources, destinations)
        yield from self._with_absent_peers(list(alike.values()))

    def _with_absent_peers(self, alike: Sequence[Sequence[_Unit]]) -> Iterator[Change]:
        """What rules open to pods that are not in the input, and no longer do."""
        policies = [policy for snapshot in self._snapshots for policy in snapshot.policies]
        items = policy_ports(policies)
        items += (port for snapshot in self._snapshots for port in admin_ports(snapshot.admin_policies))
        ends = [endpoint for snapshot in self._snapshots for endpoint in snapshot.endpoints]
        atoms = cut_atoms(items, port_names(items), ends)
        before, after = (Admission(snapshot, atoms) for snapshot in self._snapshots)
        for peer, direction in absent_peers(self._snapshots):
            for units in alike:
                if units[0].before[0].selectable and units[0].after[0].selectable:
                    old = before.between(units[0].before[0], peer, direction)
                    new = after.between(units[0].after[0], peer, direction)
                    for change in _openings(old, new, atoms):
                        ends_of = (str(peer),), tuple(unit.name for unit in units)
                        sources, destinations = ends_of if direction is Direction.INGRESS else ends_of[::-1]
                        yield replace(change, sources=sources, destinations=destinations, pairs=len(units))
                        self._pairs[change.kind] += len(units)

    def _between(self, sources: Sequence[_Unit], destinations: Sequence[_Unit]) -> Iterator[Change]:
        pairs = ((one, other) for one in sources for other in destinations if _is_compared(one, other))
        if (pair := next(pairs, None)) is None:
            return
        by_family = {family: self._parts(*pair, *families) for family, families in self._families(*pair).items()}
        found = {family: parts for family, parts in by_family.items() if parts}
        same = len(found) == len(by_family) and all(parts == next(iter(found.values())) for parts in found.values())
        count = 1 + sum(1 for _ in pairs) if found else 0
        for kind in {part[0] for parts in found.values() for part in parts}:
            self._pairs[kind] += count
        names = (tuple(unit.name for unit in sources), tuple(unit.name for unit in destinations))
        for family, parts in list(found.items())[: 1 if same else None]:
            for (kind, doubts), reasons in self._with_reasons(pair, family, parts).items():
                for because, ports in reasons.items():
                    yield Change(kind, *names, count, tuple(ports), () if same else (family,), because, doubts)

    def _families(self, source: _Unit, destination: _Unit) -> dict[Family, tuple[Family, Family]]:
        """The families to compare, each with what it is before and after: others only where none is the same."""
        old = common_families(source.before[0], destination.before[0])
        new = common_families(source.after[0], destination.after[0])
        common = {family: (family, family) for family in new if family in old}
        return common or {there: (here, there) for here, there in zip(old[:1], new[:1], strict=False)}

    def _parts(self, source: _Unit, destination: _Unit, old: Family, new: Family) -> list[Part]:
        states = (
            self._state(0, source.before, destination.before, old),
            self._state(1, source.after, destination.after, new),
        )
        if states[0] is None or states[1] is None:
            return []
        key = (states[0], states[1])
        if key not in self._known:
            self._known[key] = list(_compare(*key, self._segments))
        return self._known[key]

    def _state(
        self, side: int, sources: Sequence[Endpoint], destinations: Sequence[Endpoint], family: Family
    ) -> State | None:
        """None where no policy has a say."""
        matrix, (source, destination) = self._matrices[side], (sources[0], destinations[0])
        if not governed(source, destination):
            return None
        doubts = [f"policy {each.full_name} {each.why}" for each in self._unreadable[side].policies[:1]]
        if not self._unreadable[side].among(sources, destinations):
            doubts = []
        if source.host_network or destination.host_network:
            doubts.append("undefined")
        verdicts = matrix.class_verdicts(matrix.class_of(source.name), matrix.class_of(destination.name), family)
        return verdicts, tuple(doubts)

    def _with_reasons(
        self, pair: tuple[_Unit, _Unit], family: Family, parts: Iterable[Part]
    ) -> dict[tuple[ChangeKind, tuple[str, ...]], dict[tuple[str, ...], list[PortRange]]]:
        """The ranges of ports with the same reasons, by kind and doubts. Reasons that differ in the port that was asked
        for alone are the same: those of the first range stand for the others.
        """
        found: dict[tuple[ChangeKind, tuple[str, ...]], dict[tuple[str, ...], list[PortRange]]] = {}
        first: dict[tuple[str, ...], tuple[str, ...]] = {}
        for kind, doubts, ports in parts:
            because: tuple[str, ...] = ()
            if self._reasons_left:
                self._reasons_left -= 1
                because = self._because(kind, pair, ports, family)
            asked = f"{ports.protocol}/{ports.first} was asked for"
            because = first.setdefault(tuple(line.replace(asked, "") for line in because), because)
            found.setdefault((kind, doubts), {}).setdefault(because, []).append(ports)
        return found

    def _because(
        self, kind: ChangeKind, pair: tuple[_Unit, _Unit], ports: PortRange, family: Family
    ) -> tuple[str, ...]:
        old, new = (
            self._decide(side, sources, destinations, ports, family)
            for side, (sources, destinations) in enumerate(
                ((pair[0].before, pair[1].before), (pair[0].after, pair[1].after))
            )
        )
        if kind is ChangeKind.IN_DOUBT:
            return (*(f"before: {line}" for line in old.because()), *(f"now: {line}" for line in new.because()))
        lines: list[str] = []
        for direction in (Direction.EGRESS, Direction.INGRESS):
            if old.allowed(direction) != new.allowed(direction):
                lines += _lines(new, direction)
                if kind is ChangeKind.CLOSED:
                    lines += [f"before: {line}" for line in _lines(old, direction)]
        return tuple(lines)

    def _decide(
        self, side: int, sources: Sequence[Endpoint], destinations: Sequence[Endpoint], ports: PortRange, family: Family
    ) -> Decision:
        source = sources[0]
        destination = next((each for each in destinations if each.name != source.name), destinations[0])
        return decide(self._snapshots[side], Cell(source.name, destination.name, ports.protocol, ports.first, family))


def _openings(old: Opening, new: Opening, atoms: PortAtoms) -> Iterator[Change]:
    """What of an absent peer's connections changes, yet without their ends."""
    opened, closed = new.certain & ~old.possible, old.certain & ~new.possible
    doubtful = (old.certain ^ new.certain) | (old.possible ^ new.possible) | (old.beneath ^ new.beneath)
    if old.administrators != new.administrators:
        doubtful |= (old.possible & ~old.certain) | (new.possible & ~new.certain)
    doubtful &= ~opened & ~closed
    for kind, changed in zip(ChangeKind, (opened, closed, doubtful), strict=True):
        if changed:
            now = [text for mask, text in new.rules if mask & changed]
            then = [f"before: {text}" for mask, text in old.rules if mask & changed]
            doubts = (ABSENT,) if kind is ChangeKind.IN_DOUBT else ()
            yield Change(kind, (), (), 0, atoms.joined(changed), (), (*now, *then), doubts)


def _is_compared(source: _Unit, destination: _Unit) -> bool:
    """Whether policies can change anything between the two, before or afterwards."""
    if source is destination:
        return not source.is_one
    sides = ((source.before[0], destination.before[0]), (source.after[0], destination.after[0]))
    return not any(always_allowed(*side) for side in sides)


def _lines(decision: Decision, direction: Direction) -> list[str]:
    return [line for judgement in decision.chain[direction] for line in judgement.lines]


def _by_identity(endpoints: Iterable[Endpoint]) -> dict[Identity, tuple[Endpoint, ...]]:
    found: dict[Identity, list[Endpoint]] = {}
    for endpoint in endpoints:
        found.setdefault(workload_identity(endpoint) or ("", endpoint.name), []).append(endpoint)
    return {identity: tuple(members) for identity, members in found.items()}


def _name(identity: Identity, example: Endpoint, *, several: bool) -> str:
    if len(identity) == 2:
        return example.name
    namespace, kind, name = identity
    return f"{namespace}/{name} ({kind})" if several else f"{namespace}/{name}"


def _segments(old: Sequence[PortRange], new: Sequence[PortRange]) -> Iterator[Segment]:
    """The ports of all protocols, cut wherever either side cuts them, with the atoms that they are in."""
    for protocol in Protocol:
        starts = {atom.first for atom in (*old, *new) if atom.protocol is protocol}
        places = [_atom_at(side, protocol) for side in (old, new)]
        here = [side[FIRST_PORT] for side in places]
        for first, after in pairwise((*sorted(starts), LAST_PORT + 1)):
            here = [side.get(first, last) for side, last in zip(places, here, strict=True)]
            yield PortRange(protocol, first, after - 1), here[0], here[1]


def _atom_at(atoms: Sequence[PortRange], protocol: Protocol) -> dict[int, int]:
    return {atom.first: number for number, atom in enumerate(atoms) if atom.protocol is protocol}


def _compare(old: State, new: State, segments: Iterable[Segment]) -> Iterator[Part]:
    """The parts in which the two differ, neighbours joined."""
    last: Part | None = None
    for ports, old_atom, new_atom in segments:
        found = _change(_on_atom(old, old_atom), _on_atom(new, new_atom))
        if last is not None and found == last[:2] and last[2].protocol is ports.protocol:
            last = (*last[:2], replace(last[2], last=ports.last))
            continue
        if last is not None:
            yield last
        last = (*found, ports) if found is not None else None
    if last is not None:
        yield last


def _on_atom(state: State, atom: int) -> tuple[bool, tuple[str, ...]]:
    """Whether the policies allow it, and what makes that doubtful."""
    verdicts, doubts = state
    notes = (
        ("labels-unknown", verdicts.labels_unknown),
        ("undefined", verdicts.undefined),
        ("cni-dependent", verdicts.cni_dependent),
        ("address-unknown", verdicts.address_unknown),
    )
    return bool(verdicts.allowed >> atom & 1), (*doubts, *(note for note, atoms in notes if atoms >> atom & 1))


def _change(
    old: tuple[bool, tuple[str, ...]], new: tuple[bool, tuple[str, ...]]
) -> tuple[ChangeKind, tuple[str, ...]] | None:
    if old == new:
        return None
    if old[1] or new[1]:
        return ChangeKind.IN_DOUBT, tuple(dict.fromkeys((*old[1], *new[1])))
    return (ChangeKind.OPENED if new[0] else ChangeKind.CLOSED), ()


def _by_name(snapshot: Snapshot) -> dict[str, NetworkPolicy | AdminPolicy]:
    """The policies of all tiers."""
    of_tenants = {policy.full_name: policy for policy in snapshot.policies}
    return {**of_tenants, **{policy.full_name: policy for policy in snapshot.admin_policies}}


def _together(changes: Iterable[Change]) -> list[Change]:
    """Changes that differ in their sources alone as one, then those that differ in their destinations alone."""
    by_destinations: dict[object, list[Change]] = {}
    for each in changes:
        by_destinations.setdefault((each.destinations, _all_but_ends(each)), []).append(each)
    by_sources: dict[object, list[Change]] = {}
    for joined in map(_join, by_destinations.values()):
        by_sources.setdefault((joined.sources, _all_but_ends(joined)), []).append(joined)
    return list(map(_join, by_sources.values()))


def _all_but_ends(change: Change) -> object:
    return change.kind, change.ports, change.families, change.because, change.doubts


def _join(changes: Sequence[Change]) -> Change:
    """One change for several that have the same sources, or the same destinations, and are equal otherwise."""
    sources = tuple(dict.fromkeys(name for each in changes for name in each.sources))
    destinations = tuple(dict.fromkeys(name for each in changes for name in each.destinations))
    return replace(changes[0], sources=sources, destinations=destinations, pairs=sum(each.pairs for each in changes))
