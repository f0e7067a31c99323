"""What policies look at: the selectors, ipBlocks and ports by which endpoints and ports can be told apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from auditor.model.admin_policy import AdminPolicy
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, IPBlock, NetworkPolicy, Peer, PolicyPort
from auditor.model.snapshot import Endpoint, Namespace, Snapshot
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


def admin_selectors(policies: Iterable[AdminPolicy]) -> Iterator[tuple[LabelSelector, LabelSelector, bool]]:
    """The selectors of namespaces and of pods in them by which ``policies`` choose subjects and, where it says so,
    peers.
    """
    for policy in policies:
        yield policy.namespace_selector, policy.pod_selector, False
        for rule in (*policy.ingress, *policy.egress):
            for peer in rule.peers:
                if peer.namespace_selector is not None and peer.pod_selector is not None:
                    yield peer.namespace_selector, peer.pod_selector, True


def admin_ports(
    policies: Iterable[AdminPolicy], directions: Iterable[Direction] = tuple(Direction)
) -> list[PolicyPort]:
    """Every port item of the rules of ``policies`` for ``directions``."""
    wanted = tuple(directions)
    return [
        port for policy in policies for direction in wanted for rule in policy.rules(direction) for port in rule.ports
    ]


def admin_selects(policy: AdminPolicy, namespaces: Mapping[str, Namespace], endpoint: Endpoint) -> bool:
    """Whether ``endpoint`` is among the pods that ``policy`` is for."""
    return (
        endpoint.selectable
        and policy.namespace_selector.matches(namespaces[endpoint.namespace].labels)
        and policy.pod_selector.matches(endpoint.labels)
    )
