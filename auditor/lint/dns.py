"""Checks of DNS: pods that may send somewhere need to ask for its address first."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, reduce
from ipaddress import ip_address
from operator import or_
from textwrap import indent

from auditor.lint.finding import Check, Remark, policy_place
from auditor.lint.implication import excepts_of, may_match
from auditor.lint.listing import listed
from auditor.lint.policy_index import IndexedRule, PolicyIndex
from auditor.model.dns_seen import DNS_PLACES, DNS_PORT
from auditor.model.labels import NAMESPACE_NAME_LABEL, LabelSelector
from auditor.model.lint import Place, Severity
from auditor.model.notation import peer_yaml
from auditor.model.policy import Direction, IPBlock, NetworkPolicy, Peer, PolicyPort
from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, Family, Namespace, Service, ServicePort
from auditor.policy.addresses import bounds
from auditor.policy.bits import mask_of, union

DNS_PAGE = "https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/"
OPENSHIFT_DNS_PORT = 5353
"""On which OpenShift's DNS pods listen, to which its plugin and others apply policies."""
NODE_LOCAL_DNS = tuple(map(ip_address, ("169.254.20.10", "169.254.25.10", "fd00::10")))
"""Where NodeLocal DNSCache listens: as Kubernetes and as Kubespray sets it up."""
API_SERVER_PORT = 6443
HTTPS = 443


class _Dns:
    """Where the cluster's DNS is, as far as it is known."""

    def __init__(self, policy_index: PolicyIndex) -> None:
        self._policy_index = policy_index
        pods = [
            pod
            for namespace, (key, value) in DNS_PLACES
            for pod in policy_index.members(policy_index.pods_in(namespace))
            if pod.labels.get(key) == value
        ]
        names = {pod.name for pod in pods}
        self._there = next(
            (place for place in DNS_PLACES if any(pod.namespace == place[0] for pod in pods)), DNS_PLACES[0]
        )
        self.pods = mask_of(
            group
            for group, each in zip(policy_index.groups.of_endpoint, policy_index.snapshot.endpoints, strict=True)
            if each.name in names
        )
        services = [service for service in policy_index.snapshot.services if self._is_dns(service)]
        own = {address for each in services for address in each.cluster_ips}
        addresses = {*NODE_LOCAL_DNS, *own}
        self._may_be_any_address = not own and not (pods and policy_index.complete)
        self._sorted = {family: sorted(int(each) for each in addresses if each.version == family) for family in Family}
        self.numbers: dict[Protocol, set[int]] = {Protocol.UDP: set(), Protocol.TCP: set()}
        for protocol, numbers in self.numbers.items():
            for service in services:
                for port in service.ports:
                    if port.protocol is protocol and port.number == DNS_PORT:
                        numbers.update(_targets(port, pods))

    @staticmethod
    def _is_dns(service: Service) -> bool:
        chosen = () if service.selector is None else service.selector.items()
        return any(service.namespace == namespace and label in chosen for namespace, label in DNS_PLACES)

    @property
    def ports(self) -> dict[Protocol, list[int]]:
        """What DNS pods listen on: 53, unless their Service says otherwise."""
        return {protocol: sorted(numbers) or [DNS_PORT] for protocol, numbers in self.numbers.items()}

    @property
    def rule(self) -> str:
        """The egress rule that opens DNS."""
        namespace, label = self._there
        peer = Peer(LabelSelector((label,)), LabelSelector(((NAMESPACE_NAME_LABEL, namespace),)))
        ports = [_port_yaml(protocol, number) for protocol, numbers in self.ports.items() for number in numbers]
        return "egress:\n- to:\n" + indent(peer_yaml(peer), "  ") + "\n  ports:\n" + indent("\n".join(ports), "  ")

    @cached_property
    def _wanted(self) -> dict[Protocol, int]:
        """The port atoms of DNS; where nothing shows on what it listens, those of any cluster's."""
        return {
            protocol: union(self._policy_index.atoms.mask(protocol, number, number) for number in numbers)
            for protocol, numbers in self._ports_of_any.items()
        }

    @property
    def _ports_of_any(self) -> dict[Protocol, list[int]]:
        return {
            protocol: sorted(numbers) or [DNS_PORT, OPENSHIFT_DNS_PORT] for protocol, numbers in self.numbers.items()
        }

    def opened(self, indexed: IndexedRule, protocol: Protocol) -> bool:
        """Whether an egress rule lets its pods ask a DNS server over ``protocol``, or may."""
        wanted = self._wanted[protocol]
        named = any(
            port.name is not None and "dns" in port.name and port.protocol is protocol for port in indexed.rule.ports
        )
        if not any(atoms & wanted for atoms in indexed.ports) and not (named and not self.pods):
            return False
        peers = indexed.rule.peers
        if any(peer.ip_block is not None and self._may_hold_dns(peer.ip_block) for peer in peers):
            return True
        if self.pods:
            reached = indexed.peers & self.pods and any(
                atoms & wanted and meant & self.pods for atoms, meant in indexed.ports.items()
            )
            return bool(reached) or (not self._policy_index.complete and any(map(_speaks_of_dns, peers)))
        return not peers or any(self._may_mean_dns(indexed.policy, peer) for peer in peers)

    def _may_mean_dns(self, policy: NetworkPolicy, peer: Peer) -> bool:
        """Whether a peer may have the cluster's DNS pods among it, of which none is known."""
        if peer.ip_block is not None:
            return False
        if peer.namespace_selector is None:
            return policy.namespace in dict(DNS_PLACES) or _speaks_of_dns(peer)
        namespaces = self._policy_index.namespaces
        return _speaks_of_dns(peer) or any(
            may_match(peer.namespace_selector, namespaces.get(name, Namespace.of(name, known=False)))
            for name, _ in DNS_PLACES
        )

    def _may_hold_dns(self, block: IPBlock) -> bool:
        if self._may_be_any_address:
            return True
        first, last = bounds(block.cidr)
        addresses = self._sorted[Family(block.cidr.version)]
        inside = addresses[bisect_left(addresses, first) : bisect_right(addresses, last)]
        return any(not excepts_of(block).hold(address) for address in inside)


