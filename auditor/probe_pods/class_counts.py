"""How many identity classes there are, found out before anything is computed about them, and which policies make so
many.

Each class needs a probe pod, and anyone who may write policies in one namespace can tell the pods of all others apart.
So the number must be known early, and be cheap. Pods are split by one set after the other that some policy treats as
one; once there are more parts than anybody wants to know of, no more is counted. Whose doing it is, is tried out:
by leaving out those that split most by themselves.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from auditor.model.labels import LabelSelector
from auditor.model.policy import NetworkPolicy
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.policy.atoms import PortName, cut_atoms, policy_ports, port_names
from auditor.policy.bits import bits, mask_of, union
from auditor.policy.compiled import peers_blocked, peers_selected
from auditor.policy.groups import Groups
from auditor.policy.tier_admin import AdminPolicyTier
from auditor.policy.tiers import Universe
from auditor.policy.tiers_in_order import TIERS
from auditor.policy.traits import admin_ports
from auditor.probe_pods.models import fewest_namespaces

SUSPECTS = 5
"""How many policies, and how many namespaces, are left out on trial."""


@dataclass(frozen=True, slots=True)
class Tally:
    """A number of classes; ``more``: at least that many, for it was not counted to the end."""

    number: int
    more: bool = False

    def __str__(self) -> str:
        return f"more than {self.number:,}" if self.more else f"{self.number:,}"


@dataclass(frozen=True, slots=True)
class Culprit:
    """What makes most of the classes: one ``policy``, or if that is empty all policies of ``namespace``. ``keys`` are
    the labels by which its peers tell pods apart, the most used first; ``without`` it there would be so many classes.
    """

    namespace: str
    policy: str
    keys: tuple[str, ...]
    without: Tally


class ClassCounts:
    """The identity classes of the pods of ``snapshot`` on the pod network that are among ``endpoints``; counted up to
    ``most``.
    """

    def __init__(self, snapshot: Snapshot, endpoints: Iterable[Endpoint], most: int) -> None:
        self._snapshot = snapshot
        self._most = most
        traits = [tier.traits(snapshot) for tier in TIERS if tier.applies(snapshot)]
        names = port_names(port for each in traits for port in each.ports)
        self._groups = Groups(snapshot, names, traits)
        wanted = {endpoint.name for endpoint in endpoints if endpoint.selectable}
        numbers = zip(snapshot.endpoints, self._groups.of_endpoint, strict=True)
        self._among = mask_of({number for endpoint, number in numbers if endpoint.name in wanted})
        self._unsplit = self._by_family()
        self._sets = [self._sets_of(policy) for policy in snapshot.policies]
        self._of_other_tiers = self._other_sets(names)
        parts = self._split(self._all_sets())
        self.tally = self._told(parts)
        representatives = self._groups.representatives
        self.namespaces = len(
            fewest_namespaces([{representatives[group].namespace for group in bits(part)} for part in parts])
        )

    def culprit(self) -> Culprit | None:
        """Whoever makes most of the classes; None where nobody stands out."""
        policies = self._snapshot.policies
        by_namespace: dict[str, list[int]] = defaultdict(list)
        for number, policy in enumerate(policies):
            by_namespace[policy.namespace].append(number)
        single = [[number] for number in range(len(policies)) if self._sets[number]]
        tried = [
            self._without(numbers) for numbers in (*self._suspects(single), *self._suspects(by_namespace.values()))
        ]
        best = min(tried, key=lambda found: (found[0].number, len(found[1])), default=None)
        if best is None or best[0].number * 10 > self.tally.number * 9:
            return None
        # One policy is named rather than its namespace where it makes nearly all of what that makes.
        alone = min((found for found in tried if len(found[1]) == 1), key=lambda found: found[0].number, default=best)
        without, numbers = (
            alone if self.tally.number - alone[0].number >= 0.9 * (self.tally.number - best[0].number) else best
        )
        first = policies[numbers[0]]
        keys = Counter(key for number in numbers for key in _keys(policies[number]))
        name = first.name if len(numbers) == 1 else ""
        return Culprit(first.namespace, name, tuple(key for key, _ in keys.most_common(2)), without)

    def _suspects(self, candidates: Iterable[Sequence[int]]) -> list[Sequence[int]]:
        """Those that split most by themselves."""
        alone = [(len(self._split(self._united(numbers))), numbers) for numbers in candidates]
        return [numbers for _, numbers in sorted(alone, key=lambda pair: -pair[0])[:SUSPECTS]]

    def _without(self, numbers: Sequence[int]) -> tuple[Tally, Sequence[int]]:
        left_out = set(numbers)
        return self._told(self._split(self._united(n for n in range(len(self._sets)) if n not in left_out))), numbers

    def _told(self, parts: Sequence[int]) -> Tally:
        return Tally(min(len(parts), self._most), more=len(parts) > self._most)

    def _all_sets(self) -> Iterator[int]:
        return self._united(range(len(self._sets)))

    def _united(self, numbers: Iterable[int]) -> Iterator[int]:
        """The sets of these policies, each once."""
        seen = set(self._of_other_tiers)
        yield from self._of_other_tiers
        for number in numbers:
            yield from self._sets[number] - seen
            seen |= self._sets[number]

    def _other_sets(self, names: set[PortName]) -> frozenset[int]:
        """What the policies of administrators tell apart, who can't be named as culprits."""
        items = [*policy_ports(self._snapshot.policies), *admin_ports(self._snapshot.admin_policies)]
        atoms = cut_atoms(items, names, self._snapshot.endpoints)
        universe = Universe(self._groups, atoms, {name: self._groups.declaring(name) for name in names})
        others = [tier for tier in TIERS if isinstance(tier, AdminPolicyTier) and tier.applies(self._snapshot)]
        sets = {mask for tier in others for mask in tier.compile(self._snapshot, universe).told_apart()}
        return frozenset({mask & self._among for mask in sets} - {0, self._among})

    def _split(self, sets: Iterable[int]) -> list[int]:
        """The parts into which ``sets`` split the groups; no more than one beyond ``most``."""
        partition = self._unsplit.copy()
        for each in sets:
            if len(partition.parts) > self._most:
                break
            partition.split(each)
        return partition.parts[: self._most + 1]

    def _by_family(self) -> _Partition:
        """Pods with addresses of other families are told apart whatever policies say."""
        parts: dict[object, list[int]] = defaultdict(list)
        for group in bits(self._among):
            parts[self._groups.representatives[group].families].append(group)
        part_of = [0] * len(self._groups.representatives)
        for number, members in enumerate(parts.values()):
            for group in members:
                part_of[group] = number
        return _Partition(self._among, list(map(mask_of, parts.values())), part_of)

    def _sets_of(self, policy: NetworkPolicy) -> frozenset[int]:
        """Every set of groups that ``policy`` treats as one, as far as it tells any two of ours apart."""
        groups = self._groups
        subjects = groups.selected_by(policy)
        sets = {subjects}
        for direction in policy.directions if subjects else ():
            for rule in policy.rules(direction):
                sets.add(union(peers_selected(groups, policy, rule)))
                sets.update(map(union, peers_blocked(groups, rule).values()))
        for name in port_names(policy_ports([policy])):
            sets.update(groups.declaring(name).values())
        ours = {each & self._among for each in sets}
        return frozenset(ours - {0, self._among})


