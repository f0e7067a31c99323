"""Checks of rules that another rule undoes or makes superfluous.

A rule is shadowed if removing it changes no verdict for any endpoint on any port. That is decided on selectors, address
ranges and ports themselves, so it holds for pods that don't exist yet as well; see ``implication``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from auditor.lint.covering import (
    FEW,
    BlockIndex,
    Buckets,
    ConditionIndex,
    PeerIndex,
    PortIndex,
    fewest,
    in_order,
    most_compared,
)
from auditor.lint.finding import Check, Remark, peer_place, rule_place
from auditor.lint.implication import block_implies, conditions, peer_implies, selector_implies
from auditor.lint.listing import listed_of
from auditor.lint.policy_index import IndexedRule, PolicyIndex
from auditor.model.labels import LabelSelector
from auditor.model.lint import Severity
from auditor.model.notation import SIDES, brief, brief_block
from auditor.model.policy import Direction, IPBlock, Peer, PolicyPort
from auditor.model.words import pluralize
from auditor.policy.atoms import port_names
from auditor.policy.plain_reading import place

ADDITIVE = "https://kubernetes.io/docs/concepts/services-networking/network-policies/#the-two-sorts-of-pod-isolation"
ALLOW_ALL = "https://kubernetes.io/docs/concepts/services-networking/network-policies/#allow-all-ingress-traffic"


class _Ports:
    """Which ports a set of rules leaves open, whatever the destination declares: atoms, and names."""

    def __init__(self, policy_index: PolicyIndex, ports: Sequence[PolicyPort], *, everything: bool) -> None:
        self.atoms = policy_index.atoms.everything if everything else policy_index.atoms.numbered(ports)
        self.names = port_names(ports)

    def add(self, other: _Ports) -> None:
        self.atoms |= other.atoms
        self.names |= other.names

    def may_share(self, other: _Ports) -> bool:
        """Whether any port of ``other`` can be among these; a name may be any number."""
        return bool(self.atoms & other.atoms) or (bool(other.names) and bool(self.atoms or self.names))

    def cover(self, policy_index: PolicyIndex, other: _Ports) -> bool:
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
class _Candidate:
    """A rule with its ports, and whether it is found to be superfluous."""

    indexed: IndexedRule
    ports: _Ports
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


def _candidates(policy_index: PolicyIndex) -> dict[tuple[str, Direction], list[_Candidate]]:
    """The rules of policies that select someone, by namespace and direction."""
    found: dict[tuple[str, Direction], list[_Candidate]] = defaultdict(list)
    for indexed in policy_index.rules:
        if indexed.subjects:
            ports = _Ports(policy_index, indexed.rule.ports, everything=not indexed.rule.ports)
            found[indexed.policy.namespace, indexed.direction].append(_Candidate(indexed, ports))
    return found


def _covers_subjects(cover: IndexedRule, indexed: IndexedRule) -> bool:
    if cover.policy is indexed.policy:
        return True
    return not indexed.subjects & ~cover.subjects and selector_implies(
        indexed.policy.pod_selector, cover.policy.pod_selector
    )


def _covers_peer(cover: _Candidate, peer: Peer | None, reach: int) -> bool:
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


class _Rules:
    """The rules of one namespace and direction, by what would have to be included: peers, ports and subjects."""

    def __init__(self, policy_index: PolicyIndex, namespace: str, candidates: list[_Candidate]) -> None:
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

    def covering(self, candidate: _Candidate) -> list[_Candidate]:
        """The rules that together open all that ``candidate`` does; none if they don't."""
        if len(self._candidates) == 1 or candidate.ports.atoms & ~self._repeated:
            return []  # nobody else opens some of its ports
        rule = candidate.indexed.rule
        peers: list[tuple[Peer | None, int]] = list(zip(rule.peers, candidate.indexed.reach, strict=True)) or [
            (None, candidate.indexed.peers)
        ]
        used: dict[int, _Candidate] = {}
        other_sides = self._other_sides(candidate)
        for peer, reach in peers:
            found = self._covering_at(candidate, peer, reach, other_sides)
            if not found:
                return []
            used.update((id(cover), cover) for cover in found)
        return list(used.values())

    def _covering_at(
        self, candidate: _Candidate, peer: Peer | None, reach: int, other_sides: Sequence[Buckets]
    ) -> list[_Candidate]:
        """The rules that together open all ports of ``candidate`` to ``peer``; none if they don't."""
        open_ports = _Ports(self._policy_index, (), everything=False)
        used = []
        for cover in self._covers(candidate, fewest(self._peers.including(peer), *other_sides)):
            if _covers_peer(cover, peer, reach):
                if cover.ports.cover(self._policy_index, candidate.ports):
                    return [cover]
                used.append(cover)
                open_ports.add(cover.ports)
        return used if used and open_ports.cover(self._policy_index, candidate.ports) else []

    def _other_sides(self, candidate: _Candidate) -> list[Buckets]:
        """Where the rules are that may be for the pods of ``candidate``, and where those that may open its ports."""
        found = [self._subjects.including(conditions(candidate.indexed.policy.pod_selector))]
        sharing = None if candidate.ports.names else self._ports.sharing(candidate.ports.atoms)
        return found if sharing is None else [*found, [self._named, *sharing]]

    def _covers(self, candidate: _Candidate, buckets: Buckets) -> Iterator[_Candidate]:
        """The rules in ``buckets`` that are for the pods of ``candidate`` and open any of its ports."""
        for number in in_order(buckets, self._most):
            cover = self._candidates[number]
            if (
                cover is not candidate
                and not cover.removed
                and cover.ports.may_share(candidate.ports)
                and _covers_subjects(cover.indexed, candidate.indexed)
            ):
                yield cover