def _speaks_of_dns(peer: Peer) -> bool:
    """Whether a peer asks for something that is called a DNS: clusters can have others than their own."""
    return any("dns" in str(selector) for selector in (peer.pod_selector, peer.namespace_selector))


def _port_yaml(protocol: Protocol, number: int) -> str:
    return f"- {{protocol: {protocol}, port: {number}}}"


def _targets(port: ServicePort, pods: Iterable[Endpoint]) -> set[int]:
    """The numbers that a port of a Service has on the pods behind it."""
    if isinstance(port.target, int):
        return {port.target}
    return {number for pod in pods for number in pod.resolve(port.protocol, port.target)}


def _needs_names(indexed: IndexedRule) -> bool:
    """Whether a rule opens anything but single addresses and the API server, for which nobody needs DNS: every pod is
    told the API server's address.
    """
    peers = indexed.rule.peers
    by_address = all(peer.ip_block is not None for peer in peers)
    if by_address and _is_for_api_server(indexed.rule.ports):
        return False
    return not peers or any(peer.ip_block is None or peer.ip_block.cidr.num_addresses > 1 for peer in peers)


def _is_for_api_server(ports: Sequence[PolicyPort]) -> bool:
    numbers = {port.number for port in ports if port.end_port is None}
    return API_SERVER_PORT in numbers and numbers <= {API_SERVER_PORT, HTTPS} and len(ports) == len(numbers)


def _dns_gaps(policy_index: PolicyIndex, dns: _Dns, protocol: Protocol, out_of: int) -> Iterator[tuple[Place, int]]:
    """For each policy the pods of ``out_of`` that can send somewhere but can't ask DNS over ``protocol``; each pod is
    told once.
    """
    sending = served = 0
    for indexed in policy_index.rules:
        if indexed.direction is Direction.EGRESS:
            if _needs_names(indexed):
                sending |= indexed.subjects
            if dns.opened(indexed, protocol):
                served |= indexed.subjects
    left = out_of & sending & ~served & ~dns.pods & ~policy_index.uncertain
    for policy, subjects in zip(policy_index.snapshot.policies, policy_index.subjects, strict=True):
        if not policy_index.names_namespace(policy.namespace):
            continue
        if Direction.EGRESS in policy.directions and policy.egress and subjects & left:
            yield policy_place(policy, "spec.egress", policy.egress[0].line), subjects & left
            left &= ~subjects


def egress_without_dns(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Pods that may open some connections, but none to a DNS server over UDP."""
    dns = _Dns(policy_index)
    for place, pods in _dns_gaps(policy_index, dns, Protocol.UDP, policy_index.isolated[Direction.EGRESS]):
        message = (
            f"{policy_index.names(pods)} may send, but not to DNS (UDP {_numbers(dns, Protocol.UDP)}): every "
            "connection by name fails"
        )
        yield Remark(place, message, dns.rule)


def _numbers(dns: _Dns, protocol: Protocol) -> str:
    return listed(list(map(str, dns.ports[protocol])))


def dns_over_udp_only(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Pods that may ask DNS over UDP and not over TCP."""
    dns = _Dns(policy_index)
    udp, tcp = _numbers(dns, Protocol.UDP), _numbers(dns, Protocol.TCP)
    without_udp = reduce(
        or_,
        (pods for _, pods in _dns_gaps(policy_index, dns, Protocol.UDP, policy_index.isolated[Direction.EGRESS])),
        0,
    )
    for place, pods in _dns_gaps(
        policy_index, dns, Protocol.TCP, policy_index.isolated[Direction.EGRESS] & ~without_udp
    ):
        lost = "answers that are too long for a datagram are lost"
        message = f"{policy_index.names(pods)} may ask DNS over UDP {udp}, but not over TCP {tcp}: {lost}"
        ports = "\n".join(_port_yaml(Protocol.TCP, number) for number in dns.ports[Protocol.TCP])
        yield Remark(place, message, f"Beside UDP {udp}:\n{ports}", cause=place.namespace)


CHECKS = (
    Check(
        "egress-without-dns",
        Severity.WARNING,
        "Egress is isolated, and DNS is forgotten",
        "Once any policy for Egress selects a pod, everything that no rule opens is cut, name resolution too. "
        "Connections by name then "
        "fail, although the rule for the connection itself is there.",
        egress_without_dns,
        DNS_PAGE,
        needs_pods=False,
    ),
    Check(
        "dns-over-udp-only",
        Severity.INFO,
        "DNS is open over UDP and not over TCP",
        "Answers that don't fit into a datagram are asked for again over TCP: headless Services with many pods, "
        "DNSSEC, long TXT records. "
        "Such names then fail, and only they.",
        dns_over_udp_only,
        DNS_PAGE,
        needs_pods=False,
    ),
)
