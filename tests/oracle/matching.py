"""Whether one rule matches one packet, as an enforcer of a given dialect understands the rule.

Kept apart from ``tests.oracle.evaluator`` so that the rules of the API (what a selector, a peer and a port mean) can be
read without the rules of isolation. Nothing here is clever on purpose: each function answers one question about one
cell by looping over what the policy says, and each dialect is a condition at the place where it departs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from auditor.model.dialect import Dialect
from auditor.model.labels import Labels, LabelSelector, Operator, Requirement
from auditor.model.policy import Direction, IPBlock, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Snapshot


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection, or of its reply: who sends it to whom, and its destination port."""

    source: Endpoint
    destination: Endpoint
    protocol: Protocol
    port: int
    family: Family

    def reply(self, client_port: int) -> Packet:
        """What the destination answers when the connection came from ``client_port``."""
        return replace(self, source=self.destination, destination=self.source, port=client_port)


@dataclass(frozen=True)
class EnforcerBehaviour:
    """How one enforcer reads policies: a dialect, whether an ipBlock can match addresses inside the cluster, and
    whether it knows the pod at the other end.
    """

    snapshot: Snapshot
    dialect: Dialect
    ip_block_matches_cluster: bool = True
    other_is_known: bool = True


def selector_matches(selector: LabelSelector, labels: Labels, dialect: Dialect) -> bool:
    """Meta/v1 LabelSelector: all of matchLabels and all of matchExpressions."""
    for key, value in selector.match_labels:
        if key not in labels:
            return False
        if labels[key] != value and dialect is not Dialect.LABEL_KEY_ONLY:
            return False
    return all(requirement_holds(requirement, labels, dialect) for requirement in selector.match_expressions)


def requirement_holds(requirement: Requirement, labels: Labels, dialect: Dialect) -> bool:
    """Meta/v1 LabelSelectorRequirement. NotIn holds where the key is missing (k8s.io/apimachinery/pkg/labels)."""
    present = requirement.key in labels
    if requirement.operator is Operator.EXISTS:
        return present
    if requirement.operator is Operator.DOES_NOT_EXIST:
        return not present
    if requirement.operator is Operator.IN:
        return present and (dialect is Dialect.LABEL_KEY_ONLY or labels[requirement.key] in requirement.values)
    if not present:
        return dialect is not Dialect.NOT_IN_NEEDS_KEY
    return labels[requirement.key] not in requirement.values


def policy_selects(policy: NetworkPolicy, pod: Endpoint, dialect: Dialect) -> bool:
    """NetworkPolicySpec.podSelector: pods of the policy's own namespace, those on the host's network left out."""
    return (
        pod.selectable
        and pod.namespace == policy.namespace
        and selector_matches(policy.pod_selector, pod.labels, dialect)
    )


def policy_isolates(policy: NetworkPolicy, pod: Endpoint, direction: Direction, dialect: Dialect) -> bool:
    """Whether ``policy`` isolates ``pod`` in ``direction``."""
    if direction not in policy.directions and dialect is not Dialect.ISOLATES_BOTH_DIRECTIONS:
        return False
    return policy_selects(policy, pod, dialect)


def rule_matches(
    rule: Rule, policy: NetworkPolicy, direction: Direction, packet: Packet, behaviour: EnforcerBehaviour
) -> bool:
    """Whether one item of ``ingress`` or ``egress`` allows ``packet``: one of its peers and one of its ports match."""
    other = packet.source if direction is Direction.INGRESS else packet.destination
    peer_found = not rule.peers
    for peer in rule.peers:
        if peer_matches(peer, policy, other, packet.family, behaviour):
            peer_found = True
    port_found = not rule.ports or behaviour.dialect is Dialect.IGNORES_PORTS
    any_pods_names = behaviour.dialect is Dialect.NAMES_OF_ANY_POD and direction is Direction.EGRESS and not rule.peers
    for port in rule.ports:
        if any_pods_names and port.name is not None:
            for pod in behaviour.snapshot.endpoints:
                declares = pod.selectable and pod.namespace == policy.namespace
                if declares and port_matches(port, replace(packet, destination=pod), behaviour.dialect):
                    port_found = True
        elif port_matches(port, packet, behaviour.dialect):
            port_found = True
    return peer_found and port_found


def peer_matches(
    peer: Peer, policy: NetworkPolicy, other: Endpoint, family: Family, behaviour: EnforcerBehaviour
) -> bool:
    """NetworkPolicyPeer: an ipBlock by address; podSelector alone in the policy's namespace; with namespaceSelector,
    AND.
    """
    dialect = behaviour.dialect
    if peer.ip_block is not None:
        return block_matches(peer.ip_block, other, family, behaviour)
    if not other.selectable or not behaviour.other_is_known or dialect is Dialect.KNOWS_NO_PODS:
        return False
    pod_fits = peer.pod_selector is None or selector_matches(peer.pod_selector, other.labels, dialect)
    if peer.namespace_selector is None:
        in_own_namespace = other.namespace == policy.namespace
        return pod_fits and (in_own_namespace or dialect is Dialect.POD_SELECTOR_ANY_NAMESPACE)
    if dialect is Dialect.OWN_NAMESPACE_ONLY:
        return False
    namespace_labels = behaviour.snapshot.namespaces[other.namespace].labels
    namespace_fits = (
        selector_matches(peer.namespace_selector, namespace_labels, dialect)
        or dialect is Dialect.IGNORES_NAMESPACE_SELECTOR
    )
    if dialect is Dialect.PEERS_OR_INSTEAD_OF_AND and peer.pod_selector is not None:
        return namespace_fits or (pod_fits and other.namespace == policy.namespace)
    return pod_fits and namespace_fits


def block_matches(block: IPBlock, other: Endpoint, family: Family, behaviour: EnforcerBehaviour) -> bool:
    """IPBlock: the other end's address is inside ``cidr`` and in none of ``except``.

    Of an endpoint without any address only one thing is known: a block of the whole family contains it.
    """
    inside_cluster = other.kind is not EndpointKind.HOST
    if inside_cluster and (behaviour.dialect is Dialect.IP_BLOCK_SKIPS_PODS or not behaviour.ip_block_matches_cluster):
        return False
    excepts = () if behaviour.dialect is Dialect.IGNORES_EXCEPT else block.excepts
    if not other.addresses:
        return block.cidr.version == family and block.cidr.prefixlen == 0 and not excepts
    for address in other.addresses:
        if address.version == family and address in block.cidr:
            return not any(address in network for network in excepts)
    return False


def port_matches(port: PolicyPort, packet: Packet, dialect: Dialect) -> bool:
    """NetworkPolicyPort: a name means what the destination pod declares under it; a missing port means all of the
    protocol.
    """
    either = dialect is Dialect.IGNORES_PROTOCOL and packet.protocol in (Protocol.TCP, Protocol.UDP)
    if port.protocol is not packet.protocol and not either:
        return False
    if port.name is not None:
        return dialect is not Dialect.IGNORES_NAMED_PORTS and declares(
            packet.destination, packet.protocol, port.name, packet.port
        )
    if port.number is None:
        return True
    if port.end_port is None or dialect is Dialect.IGNORES_END_PORT:
        return packet.port == port.number
    return port.number <= packet.port <= port.end_port


def declares(destination: Endpoint, protocol: Protocol, name: str, number: int) -> bool:
    """Whether the pod declares ``number`` under ``name``. A pod on the host's network is its node's address, which
    declares nothing.
    """
    if not destination.selectable:
        return False
    return any(port.name == name and port.protocol is protocol and port.number == number for port in destination.ports)
