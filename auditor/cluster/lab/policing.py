"""What the policies let through for one pod in one direction, as addresses and ports.

This is the lab's own reading of NetworkPolicy (networking/v1), written apart from the evaluator's on purpose: tests
hold the one against the other, and packets decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from auditor.cluster.lab.addresses import AddressSet, union
from auditor.cluster.lab.dialects import EnforcerBehaviour
from auditor.model.dialect import Dialect
from auditor.model.labels import Labels, LabelSelector, Operator, Requirement
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import LAST_PORT, Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot

PortSpan: TypeAlias = tuple[Protocol, int, int]
"""A protocol with its first and last port, both included."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Packets that are let through: to or from ``addresses`` (None: any), to a destination port in ``ports`` (None: of
    any protocol).
    """

    addresses: AddressSet | None
    ports: tuple[PortSpan, ...] | None


class Policing:
    """The policies of one snapshot as one enforcer understands them.

    ``cluster`` has the addresses of all nodes and pods: what an enforcer that keeps ipBlock away from the cluster
    leaves out. ``on_pod`` has what it has about single pods (``Enforcement.on_pod``).
    """

    def __init__(
        self,
        snapshot: Snapshot,
        policies: Iterable[NetworkPolicy],
        behaviour: EnforcerBehaviour,
        cluster: AddressSet,
        on_pod: Mapping[str, Dialect] | None = None,
    ) -> None:
        self._on_pod = on_pod or {}
        self._namespaces = snapshot.namespaces
        self._pods = [
            endpoint
            for endpoint in snapshot.endpoints
            if endpoint.kind is EndpointKind.POD and not endpoint.host_network
        ]
        self.behaviour = behaviour
        self._outside = AddressSet() if behaviour.ip_block_matches_pods else cluster
        self._policies = sorted((behaviour.rewritten(policy) for policy in policies), key=lambda policy: policy.name)
        self._addresses: dict[tuple[str, tuple[Peer, ...]], AddressSet] = {}

    def polices(self, pod: Endpoint) -> bool:
        """Whether it asks any policy about ``pod``."""
        about = self._on_pod.get(pod.name)
        shut = self.behaviour.shuts or about is Dialect.SHUTS_PODS
        return self.behaviour.filters and not shut and about is not Dialect.ENFORCES_NOTHING

    def allowances(self, pod: Endpoint, direction: Direction) -> tuple[Allowance, ...] | None:
        """What ``pod`` may receive or send; None when no policy isolates it in this direction."""
        about = self._on_pod.get(pod.name)
        if self.behaviour.shuts or about is Dialect.SHUTS_PODS:
            return () if not pod.host_network else None
        if not self.behaviour.filters or about is Dialect.ENFORCES_NOTHING:
            return None
        isolating = [
            policy for policy in self._policies if direction in policy.directions and self._selects(policy, pod)
        ]
        if not isolating:
            return None
        if self.behaviour.first_policy_only:
            isolating = isolating[:1]
        allowed: dict[Allowance, None] = {}
        for policy in isolating:
            for rule in policy.rules(direction):
                allowed.update(dict.fromkeys(self._rule(policy.namespace, rule, direction, pod)))
            if self.behaviour.shares_directions and len(policy.directions) > 1:
                allowed.update(dict.fromkeys(self._shared(policy, direction, pod)))
        return tuple(allowed)

    def _shared(self, policy: NetworkPolicy, direction: Direction, pod: Endpoint) -> Iterator[Allowance]:
        """What the rules of the other direction allow ``pod``, as the peer that they name, with the policy's pods."""
        opposite = direction.opposite
        own = [other for other in self._pods if self._selects(policy, other)]
        for rule in policy.rules(opposite):
            named = self._peers(policy.namespace, rule.peers) if rule.peers else None
            versions = {address.version for address in pod.addresses if named is None or address in named}
            among = AddressSet.of(
                address for other in own for address in other.addresses if address.version in versions
            )
            if among != AddressSet():
                yield from self._on_ports(policy.namespace, rule, opposite, pod, among)

    def _on_ports(
        self, namespace: str, rule: Rule, direction: Direction, pod: Endpoint, others: AddressSet
    ) -> list[Allowance]:
        """``rule`` of ``direction`` on its ports, for packets between its peer ``pod`` and ``others``."""
        if not rule.ports:
            return [Allowance(others, None)]
        numbered = [span for port in rule.ports for span in _numbered(port)]
        named = [port for port in rule.ports if port.name is not None]
        if direction is Direction.EGRESS:  # what the others send to the pod
            ports = _joined(numbered + [span for port in named for span in self._named(namespace, rule, port, pod)])
            return [Allowance(others, ports)] if ports else []
        return [Allowance(others, _joined(numbered))] * bool(numbered) + self._named_at_destinations(named, others)

    def _named(self, namespace: str, rule: Rule, port: PolicyPort, pod: Endpoint) -> list[PortSpan]:
        """What a named port of an egress rule means at ``pod``."""
        if self.behaviour.any_pods_names and not rule.peers:
            return [span for each in self._pods if each.namespace == namespace for span in _resolved(port, each)]
        return _resolved(port, pod)

    def _selects(self, policy: NetworkPolicy, pod: Endpoint) -> bool:
        return not pod.host_network and pod.namespace == policy.namespace and matches(policy.pod_selector, pod.labels)

    def _rule(self, namespace: str, rule: Rule, direction: Direction, pod: Endpoint) -> list[Allowance]:
        addresses = self._peers(namespace, rule.peers) if rule.peers else None
        if self.behaviour.any_pods_names and direction is Direction.EGRESS and rule.ports and not rule.peers:
            named = [port for port in rule.ports if port.name is not None]
            spans = [span for port in rule.ports for span in _numbered(port)]
            spans += [span for port in named for span in self._named(namespace, rule, port, pod)]
            return [Allowance(addresses, _joined(spans))] if spans else []
        return self.on_ports(addresses, rule.ports, direction, pod)

    def on_ports(
        self, addresses: AddressSet | None, of_rule: Sequence[PolicyPort], direction: Direction, pod: Endpoint
    ) -> list[Allowance]:
        """The packets to or from ``addresses`` on the ports that a rule for ``pod`` has; none of them: on any."""
        if not of_rule:
            return [Allowance(addresses, None)]
        numbered = [span for port in of_rule for span in _numbered(port)]
        named = [port for port in of_rule if port.name is not None]
        if direction is Direction.INGRESS:
            ports = _joined(numbered + [span for port in named for span in _resolved(port, pod)])
            return [Allowance(addresses, ports)] if ports else []
        allowed = [Allowance(addresses, _joined(numbered))] if numbered else []
        return allowed + self._named_at_destinations(named, addresses)

    def _named_at_destinations(self, named: Sequence[PolicyPort], addresses: AddressSet | None) -> list[Allowance]:
        """A name means, for each destination pod among ``addresses``, the ports which that pod declares under it."""
        destinations: dict[tuple[PortSpan, ...], AddressSet] = {}
        for pod in self._pods:
            ports = _joined(span for port in named for span in _resolved(port, pod))
            reached = AddressSet.of(address for address in pod.addresses if addresses is None or address in addresses)
            if ports and reached != AddressSet():
                destinations[ports] = destinations.get(ports, AddressSet()) | reached
        return [Allowance(reached, ports) for ports, reached in destinations.items()]

    def _peers(self, namespace: str, peers: tuple[Peer, ...]) -> AddressSet:
        key = (namespace, peers)
        if key not in self._addresses:
            found = AddressSet()
            for peer in peers:
                found |= self._peer(namespace, peer)
            self._addresses[key] = found
        return self._addresses[key]

    def _peer(self, namespace: str, peer: Peer) -> AddressSet:
        if peer.ip_block is not None:
            return AddressSet.of([peer.ip_block.cidr]) - AddressSet.of(peer.ip_block.excepts) - self._outside
        return AddressSet.of(
            address for pod in self._pods if self._is_peer(namespace, peer, pod) for address in pod.addresses
        )

    def _is_peer(self, namespace: str, peer: Peer, pod: Endpoint) -> bool:
        if self._on_pod.get(pod.name) is Dialect.KNOWS_NO_PODS:
            return False
        if peer.namespace_selector is None:
            if pod.namespace != namespace:
                return False
        elif not matches(peer.namespace_selector, self._namespaces[pod.namespace].labels):
            return False
        return peer.pod_selector is None or matches(peer.pod_selector, pod.labels)


