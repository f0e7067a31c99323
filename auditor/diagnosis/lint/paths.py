"""Checks of what a pod needs beyond one policy: both halves of a path, and DNS."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from ipaddress import ip_address
from operator import or_

from auditor.diagnosis.lint.finding import Check, Place, Remark, Severity, peer_place, policy_place
from auditor.diagnosis.lint.scene import Opening, Scene, meet
from auditor.model.policy import Direction, IPBlock
from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, IPAddress, Service, ServicePort
from auditor.policy.bits import bits, mask_of

TWO_SIDES = "https://kubernetes.io/docs/concepts/services-networking/network-policies/#the-two-sorts-of-pod-isolation"
DNS_PAGE = "https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/"
OTHER_SIDE = {Direction.INGRESS: Direction.EGRESS, Direction.EGRESS: Direction.INGRESS}
DNS_NAMESPACE, DNS_LABEL, DNS_PORT = "kube-system", ("k8s-app", "kube-dns"), 53
NODE_LOCAL_DNS = ip_address("169.254.20.10")
DNS_RULE = """\
egress:
- to:
  - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
    podSelector: {matchLabels: {k8s-app: kube-dns}}
  ports:
  - {protocol: UDP, port: 53}
  - {protocol: TCP, port: 53}"""


def half_open(scene: Scene) -> Iterator[Remark]:
    """Peers that one side admits and the other side's policies cut off entirely: no port between any two of the pods is open."""
    by_namespace: Mapping[tuple[Direction, str], list[Opening]] = defaultdict(list)
    for opening in scene.openings:
        if opening.subjects:
            by_namespace[opening.direction, opening.policy.namespace].append(opening)
    for opening in scene.openings:
        if opening.subjects and opening.ports:
            for number, (peer, reach) in enumerate(zip(opening.rule.peers, opening.reach, strict=True)):
                if peer.ip_block is None and reach and _cut_off(scene, opening, reach, by_namespace):
                    place = peer_place(opening.policy, opening.direction, opening.number, number)
                    yield _half_open_remark(scene, opening, reach, place)


def _cut_off(scene: Scene, opening: Opening, reach: int, by_namespace: Mapping[tuple[Direction, str], list[Opening]]) -> bool:
    other = OTHER_SIDE[opening.direction]
    if reach & (~scene.isolated[other] | scene.uncertain) or (
        reach == opening.subjects and reach.bit_count() == 1 and scene.count(reach) == 1
    ):
        return False
    from_here = Opening(opening.policy, opening.direction, opening.number, opening.rule, opening.subjects, (reach,), reach, opening.ports)
    namespaces = {scene.groups.representatives[group].namespace for group in bits(reach)}
    return not any(meet(from_here, answer) for namespace in namespaces for answer in by_namespace.get((other, namespace), ()))


def _half_open_remark(scene: Scene, opening: Opening, reach: int, place: Place) -> Remark:
    ingress = opening.direction is Direction.INGRESS
    ports = ", ".join(map(str, opening.rule.ports)) or "every port"
    subjects, others = scene.names(opening.subjects), scene.names(reach)
    if ingress:
        message = f"admits {others} to {subjects} on {ports}, but the egress policies of {others} let none of that out"
        need, section = f"a policy that selects {others} has to let it out", "egress:\n- to"
    else:
        message = f"lets {subjects} out to {others} on {ports}, but the ingress policies of {others} admit none of that"
        need, section = f"a policy that selects {others} has to admit it", "ingress:\n- from"
    hint = f"A connection needs both sides; {need}:\n{section}: [...]  # {subjects}\n  ports: [...]  # {ports}"
    return Remark(place, message, hint)


