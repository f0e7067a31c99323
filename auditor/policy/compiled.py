"""What a rule means, compiled once: its subjects, its peers and its ports as bitsets.

The evaluator, lint and intent read these. ``auditor.policy.explain`` does not, on purpose, and neither do the lab and
the tests' oracle: they are independent readings of the same rules, and would share this module's mistakes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from auditor.model.policy import NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.snapshot import Family
from auditor.policy.atoms import PortAtoms, PortName
from auditor.policy.bits import union
from auditor.policy.groups import Groups


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """What one rule allows: its peers, found by selectors or by ipBlock, and for each set of atoms the destinations
    that it opens.

    ``each_selected`` and ``each_blocked`` have the same peers one by one. A named port opens its atom on those
    destinations only that declare it; ``Groups.everything`` stands for no such limit. A hostNetwork pod counts as its
    node, which declares none.
    """

    subjects: int
    selected: int
    blocked: Mapping[Family, int]
    has_blocks: bool
    ports: Mapping[int, int]
    each_selected: tuple[int, ...]
    each_blocked: Mapping[Family, tuple[int, ...]]


class RuleCompiler:
    """Compiles rules against the groups and port atoms of one snapshot. ``declared`` has the groups that declare each
    port name. ``ports`` gives port items as sets of atoms, each with the destinations on which they are meant.
    """

    def __init__(self, groups: Groups, atoms: PortAtoms, declared: Mapping[PortName, Mapping[int, int]]) -> None:
        self._groups = groups
        self._atoms = atoms
        self._declared = declared
        self.ports = cache(self._resolve_ports)
        self._known: dict[int, int] = {}

    def subjects(self, policy: NetworkPolicy) -> int:
        """The groups that ``policy`` selects."""
        return self._groups.selected_by(policy)

    def rule(self, policy: NetworkPolicy, rule: Rule, subjects: int) -> CompiledRule:
        """``rule`` of ``policy``, which selects ``subjects``."""
        each_selected = self._distinct(peers_selected(self._groups, policy, rule))
        each_blocked = {family: self._distinct(found) for family, found in peers_blocked(self._groups, rule).items()}
        return CompiledRule(
            subjects,
            union(each_selected),
            {family: union(found) for family, found in each_blocked.items()},
            any(peer.ip_block is not None for peer in rule.peers),
            self.ports(rule.ports),
            each_selected,
            each_blocked,
        )

    def _distinct(self, masks: Iterable[int]) -> tuple[int, ...]:
        """Those of ``masks`` that aren't empty, each once; equal ones of all rules are one object."""
        return tuple(self._known.setdefault(mask, mask) for mask in dict.fromkeys(masks) if mask)

    def _resolve_ports(self, ports: tuple[PolicyPort, ...]) -> Mapping[int, int]:
        """The port items as sets of atoms with the destinations on which they mean these atoms."""
        everything = self._groups.everything
        if not ports:
            return {self._atoms.everything: everything}
        opened: dict[int, int] = {}
        for protocol, name in ((port.protocol, port.name) for port in ports if port.name is not None):
            for number, declaring in self._declared[protocol, name].items():
                atom = self._atoms.mask(protocol, number, number)
                opened[atom] = opened.get(atom, 0) | (declaring & self._groups.selectable)
        if numbered := self._atoms.numbered(ports):
            opened[numbered] = everything
        return opened


def peer_groups(groups: Groups, policy: NetworkPolicy, peer: Peer, family: Family) -> int:
    """The groups that ``peer`` of ``policy`` names over ``family``, by selectors or by an ipBlock."""
    if peer.ip_block is not None:
        return groups.in_block(peer.ip_block, family)
    return groups.named_by(peer, policy.namespace)


def peers_selected(groups: Groups, policy: NetworkPolicy, rule: Rule) -> Iterator[int]:
    """The groups that each peer of ``rule``, one of ``policy``, names by selectors: all where it names no peer at
    all.
    """
    if not rule.peers:
        yield groups.everything
    for peer in rule.peers:
        if peer.ip_block is None:
            yield groups.named_by(peer, policy.namespace)


def peers_blocked(groups: Groups, rule: Rule) -> dict[Family, list[int]]:
    """The groups that each peer of ``rule`` names by an ipBlock, for each family."""
    blocks = [peer.ip_block for peer in rule.peers if peer.ip_block is not None]
    return {family: [groups.in_block(block, family) for block in blocks] for family in Family}
