"""What policies look at: the selectors, ipBlocks and ports by which endpoints and ports can be told apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from auditor.model.labels import LabelSelector
from auditor.model.policy import IPBlock, NetworkPolicy, Peer, PolicyPort
from auditor.model.snapshot import Snapshot
from auditor.policy.atoms import policy_ports


@dataclass(frozen=True, slots=True)
class Traits:
    """What the policies of one API look at."""

    pod_selectors: frozenset[LabelSelector] = frozenset()
    blocks: frozenset[IPBlock] = frozenset()
    ports: tuple[PolicyPort, ...] = ()


def network_policy_traits(snapshot: Snapshot) -> Traits:
    """What the NetworkPolicies in force look at."""
    peers = peers_in_force(snapshot.policies)
    selectors = {policy.pod_selector for policy in snapshot.policies}
    selectors |= {peer.pod_selector for peer in peers if peer.pod_selector is not None}
    blocks = frozenset(peer.ip_block for peer in peers if peer.ip_block is not None)
    return Traits(frozenset(selectors), blocks, tuple(policy_ports(snapshot.policies)))


def peers_in_force(policies: Iterable[NetworkPolicy]) -> list[Peer]:
    """Every peer of the rules in force."""
    return [
        peer
        for policy in policies
        for direction in policy.directions
        for rule in policy.rules(direction)
        for peer in rule.peers
    ]
