"""What there is to notice in one audited namespace: each misreading of its policies, with the connections of which the
verdict would be another.

A misreading is looked at in one direction and at one kind of pod at a time. What would change is found for all possible
other ends at once, as bitsets: which of them the filter lets through as it should, which as it is misread, and which of
these the filter at the other end lets through as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple, TypeAlias

from auditor.choice.columns import Column, Columns
from auditor.choice.filter import Filter, Read, What
from auditor.choice.misreadings import misreadings
from auditor.choice.sides import Side
from auditor.choice.tiers import AdminRead
from auditor.choice.world import World, refined
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Family
from auditor.policy.bits import bits
from auditor.probing.plan import ALWAYS_PROBED, choose_ports

MOST_SUBJECTS = 16
"""So many of the pods that the policies of their namespace can't tell apart are looked at, where others can."""


class Subject(NamedTuple):
    """Audited pods that are the same to every filter of theirs, however it is misread, and to those at the other ends:
    ``group``, which has ``several`` members or not, stands for all ``groups``, of which so many take ``turns``.
    """

    group: int
    groups: int
    several: bool
    turns: int = 1


Kind: TypeAlias = tuple[Subject, ...]
"""Audited pods that the policies of their own namespace can't tell apart, however they are misread: what is wrong for
one of them is wrong for all, so that a fault needs to be noticed at one of them.
"""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Ways of misreading, by their places in a list, that change the same at the same kind of pod: for each of its
    subjects and each column the other ends with which the verdict would be another.
    """

    kind: int
    direction: Direction
    ways: tuple[int, ...]
    changed: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Area:
    """All there is to notice in ``namespace``. ``unseen`` counts the ways of misreading that no two pods of the cluster
    would show; ``selectors`` are those for pods in any reading of its policies.
    """

    namespace: str
    kinds: tuple[Kind, ...]
    columns: tuple[Column, ...]
    whats: tuple[What, ...]
    bundles: tuple[Bundle, ...]
    unseen: int
    selectors: frozenset[LabelSelector]

    @property
    def subjects(self) -> Iterator[Subject]:
        """Those of all kinds."""
        return chain.from_iterable(self.kinds)


def survey(
    world: World, namespace: str, audited: int, families: Sequence[Family], also: Sequence[PortRequest] = ()
) -> Area:
    """What there is to notice at those groups of ``namespace`` that are among ``audited``, on the ports that can tell
    anything apart and those that are tried ``also``.
    """
    here = world.groups.in_namespace(namespace) & audited
    reads = list(_read(world, namespace))
    touching = _touching(world, here)
    ports = dict.fromkeys((*_ports(world, reads, touching[0], here), *also))
    columns = world.columns(families, list(ports))
    admin = {each: [] if world.admin is None else world.admin.concerning(each, here) for each in Direction}
    kinds = _tell_apart(world, reads, admin, touching, here)
    whats: dict[What, int] = {}
    found: dict[tuple[int, Direction, tuple[tuple[int, ...], ...]], list[int]] = {}
    unseen = 0
    for number, kind in enumerate(kinds):
        for direction in Direction:
            mine = [read for read in reads if read.direction is direction]
            misread = []
            for subject in kind:
                filters = _filters(world, subject.group, direction, columns, touching)
                itself = 0 if subject.several else 1 << subject.group
                here_alone = filters[0].misread(mine, admin[direction], itself)
                misread.append([*here_alone, *_everywhere(world, namespace, subject, direction, filters)])
            for ways in zip(*misread, strict=True):
                changed = tuple(each for _, each in ways)
                if any(map(any, changed)):
                    way = whats.setdefault(ways[0][0], len(whats))
                    found.setdefault((number, direction, changed), []).append(way)
                else:
                    unseen += 1
    world.forget()
    bundles = (Bundle(kind, direction, tuple(ways), changed) for (kind, direction, changed), ways in found.items())
    return Area(
        namespace,
        kinds,
        columns.each[: columns.without_blocks],
        tuple(whats),
        tuple(bundles),
        unseen,
        _selectors(reads) | (frozenset() if world.admin is None else world.admin.selectors),
    )


def _filters(
    world: World, group: int, direction: Direction, columns: Columns, touching: Sequence[Mapping[Direction, Side]]
) -> list[Filter]:
    """One for each of ``touching``; where that is the same, the same."""
    known: dict[int, Filter] = {}
    for written, sides in zip(world.all_sides, touching, strict=True):
        opposite = sides[direction]
        if id(opposite) not in known:  # policies of administrators are the same in both directions, or in none
            known[id(opposite)] = Filter(world, group, direction, columns, opposite, written[direction].around)
    return [known[id(sides[direction])] for sides in touching]


def _everywhere(
    world: World, namespace: str, subject: Subject, direction: Direction, filters: Sequence[Filter]
) -> Iterator[tuple[What, tuple[int, ...]]]:
    """Each dialect that an enforcer could have everywhere, with the other ends of which the verdict changes.

    ``filters`` are those of ``subject`` as they are, and under each dialect.
    """
    itself = 0 if subject.several else 1 << subject.group
    right = filters[0].let_in(world.sides[direction].policies.get(namespace, ()))
    for (phrase, sides), there in zip(world.everywhere, filters[1:], strict=True):
        wrong = there.let_in(sides[direction].policies.get(namespace, ()))
        yield What("", direction, f"{phrase}, everywhere"), filters[0].differing(right, wrong, itself)


def _selectors(reads: Sequence[Read]) -> frozenset[LabelSelector]:
    readings = [each.reading for read in reads for each, _ in read.misread]
    peers = (peer for reading in readings for rule in reading.rules for peer in rule.peers)
    found = {peer.pod_selector for peer in peers if peer.pod_selector is not None}
    return frozenset(found.union(reading.selector for reading in readings))


def _read(world: World, namespace: str) -> Iterator[Read]:
    """The policies of ``namespace``, in each direction, with their misreadings; those that select no pod, too: misread,
    they may.
    """
    for policy, selected in world.policies_of(namespace):
        for direction in Direction:
            misread = [(each, world.selected(namespace, each.reading)) for each in misreadings(policy, direction)]
            yield Read(policy, direction, selected if direction in policy.directions else 0, tuple(misread))


def _touching(world: World, here: int) -> list[Mapping[Direction, Side]]:
    """For filters of each direction what is at the other ends, with those openings alone that let any of ``here``
    through: by the policies as they are written, and by each dialect everywhere. What is equal is the same object.
    """
    known: dict[tuple[object, ...], Side] = {}
    found: list[Mapping[Direction, Side]] = []
    for sides in world.all_sides:
        opposite = {direction: sides[direction.opposite].touching(here) for direction in Direction}
        found.append(
            {
                direction: known.setdefault((direction, id(side.around), side.isolated, *map(id, side.openings)), side)
                for direction, side in opposite.items()
            }
        )
    return found


def _ports(world: World, reads: Sequence[Read], touching: Mapping[Direction, Side], here: int) -> list[PortRequest]:
    """The ports that can tell anything apart here: of the policies in question, and what the pods and hosts declare."""
    openings = (opening for there in touching.values() for opening in there.openings)
    concerned = {id(policy): policy for opening in openings for policy in opening.policies}
    concerned |= {id(read.policy): replace(read.policy, directions=frozenset(Direction)) for read in reads}
    representatives = world.groups.representatives
    pods = tuple(representatives[number] for number in bits(here))
    around = () if world.admin is None else world.admin.touching(here)
    ports = choose_ports(
        replace(world.snapshot, policies=tuple(concerned.values()), admin_policies=around, endpoints=pods)
    )
    declared = (
        PortRequest(port.protocol, number=port.number)
        for number in bits(world.groups.hosts)
        for port in representatives[number].ports
    )
    others = (PortRequest(protocol, number=port.number) for port in ports for protocol in ALWAYS_PROBED)
    return list(dict.fromkeys((*ports, *others, *declared)))


def _tell_apart(
    world: World,
    reads: Sequence[Read],
    admin: Mapping[Direction, Sequence[AdminRead]],
    touching: Sequence[Mapping[Direction, Side]],
    here: int,
) -> tuple[Kind, ...]:
    own = [mask for read in reads for mask in (read.subjects, *(subjects for _, subjects in read.misread))]
    own += [each.subjects for several in admin.values() for read in several for each in read.readings]
    others = [mask for by_number in world.declared.values() for mask in by_number.values()]
    others += [each.rule_peers for one in touching for there in one.values() for each in there.openings]
    others += [] if world.admin is None else world.admin.peers
    narrowed = list(dict.fromkeys(mask & here for mask in others))
    parts = refined([here] if here else [], dict.fromkeys(mask & here for mask in own))
    return tuple(sorted(_subjects(world, refined([part], narrowed)) for part in parts))


def _subjects(world: World, parts: Sequence[int]) -> Kind:
    """The largest ones of ``parts``, which are groups that nothing tells apart."""
    subjects = (_subject(world, part) for part in parts)
    most = sorted(subjects, key=lambda each: (-len(world.members[each.group]), each.group))[:MOST_SUBJECTS]
    return tuple(sorted(most))


def _subject(world: World, part: int) -> Subject:
    """The largest of the groups in ``part``, or the one whose turn it is of those that have several members, or that
    have one, like that.
    """
    largest = max(bits(part), key=lambda group: len(world.members[group]))
    several = len(world.members[largest]) > 1
    if world.seed is None:
        return Subject(largest, part, several, 1)
    like = [group for group in bits(part) if (len(world.members[group]) > 1) is several]
    return Subject(like[world.seed % len(like)], part, several, len(like))
