"""Which agent fires a cell, which one answers it, at which address; and which cells nobody can probe, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from auditor.model.addresses import IPAddress
from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell
from auditor.probing.attempts import Listener
from auditor.probing.batches import Target
from auditor.probing.sites import ProbeSite

NO_SCTP = "SCTP sockets are not available here"
NO_UDP_ANSWER = "a UDP answer can't be told from silence without an agent at the other end"
NO_UDP_LISTENER = "a UDP answer can't be told from silence where a real listener, and no agent, is to answer"
NOBODY: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Route:
    """A cell that can be probed: the sites at both ends and the destination's address."""

    source: ProbeSite
    destination: ProbeSite
    address: IPAddress
    listener: Listener

    @property
    def pair(self) -> tuple[str, str, Family]:
        """What it shares with the cells of other ports: the names of both sites, and the family."""
        return self.source.name, self.destination.name, self.listener.family

    @property
    def target(self) -> Target:
        """The attempt that its source makes; where no agent of ours answers, connecting is all there is to try."""
        identity = self.destination.name if self.destination.answers else None
        return Target(str(self.address), self.listener.protocol, self.listener.port, identity)


@dataclass(frozen=True, slots=True)
class Routing:
    """Every cell is in exactly one of the two: ``routes``, or ``skipped`` with the reason."""

    routes: Mapping[Cell, Route]
    skipped: Mapping[Cell, str]

    @property
    def sites(self) -> tuple[ProbeSite, ...]:
        """The sites whose agents take part, in order of appearance."""
        taking_part = {site.name: site for route in self.routes.values() for site in (route.source, route.destination)}
        return tuple(site for site in taking_part.values() if site.agent)

    @property
    def listeners(self) -> Mapping[str, tuple[Listener, ...]]:
        """What each agent must listen on, by its site's name; every agent that takes part has an entry."""
        wanted: dict[str, dict[Listener, None]] = {site.name: {} for site in self.sites}
        for route in self.routes.values():
            if route.destination.answers:
                wanted[route.destination.name][route.listener] = None
        return {name: tuple(listeners) for name, listeners in wanted.items()}

    @property
    def to_prove(self) -> tuple[Route, ...]:
        """One route to each listener that an agent beside it can prove alive."""
        return tuple({route.listener: route for route in self.routes.values() if route.destination.agent}.values())


def route_cells(cells: Iterable[Cell], sites: Sequence[ProbeSite], absent: Mapping[str, str] = NOBODY) -> Routing:
    """Find both ends of each cell. ``absent`` has the reason why an endpoint has no site, where there is more to say
    than just that.
    """
    by_endpoint = {endpoint: site for site in sites for endpoint in site.endpoints}
    routes: dict[Cell, Route] = {}
    skipped: dict[Cell, str] = {}
    for cell in cells:
        found = _route(cell, by_endpoint, absent)
        if isinstance(found, str):
            skipped[cell] = found
        else:
            routes[cell] = found
    return Routing(routes, skipped)


def _route(cell: Cell, by_endpoint: Mapping[str, ProbeSite], absent: Mapping[str, str]) -> Route | str:
    if cell.protocol is Protocol.SCTP:
        return NO_SCTP
    source, destination = by_endpoint.get(cell.source), by_endpoint.get(cell.destination)
    if source is None or destination is None:
        missing = cell.destination if source else cell.source
        return absent.get(missing) or f"no agent can run at {missing}"
    if not source.agent:
        return f"no agent runs at {cell.source}: it can only be a destination"
    if cell.protocol is Protocol.UDP and not destination.answers:
        return NO_UDP_LISTENER if destination.agent else NO_UDP_ANSWER
    address = _address(destination, cell)
    if address is None or _address(source, cell) is None:
        return f"{cell.source if address else cell.destination} has no {cell.family} address"
    return Route(source, destination, address, Listener(destination.name, cell.protocol, cell.port, cell.family))


def _address(site: ProbeSite, cell: Cell) -> IPAddress | None:
    return next((address for address in site.addresses if address.version == cell.family), None)
