"""Which agent fires a cell, which one answers it, at which address; and which cells nobody can probe, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from auditor.model.ports import Protocol
from auditor.model.snapshot import Family, IPAddress
from auditor.model.verdict import Cell
from auditor.probing.attempts import Listener
from auditor.probing.batches import Aim
from auditor.probing.sites import Seat

NO_SCTP = "SCTP sockets are not available here"
NO_UDP_ANSWER = "a UDP answer can't be told from silence without an agent at the other end"
NO_UDP_LISTENER = "a UDP answer can't be told from silence where a real listener, and no agent, is to answer"
NOBODY: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Route:
    """A cell that can be probed: the seats at both ends and the destination's address."""

    source: Seat
    destination: Seat
    address: IPAddress
    listener: Listener

    @property
    def pair(self) -> tuple[str, str, Family]:
        """What it shares with the cells of other ports: the names of both seats, and the family."""
        return self.source.name, self.destination.name, self.listener.family

    @property
    def aim(self) -> Aim:
        """The attempt that its source makes; where no agent of ours answers, connecting is all there is to try."""
        identity = self.destination.name if self.destination.answers else None
        return Aim(str(self.address), self.listener.protocol, self.listener.port, identity)


@dataclass(frozen=True, slots=True)
class Seating:
    """Every cell is in exactly one of the two: ``routes``, or ``skipped`` with the reason."""

    routes: Mapping[Cell, Route]
    skipped: Mapping[Cell, str]

    @property
    def seats(self) -> tuple[Seat, ...]:
        """The seats whose agents take part, in order of appearance."""
        taking_part = {seat.name: seat for route in self.routes.values() for seat in (route.source, route.destination)}
        return tuple(seat for seat in taking_part.values() if seat.agent)

    @property
    def listeners(self) -> Mapping[str, tuple[Listener, ...]]:
        """What each agent must listen on, by its seat's name; every agent that takes part has an entry."""
        wanted: dict[str, dict[Listener, None]] = {seat.name: {} for seat in self.seats}
        for route in self.routes.values():
            if route.destination.answers:
                wanted[route.destination.name][route.listener] = None
        return {name: tuple(listeners) for name, listeners in wanted.items()}

    @property
    def to_prove(self) -> tuple[Route, ...]:
        """One route to each listener that an agent beside it can prove alive."""
        return tuple({route.listener: route for route in self.routes.values() if route.destination.agent}.values())


def seat_cells(cells: Iterable[Cell], seats: Sequence[Seat], absent: Mapping[str, str] = NOBODY) -> Seating:
    """Find both ends of each cell. ``absent`` has the reason why an endpoint has no seat, where there is more to say than just that."""
    by_endpoint = {endpoint: seat for seat in seats for endpoint in seat.endpoints}
    routes: dict[Cell, Route] = {}
    skipped: dict[Cell, str] = {}
    for cell in cells:
        found = _route(cell, by_endpoint, absent)
        if isinstance(found, str):
            skipped[cell] = found
        else:
            routes[cell] = found
    return Seating(routes, skipped)


def _route(cell: Cell, by_endpoint: Mapping[str, Seat], absent: Mapping[str, str]) -> Route | str:
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


def _address(seat: Seat, cell: Cell) -> IPAddress | None:
    return next((address for address in seat.addresses if address.version == cell.family), None)
