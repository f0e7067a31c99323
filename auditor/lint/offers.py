"""What pods offer: the ports that they declare, and those on which Services reach them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from auditor.model.labels import LabelSelector
from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Service, ServicePort, Snapshot
from auditor.policy.bits import RangeUnion, bits, mask_of
from auditor.policy.groups import Groups
from auditor.policy.label_index import LabelIndex

FEW = 16


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
        self._ports: dict[int, list[str]] = {}
        self._firsts: dict[tuple[Protocol, int], _Firsts] = {}
        declaring = 0
        for group, endpoint in enumerate(groups.representatives):
            for port in endpoint.ports:
                self._by_port[port.protocol][port.number] |= 1 << group
                declaring |= 1 << group
        served = self._add_services(snapshot, groups)
        unserved = {
            group for group, each in zip(groups.of_endpoint, snapshot.endpoints, strict=True) if each.name not in served
        }
        self.fully_known = mask_of(group for group in bits(declaring) if group not in unserved)
        """The groups that declare ports and of which every pod is behind a Service: their ports are likely
        all known.
        """

    def _add_services(self, snapshot: Snapshot, groups: Groups) -> set[str]:
        """Add what Services offer. Returns the names of the pods behind any."""
        pods: dict[str, list[tuple[int, Endpoint]]] = defaultdict(list)
        if snapshot.services:
            for group, endpoint in zip(groups.of_endpoint, snapshot.endpoints, strict=True):
                if endpoint.kind is EndpointKind.POD and endpoint.selectable:
                    pods[endpoint.namespace].append((group, endpoint))
        served: set[str] = set()
        by_labels = {namespace: LabelIndex([pod.labels for _, pod in there]) for namespace, there in pods.items()}
        alike: dict[tuple[str, LabelSelector], list[tuple[int, Endpoint]]] = {}
        for service in snapshot.services:
            if service.selector is None or service.namespace not in pods:
                continue
            selector = LabelSelector(tuple(service.selector.items()))
            key = (service.namespace, selector)
            if key not in alike:
                alike[key] = [
                    pods[service.namespace][number] for number in bits(by_labels[service.namespace].matching(selector))
                ]
                served.update(pod.name for _, pod in alike[key])
            for port in service.ports:
                self._add_port(service, port, alike[key])
        return served

    def _add_port(self, service: Service, port: ServicePort, behind: list[tuple[int, Endpoint]]) -> None:
        targets: dict[int, int] = defaultdict(int)
        for group, pod in behind:
            for number in (port.target,) if isinstance(port.target, int) else pod.resolve(port.protocol, port.target):
                targets[number] |= 1 << group
        for number, mask in targets.items():
            self._by_port[port.protocol][number] |= mask
            self._by_service_port[port.protocol, port.number].append(ServiceOffer(service, port, number, mask))

    def by_service_name(self) -> list[list[ServiceOffer]]:
        """What each Service offers that leads to any pod."""
        found: dict[tuple[str, str], list[ServiceOffer]] = defaultdict(list)
        for offers in self._by_service_port.values():
            for offer in offers:
                found[offer.service.namespace, offer.service.name].append(offer)
        return list(found.values())

    def offering(self, protocol: Protocol, first: int, last: int) -> int:
        """The groups that offer any port of this range."""
        if first == last:
            return self._by_port[protocol].get(first, 0)
        numbers, union = self._unions[protocol]
        return union.of(bisect_left(numbers, first), bisect_right(numbers, last))

    @cached_property
    def _unions(self) -> dict[Protocol, tuple[list[int], RangeUnion]]:
        """The known ports in order, with what offers them."""
        return {
            protocol: (sorted(known), RangeUnion([known[number] for number in sorted(known)]))
            for protocol, known in self._by_port.items()
        }

    def by_service(self, protocol: Protocol, number: int, pods: int) -> ServiceOffer | None:
        """A Service that is reached on ``number`` and has some of ``pods`` behind it; None when there is none."""
        offers = self._by_service_port.get((protocol, number), [])
        if len(offers) <= FEW:
            return next((offer for offer in offers if offer.pods & pods), None)
        first_of = self._first_of(protocol, number)
        first = min((first_of[group] for group in bits(pods & first_of.everything)), default=None)
        return None if first is None else offers[first]

    def _first_of(self, protocol: Protocol, number: int) -> _Firsts:
        if (protocol, number) not in self._firsts:
            self._firsts[protocol, number] = _Firsts(self._by_service_port[protocol, number])
        return self._firsts[protocol, number]

    def ports(self, pods: int) -> list[str]:
        """Every port that any of ``pods`` offers, such as ``TCP/80``, in order."""
        if pods not in self._ports:
            self._ports[pods] = [
                f"{protocol}/{number}"
                for protocol, known in self._by_port.items()
                for number, groups in sorted(known.items())
                if groups & pods
            ]
        return self._ports[pods]


class _Firsts(dict[int, int]):
    """For each group the position of the first offer that it is behind."""

    def __init__(self, offers: Sequence[ServiceOffer]) -> None:
        super().__init__()
        self.everything = 0
        for position, offer in enumerate(offers):
            for group in bits(offer.pods & ~self.everything):
                self[group] = position
            self.everything |= offer.pods
