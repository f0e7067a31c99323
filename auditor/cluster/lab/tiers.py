"""The policies of administrators as steps that a node's rules take one after the other.

The lab's own reading of policy.networking.k8s.io, written apart from the evaluator's and the diagnosis' on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from auditor.cluster.lab.addresses import AddressSet
from auditor.cluster.lab.policing import Allowance, Policing, matches
from auditor.model.admin_policy import Action, AdminPeer, AdminPolicy, AdminRule, AdminTier
from auditor.model.policy import Direction
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot


@dataclass(frozen=True, slots=True)
class Step:
    """What is done with the packets of ``allowance`` that come here."""

    allowance: Allowance
    action: Action


@dataclass(frozen=True, slots=True)
class Tiers:
    """The way of a pod's packets in one direction: the steps of the Admin tier, then what NetworkPolicies let through
    (None: they don't isolate the pod), then the steps of the Baseline tier. What no step ends goes on.

    ``baseline_always``: what NetworkPolicies let through goes on, too.
    """

    admin: tuple[Step, ...]
    network: tuple[Allowance, ...] | None
    baseline: tuple[Step, ...]
    baseline_always: bool = False


def policed(
    policing: Policing, snapshot: Snapshot, pod: Endpoint, direction: Direction
) -> Tiers | tuple[Allowance, ...] | None:
    """What ``pod`` may receive or send; None for everything."""
    network = policing.allowances(pod, direction)
    behaviour = policing.behaviour
    if pod.host_network or not policing.polices(pod) or not snapshot.admin_policies:
        return network
    if behaviour.network_policy_first and network is not None:
        return network
    compiler = _Compiler(policing, snapshot, pod, direction)
    admin, baseline = (
        tuple(compiler.steps(_in_order(behaviour.admin(snapshot.admin_policies), tier))) for tier in AdminTier
    )
    if not admin and not baseline:
        return network
    return Tiers(admin, network, baseline, behaviour.baseline_always)


def _in_order(policies: Iterable[AdminPolicy], tier: AdminTier) -> list[AdminPolicy]:
    mine = (policy for policy in policies if policy.tier == tier)
    return sorted(mine, key=lambda policy: (policy.priority, policy.kind, policy.name))


@dataclass(frozen=True, slots=True)
class _Compiler:
    policing: Policing
    snapshot: Snapshot
    pod: Endpoint
    direction: Direction

    def steps(self, policies: Iterable[AdminPolicy]) -> Iterable[Step]:
        for policy in policies:
            if not self._matches(policy, self.pod):
                continue
            for rule in policy.ingress if self.direction is Direction.INGRESS else policy.egress:
                yield from self._rule(rule)

    def _rule(self, rule: AdminRule) -> Iterable[Step]:
        if any(peer.unknown for peer in rule.peers):  # fails closed
            return [] if rule.action is Action.ACCEPT else [Step(Allowance(None, None), Action.DENY)]
        addresses = AddressSet()
        for peer in rule.peers:
            addresses |= self._addresses(peer)
        allowed = self.policing.on_ports(addresses, rule.ports, self.direction, self.pod)
        return [Step(allowance, rule.action) for allowance in allowed]

    def _addresses(self, peer: AdminPeer) -> AddressSet:
        if peer.networks:
            return AddressSet.of(block.cidr for block in peer.networks)
        if peer.nodes is not None:
            wanted = (each for each in self.snapshot.endpoints if each.kind is EndpointKind.NODE)
            return AddressSet.of(a for node in wanted if matches(peer.nodes, node.labels) for a in node.addresses)
        if peer.namespace_selector is None:
            return AddressSet()
        pods = (each for each in self.snapshot.endpoints if self._matches(peer, each))
        return AddressSet.of(address for pod in pods for address in pod.addresses)

    def _matches(self, who: AdminPolicy | AdminPeer, end: Endpoint) -> bool:
        if end.kind is not EndpointKind.POD or end.host_network:
            return False
        if who.namespace_selector is None or who.pod_selector is None:
            return False
        labels = self.snapshot.namespaces[end.namespace].labels
        return matches(who.namespace_selector, labels) and matches(who.pod_selector, end.labels)
