"""Where the expected matrix is not as demanded: found for whole sets of destinations at once, told apart only where
something is wrong.

A source's row falls into few pieces, each a set of destinations that it reaches on the same ports; and few signatures
share all destinations out among themselves. So what is right, nearly everything, costs two operations on bitsets for
each piece and signature.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

from auditor.intent.resolved_intent import Refined, ResolvedIntent, Signature
from auditor.model.snapshot import Endpoint, EndpointKind, Family
from auditor.policy.bits import bits
from auditor.policy.matrix import always_allowed, governed

ProfileKey: TypeAlias = tuple[Signature, EndpointKind, tuple[Family, ...]]

MOST_PAIRS = 2_000
"""So many pairs of cohorts are told apart for one rule; what is wrong beyond is counted in one."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Endpoints that neither a policy nor a rule of the intent tells apart."""

    number: int
    class_number: int
    signature: Signature
    members: tuple[Endpoint, ...]

    @property
    def example(self) -> Endpoint:
        return self.members[0]


@dataclass(frozen=True, slots=True)
class Violation:
    """A pair of cohorts with, for each family, the atoms that one rule means otherwise."""

    source: Cohort
    destination: Cohort
    atoms: Mapping[Family, int]

    def example(self, resolved: ResolvedIntent) -> tuple[Endpoint, Endpoint]:
        """Two members, never a pair that no policy can cut."""
        return next(ends for ends in product(self.source.members, self.destination.members) if resolved.judged(*ends))

    def pairs(self, resolved: ResolvedIntent) -> int:
        """How many pairs of endpoints it is."""
        return resolved.count_pairs(self.source.members, self.destination.members)


class _Profiles:
    """Destination cohorts by what, beside policies, decides about them: sets of the bits that stand for
    their classes.
    """

    def __init__(self, refined: Refined, cohorts: list[Cohort]) -> None:
        self.masks: dict[ProfileKey, int] = defaultdict(int)
        self.cohorts: dict[tuple[Signature, int], Cohort] = {}
        self.examples: dict[ProfileKey, Endpoint] = {}
        for cohort in cohorts:
            key = (cohort.signature, cohort.example.kind, cohort.example.families)
            bit = refined.matrix.bit_of_class[cohort.class_number]
            self.masks[key] |= 1 << bit
            self.cohorts[cohort.signature, bit] = cohort
            self.examples.setdefault(key, cohort.example)


def cohorts_of(refined: Refined, resolved: ResolvedIntent) -> list[Cohort]:
    """The cohorts of all endpoints of which an intent can speak."""
    members: dict[tuple[int, Signature], list[Endpoint]] = {}
    for name, endpoint in resolved.endpoints.items():
        members.setdefault((refined.matrix.class_of(name), resolved.signatures[name]), []).append(endpoint)
    return [Cohort(number, *key, tuple(ends)) for number, (key, ends) in enumerate(members.items())]


def find_violations(refined: Refined, resolved: ResolvedIntent) -> dict[int, tuple[list[Violation], bool]]:
    """For each rule, by number, what it means otherwise than the matrix, and whether there is more than that."""
    cohorts = cohorts_of(refined, resolved)
    search = _Search(refined, resolved, _Profiles(refined, cohorts))
    by_class: dict[int, list[Cohort]] = defaultdict(list)
    for cohort in cohorts:
        by_class[cohort.class_number].append(cohort)
    for sources in by_class.values():
        for family in Family:
            search.look(sources, family)
        search.full |= search.cut
    return {
        rule: ([Violation(*entry) for entry in search.found[rule].values()], rule in search.cut)
        for rule in sorted(search.found)
    }


class _Search:
    """What is found so far: for each rule and pair of cohorts the atoms by family. ``full`` are rules of which enough
    is found.
    """

    def __init__(self, refined: Refined, resolved: ResolvedIntent, profiles: _Profiles) -> None:
        self._refined, self._resolved, self._profiles = refined, resolved, profiles
        self.found: dict[int, dict[tuple[int, int], tuple[Cohort, Cohort, dict[Family, int]]]] = defaultdict(dict)
        self.cut: set[int] = set()
        self.full: set[int] = set()

    def look(self, sources: list[Cohort], family: Family) -> None:
        """Look at all that ``sources``, of one class, may reach over ``family``."""
        concerned = self._concerned(sources, family)
        destinations = 0
        for mask in concerned.values():
            destinations |= mask
        if not destinations:
            return
        for verdicts, piece in self._refined.matrix.split_by_verdicts(sources[0].class_number, family, destinations):
            reached = self._refined.refine(verdicts.allowed)
            for key, mask in concerned.items():
                if hit := piece & mask:
                    for source in sources:
                        self._compare(source, key[0], hit, reached, family)

    def _concerned(self, sources: list[Cohort], family: Family) -> dict[ProfileKey, int]:
        """The destinations about which the intent says anything for ``sources``."""
        example = sources[0].example
        return {
            key: mask
            for key, mask in self._profiles.masks.items()
            if family in self._resolved.families(example, self._profiles.examples[key])
            and governed(example, self._profiles.examples[key])
            and any(self._resolved.demand(source.signature, key[0]).by_rule for source in sources)
        }

    def _compare(self, source: Cohort, signature: Signature, hit: int, reached: int, family: Family) -> None:
        demand = self._resolved.demand(source.signature, signature)
        violation = demand.violation(reached)
        parts = (
            [(rule, violation & atoms) for rule, atoms in demand.by_rule if violation & atoms and rule not in self.full]
            if violation
            else []
        )
        for bit in bits(hit) if parts else ():
            destination = self._profiles.cohorts[signature, bit]
            if _has_pair(source, destination):
                for rule, atoms in parts:
                    self._take(rule, source, destination, family, atoms)

    def _take(self, rule: int, source: Cohort, destination: Cohort, family: Family, atoms: int) -> None:
        pairs = self.found[rule]
        key = (source.number, destination.number)
        if key in pairs or len(pairs) < MOST_PAIRS:
            pairs.setdefault(key, (source, destination, {}))[2][family] = atoms
        else:
            self.cut.add(rule)


def _has_pair(source: Cohort, destination: Cohort) -> bool:
    """Whether any two members are a pair that a policy can cut."""
    if source.example.selectable and destination.example.selectable:
        return source.number != destination.number or len(source.members) > 1
    return not all(always_allowed(*ends) for ends in product(source.members, destination.members))