def matches(selector: LabelSelector, labels: Labels) -> bool:
    """Whether ``labels`` meet every condition of ``selector`` (meta/v1 LabelSelector)."""
    equal = all(labels.get(key) == value for key, value in selector.match_labels)
    return equal and all(_meets(requirement, labels) for requirement in selector.match_expressions)


def _meets(requirement: Requirement, labels: Labels) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case Operator.IN:
            return value is not None and value in requirement.values
        case Operator.NOT_IN:
            return value is None or value not in requirement.values
        case Operator.EXISTS:
            return value is not None
        case Operator.DOES_NOT_EXIST:
            return value is None


def _numbered(port: PolicyPort) -> list[PortSpan]:
    if port.name is not None:
        return []
    if port.number is None:
        return [(port.protocol, 0, LAST_PORT)]
    return [(port.protocol, port.number, port.number if port.end_port is None else port.end_port)]


def _resolved(port: PolicyPort, pod: Endpoint) -> list[PortSpan]:
    declared = (item for item in pod.ports if item.name == port.name and item.protocol is port.protocol)
    return [(item.protocol, item.number, item.number) for item in declared]


def _joined(spans: Iterable[PortSpan]) -> tuple[PortSpan, ...]:
    items = list(spans)
    return tuple(
        (protocol, first, last)
        for protocol in Protocol
        for first, last in union((first, last) for each, first, last in items if each is protocol)
    )
