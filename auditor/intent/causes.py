"""Why cells are not as meant: those that one policy rule opens, or the same isolation closes, belong together in one
finding.

Cells are shared out by bitsets, as there can be many. For one example of each cause ``decide()``, the plain reading of
the policies, then says in words what decides it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from auditor.intent.resolved_intent import ResolvedIntent
from auditor.intent.sides import WhatIf
from auditor.intent.violations import Violation
from auditor.model.intent import IntentRule
from auditor.model.policy import Direction, NetworkPolicy, Peer
from auditor.model.reasons import Side
from auditor.model.snapshot import Endpoint, Family
from auditor.model.verdict import Cell, Verdict
from auditor.policy.bits import bits
from auditor.policy.compiled import peer_groups
from auditor.policy.explain import Decision, decide
from auditor.policy.groups import Groups

CauseKey: TypeAlias = tuple[object, ...]
Ends: TypeAlias = tuple[Endpoint, Endpoint]
PeerPlace: TypeAlias = tuple[NetworkPolicy, int, int | None]
"""A policy, one of its rules and one of the peers there, counted from 0; None where the rule has none and so means
every peer.
"""


@dataclass(slots=True)
class Cause:
    """Cells of one rule that are wrong for one reason. ``sides`` are those at which it can be mended, the likeliest
    first.
    """

    rule: int
    decision: Decision
    sides: tuple[Direction, ...]
    violation: list[Violation] = field(default_factory=list)

    def side(self, direction: Direction) -> Side:
        """What the policies say on one side of the example."""
        return self.decision.ingress if direction is Direction.INGRESS else self.decision.egress


@dataclass(frozen=True, slots=True)
class Exposure:
    """What opens a side: a peer of a policy's rule, or nothing but that no policy isolates; and the atoms that it
    opens.
    """

    key: CauseKey
    atoms: int


class Causes:
    """Finds causes in one snapshot."""

    def __init__(self, resolved: ResolvedIntent, what_if: WhatIf) -> None:
        self._resolved = resolved
        self._what_if = what_if
        self._groups = Groups(resolved.snapshot, set())
        self._group_of = dict(
            zip((each.name for each in resolved.snapshot.endpoints), self._groups.of_endpoint, strict=True)
        )
        self._policies: dict[str, list[NetworkPolicy]] = {}
        for policy in resolved.snapshot.policies:
            self._policies.setdefault(policy.namespace, []).append(policy)
        self._isolating: dict[tuple[Direction, int], tuple[NetworkPolicy, ...]] = {}
        self._peers: dict[tuple[str, Peer, Family], int] = {}

    def of(self, rule: int, found: list[Violation]) -> list[Cause]:
        """The causes of all that is wrong for ``rule``."""
        causes: dict[CauseKey, Cause] = {}
        for violation in found:
            ends = violation.example(self._resolved)
            by_key: dict[CauseKey, dict[Family, int]] = {}
            for family, atoms in violation.atoms.items():
                for key, sides, covered in self._split(rule, ends, family, atoms):
                    if key not in causes:
                        causes[key] = Cause(rule, self._decide(ends, next(bits(covered)), family), sides)
                    sets = by_key.setdefault(key, {})
                    sets[family] = sets.get(family, 0) | covered
            for key, sets in by_key.items():
                causes[key].violation.append(replace(violation, atoms=sets))
        return list(causes.values())

    def _split(
        self, rule: int, ends: Ends, family: Family, atoms: int
    ) -> Iterator[tuple[CauseKey, tuple[Direction, ...], int]]:
        """``atoms`` of one pair shared out among their causes: key, sides to mend, and the atoms."""
        if self._resolved.rules[rule].verdict is Verdict.ALLOWED:
            yield from self._closed(ends, family, atoms)
            return
        sides = _sides(self._resolved.rules[rule], ends)
        while atoms:
            first = atoms & -atoms
            exposures = {direction: self._exposure(direction, ends, family, first) for direction in Direction}
            covered = atoms
            for exposure in exposures.values():
                covered &= exposure.atoms
            yield exposures[sides[0]].key, sides, covered
            atoms &= ~covered

    def _closed(self, ends: Ends, family: Family, atoms: int) -> Iterator[tuple[CauseKey, tuple[Direction, ...], int]]:
        """``atoms`` by the sides that deny them."""
        denied = {
            direction: atoms & ~self._what_if.before[direction].reached(ends[0].name, ends[1].name, family)
            for direction in (Direction.INGRESS, Direction.EGRESS)
        }
        for sides in ((Direction.INGRESS, Direction.EGRESS), (Direction.INGRESS,), (Direction.EGRESS,)):
            covered = atoms
            for direction, mask in denied.items():
                covered &= mask if direction in sides else ~mask
            if covered:
                yield (
                    tuple(self.isolating(direction, _pod(direction, ends)) for direction in sides) + sides,
                    sides,
                    covered,
                )

    def isolating(self, direction: Direction, pod: Endpoint) -> tuple[NetworkPolicy, ...]:
        """The policies that isolate ``pod`` in ``direction``."""
        if not pod.selectable:
            return ()
        key = (direction, self._group_of[pod.name])
        if key not in self._isolating:
            self._isolating[key] = tuple(
                policy
                for policy in self._policies.get(pod.namespace, ())
                if direction in policy.directions and self._groups.with_labels(policy.pod_selector) >> key[1] & 1
            )
        return self._isolating[key]

    def _exposure(self, direction: Direction, ends: Ends, family: Family, atom: int) -> Exposure:
        """What opens ``atom`` in ``direction``: the first rule that does, as ``decide()`` reads them."""
        pod, other = _pod(direction, ends), ends[0] if direction is Direction.INGRESS else ends[1]
        isolating = self.isolating(direction, pod)
        for policy in isolating:
            for number, rule in enumerate(policy.rules(direction)):
                if not self._resolved.ports_at(rule.ports, ends[1]) & atom:
                    continue
                peer = next(
                    (place for place, peer in enumerate(rule.peers) if self._is_peer(policy, peer, other, family)), None
                )
                if peer is not None or not rule.peers:
                    return Exposure((direction, policy, number, peer), self._resolved.ports_at(rule.ports, ends[1]))
        return Exposure((direction, pod.namespace), self._resolved.atoms.everything)

    def all_openings(self, direction: Direction, found: Iterable[Violation]) -> list[PeerPlace]:
        """Every peer of a policy's rule that opens any of ``found`` in ``direction``, each once."""
        places: dict[PeerPlace, None] = {}
        for violation in found:
            ends = violation.example(self._resolved)
            other = ends[0] if direction is Direction.INGRESS else ends[1]
            for policy in self.isolating(direction, _pod(direction, ends)):
                for number, rule in enumerate(policy.rules(direction)):
                    ports = self._resolved.ports_at(rule.ports, ends[1])
                    for family in (family for family, atoms in violation.atoms.items() if atoms & ports):
                        peers = (
                            place for place, peer in enumerate(rule.peers) if self._is_peer(policy, peer, other, family)
                        )
                        places.update(
                            dict.fromkeys((policy, number, place) for place in (peers if rule.peers else (None,)))
                        )
        return list(places)

    def _is_peer(self, policy: NetworkPolicy, peer: Peer, other: Endpoint, family: Family) -> bool:
        key = (policy.namespace, peer, family)
        if key not in self._peers:
            self._peers[key] = peer_groups(self._groups, policy, peer, family)
        return bool(self._peers[key] >> self._group_of[other.name] & 1)

    def _decide(self, ends: Ends, atom: int, family: Family) -> Decision:
        """The decision about one cell; only policies of the two namespaces can have a part in it."""
        policies = tuple(
            policy for name in sorted({end.namespace for end in ends}) for policy in self._policies.get(name, ())
        )
        small = replace(self._resolved.snapshot, endpoints=ends, policies=policies)
        port = self._resolved.atoms.ranges[atom]
        return decide(small, Cell(ends[0].name, ends[1].name, port.protocol, port.first, family))


def _pod(direction: Direction, ends: Ends) -> Endpoint:
    """The end at which ``direction`` filters."""
    return ends[1] if direction is Direction.INGRESS else ends[0]


def _sides(rule: IntentRule, ends: Ends) -> tuple[Direction, ...]:
    """The sides at which what is open can be closed: at the destination first, unless ``rule`` is about its sources."""
    about_sources = bool(rule.sources) and not rule.destinations
    order = (Direction.EGRESS, Direction.INGRESS) if about_sources else (Direction.INGRESS, Direction.EGRESS)
    return tuple(direction for direction in order if _pod(direction, ends).selectable)
