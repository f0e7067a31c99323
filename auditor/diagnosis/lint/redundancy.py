"""Checks of rules that another rule undoes or makes superfluous.

A rule is shadowed if removing it changes no verdict for any endpoint on any port. That is decided on selectors, address ranges and ports
themselves, so it holds for pods that don't exist yet as well; see ``implication``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from auditor.diagnosis.lint.finding import SIDES, Check, Remark, Severity, peer_place, rule_place
from auditor.diagnosis.lint.implication import block_implies, peer_implies, selector_implies
from auditor.diagnosis.lint.scene import Opening, Scene, listed, port_range
from auditor.model.policy import Direction, IPBlock, Peer, PolicyPort
from auditor.model.words import counted
from auditor.policy.explain import place

ADDITIVE = "https://kubernetes.io/docs/concepts/services-networking/network-policies/#the-two-sorts-of-pod-isolation"
ALLOW_ALL = "https://kubernetes.io/docs/concepts/services-networking/network-policies/#allow-all-ingress-traffic"


class _Ports:
    """Which ports a set of rules leaves open, whatever the destination declares: atoms, and names."""

    def __init__(self, scene: Scene, ports: Iterable[PolicyPort], *, everything: bool) -> None:
        self.atoms = scene.atoms.everything if everything else 0
        self.names: set[tuple[object, str]] = set()
        for port in ports:
            if port.name is not None:
                self.names.add((port.protocol, port.name))
            else:
                self.atoms |= scene.atoms.mask(port.protocol, *port_range(port))

    def add(self, other: _Ports) -> None:
        self.atoms |= other.atoms
        self.names |= other.names

    def may_share(self, other: _Ports) -> bool:
        """Whether any port of ``other`` can be among these; a name may be any number."""
        return bool(self.atoms & other.atoms) or (bool(other.names) and bool(self.atoms or self.names))

    def cover(self, scene: Scene, other: _Ports) -> bool:
        """Whether every port of ``other`` is among these. A name is if it is given here, too, or if its whole protocol is open."""
        if other.atoms & ~self.atoms:
            return False
        return all((protocol, name) in self.names or self._whole(scene, protocol) for protocol, name in other.names)

    def _whole(self, scene: Scene, protocol: object) -> bool:
        return all(self.atoms >> number & 1 for number, each in enumerate(scene.atoms.ranges) if each.protocol is protocol)


@dataclass
class _Candidate:
    """A rule with its ports, and whether it is found to be superfluous."""

    opening: Opening
    ports: _Ports
    removed: bool = False


def _candidates(scene: Scene) -> dict[tuple[str, Direction], list[_Candidate]]:
    """The rules of policies that select someone, by namespace and direction."""
    found: dict[tuple[str, Direction], list[_Candidate]] = defaultdict(list)
    for opening in scene.openings:
        if opening.subjects:
            ports = _Ports(scene, opening.rule.ports, everything=not opening.rule.ports)
            found[opening.policy.namespace, opening.direction].append(_Candidate(opening, ports))
    return found


def _covers_subjects(cover: Opening, opening: Opening) -> bool:
    if cover.policy is opening.policy:
        return True
    return not opening.subjects & ~cover.subjects and selector_implies(opening.policy.pod_selector, cover.policy.pod_selector)


def _may_cover(cover: _Candidate, candidate: _Candidate) -> bool:
    """Whether ``cover`` is for the pods of ``candidate`` and opens any of its ports."""
    return not cover.removed and cover.ports.may_share(candidate.ports) and _covers_subjects(cover.opening, candidate.opening)


def _covers_peer(cover: Opening, peer: Peer | None, reach: int) -> bool:
    """Whether some peer of ``cover`` includes ``peer``, which reaches ``reach``; None means everyone."""
    if not cover.rule.peers:
        return True
    return (
        peer is not None
        and not reach & ~cover.peers
        and any(
            not reach & ~wide_reach and peer_implies(peer, wide, cover.policy.namespace)
            for wide, wide_reach in zip(cover.rule.peers, cover.reach, strict=True)
        )
    )


def _all_opened_by(
    scene: Scene, candidate: _Candidate, covers: list[_Candidate], peers: list[tuple[Peer | None, int]]
) -> list[list[_Candidate]]:
    """For each peer the rules that open it; nothing as soon as one is not opened."""
    used = []
    for peer, reach in peers:
        found = _opened_by(scene, candidate, covers, peer, reach)
        if not found:
            return []
        used.append(found)
    return used


def _opened_by(scene: Scene, candidate: _Candidate, covers: list[_Candidate], peer: Peer | None, reach: int) -> list[_Candidate]:
    """The rules among ``covers`` that together open all ports of ``candidate`` to ``peer``; none if they don't."""
    open_ports = _Ports(scene, (), everything=False)
    used = []
    for cover in covers:
        if _covers_peer(cover.opening, peer, reach):
            if cover.ports.cover(scene, candidate.ports):
                return [cover]
            used.append(cover)
            open_ports.add(cover.ports)
    return used if used and open_ports.cover(scene, candidate.ports) else []


def shadowed_rules(scene: Scene) -> Iterator[Remark]:
    """Rules whose removal changes nothing. Of rules that shadow each other, the last ones written are told."""
    for candidates in _candidates(scene).values():
        for candidate in reversed(candidates):
            opening = candidate.opening
            covers = [other for other in candidates if other is not candidate and _may_cover(other, candidate)]
            peers: list[tuple[Peer | None, int]] = list(zip(opening.rule.peers, opening.reach, strict=True)) or [(None, opening.peers)]
            used = _all_opened_by(scene, candidate, covers, peers)
            if not used:
                continue
            candidate.removed = True
            by = list({id(cover): cover for each in used for cover in each}.values())
            if not any(cover.opening.is_allow_all for cover in by):
                names = listed([_name(cover.opening) for cover in by])
                message = f"removing this rule changes no verdict: {names} {'opens' if len(by) == 1 else 'open'} all of it"
                instead = "Policies add up; a narrower rule takes nothing away from a wider one. Remove this rule, or narrow the wider one."
                yield Remark(rule_place(opening.policy, opening.direction, opening.number), message, instead)


