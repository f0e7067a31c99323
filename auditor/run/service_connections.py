"""What a connection to a Service becomes: one to each backend, and what the way there leaves in doubt.

Policies see the backend pod and its port. From outside the cluster, and by way of a node's address, they often see a
node's address in the place of the source's: kube-proxy hides the source unless externalTrafficPolicy is Local.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

from auditor.model.addresses import IPAddress
from auditor.model.errors import UsageError
from auditor.model.policy import Direction, IPBlock, NetworkPolicy
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Endpoint, EndpointKind, Service, Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.policy.explain import Decision, decide
from auditor.policy.matrix import common_families
from auditor.policy.services import (
    ServiceRoute,
    asked_for,
    backends,
    blocks_that_cover,
    find_service,
    own_port,
    translate,
)

ANY_SOURCE = Endpoint("host/any", EndpointKind.HOST)
"""A source of which nothing is known: what is open to it is open to everybody."""


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a Service that is asked for: the connections that it stands for, and the ipBlocks, with their policies,
    that cover the Service's own address. ``at`` is the node or address by which it is reached, if not by its name.
    ``remarks`` say what else matters on the way.
    """

    service: Service
    port: PortRequest
    cells: tuple[Cell, ...]
    covering: tuple[tuple[NetworkPolicy, IPBlock, IPAddress], ...]
    at: str = ""
    remarks: tuple[str, ...] = ()


def service_called(snapshot: Snapshot, name: str) -> Service:
    """The Service called ``NAMESPACE/NAME``. Raises UsageError, with those that there are, when there is none."""
    try:
        return find_service(snapshot, name)
    except KeyError:
        if (why := snapshot.absent.get(f"service/{name}")) is not None:
            raise UsageError(f"service/{name} {why}") from None
        known = ", ".join(service.full_name for service in snapshot.services) or "none"
        raise UsageError(f"there is no Service {name!r} in the input; there are: {known}") from None


def connections(source: Endpoint, destination: Endpoint, port: PortRequest) -> tuple[Cell, ...]:
    """The connections that ``port`` of ``destination`` stands for: one for each number and family. Raises UsageError
    when there is none.
    """
    numbers = destination.resolve(port.protocol, port.name) if port.name else (port.number,)
    if not numbers:
        raise UsageError(f"{destination.name} declares no {port.protocol} port called {port.name!r}")
    families = common_families(source, destination)
    if not families:
        raise UsageError(
            f"{source.name} and {destination.name} have no address family in common: they can't talk at all"
        )
    return tuple(
        Cell(source.name, destination.name, port.protocol, number, family) for number in numbers for family in families
    )


