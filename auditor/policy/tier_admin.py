"""The tiers around NetworkPolicy: policies of administrators, Admin before it and Baseline after it.

Their rules are asked in order, by priority and then by place, and the first that matches answers. They isolate nothing:
what no rule matches is for the next tier (ClusterNetworkPolicySpec). Some things leave open whether a rule matches, or
which comes first: addresses and labels that are not in the input, and equal priorities. Then an answer is a set of
possible ones, and a reading takes the least or the most of these.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, starmap
from typing import Self

from auditor.model.admin_policy import EVERY_LABEL, Action, AdminPolicy, AdminRule, AdminTier
from auditor.model.labels import NAMESPACE_NAME_LABEL, LabelSelector, Operator, Requirement
from auditor.model.policy import Direction, UnknownPolicy
from auditor.model.snapshot import Endpoint, Family, Snapshot
from auditor.model.verdict import Cell
from auditor.policy.admin_reading import judge
from auditor.policy.bits import mask_of
from auditor.policy.compiled_admin import AdminRuleCompiler, CompiledAdminRule, blocks_of
from auditor.policy.matrix import BlockReading
from auditor.policy.tier_network_policy import concerning
from auditor.policy.tiers import Judgement, TierRow, Universe
from auditor.policy.traits import Traits
from auditor.policy.unknown_labels import OWN_NAME

NAMED = LabelSelector(match_expressions=(Requirement(OWN_NAME, Operator.EXISTS),))


@dataclass(frozen=True, slots=True)
class Leaning:
    """How labels count that nobody knows: towards the least or the ``most`` that is allowed. ``original`` still says
    which these are.
    """

    original: Snapshot
    most: bool


@dataclass(frozen=True, slots=True)
class AdminPolicyTier:
    """One of the two tiers as a ``Tier``."""

    tier: AdminTier
    leaning: Leaning | None = None

    @property
    def name(self) -> str:
        """Admin or Baseline."""
        return self.tier

    def policies(self, snapshot: Snapshot) -> list[AdminPolicy]:
        """Those of the tier, in the order in which they are asked; equal priorities by name."""
        own = (policy for policy in snapshot.admin_policies if policy.tier is self.tier)
        return sorted(own, key=lambda policy: (policy.priority, policy.full_name))

    def applies(self, snapshot: Snapshot) -> bool:
        """Whether it has any policy."""
        return any(policy.tier is self.tier for policy in snapshot.admin_policies)

    def traits(self, snapshot: Snapshot) -> Traits:
        """The selectors, networks, addresses of nodes and ports of its policies."""
        policies = self.policies(snapshot)
        rules = [rule for policy in policies for direction in Direction for rule in policy.rules(direction)]
        peers = [peer for rule in rules for peer in rule.peers]
        selectors = {policy.pod_selector for policy in policies}
        selectors |= {peer.pod_selector for peer in peers if peer.pod_selector is not None}
        blocks = {block for peer in peers for block in blocks_of(peer, snapshot)}
        named = {NAMED} if self.leaning else set[LabelSelector]()
        return Traits(
            frozenset(selectors | named), frozenset(blocks), tuple(port for rule in rules for port in rule.ports)
        )

    def compile(self, snapshot: Snapshot, universe: Universe) -> CompiledAdminPolicies:
        """The policies of ``snapshot`` as bitsets."""
        return CompiledAdminPolicies(self.policies(snapshot), snapshot, universe, self.leaning)

    def judge(self, snapshot: Snapshot, cell: Cell, direction: Direction) -> Judgement:
        """The plain reading of ``auditor.policy.admin_reading``."""
        return judge(self.tier, self.policies(snapshot), snapshot, cell, direction)

    def may_select(self, policy: UnknownPolicy, endpoint: Endpoint) -> bool:
        """Whether ``endpoint`` may be a subject, whatever the labels of its namespace are but for its name."""
        if not endpoint.selectable or not _may_be_in(policy.namespace_selector, endpoint.namespace):
            return False
        return policy.pod_selector is None or policy.pod_selector.matches(endpoint.labels)

    def leaning_to(self, snapshot: Snapshot, *, most: bool) -> AdminPolicyTier:
        """The tier for which the unknown labels of ``snapshot`` mean the least, or the ``most``."""
        return replace(self, leaning=Leaning(snapshot, most))

    def extremes(
        self, snapshot: Snapshot, unknown: Sequence[UnknownPolicy]
    ) -> tuple[tuple[Snapshot, AdminPolicyTier], tuple[Snapshot, AdminPolicyTier]]:
        """``unknown`` before all others, denying everything; and accepting everything."""
        return tuple(  # type: ignore[return-value]
            (_with(snapshot, [_meaning(policy, self.tier, action) for policy in unknown]), self)
            for action in (Action.DENY, Action.ACCEPT)
        )


def _may_be_in(selector: LabelSelector | None, namespace: str) -> bool:
    """Whether a namespace of this name, which is a label of it, may have labels that match ``selector``."""
    if selector is None:
        return True
    named = tuple(each for each in selector.match_expressions if each.key == NAMESPACE_NAME_LABEL)
    equal = tuple(pair for pair in selector.match_labels if pair[0] == NAMESPACE_NAME_LABEL)
    return LabelSelector(equal, named).matches({NAMESPACE_NAME_LABEL: namespace})


def _meaning(policy: UnknownPolicy, tier: AdminTier, action: Action) -> AdminPolicy:
    namespaces, pods = policy.namespace_selector or EVERY_LABEL, policy.pod_selector or EVERY_LABEL
    rules = (AdminRule(action),)
    return AdminPolicy("", policy.full_name, tier, -1, namespaces, pods, rules, rules)


def _with(snapshot: Snapshot, policies: Sequence[AdminPolicy]) -> Snapshot:
    return replace(snapshot, admin_policies=(*snapshot.admin_policies, *policies)) if policies else snapshot


def _may_clash(one: CompiledAdminRule, other: CompiledAdminRule) -> bool:
    """Whether the two, of policies with one priority, may both match a connection and answer differently."""
    if one.policy == other.policy or one.action is other.action:
        return False
    if not one.subjects.possible & other.subjects.possible:
        return False
    if not any(one.peers[family].possible & other.peers[family].possible for family in Family):
        return False
    return any(atoms & also for atoms, _ in one.ports for also, _ in other.ports)


@dataclass(frozen=True, slots=True)
class _Mode:
    """Which of the possible answers count: ``most`` None where there is one for each destination."""

    ties: bool = False
    addresses: bool = False
    most: bool | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A rule as it concerns one source: where it matches and where it may. Rules of one ``level`` come in no order of
    their policies.
    """

    level: int
    rule: CompiledAdminRule
    certain: int
    maybe: int