class _Partition:
    """``parts`` of groups, as sets, which get smaller and more with each set that splits some of them."""

    def __init__(self, everything: int, parts: list[int], part_of: list[int]) -> None:
        """``part_of`` has by group the number of its part, of those in ``everything``."""
        self.parts = parts
        self._everything = everything
        self._part_of = part_of

    def copy(self) -> _Partition:
        return _Partition(self._everything, list(self.parts), list(self._part_of))

    def split(self, chosen: int) -> None:
        """Have no part with groups both inside and outside of ``chosen``."""
        outside = self._everything & ~chosen
        fewer = chosen if chosen.bit_count() <= outside.bit_count() else outside
        touched: Iterable[int] = range(len(self.parts))
        if fewer.bit_count() < len(self.parts):
            touched = {self._part_of[group] for group in bits(fewer)}
        for number in touched:
            inside = self.parts[number] & fewer
            if inside and inside != self.parts[number]:
                self._divide(number, inside)

    def _divide(self, number: int, inside: int) -> None:
        rest = self.parts[number] & ~inside
        moved, kept = (inside, rest) if inside.bit_count() <= rest.bit_count() else (rest, inside)
        self.parts[number] = kept
        for group in bits(moved):
            self._part_of[group] = len(self.parts)
        self.parts.append(moved)


def _keys(policy: NetworkPolicy) -> list[str]:
    """The label keys that the rules of ``policy`` in force read, once for each time."""
    selectors: list[LabelSelector | None] = [policy.pod_selector]
    for direction in policy.directions:
        for rule in policy.rules(direction):
            selectors += [peer.pod_selector for peer in rule.peers]
    return [key for selector in selectors if selector is not None for key in sorted(selector.keys)]