@dataclass(frozen=True)
class ServiceQuestion:
    """``source`` asks for ``port`` of ``service``, by its name, or ``at`` a node or at an address of its own.

    Raises UsageError, with the reason, where that leads nowhere.
    """

    given: Snapshot
    source: Endpoint
    service: Service
    port: PortRequest
    at: Endpoint | None = None
    by_node: bool = False

    @classmethod
    def by_name(cls, snapshot: Snapshot, source: Endpoint, name: str, port: PortRequest) -> Self:
        """The question about ``port``, its own or a nodePort, of the Service ``NAMESPACE/NAME``."""
        service = service_called(snapshot, name)
        meant = own_port(service, port)
        return cls(snapshot, source, service, meant or port, by_node=meant is not None)

    @cached_property
    def snapshot(self) -> Snapshot:
        """The cluster, with the backends at addresses that nobody else in it has."""
        known = {endpoint.name for endpoint in self.given.endpoints}
        new = {route.backend.name: route.backend for route in self._routes if route.backend.name not in known}
        return replace(self.given, endpoints=(*self.given.endpoints, *new.values()))

    @property
    def answer(self) -> ServicePort:
        covering = blocks_that_cover(self.given, self.service, self.source)
        at = self.at.name if self.at else ""
        return ServicePort(self.service, self.port, self.cells, covering, at, self._remarks)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """A connection to each backend, but for those that have no address family in common with the source."""
        able = [route for route in self._routes if common_families(self.source, route.backend)]
        return tuple(
            dict.fromkeys(
                cell
                for route in able or self._routes
                for cell in connections(
                    self.source, route.backend, PortRequest(self.port.protocol, number=route.number)
                )
            )
        )

    @cached_property
    def doubts(self) -> Mapping[Cell, str]:
        """The connections whose verdict hangs on the way that they take, each with the reason."""
        if self._where_is_unknown:
            return dict.fromkeys(self.cells, self._where_is_unknown)
        if not self._hides_source:
            return {}
        return {cell: self._why_hidden for cell in self.cells if not self._is_sure(cell)}

    @cached_property
    def _routes(self) -> Sequence[ServiceRoute]:
        routes = translate(self.given, self.service, self.port)
        here = [route for route in routes if self._takes(route.backend)]
        if here:
            return here
        why = self._why_none_here if routes else self._why_nowhere()
        raise UsageError(f"{self.service.full_name} sends {self.port} nowhere: {why}")

    @property
    def _only_on(self) -> str:
        """The node whose backends alone are used; empty: any."""
        from_outside = self.source.kind is EndpointKind.HOST and self.at is not None
        if self.service.headless:
            return ""
        if from_outside and self.at is not None:
            return self.at.node if self.service.external_local else ""
        return self.source.node if self.service.internal_local and self.at is None else ""

    def _takes(self, backend: Endpoint) -> bool:
        return not self._only_on or backend.node in ("", self._only_on)

    @property
    def _why_none_here(self) -> str:
        field = "internalTrafficPolicy" if self.at is None else "externalTrafficPolicy"
        return f"its {field} is Local, and none of its backends runs on {self._only_on}"

    def _why_nowhere(self) -> str:
        service, port = self.service, self.port
        ports = asked_for(service, port)
        if not ports and not (service.headless and not port.name):
            known = ", ".join(f"{each.protocol}/{each.number}" for each in service.ports) or "no ports"
            return f"it has {known}"
        if service.selector is None:
            return (
                "it has no selector, and no EndpointSlice or Endpoints in the input says where it leads: add what "
                f"'kubectl get endpointslices -n {service.namespace} -o yaml' prints"
            )
        if not backends(self.given, service):
            selector = ",".join(f"{key}={value}" for key, value in service.selector.items())
            return f"no pod in the input has the labels of its selector, {selector}"
        return f"none of its backends declares a {port.protocol} port called {ports[0].target!r}"

    @property
    def _hides_source(self) -> bool:
        """Whether policies may see another source: from outside, and for sources that come through a node."""
        if self.service.headless:
            return False
        if self.source.kind is EndpointKind.HOST:
            return not self.service.external_local
        return self.by_node or (self.at is not None and self.at.kind is EndpointKind.NODE)

    @property
    def _where_is_unknown(self) -> str:
        """Why it is not sure that a hostPort leads to its pod: nobody knows on which node that runs."""
        if not self.service.is_host_port or self.at is None or any(route.backend.node for route in self._routes):
            return ""
        (route,) = self._routes
        return f"whether {route.backend.name} runs on {self.at.name} is not known"

    @property
    def _why_hidden(self) -> str:
        if self.service.is_host_port and self.source.kind is EndpointKind.HOST:
            return f"it comes by a hostPort: policies may see the address of a node, not that of {self.source.name}"
        if self.source.kind is EndpointKind.HOST and self.service.kind == "ClusterIP" and not self.service.outside_ips:
            return (
                f"{self.service.full_name} has no address outside the cluster: policies see whatever {self.source.name}"
                " gets to it through as the source"
            )
        if self.source.kind is EndpointKind.HOST:
            return (
                f"externalTrafficPolicy is Cluster: policies may see the address of a node as the source, not that of "
                f"{self.source.name}"
            )
        way = self.at.name if self.at else "a node"
        return f"the way leads through {way}, whose address policies may see as the source"

    def _is_sure(self, cell: Cell) -> bool:
        """Whether the verdict is the same whatever address policies see as the source."""
        seen = decide(self.snapshot, cell)
        if seen.verdict is Verdict.ALLOWED:
            return self._open_to_everybody(cell) and self._node_allows(seen)
        return self.source.selectable and not seen.allowed(Direction.EGRESS) and not self._node_allows(seen)

    def _open_to_everybody(self, cell: Cell) -> bool:
        anybody = replace(self.snapshot, endpoints=(*self.snapshot.endpoints, ANY_SOURCE))
        return decide(anybody, cell._replace(source=ANY_SOURCE.name)).verdict is Verdict.ALLOWED

    def _node_allows(self, seen: Decision) -> bool:
        """Whether the source may go to the node and its port, too, where that is what its policies see."""
        if not self.source.selectable:
            return True
        if self.at is None:
            return seen.allowed(Direction.EGRESS) and not seen.egress.isolating
        node_ports = (port.node_port for port in asked_for(self.service, self.port))
        return all(
            decide(self.given, seen.cell._replace(destination=self.at.name, port=number)).allowed(Direction.EGRESS)
            for number in node_ports
            if number
        )

    @property
    def _remarks(self) -> tuple[str, ...]:
        remarks = (self._outside_the_ranges, self._without_selector)
        return tuple(remark for remark in remarks if remark)

    @property
    def _without_selector(self) -> str:
        if self.service.selector is not None or self.service.is_host_port or not self.source.selectable:
            return ""
        ends = {f"{route.number}": [*map(str, route.backend.addresses)] for route in self._routes}
        listed = "; ".join(f"{', '.join(addresses)} on {number}" for number, addresses in ends.items())
        return f"it has no selector: a rule that means it needs ipBlocks of its endpoints and their port, {listed}"

    @property
    def _outside_the_ranges(self) -> str:
        ranges = self.service.source_ranges
        addresses = self.source.addresses
        if self.source.kind is not EndpointKind.HOST or not ranges or not addresses:
            return ""
        if any(address in network for address in addresses for network in ranges):
            return ""
        listed = ", ".join(map(str, ranges))
        return f"the load balancer lets in {listed} alone (loadBalancerSourceRanges), and so not {self.source.name}"