_MODES = {
    BlockReading.UNKNOWN_INSIDE: _Mode(addresses=True, most=True),
    BlockReading.UNKNOWN_DENIED: _Mode(addresses=True, most=False),
    BlockReading.TIES_LEAST: _Mode(ties=True, most=False),
    BlockReading.TIES_MOST: _Mode(ties=True, most=True),
}


class CompiledAdminPolicies:
    """The rules of one tier in their order, and the rows that follow from them."""

    def __init__(
        self, policies: Sequence[AdminPolicy], snapshot: Snapshot, universe: Universe, leaning: Leaning | None
    ) -> None:
        self._groups = universe.groups
        self._atoms = universe.atoms
        self._leaning = leaning
        compiler = AdminRuleCompiler(snapshot, universe, None if leaning is None else leaning.original)
        self._rules: dict[Direction, list[CompiledAdminRule]] = {direction: [] for direction in Direction}
        for number, policy in enumerate(policies):
            for direction in Direction:
                self._rules[direction] += compiler.rules(policy, direction, number)

    @property
    def _all_rules(self) -> list[CompiledAdminRule]:
        return [rule for rules in self._rules.values() for rule in rules]

    def told_apart(self) -> set[int]:
        """Subjects and peers, certain and possible ones."""
        founds = [found for rule in self._all_rules for found in (rule.subjects, *rule.peers.values())]
        return {mask for found in founds for mask in (found.certain, found.by_label, found.by_address)}

    @cached_property
    def _has_ties(self) -> bool:
        """Whether rules of two policies with one priority may say different things of the same connections."""
        for rules in self._rules.values():
            by_priority: dict[int, list[CompiledAdminRule]] = {}
            for rule in rules:
                by_priority.setdefault(rule.priority, []).append(rule)
            for alike in by_priority.values():
                if alike[0].policy != alike[-1].policy and any(starmap(_may_clash, combinations(alike, 2))):
                    return True
        return False

    @cached_property
    def _has_unknown_addresses(self) -> bool:
        return any(found.maybe(addresses=True) for rule in self._all_rules for found in rule.peers.values())

    def _mode(self, reading: BlockReading) -> _Mode:
        """How ``reading`` is done here; where nothing of what it asks about occurs, as every other one."""
        mode = _MODES.get(reading, _Mode())
        if (mode.ties and not self._has_ties) or (mode.addresses and not self._has_unknown_addresses):
            mode = _Mode()
        return replace(mode, most=self._leaning.most) if self._leaning is not None else mode

    def fingerprint(self, family: Family, reading: BlockReading) -> Hashable:
        """The mode, and the peers of every rule: all else is the same for every family and reading."""
        return self._mode(reading), tuple(rule.peers[family] for rule in self._all_rules)

    def rows(
        self, sources: Sequence[int], direction: Direction, family: Family, reading: BlockReading
    ) -> Sequence[TierRow]:
        """For each of ``sources`` the answers of the first rules that match."""
        mode = self._mode(reading)
        rules = self._rules[direction]
        ends = [
            (rule.subjects, rule.peers[family])
            if direction is Direction.EGRESS
            else (rule.peers[family], rule.subjects)
            for rule in rules
        ]
        here = [(found.certain, found.maybe(addresses=mode.addresses)) for found, _ in ends]
        there = [(found.certain, found.maybe(addresses=mode.addresses)) for _, found in ends]
        certain, maybe = (_Holders.of(sources, [masks[place] for masks in here]) for place in (0, 1))
        shared: dict[tuple[tuple[int, ...], tuple[int, ...]], TierRow] = {}
        equal: dict[TierRow, TierRow] = {}
        for key in zip(certain.keys, maybe.keys, strict=True):
            if key not in shared:
                entries = self._entries(rules, there, certain.positions(key[0]), maybe.positions(key[1]), mode)
                row = self._row(entries, mode)
                shared[key] = equal.setdefault(row, row)
        return [shared[key] for key in zip(certain.keys, maybe.keys, strict=True)]

    @staticmethod
    def _entries(
        rules: Sequence[CompiledAdminRule],
        there: Sequence[tuple[int, int]],
        matching: AbstractSet[int],
        possible: AbstractSet[int],
        mode: _Mode,
    ) -> Iterator[_Entry]:
        """The rules that are ``matching`` at the source and those that are ``possible`` there, by their numbers, in
        order.
        """
        for number in sorted(matching | possible):
            rule, (certain, maybe) = rules[number], there[number]
            level = rule.priority if mode.ties else rule.policy
            if number in matching:
                yield _Entry(level, rule, certain, maybe)
            else:
                yield _Entry(level, rule, 0, certain | maybe)

    def _row(self, entries: Iterable[_Entry], mode: _Mode) -> TierRow:
        everything = self._groups.everything
        joined: dict[tuple[int, int], int] = {}
        for part in _walk(entries, self._atoms.everything, everything):
            answer = part.answer(everything, mode.most)
            joined[answer] = joined.get(answer, 0) | part.atoms
        return tuple((atoms, *answer) for answer, atoms in joined.items())


