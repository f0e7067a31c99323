"""Which rules together open all that another one does.

That is decided on selectors, address ranges and ports themselves, so it holds for pods that don't exist yet as well;
see ``implication``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from auditor.lint.covering import FEW, Buckets, ConditionIndex, PeerIndex, PortIndex, fewest, in_order, most_compared
from auditor.lint.implication import conditions, peer_implies, selector_implies
from auditor.lint.policy_index import IndexedRule, PolicyIndex
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort
from auditor.policy.atoms import port_names


class OpenPorts:
    """Which ports a set of rules opens, whatever the destination declares: atoms, and names."""

    def __init__(self, policy_index: PolicyIndex, ports: Sequence[PolicyPort], *, everything: bool) -> None:
        self.atoms = policy_index.atoms.everything if everything else policy_index.atoms.numbered(ports)
        self.names = port_names(ports)

    def add(self, other: OpenPorts) -> None:
        """Open those of ``other``, too."""
        self.atoms |= other.atoms
        self.names |= other.names

    def may_share(self, other: OpenPorts) -> bool:
        """Whether any port of ``other`` can be among these; a name may be any number."""
        return bool(self.atoms & other.atoms) or (bool(other.names) and bool(self.atoms or self.names))

    def cover(self, policy_index: PolicyIndex, other: OpenPorts) -> bool:
        """Whether every port of ``other`` is among these. A name is if it is given here, too, or if its whole protocol
        is open.
        """
        if other.atoms & ~self.atoms:
            return False
        return all(
            (protocol, name) in self.names or self._whole(policy_index, protocol) for protocol, name in other.names
        )

    def _whole(self, policy_index: PolicyIndex, protocol: object) -> bool:
        return all(
            self.atoms >> number & 1
            for number, each in enumerate(policy_index.atoms.ranges)
            if each.protocol is protocol
        )


@dataclass(slots=True)
class Candidate:
    """A rule with its ports, and whether it is found to be superfluous."""

    indexed: IndexedRule
    ports: OpenPorts
    removed: bool = False
    index: PeerIndex | None = None

    def peers_like(self, peer: Peer) -> Iterable[int]:
        """The positions of its peers that may include ``peer``."""
        peers = self.indexed.rule.peers
        if len(peers) <= FEW:
            return range(len(peers))
        if self.index is None:
            self.index = PeerIndex(enumerate(peers), self.indexed.policy.namespace)
        return in_order(self.index.including(peer), most_compared(len(peers)))


def candidates_of(policy_index: PolicyIndex) -> dict[tuple[str, Direction], list[Candidate]]:
    """The rules of policies that select someone, by namespace and direction."""
    found: dict[tuple[str, Direction], list[Candidate]] = defaultdict(list)
    for indexed in policy_index.rules:
        if indexed.subjects:
            ports = OpenPorts(policy_index, indexed.rule.ports, everything=not indexed.rule.ports)
            found[indexed.policy.namespace, indexed.direction].append(Candidate(indexed, ports))
    return found


def covers_subjects(cover: IndexedRule, indexed: IndexedRule) -> bool:
    """Whether ``cover`` is for every pod that ``indexed`` is for, those that don't exist yet included."""
    if cover.policy is indexed.policy:
        return True
    return not indexed.subjects & ~cover.subjects and selector_implies(
        indexed.policy.pod_selector, cover.policy.pod_selector
    )


def _covers_peer(cover: Candidate, peer: Peer | None, reach: int) -> bool:
    """Whether some peer of ``cover`` includes ``peer``, which reaches ``reach``; None means everyone."""
    indexed = cover.indexed
    if not indexed.rule.peers:
        return True
    if peer is None or reach & ~indexed.peers:
        return False
    return any(
        not reach & ~indexed.reach[number] and peer_implies(peer, indexed.rule.peers[number], indexed.policy.namespace)
        for number in cover.peers_like(peer)
    )


class CoveringRules:
    """The rules of one namespace and direction, by what would have to be included: peers, ports and subjects."""

    def __init__(self, policy_index: PolicyIndex, namespace: str, candidates: list[Candidate]) -> None:
        self._policy_index = policy_index
        self._candidates = candidates
        self._most = most_compared(len(candidates))
        numbered = list(enumerate(candidates))
        self._peers = PeerIndex(
            ((number, peer) for number, each in numbered for peer in each.indexed.rule.peers or (None,)), namespace
        )
        self._named = [number for number, each in numbered if each.ports.names]
        self._ports = PortIndex((number, each.ports.atoms) for number, each in numbered if not each.ports.names)
        self._subjects = ConditionIndex(
            (number, conditions(each.indexed.policy.pod_selector)) for number, each in numbered
        )
        once = self._repeated = 0
        for each in candidates:
            self._repeated |= once & each.ports.atoms
            once |= each.ports.atoms

    def covering(self, candidate: Candidate) -> list[Candidate]:
        """The rules that together open all that ``candidate`` does; none if they don't."""
        if len(self._candidates) == 1 or candidate.ports.atoms & ~self._repeated:
            return []  # nobody else opens some of its ports
        rule = candidate.indexed.rule
        peers: list[tuple[Peer | None, int]] = list(zip(rule.peers, candidate.indexed.reach, strict=True)) or [
            (None, candidate.indexed.peers)
        ]
        used: dict[int, Candidate] = {}
        other_sides = self._other_sides(candidate)
        for peer, reach in peers:
            found = self._covering_at(candidate, peer, reach, other_sides)
            if not found:
                return []
            used.update((id(cover), cover) for cover in found)
        return list(used.values())

    def _covering_at(
        self, candidate: Candidate, peer: Peer | None, reach: int, other_sides: Sequence[Buckets]
    ) -> list[Candidate]:
        """The rules that together open all ports of ``candidate`` to ``peer``; none if they don't."""
        open_ports = OpenPorts(self._policy_index, (), everything=False)
        used = []
        for cover in self._covers(candidate, fewest(self._peers.including(peer), *other_sides)):
            if _covers_peer(cover, peer, reach):
                if cover.ports.cover(self._policy_index, candidate.ports):
                    return [cover]
                used.append(cover)
                open_ports.add(cover.ports)
        return used if used and open_ports.cover(self._policy_index, candidate.ports) else []

    def _other_sides(self, candidate: Candidate) -> list[Buckets]:
        """Where the rules are that may be for the pods of ``candidate``, and where those that may open its ports."""
        found = [self._subjects.including(conditions(candidate.indexed.policy.pod_selector))]
        sharing = None if candidate.ports.names else self._ports.sharing(candidate.ports.atoms)
        return found if sharing is None else [*found, [self._named, *sharing]]

    def _covers(self, candidate: Candidate, buckets: Buckets) -> Iterator[Candidate]:
        """The rules in ``buckets`` that are for the pods of ``candidate`` and open any of its ports."""
        for number in in_order(buckets, self._most):
            cover = self._candidates[number]
            if (
                cover is not candidate
                and not cover.removed
                and cover.ports.may_share(candidate.ports)
                and covers_subjects(cover.indexed, candidate.indexed)
            ):
                yield cover


def are_together(one: NetworkPolicy, other: NetworkPolicy) -> bool:
    """Whether two policies of one namespace are there at the same time, as far as the files say: where they don't name
    it, and stand in different directories, a kustomization may put each into another one.
    """
    if not (one.namespace_assumed or other.namespace_assumed):
        return True
    return one.file.rpartition("/")[0] == other.file.rpartition("/")[0]