class _Dns:
    """Where the cluster's DNS is, as far as it is known."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        key, value = DNS_LABEL
        pods = [pod for pod in scene.members(scene.pods_in(DNS_NAMESPACE)) if pod.labels.get(key) == value]
        names = {pod.name for pod in pods}
        self.pods = mask_of(
            group for group, each in zip(scene.groups.of_endpoint, scene.snapshot.endpoints, strict=True) if each.name in names
        )
        services = [service for service in scene.snapshot.services if self._is_dns(service)]
        self.addresses: tuple[IPAddress, ...] = (NODE_LOCAL_DNS, *(address for each in services for address in each.cluster_ips))
        self.numbers: dict[Protocol, set[int]] = {Protocol.UDP: set(), Protocol.TCP: set()}
        for protocol, numbers in self.numbers.items():
            for service in services:
                for port in service.ports:
                    if port.protocol is protocol and port.number == DNS_PORT:
                        numbers.update(_targets(port, pods))

    @staticmethod
    def _is_dns(service: Service) -> bool:
        return service.namespace == DNS_NAMESPACE and service.selector is not None and DNS_LABEL in service.selector.items()

    def opened(self, opening: Opening, protocol: Protocol) -> bool:
        """Whether an egress rule lets its pods ask a DNS server over ``protocol``."""
        scene = self._scene
        wanted = reduce(or_, (scene.atoms.mask(protocol, number, number) for number in self.numbers[protocol] or {DNS_PORT}))
        if not self.pods:
            unresolved = any(port.name is not None and "dns" in port.name and port.protocol is protocol for port in opening.rule.ports)
            return unresolved or any(atoms & wanted for atoms in opening.ports)
        if not any(atoms & wanted for atoms in opening.ports):
            return False
        reached = opening.peers & self.pods and any(atoms & wanted and meant & self.pods for atoms, meant in opening.ports.items())
        return bool(reached) or any(peer.ip_block is not None and self._holds_dns(peer.ip_block) for peer in opening.rule.peers)

    def _holds_dns(self, block: IPBlock) -> bool:
        return any(address in block.cidr and not any(address in excepted for excepted in block.excepts) for address in self.addresses)


def _targets(port: ServicePort, pods: Iterable[Endpoint]) -> set[int]:
    """The numbers that a port of a Service has on the pods behind it."""
    if isinstance(port.target, int):
        return {port.target}
    return {number for pod in pods for number in pod.resolve(port.protocol, port.target)}


def _needs_names(opening: Opening) -> bool:
    """Whether a rule opens anything but single addresses, for which nobody needs DNS."""
    peers = opening.rule.peers
    return not peers or any(peer.ip_block is None or peer.ip_block.cidr.num_addresses > 1 for peer in peers)


def _dns_gaps(scene: Scene, protocol: Protocol, out_of: int) -> Iterator[tuple[Place, int]]:
    """For each policy the pods of ``out_of`` that can send somewhere but can't ask DNS over ``protocol``; each pod is told once."""
    dns = _Dns(scene)
    sending = served = 0
    for opening in scene.openings:
        if opening.direction is Direction.EGRESS:
            if _needs_names(opening):
                sending |= opening.subjects
            if dns.opened(opening, protocol):
                served |= opening.subjects
    left = out_of & sending & ~served & ~dns.pods & ~scene.uncertain
    for policy, subjects in zip(scene.snapshot.policies, scene.subjects, strict=True):
        if Direction.EGRESS in policy.directions and policy.egress and subjects & left:
            yield policy_place(policy, "spec.egress", policy.egress[0].line), subjects & left
            left &= ~subjects


def egress_without_dns(scene: Scene) -> Iterator[Remark]:
    """Pods that may open some connections, but none to a DNS server over UDP."""
    for place, pods in _dns_gaps(scene, Protocol.UDP, scene.isolated[Direction.EGRESS]):
        message = f"{scene.names(pods)} may send, but not to DNS (UDP 53): every connection by name fails"
        yield Remark(place, message, DNS_RULE)


def dns_over_udp_only(scene: Scene) -> Iterator[Remark]:
    """Pods that may ask DNS over UDP and not over TCP."""
    without_udp = reduce(or_, (pods for _, pods in _dns_gaps(scene, Protocol.UDP, scene.isolated[Direction.EGRESS])), 0)
    for place, pods in _dns_gaps(scene, Protocol.TCP, scene.isolated[Direction.EGRESS] & ~without_udp):
        message = f"{scene.names(pods)} may ask DNS over UDP 53, but not over TCP 53: answers that are too long for a datagram are lost"
        yield Remark(place, message, "Beside UDP 53:\n- {protocol: TCP, port: 53}")


CHECKS = (
    Check(
        "egress-without-dns",
        Severity.WARNING,
        "Egress is isolated, and DNS is forgotten",
        "Once any policy for Egress selects a pod, everything that no rule opens is cut, name resolution too. Connections by name then "
        "fail, although the rule for the connection itself is there.",
        egress_without_dns,
        DNS_PAGE,
    ),
    Check(
        "dns-over-udp-only",
        Severity.INFO,
        "DNS is open over UDP and not over TCP",
        "Answers that don't fit into a datagram are asked for again over TCP: headless Services with many pods, DNSSEC, long TXT records. "
        "Such names then fail, and only they.",
        dns_over_udp_only,
        DNS_PAGE,
    ),
    Check(
        "half-open-path",
        Severity.WARNING,
        "One side of a connection is allowed, the other is not",
        "A connection needs the source's egress and the destination's ingress. Where both are isolated, a rule on one side alone opens "
        "nothing. Told only where nothing at all gets through between the pods of a peer and those of the policy.",
        half_open,
        TWO_SIDES,
    ),
)
