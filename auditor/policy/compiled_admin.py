"""What a rule of an administrators' policy means, compiled once: ``auditor.policy.compiled`` for the other policies.

``auditor.policy.admin_reading``, the diagnosis, the lab and the tests' oracle read the same rules each on their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from auditor.model.admin_policy import EVERY_LABEL, Action, AdminPeer, AdminPolicy, AdminRule
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, IPBlock
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Snapshot
from auditor.policy.bits import mask_of, union
from auditor.policy.compiled import RuleCompiler
from auditor.policy.tiers import Universe
from auditor.policy.unknown_labels import namespace_may_match, pod_may_match


def blocks_of(peer: AdminPeer, snapshot: Snapshot) -> tuple[IPBlock, ...]:
    """What ``peer`` names by address: its networks, or the addresses of its nodes."""
    if peer.nodes is None:
        return peer.networks
    nodes = (each for each in snapshot.endpoints if each.kind is EndpointKind.NODE and peer.nodes.matches(each.labels))
    return tuple(IPBlock.of_address(address) for node in nodes for address in node.addresses)


@dataclass(frozen=True, slots=True)
class Found:
    """Groups that match, and those of which it isn't known. The latter by addresses only count where these are asked
    for.
    """

    certain: int
    by_label: int = 0
    by_address: int = 0

    @property
    def possible(self) -> int:
        return self.certain | self.by_label | self.by_address

    def maybe(self, *, addresses: bool) -> int:
        return (self.by_label | (self.by_address if addresses else 0)) & ~self.certain


@dataclass(frozen=True, slots=True)
class CompiledAdminRule:
    """One rule: the number and the priority of its policy, its subjects, its peers, and the atoms with the destinations
    on which they are meant.
    """

    policy: int
    priority: int
    action: Action
    subjects: Found
    peers: dict[Family, Found]
    ports: tuple[tuple[int, int], ...]


class AdminRuleCompiler:
    """Compiles rules against the groups and port atoms of ``universe``. ``original`` still says which labels nobody
    knows, where these are to count as such; None: no label is in doubt. Nodes are those of ``snapshot``.
    """

    def __init__(self, snapshot: Snapshot, universe: Universe, original: Snapshot | None = None) -> None:
        self._snapshot = snapshot
        self._groups = universe.groups
        self._atoms = universe.atoms
        self._original = original
        self._compiler = RuleCompiler(universe.groups, universe.atoms, universe.declared)
        self._selected: dict[tuple[LabelSelector, LabelSelector], Found] = {}

    def subjects(self, policy: AdminPolicy) -> Found:
        """The pods that ``policy`` is for."""
        return self._pods(policy.namespace_selector, policy.pod_selector)

    def rules(self, policy: AdminPolicy, direction: Direction, number: int = 0) -> list[CompiledAdminRule]:
        """Those of ``policy``, the one with this ``number``, that may match anything, in order."""
        subjects = self.subjects(policy)
        if not subjects.certain | subjects.by_label:
            return []
        compiled = (self._compiled(rule, number, policy, subjects) for rule in policy.rules(direction))
        return [each for each in compiled if each is not None]

    def _compiled(self, rule: AdminRule, number: int, policy: AdminPolicy, subjects: Found) -> CompiledAdminRule | None:
        """``rule``; None for one that matches nothing since it fails closed."""
        everyone = Found(self._groups.everything)
        if rule.unknown:
            if rule.action is Action.ACCEPT:
                return None
            everywhere = ((self._atoms.everything, self._groups.everything),)
            return CompiledAdminRule(
                number, policy.priority, Action.DENY, subjects, dict.fromkeys(Family, everyone), everywhere
            )
        peers = {family: self._peers(rule.peers, family) for family in Family} if rule.peers else {}
        return CompiledAdminRule(
            number,
            policy.priority,
            rule.action,
            subjects,
            peers or dict.fromkeys(Family, everyone),
            tuple(self._compiler.ports(rule.ports).items()),
        )

    def _peers(self, peers: Iterable[AdminPeer], family: Family) -> Found:
        found = [self._peer(peer, family) for peer in peers]
        return Found(
            union(each.certain for each in found),
            union(each.by_label for each in found),
            union(each.by_address for each in found),
        )

    def _peer(self, peer: AdminPeer, family: Family) -> Found:
        if peer.namespace_selector is not None:
            return self._pods(peer.namespace_selector, peer.pod_selector or EVERY_LABEL)
        if peer.domain_names:
            return Found(0, by_address=self._groups.hosts)
        inside = union(self._groups.in_block(block, family) for block in blocks_of(peer, self._snapshot))
        return Found(inside, by_address=self._groups.without_address)

    def _pods(self, namespaces: LabelSelector, pods: LabelSelector) -> Found:
        key = (namespaces, pods)
        if key not in self._selected:
            self._selected[key] = (
                Found(self._groups.in_namespaces(namespaces) & self._groups.with_labels(pods))
                if self._original is None
                else self._pods_in_doubt(*key, self._original)
            )
        return self._selected[key]

    def _pods_in_doubt(self, namespaces: LabelSelector, pods: LabelSelector, original: Snapshot) -> Found:
        """The pods that match whatever the unknown labels are, and those that may."""
        certain, maybe = [], []
        for number, endpoint in enumerate(self._originals):
            if endpoint.selectable:
                there = namespace_may_match(namespaces, original.namespaces[endpoint.namespace])
                here = pod_may_match(pods, endpoint)
                if there and here:
                    certain.append(number)
                elif there is not False and here is not False:
                    maybe.append(number)
        return Found(mask_of(certain), mask_of(maybe))

    @cached_property
    def _originals(self) -> list[Endpoint]:
        known = {endpoint.name: endpoint for endpoint in self._original.endpoints} if self._original else {}
        return [known.get(endpoint.name, endpoint) for endpoint in self._groups.representatives]
