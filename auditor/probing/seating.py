"""Which agent fires a cell, which one answers it, at which address; and which cells nobody can probe, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from auditor.model.ports import Protocol
from auditor.model.snapshot import IPAddress
from auditor.model.verdict import Cell
from auditor.probing.seats import Seat
from auditor.probing.tries import Listener

NO_SCTP = "SCTP sockets are not available here"


@dataclass(frozen=True, slots=True)
class Route:
    """A cell that can be probed: the seats at both ends and the destination's address."""

    source: Seat
    destination: Seat
    address: IPAddress
    listener: Listener


@dataclass(frozen=True, slots=True)
class Seating:
    """Every cell is in exactly one of the two: ``routes``, or ``skipped`` with the reason."""

    routes: Mapping[Cell, Route]
    skipped: Mapping[Cell, str]

    @property
    def seats(self) -> tuple[Seat, ...]:
        """The seats that take part, in order of appearance."""
        taking_part = {seat.name: seat for route in self.routes.values() for seat in (route.source, route.destination)}
        return tuple(taking_part.values())

    @property
    def listeners(self) -> Mapping[str, tuple[Listener, ...]]:
        """What each seat must listen on, by the seat's name; every seat that takes part has an entry."""
        wanted: dict[str, dict[Listener, None]] = {seat.name: {} for seat in self.seats}
        for route in self.routes.values():
            wanted[route.destination.name][route.listener] = None
        return {name: tuple(listeners) for name, listeners in wanted.items()}


def seat_cells(cells: Iterable[Cell], seats: Sequence[Seat]) -> Seating:
    """Find both ends of each cell."""
    by_endpoint = {endpoint: seat for seat in seats for endpoint in seat.endpoints}
    routes: dict[Cell, Route] = {}
    skipped: dict[Cell, str] = {}
    for cell in cells:
        found = _route(cell, by_endpoint)
        if isinstance(found, str):
            skipped[cell] = found
        else:
            routes[cell] = found
    return Seating(routes, skipped)


def _route(cell: Cell, by_endpoint: Mapping[str, Seat]) -> Route | str:
    if cell.protocol is Protocol.SCTP:
        return NO_SCTP
    source, destination = by_endpoint.get(cell.source), by_endpoint.get(cell.destination)
    if source is None or destination is None:
        return f"no agent can run at {cell.destination if source else cell.source}"
    address = _address(destination, cell)
    if address is None or _address(source, cell) is None:
        return f"{cell.source if address else cell.destination} has no {cell.family} address"
    return Route(source, destination, address, Listener(destination.name, cell.protocol, cell.port, cell.family))


def _address(seat: Seat, cell: Cell) -> IPAddress | None:
    return next((address for address in seat.addresses if address.version == cell.family), None)
