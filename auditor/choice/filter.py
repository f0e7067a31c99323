"""The filter of one kind of pod in one direction: what it lets through, and what it would if a policy were misread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import or_
from typing import NamedTuple

from auditor.choice.around import Around, Tiers
from auditor.choice.columns import Column, Columns, Masks
from auditor.choice.misreadings import Misreading
from auditor.choice.sides import Isolating, Side
from auditor.choice.tiers import AdminRead
from auditor.choice.world import World, opened
from auditor.diagnosis.dialects import SPECS, Traffic
from auditor.diagnosis.tiers import TierOrder
from auditor.model.policy import Direction, NetworkPolicy, Rule
from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.policy.bits import union, without_each
from auditor.policy.compiled import CompiledRule


class What(NamedTuple):
    """One way of misreading. ``policy`` is empty for what concerns no policy more than another."""

    policy: str
    direction: Direction
    what: str


class Read(NamedTuple):
    """A policy in one direction: the groups that it isolates in it, and each misreading with those that that one
    isolates.
    """

    policy: NetworkPolicy
    direction: Direction
    subjects: int
    misread: tuple[tuple[Misreading, int], ...]


class Filter:
    """The filter of the pods of ``group`` in ``direction``, for connections in ``columns``. ``opposite`` has the
    policies at the other ends, as far as they have to do with these pods; policies of administrators are ``around``
    their own.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what lies at both ends
        self,
        world: World,
        group: int,
        direction: Direction,
        columns: Columns,
        opposite: Side,
        around: Around | None = None,
    ) -> None:
        self._world = world
        self._group = group
        self._direction = direction
        self._both = columns
        self._columns = columns.each
        self._everybody = columns.at_other_end[direction]
        self._around = around
        self._tiers = around.at(group, columns, is_subject=True) if around else None
        there = opposite.around.at(group, columns, is_subject=False) if opposite.around else None
        self.through = self._let_through(opposite, there)
        self._unsure = [*map(or_, self._tiers.unsure, there.unsure)] if self._tiers and there else None
        self._opened: dict[int, Mapping[int, int]] = {}
        self._let_in: dict[tuple[int, ...] | None, Masks] = {}

    def _let_through(self, opposite: Side, there: Tiers | None) -> Masks:
        """For each column whose own filters, at the other ends, let these pods through."""
        through = [everybody & ~opposite.isolated for everybody in self._everybody]
        egress = self._direction is Direction.EGRESS
        for opening in opposite.openings:
            if not opening.rule_peers >> self._group & 1:
                continue
            families = [family for family in Family if opening.peers(family) >> self._group & 1]
            by_selectors = opening.rule.selected >> self._group & 1
            meant = len(self._columns) if by_selectors else self._both.without_blocks
            for atoms, destinations in opening.rule.ports.items():
                if egress or destinations >> self._group & 1:
                    open_at = opening.subjects & destinations if egress else opening.subjects
                    for place, column in self._both.of_atoms(atoms):
                        if place < meant and column.family in families:
                            through[place] |= open_at
        return through if there is None else self._among_all(there.passing(through, opposite.isolated))

    def _among_all(self, masks: Masks) -> Masks:
        return [one & everybody for one, everybody in zip(masks, self._everybody, strict=True)]

    def _opened_by(self, rule: CompiledRule) -> Mapping[int, int]:
        return opened(rule, self._direction, self._group, self._both, self._world.groups.hosts)

    def _open(self, policy: NetworkPolicy, rules: Sequence[Rule]) -> Masks:
        """For each column the groups that ``rules``, of ``policy``, let through."""
        opened_by = []
        for rule in rules:
            key = id(rule)
            if key not in self._opened:
                self._opened[key] = self._opened_by(self._world.compiled(policy, rule))
            opened_by.append(self._opened[key])
        return self._together(opened_by)

    def _together(self, several: Iterable[Mapping[int, int]]) -> Masks:
        """For each column the groups that any of ``several`` lets through."""
        masks = [0] * len(self._columns)
        for each in several:
            for place, more in each.items():
                masks[place] |= more
        return masks

    def misread(
        self, reads: Sequence[Read], admin: Sequence[AdminRead], itself: int
    ) -> Iterator[tuple[What, tuple[int, ...]]]:
        """Each way of misreading any of the policies ``reads`` and those of administrators, all in this direction, that
        concerns these pods, with the other ends of which the verdict changes. ``itself`` is not an other end.
        """
        selecting = [read for read in reads if read.subjects >> self._group & 1]
        own = [self._open(read.policy, read.policy.rules(self._direction)) for read in selecting]
        united = _united(own, len(self._columns))
        right = self._passing(united, isolated=bool(selecting))
        by_others = _by_others(own, len(self._columns))

        def changed(wrong: Masks) -> tuple[int, ...]:
            return self.differing(self._at_both_ends(right), self._at_both_ends(wrong), itself)

        for read in reads:
            selected = read.subjects >> self._group & 1
            place = selecting.index(read) if selected else -1
            others = by_others[place] if selected else by_others[-1]
            isolated_by_others = len(selecting) > selected
            for misreading, subjects in read.misread:
                concerned = subjects >> self._group & 1
                if not concerned and not selected:
                    continue
                opening = self._open(read.policy, misreading.reading.rules) if concerned else [0] * len(self._columns)
                open_now = [one | other for one, other in zip(others, opening, strict=True)]
                wrong = self._passing(open_now, isolated=bool(isolated_by_others or concerned))
                yield What(read.policy.full_name, self._direction, misreading.what), changed(wrong)
        if self._tiers is not None:
            network = self._network(united, isolated=bool(selecting))
            for policy, what, wrong in self._tiers_misread(self._tiers, admin, network, -bool(selecting)):
                yield What(policy, self._direction, what), changed(wrong)
        if selecting or (self._around is not None and self._around.concerning(self._group)):
            for phrase, wrong in self._misread_altogether(selecting, own, right):
                yield What("", self._direction, phrase), changed(wrong)

    def _tiers_misread(
        self, tiers: Tiers, reads: Sequence[AdminRead], network: Masks, isolated: int
    ) -> Iterator[tuple[str, str, Masks]]:
        """The policy of administrators that is misread, or none, what is wrong, and what is let through then."""
        concerning = 0
        for read in reads:
            selected = read.written.subjects >> self._group & 1
            concerning += selected
            for what, other in read.misread:
                if selected or other.subjects >> self._group & 1:
                    yield read.written.policy.full_name, what, tiers.misread(read.place, other, network, isolated)
        for spec, around in self._world.admin.otherwise if self._world.admin and concerning else ():
            if concerning > 1 or spec.order is not TierOrder.USUAL:
                otherwise = around[self._direction].at(self._group, self._both, is_subject=True)
                yield "", spec.phrase, otherwise.passing(network, isolated)

    def let_in(self, policies: Sequence[Isolating]) -> Masks:
        """For each column with whom connections are let through at both ends, where ``policies`` are in force here."""
        selecting = [each for each in policies if each.subjects >> self._group & 1]
        rules = [rule for each in selecting for rule in each.rules]
        key = tuple(map(id, rules)) if selecting else None
        if key not in self._let_in:
            passing = self._passing(self._together(map(self._opened_by, rules)), isolated=bool(selecting))
            self._let_in[key] = self._at_both_ends(passing)
        return self._let_in[key]

    def _at_both_ends(self, passing: Masks) -> Masks:
        return [one & other for one, other in zip(passing, self.through, strict=True)]

    def differing(self, right: Masks, wrong: Masks, itself: int) -> tuple[int, ...]:
        """For each column with whom connections are let through (both ends taken together) that should not be, or the
        other way round; ``itself`` is left out, and what policies of administrators leave open. What an ipBlock alone
        lets through to a pod may as well be closed.
        """
        size = self._both.without_blocks
        certain = right[size:] or right
        left_out = [itself] * size if self._unsure is None else [itself | each for each in self._unsure[:size]]
        return tuple(
            (other & ~one | sure & ~other) & ~none
            for one, other, sure, none in zip(right[:size], wrong[:size], certain, left_out, strict=True)
        )

    def _passing(self, open_to: Masks, *, isolated: bool) -> Masks:
        network = self._network(open_to, isolated=isolated)
        return network if self._tiers is None else self._among_all(self._tiers.passing(network, -isolated))

    def _network(self, open_to: Masks, *, isolated: bool) -> Masks:
        """What NetworkPolicies let through."""
        return self._among_all(open_to) if isolated else self._everybody

    def _misread_altogether(
        self, selecting: Sequence[Read], own: Sequence[Masks], right: Masks
    ) -> Iterator[tuple[str, Masks]]:
        """What dialects make of the whole filter that misread no policy by itself."""
        for spec in SPECS.values():
            if spec.exempts is not None:
                yield spec.phrase, self._exempting(spec.exempts, right)
            elif spec.first_policy_only and len(selecting) > 1:
                first = min(range(len(selecting)), key=lambda place: selecting[place].policy.name)
                yield spec.phrase, self._passing(own[first], isolated=True)
            elif spec.shuts:
                yield spec.phrase, [0] * len(self._columns)

    def _exempting(self, traffic: Traffic, right: Masks) -> Masks:
        return [
            everybody if _is(traffic, column) else mask
            for everybody, mask, column in zip(self._everybody, right, self._columns, strict=True)
        ]


def _is(traffic: Traffic, column: Column) -> bool:
    if traffic is Traffic.UDP:
        return column.port.protocol is Protocol.UDP
    return traffic is Traffic.IPV6 and column.family is Family.IPV6


def _united(own: Sequence[Masks], size: int) -> Masks:
    return [union(masks[place] for masks in own) for place in range(size)]


def _by_others(own: Sequence[Masks], size: int) -> list[Masks]:
    """For each of ``own`` what all others open; at the end what all of them do."""
    if not own:
        return [[0] * size]
    columns = [without_each([masks[place] for masks in own], 0, or_) for place in range(size)]
    return [*([column[number] for column in columns] for number in range(len(own))), _united(own, size)]