def redundant_peers(scene: Scene) -> Iterator[Remark]:
    """Peers of a rule that another peer of the same rule includes. Of equal ones the last are told."""
    for opening in scene.openings:
        left = list(enumerate(opening.rule.peers))
        for number, peer in reversed(left.copy()):
            wide = next((each for other, each in left if other != number and peer_implies(peer, each, opening.policy.namespace)), None)
            if wide is not None:
                left.remove((number, peer))
                message = f"{peer} adds nothing beside {wide}, which includes it: items of one list are alternatives"
                yield Remark(
                    peer_place(opening.policy, opening.direction, opening.number, number),
                    message,
                    "Remove it; or the wider one, if only this is meant.",
                )


def _name(opening: Opening) -> str:
    return place(opening.policy, opening.direction, opening.number)


def allow_all_undoes(scene: Scene) -> Iterator[Remark]:
    """Rules that open everything to everyone, where that makes other rules meaningless."""
    for candidates in _candidates(scene).values():
        for candidate in candidates:
            opening = candidate.opening
            if not opening.is_allow_all:
                continue
            undone = [other.opening for other in candidates if not other.opening.is_allow_all and _covers_subjects(opening, other.opening)]
            if undone:
                number = counted(len(undone), "other rule")
                message = (
                    f"allows everything to {scene.names(opening.subjects)}, so {number} of these pods "
                    f"{'means' if len(undone) == 1 else 'mean'} nothing: {listed([_name(each) for each in undone])}"
                )
                instead = f"Policies add up: the widest rule wins. {_less_than_all(opening)}"
                yield Remark(rule_place(opening.policy, opening.direction, opening.number), message, instead)


def _less_than_all(opening: Opening) -> str:
    """What to do about a rule that allows everything. A policy whose only rule goes isolates all the same."""
    side = SIDES[opening.direction]
    if len(opening.policy.rules(opening.direction)) > 1:
        return f"Remove this rule, or give it {side} and ports."
    return f"Give it {side} and ports, or remove the policy: without this rule alone it would cut off whom no other rule admits."


def except_opened_again(scene: Scene) -> Iterator[Remark]:
    """Ranges that an ipBlock excepts and another item for the same pods and ports lets in again."""
    for candidates in _candidates(scene).values():
        blocks = [candidate for candidate in candidates if any(peer.ip_block for peer in candidate.opening.rule.peers)]
        for candidate in blocks:
            opening = candidate.opening
            for number, peer in enumerate(opening.rule.peers):
                for excepted in peer.ip_block.excepts if peer.ip_block else ():
                    lost = IPBlock(excepted)
                    by = next((other for other in blocks if _readmits(other, candidate, lost)), None)
                    if by is not None:
                        again = next(each for each in by.opening.rule.peers if each.ip_block and block_implies(lost, each.ip_block))
                        message = f"except {excepted} has no effect: {again} in {_name(by.opening)} opens that range again"
                        instead = "except takes away from its own cidr only. " + _taking_away(by.opening, again.ip_block, lost)
                        yield Remark(peer_place(opening.policy, opening.direction, opening.number, number), message, instead)


def _taking_away(opening: Opening, block: IPBlock | None, lost: IPBlock) -> str:
    """How to keep ``lost`` out of ``block``, a peer of ``opening``: excepts are parts of the cidr, and a rule without peers is for all."""
    if block is not None and block.cidr != lost.cidr:
        return "Give the other ipBlock the same except."
    return f"Remove the other {'ipBlock' if len(opening.rule.peers) > 1 else 'rule'}, or this except."


def _readmits(other: _Candidate, candidate: _Candidate, lost: IPBlock) -> bool:
    same_ports = not candidate.ports.atoms & ~other.ports.atoms and candidate.ports.names <= other.ports.names
    return (
        same_ports
        and _covers_subjects(other.opening, candidate.opening)
        and any(peer.ip_block is not None and block_implies(lost, peer.ip_block) for peer in other.opening.rule.peers)
    )


CHECKS = (
    Check(
        "allow-all-undoes-others",
        Severity.WARNING,
        "A rule that allows everything and so undoes others",
        "Policies add up, and no rule can deny. One rule without from (or to) and without ports opens its pods to everyone, whatever the "
        "other rules for the same pods say.",
        allow_all_undoes,
        ALLOW_ALL,
    ),
    Check(
        "shadowed-rule",
        Severity.INFO,
        "A rule that other rules make superfluous",
        "Removing the rule changes no verdict for any endpoint on any port, now or later. It is left over, or was meant to narrow "
        "what a wider rule opens, which no rule can do.",
        shadowed_rules,
        ADDITIVE,
    ),
    Check(
        "redundant-peer",
        Severity.INFO,
        "A peer that another peer of the same rule includes",
        "Items of from and to are alternatives. A peer that another one includes is left over, or was meant to narrow the other one, for "
        "which both selectors have to stand in one item.",
        redundant_peers,
    ),
    Check(
        "except-opened-again",
        Severity.WARNING,
        "An excepted range that another ipBlock opens again",
        "except takes addresses away from the cidr beside it and from nothing else. Another ipBlock that has them, for the same pods and "
        "ports, opens them all the same.",
        except_opened_again,
    ),
)
