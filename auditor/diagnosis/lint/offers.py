"""What pods offer: the ports that they declare, and those on which Services reach them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Service, ServicePort, Snapshot
from auditor.policy.bits import bits
from auditor.policy.groups import Groups


@dataclass(frozen=True, slots=True)
class ServiceOffer:
    """One port of a Service with the number that it has on ``pods``, a set of groups."""

    service: Service
    port: ServicePort
    target: int
    pods: int


class Offers:
    """Which groups offer which ports. ``groups`` must tell endpoints apart by every port that they declare."""

    def __init__(self, snapshot: Snapshot, groups: Groups) -> None:
        self._by_port: dict[Protocol, dict[int, int]] = {protocol: defaultdict(int) for protocol in Protocol}
        self._by_service_port: dict[tuple[Protocol, int], list[ServiceOffer]] = defaultdict(list)
        declaring = 0
        for group, endpoint in enumerate(groups.representatives):
            for port in endpoint.ports:
                self._by_port[port.protocol][port.number] |= 1 << group
                declaring |= 1 << group
        served = self._add_services(snapshot, groups)
        unserved = {group for group, each in zip(groups.of_endpoint, snapshot.endpoints, strict=True) if each.name not in served}
        self.fully_known = sum(1 << group for group in bits(declaring) if group not in unserved)
        """The groups that declare ports and of which every pod is behind a Service: their ports are likely all known."""

    def _add_services(self, snapshot: Snapshot, groups: Groups) -> set[str]:
        """Add what Services offer. Returns the names of the pods behind any."""
        pods: dict[str, list[tuple[int, Endpoint]]] = defaultdict(list)
        if snapshot.services:
            for group, endpoint in zip(groups.of_endpoint, snapshot.endpoints, strict=True):
                if endpoint.kind is EndpointKind.POD and endpoint.selectable:
                    pods[endpoint.namespace].append((group, endpoint))
        served: set[str] = set()
        for service in snapshot.services:
            behind = [(group, pod) for group, pod in pods[service.namespace] if _is_behind(pod, service)]
            served.update(pod.name for _, pod in behind)
            for port in service.ports:
                self._add_port(service, port, behind)
        return served

    def _add_port(self, service: Service, port: ServicePort, behind: list[tuple[int, Endpoint]]) -> None:
        targets: dict[int, int] = defaultdict(int)
        for group, pod in behind:
            for number in (port.target,) if isinstance(port.target, int) else pod.resolve(port.protocol, port.target):
                targets[number] |= 1 << group
        for number, mask in targets.items():
            self._by_port[port.protocol][number] |= mask
            self._by_service_port[port.protocol, port.number].append(ServiceOffer(service, port, number, mask))

    def offering(self, protocol: Protocol, first: int, last: int) -> int:
        """The groups that offer any port of this range."""
        known = self._by_port[protocol]
        if first == last:
            return known.get(first, 0)
        mask = 0
        for number, groups in known.items():
            if first <= number <= last:
                mask |= groups
        return mask

    def by_service(self, protocol: Protocol, number: int, pods: int) -> ServiceOffer | None:
        """A Service that is reached on ``number`` and has some of ``pods`` behind it; None when there is none."""
        return next((offer for offer in self._by_service_port.get((protocol, number), ()) if offer.pods & pods), None)

    def ports(self, pods: int) -> list[str]:
        """Every port that any of ``pods`` offers, such as ``TCP/80``, in order."""
        return [
            f"{protocol}/{number}" for protocol, known in self._by_port.items() for number, groups in sorted(known.items()) if groups & pods
        ]


def _is_behind(pod: Endpoint, service: Service) -> bool:
    """Whether ``service`` selects ``pod``; one without a selector has its endpoints managed by hand."""
    return service.selector is not None and service.selector.items() <= pod.labels.items()