@dataclass(frozen=True, slots=True)
class _Holders:
    """Which of some sets hold each of some sources, shortly: a set that holds most of them is ``usual``, and the key of
    a source has each set that holds it and isn't usual, or is and doesn't. Equal sets are one; ``numbers`` are theirs.
    """

    keys: Sequence[tuple[int, ...]]
    usual: frozenset[int]
    numbers: Sequence[Sequence[int]]

    @classmethod
    def of(cls, sources: Sequence[int], sets: Sequence[int]) -> Self:
        """Which of ``sets`` hold each of ``sources``."""
        alike: dict[int, list[int]] = {}
        for number, mask in enumerate(sets):
            alike.setdefault(mask, []).append(number)
        everybody = mask_of(sources)
        usual = frozenset(
            place for place, mask in enumerate(alike) if 2 * (mask & everybody).bit_count() > len(sources)
        )
        unusual = [everybody & ~mask if place in usual else mask for place, mask in enumerate(alike)]
        return cls(concerning(sources, unusual), usual, list(alike.values()))

    def positions(self, key: tuple[int, ...]) -> AbstractSet[int]:
        """The numbers of all sets that hold the sources with ``key``."""
        return {number for place in self.usual.symmetric_difference(key) for number in self.numbers[place]}


@dataclass(slots=True)
class _Part:
    """What was answered on some atoms. ``open`` are the destinations that wait for a level of policies, ``mine`` those
    that wait for a rule of the policy in turn, ``closed`` those that some policy of this level has answered for.
    """

    atoms: int
    open: int
    mine: int
    closed: int = 0
    accepted: int = 0
    denied: int = 0
    passed: int = 0

    def next_policy(self, *, same_level: bool) -> None:
        if not same_level:
            self.open &= ~self.closed
            self.closed = 0
        self.mine = self.open

    def take(self, action: Action, certain: int, maybe: int) -> None:
        """A rule answers for ``certain`` and may answer for ``maybe``, both of ``mine``."""
        hit = certain | maybe
        if action is Action.ACCEPT:
            self.accepted |= hit
        elif action is Action.DENY:
            self.denied |= hit
        else:
            self.passed |= hit
        self.mine &= ~certain
        self.closed |= certain

    def answer(self, everything: int, most: bool | None) -> tuple[int, int]:
        """The destinations that aren't denied, and those that are decided."""
        passed = self.passed | (self.open & ~self.closed)
        accepted, denied = self.accepted, self.denied
        if most:
            denied &= ~(accepted | passed)
        elif most is False:
            accepted &= ~(denied | passed)
        return everything & ~denied, accepted | denied


def _walk(entries: Iterable[_Entry], atoms: int, destinations: int) -> list[_Part]:
    """Ask the rules of ``entries`` one after the other; the parts' atoms are disjoint and together ``atoms``."""
    parts = [_Part(atoms, destinations, destinations)]
    last: _Entry | None = None
    for entry in entries:
        if last is not None and entry.rule.policy != last.rule.policy:
            for part in parts:
                if part.closed:  # else all that waited still does
                    part.next_policy(same_level=entry.level == last.level)
        last = entry
        for on, limit in entry.rule.ports:
            if there := (entry.certain | entry.maybe) & limit:
                parts += _ask(parts, entry, on, there)
    return parts


def _ask(parts: Iterable[_Part], entry: _Entry, on: int, there: int) -> list[_Part]:
    """Have the rule of ``entry`` answer ``parts`` about the atoms ``on`` of the destinations ``there``. Returns what is
    left of parts with other atoms, too.
    """
    left = []
    for part in parts:
        hit = part.mine & there
        if hit and (inside := part.atoms & on):
            if outside := part.atoms & ~on:
                left.append(replace(part, atoms=outside))
                part.atoms = inside
            part.take(entry.rule.action, hit & entry.certain, hit & entry.maybe)
    return left
