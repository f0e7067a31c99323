"""The tier of networking.k8s.io/v1 NetworkPolicy: what selects a pod isolates it, and isolated pods have what any rule
allows.

NetworkPolicies only ever add up. For the pods that they select in a direction they are final, ACCEPT or DENY; of all
others they say NEXT.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace

from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy, Rule, UnknownPolicy
from auditor.model.snapshot import Endpoint, Family, Snapshot
from auditor.model.verdict import Cell
from auditor.policy.bits import bits, mask_of
from auditor.policy.compiled import CompiledRule, RuleCompiler
from auditor.policy.matrix import BlockReading
from auditor.policy.partition import partition
from auditor.policy.plain_reading import explain_side
from auditor.policy.tiers import Judgement, TierAnswer, TierRow, Universe
from auditor.policy.traits import Traits, network_policy_traits

EVERYTHING = (Rule(),)
MOST_OVERLAP = 2


class NetworkPolicyTier:
    """NetworkPolicy as a ``Tier``."""

    name = "NetworkPolicy"

    def traits(self, snapshot: Snapshot) -> Traits:
        """The selectors, ipBlocks and ports of the policies in force."""
        return network_policy_traits(snapshot)

    def compile(self, snapshot: Snapshot, universe: Universe) -> CompiledNetworkPolicies:
        """The policies of ``snapshot`` as bitsets."""
        return CompiledNetworkPolicies(snapshot.policies, universe)

    def applies(self, snapshot: Snapshot) -> bool:  # noqa: ARG002 - as other tiers do
        """Always: what it leaves open is for the tiers that follow."""
        return True

    def leaning_to(self, snapshot: Snapshot, *, most: bool) -> NetworkPolicyTier:  # noqa: ARG002
        """Itself: snapshots at the extremes have policies that say so."""
        return self

    def judge(self, snapshot: Snapshot, cell: Cell, direction: Direction) -> Judgement:
        """The plain reading, by ``auditor.policy.explain``."""
        side = explain_side(snapshot, cell, direction)
        answer = TierAnswer.NEXT if not side.isolating else TierAnswer.ACCEPT if side.allowed else TierAnswer.DENY
        return Judgement(self.name, answer, side=side)

    def may_select(self, policy: UnknownPolicy, endpoint: Endpoint) -> bool:
        """Whether ``endpoint`` may be among the pods that ``policy`` applies to."""
        return (
            endpoint.selectable
            and endpoint.namespace == policy.namespace
            and (policy.pod_selector is None or policy.pod_selector.matches(endpoint.labels))
        )

    def extremes(
        self, snapshot: Snapshot, unknown: Sequence[UnknownPolicy]
    ) -> tuple[tuple[Snapshot, NetworkPolicyTier], tuple[Snapshot, NetworkPolicyTier]]:
        """``unknown`` in force which isolate and allow nothing; and which allow everything."""
        return (_with(snapshot, unknown, ()), self), (_with(snapshot, unknown, EVERYTHING), self)


def _meaning(policy: UnknownPolicy, rules: tuple[Rule, ...]) -> NetworkPolicy:
    """``policy`` as one that isolates every pod in question in both directions and allows ``rules`` in both."""
    return NetworkPolicy(
        policy.namespace, policy.name, policy.pod_selector or LabelSelector(), frozenset(Direction), rules, rules
    )


def _with(snapshot: Snapshot, unknown: Sequence[UnknownPolicy], rules: tuple[Rule, ...]) -> Snapshot:
    return replace(snapshot, policies=(*snapshot.policies, *(_meaning(policy, rules) for policy in unknown)))


class CompiledNetworkPolicies:
    """The rules of all policies in force by the pods that they are for, and the rows that follow from them."""

    def __init__(self, policies: Iterable[NetworkPolicy], universe: Universe) -> None:
        self._groups = universe.groups
        self._atoms = universe.atoms
        self._isolated = dict.fromkeys(Direction, 0)
        self._rules: dict[Direction, dict[int, list[CompiledRule]]] = {direction: {} for direction in Direction}
        compiler = RuleCompiler(universe.groups, universe.atoms, universe.declared)
        for policy in policies:
            subjects = compiler.subjects(policy)
            for direction in policy.directions if subjects else ():
                self._isolated[direction] |= subjects
                rules = self._rules[direction].setdefault(subjects, [])
                rules.extend(compiler.rule(policy, rule, subjects) for rule in policy.rules(direction))

    @property
    def _all_rules(self) -> list[CompiledRule]:
        return [rule for by_subjects in self._rules.values() for rules in by_subjects.values() for rule in rules]

    def told_apart(self) -> set[int]:
        """Subjects, peers and isolated pods."""
        sets: set[int] = set(self._isolated.values())
        for by_subjects in self._rules.values():
            sets.update(by_subjects)
        for rule in self._all_rules:
            sets.add(rule.selected)
            sets.update(rule.blocked.values())
        return sets

    def fingerprint(self, family: Family, reading: BlockReading) -> Hashable:
        """The peers of every rule: all else is the same for every family and reading."""
        return tuple(self._peers(rule, family, reading) for rule in self._all_rules)

    def _peers(self, rule: CompiledRule, family: Family, reading: BlockReading) -> int:
        blocked = rule.blocked[family]
        if reading is BlockReading.OUTSIDE_ONLY:
            blocked &= self._groups.hosts
        elif reading is BlockReading.UNKNOWN_INSIDE and rule.has_blocks:
            blocked |= self._groups.without_address
        return rule.selected | blocked

    def rows(
        self, sources: Sequence[int], direction: Direction, family: Family, reading: BlockReading
    ) -> Sequence[TierRow]:
        """Whoever is isolated has what the rules open and nothing else."""
        if direction is Direction.EGRESS:
            return self._egress_rows(sources, family, reading)
        return self._ingress_rows(sources, family, reading)

    def _egress_rows(self, sources: Sequence[int], family: Family, reading: BlockReading) -> Sequence[TierRow]:
        opened = {
            subjects: _merge((rule.ports, self._peers(rule, family, reading)) for rule in rules)
            for subjects, rules in self._rules[Direction.EGRESS].items()
        }
        openings = list(opened.values())
        undecided: TierRow = ((self._atoms.everything, self._groups.everything, 0),)
        shared: dict[tuple[int, ...], TierRow] = {}
        rows = []
        for source, keys in zip(sources, concerning(sources, opened), strict=True):
            if not self._isolated[Direction.EGRESS] >> source & 1:
                rows.append(undecided)
                continue
            if keys not in shared:
                shared[keys] = self._final(self._groups.everything, [openings[key] for key in keys])
            rows.append(shared[keys])
        return rows

    def _ingress_rows(self, sources: Sequence[int], family: Family, reading: BlockReading) -> Sequence[TierRow]:
        by_peers: dict[int, list[tuple[Mapping[int, int], int]]] = {}
        for rules in self._rules[Direction.INGRESS].values():
            for rule in rules:
                for peers in self._each_peer(rule, family, reading):
                    by_peers.setdefault(peers, []).append((rule.ports, rule.subjects))
        opened = {peers: _merge(pairs) for peers, pairs in by_peers.items()}
        keys_of = concerning(sources, opened)
        openings = list(opened.values())
        isolated = self._isolated[Direction.INGRESS]
        shared: dict[tuple[int, ...], TierRow] = {}
        for keys in keys_of:
            if keys not in shared:
                shared[keys] = self._final(isolated, [openings[key] for key in keys])
        return [shared[keys] for keys in keys_of]

    def _each_peer(self, rule: CompiledRule, family: Family, reading: BlockReading) -> Collection[int]:
        """The peers of ``rule`` as sets that rules have in common: one by one, but for those that overlap much."""
        everyone = self._peers(rule, family, reading)
        blocked = rule.each_blocked[family]
        if reading is BlockReading.OUTSIDE_ONLY:
            blocked = tuple(mask & self._groups.hosts for mask in blocked)
        elif reading is BlockReading.UNKNOWN_INSIDE and rule.has_blocks:
            blocked = (*blocked, self._groups.without_address)
        each = {*rule.each_selected, *blocked} - {0}
        return each if sum(map(int.bit_count, each)) <= MOST_OVERLAP * everyone.bit_count() else (everyone,)

    def _final(self, isolated: int, openings: Sequence[Mapping[int, int]]) -> TierRow:
        """ACCEPT where ``openings`` reach, all of it ``isolated``; DENY everywhere else among these destinations."""
        free = self._groups.everything & ~isolated
        parts = partition(self._atoms.everything, _unite(openings))
        return tuple((atoms, reached | free, isolated) for atoms, reached in parts)


def _merge(pairs: Iterable[tuple[Mapping[int, int], int]]) -> dict[int, int]:
    """Unite maps from atoms to destinations, each cut to its own limit, under equal sets of atoms."""
    merged: dict[int, int] = {}
    for ports, limit in pairs:
        for atoms, destinations in ports.items():
            merged[atoms] = merged.get(atoms, 0) | (destinations & limit)
    return merged


def _unite(openings: Sequence[Mapping[int, int]]) -> dict[int, int]:
    """The same without limits."""
    united = dict(openings[0]) if openings else {}
    for ports in openings[1:]:
        for atoms, destinations in ports.items():
            united[atoms] = united[atoms] | destinations if atoms in united else destinations
    return united


def concerning(sources: Sequence[int], sets: Iterable[int]) -> list[tuple[int, ...]]:
    """For each source, the positions in ``sets`` of those that hold it."""
    position = {source: number for number, source in enumerate(sources)}
    wanted = mask_of(sources)
    found: list[list[int]] = [[] for _ in sources]
    for number, mask in enumerate(sets):
        for source in bits(mask & wanted):
            found[position[source]].append(number)
    return [tuple(numbers) for numbers in found]