def shadowed_rules(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Rules whose removal changes nothing. Of rules that shadow each other, the last ones written are told."""
    for (namespace, _), candidates in _candidates(policy_index).items():
        rules = _Rules(policy_index, namespace, candidates)
        for candidate in reversed(candidates):
            by = rules.covering(candidate)
            if not by:
                continue
            candidate.removed = True
            if not any(cover.indexed.is_allow_all for cover in by):
                indexed = candidate.indexed
                message = (
                    f"removing this rule changes no verdict: {listed_of(by, _name_of)} "
                    f"{'opens' if len(by) == 1 else 'open'} all of it"
                )
                instead = (
                    "Policies add up; a narrower rule takes nothing away from a wider one. Remove this rule, "
                    "or narrow the wider one."
                )
                yield Remark(rule_place(indexed.policy, indexed.direction, indexed.number), message, instead)


def redundant_peers(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Peers of a rule that another peer of the same rule includes. Of equal ones the last are told."""
    for indexed in policy_index.rules:
        peers = indexed.rule.peers
        if len(peers) < 2:
            continue
        namespace = indexed.policy.namespace
        index = PeerIndex(enumerate(peers), namespace)
        most = most_compared(len(peers))
        removed: set[int] = set()
        for number in reversed(range(len(peers))):
            others = (
                other
                for other in in_order(index.including(peers[number]), most)
                if other != number and other not in removed
            )
            wide = next(
                (peers[other] for other in others if peer_implies(peers[number], peers[other], namespace)), None
            )
            if wide is not None:
                removed.add(number)
                message = (
                    f"{brief(peers[number])} adds nothing beside {brief(wide)}, which includes it: items of "
                    "one list are alternatives"
                )
                yield Remark(
                    peer_place(indexed.policy, indexed.direction, indexed.number, number),
                    message,
                    "Remove it; or the wider one, if only this is meant.",
                )


def _name(indexed: IndexedRule) -> str:
    return place(indexed.policy, indexed.direction, indexed.number)


def _name_of(candidate: _Candidate) -> str:
    return _name(candidate.indexed)


def allow_all_undoes(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Rules that open everything to everyone, where that makes other rules meaningless.

    None where a policy of the namespace is there twice, and differently: such files are not all for one cluster.
    """
    twice = {policy.namespace for policy in policy_index.snapshot.variants}
    for candidates in _candidates(policy_index).values():
        undone_by = _undone(candidates)
        for candidate in candidates:
            indexed = candidate.indexed
            undone = undone_by.get(indexed.policy.pod_selector) if indexed.is_allow_all else None
            if undone and indexed.policy.namespace not in twice:
                number = pluralize(len(undone), "other rule")
                message = (
                    f"allows everything to {policy_index.names(indexed.subjects)}, so {number} of these pods "
                    f"{'means' if len(undone) == 1 else 'mean'} nothing: {listed_of(undone, _name_of)}"
                )
                instead = f"Policies add up: the widest rule wins. {_less_than_all(indexed)}"
                yield Remark(rule_place(indexed.policy, indexed.direction, indexed.number), message, instead)


def _undone(candidates: Sequence[_Candidate]) -> dict[LabelSelector, list[_Candidate]]:
    """For the subjects of each rule that allows all: the narrower rules for the same pods.

    A selector that so many others are compared with that not all were left out altogether, rather than counted too low.
    """
    wide = list(dict.fromkeys(each.indexed.policy.pod_selector for each in candidates if each.indexed.is_allow_all))
    if not wide:
        return {}
    index = ConditionIndex((number, conditions(selector)) for number, selector in enumerate(wide))
    narrow: dict[LabelSelector, list[int]] = defaultdict(list)
    for number, each in enumerate(candidates):
        if not each.indexed.is_allow_all:
            narrow[each.indexed.policy.pod_selector].append(number)
    found: dict[LabelSelector, list[int]] = defaultdict(list)
    left = len(candidates) * most_compared(len(candidates))
    for selector, numbers in narrow.items():
        for position in in_order(index.including(conditions(selector)), left):
            left -= 1
            if selector_implies(selector, wide[position]):
                found[wide[position]] += numbers
                left -= len(numbers)
        if left <= 0:
            return {}
    return {selector: [candidates[number] for number in sorted(numbers)] for selector, numbers in found.items()}


def _less_than_all(indexed: IndexedRule) -> str:
    """What to do about a rule that allows everything. A policy whose only rule goes isolates all the same."""
    side = SIDES[indexed.direction]
    if len(indexed.policy.rules(indexed.direction)) > 1:
        return f"Remove this rule, or give it {side} and ports."
    return (
        f"Give it {side} and ports, or remove the policy: without this rule alone it would cut off whom no other "
        "rule admits."
    )


def except_opened_again(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Ranges that an ipBlock excepts and another item for the same pods and ports lets in again."""
    for candidates in _candidates(policy_index).values():
        blocks = [
            (each, number, peer.ip_block)
            for each in candidates
            for number, peer in enumerate(each.indexed.rule.peers)
            if peer.ip_block
        ]
        index = BlockIndex((position, block) for position, (_, _, block) in enumerate(blocks))
        most = most_compared(sum(len(block.excepts) for _, _, block in blocks))
        for candidate, number, block in blocks:
            indexed = candidate.indexed
            for excepted in block.excepts:
                lost = IPBlock(excepted)
                others = (blocks[position] for position in in_order(index.including(lost), most))
                found = next(((by, again) for by, _, again in others if _readmits(by, again, candidate, lost)), None)
                if found is not None:
                    by, again = found
                    message = (
                        f"except {excepted} has no effect: ipBlock {brief_block(again)} in {_name_of(by)} "
                        "opens that range again"
                    )
                    instead = "except takes away from its own cidr only. " + _taking_away(by.indexed, again, lost)
                    yield Remark(
                        peer_place(indexed.policy, indexed.direction, indexed.number, number), message, instead
                    )


def _taking_away(indexed: IndexedRule, block: IPBlock, lost: IPBlock) -> str:
    """How to keep ``lost`` out of ``block``, a peer of ``indexed``: excepts are parts of the cidr, and a rule without
    peers is for all.
    """
    if block.cidr != lost.cidr:
        return "Give the other ipBlock the same except."
    return f"Remove the other {'ipBlock' if len(indexed.rule.peers) > 1 else 'rule'}, or this except."


def _readmits(other: _Candidate, block: IPBlock, candidate: _Candidate, lost: IPBlock) -> bool:
    """Whether ``other`` opens ``lost`` with ``block`` to the pods of ``candidate`` on its ports."""
    return (
        not candidate.ports.atoms & ~other.ports.atoms
        and candidate.ports.names <= other.ports.names
        and _covers_subjects(other.indexed, candidate.indexed)
        and block_implies(lost, block)
    )


CHECKS = (
    Check(
        "allow-all-undoes-others",
        Severity.WARNING,
        "A rule that allows everything and so undoes others",
        "Policies add up, and no rule can deny. One rule without from (or to) and without ports opens its pods to "
        "everyone, whatever the "
        "other rules for the same pods say.",
        allow_all_undoes,
        ALLOW_ALL,
        needs_pods=False,
    ),
    Check(
        "shadowed-rule",
        Severity.INFO,
        "A rule that other rules make superfluous",
        "Removing the rule changes no verdict for any endpoint on any port, now or later. It is left over, or was "
        "meant to narrow "
        "what a wider rule opens, which no rule can do.",
        shadowed_rules,
        ADDITIVE,
        needs_pods=False,
    ),
    Check(
        "redundant-peer",
        Severity.INFO,
        "A peer that another peer of the same rule includes",
        "Items of from and to are alternatives. A peer that another one includes is left over, or was meant to "
        "narrow the other one, for "
        "which both selectors have to stand in one item.",
        redundant_peers,
    ),
    Check(
        "except-opened-again",
        Severity.WARNING,
        "An excepted range that another ipBlock opens again",
        "except takes addresses away from the cidr beside it and from nothing else. Another ipBlock that has them, "
        "for the same pods and "
        "ports, opens them all the same.",
        except_opened_again,
        needs_pods=False,
    ),
)
