"""Why one connection is allowed or denied, or each of those that a connection to a Service becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from auditor.model.addresses import IPAddress
from auditor.model.errors import UsageError
from auditor.model.policy import IPBlock, NetworkPolicy
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Endpoint, Service, Snapshot
from auditor.model.verdict import Cell, Note, Verdict
from auditor.policy.doubt import doubtful_cells
from auditor.policy.evaluator import evaluate
from auditor.policy.explain import Decision, decide
from auditor.policy.matrix import common_families
from auditor.policy.services import blocks_that_cover, find_service, translate
from auditor.policy.unknown_labels import label_extremes

SERVICE_PREFIXES = ("service", "svc")


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a Service that is asked for: the connections that it stands for, and the ipBlocks, with their policies,
    that cover the Service's own address.
    """

    service: Service
    port: PortRequest
    cells: tuple[Cell, ...]
    covering: tuple[tuple[NetworkPolicy, IPBlock, IPAddress], ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """The decision about one connection, its notes, and which policy that can't be read puts it in doubt (empty:
    none).
    """

    decision: Decision
    notes: tuple[Note, ...]
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What becomes of each connection in question, and by way of which Service, if of any."""

    connections: tuple[Explained, ...]
    by_way_of: ServicePort | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether anything of it is."""
        return any(each.doubt for each in self.connections)

    @property
    def is_denied(self) -> bool:
        """Whether any of its connections is."""
        return any(each.decision.verdict is Verdict.DENIED for each in self.connections)


def explain(snapshot: Snapshot, source: Endpoint, destination: Endpoint | str, port: PortRequest) -> Explanation:
    """Why ``source`` can or can't reach ``destination``, an endpoint or the full name of a Service, on ``port``.

    Raises UsageError when there is no such Service, port or connection.
    """
    by_way_of = None if isinstance(destination, Endpoint) else _by_way_of(snapshot, source, destination, port)
    if isinstance(destination, Endpoint):
        cells = _cells(source, destination, port)
    else:
        cells = list(by_way_of.cells) if by_way_of else []
    matrix = evaluate(snapshot, named_ports=[port])
    doubts = doubtful_cells(snapshot, snapshot.unknown, cells) if snapshot.unknown else {}
    connections = (_explained(snapshot, cell, matrix.notes(*cell), doubts.get(cell, "")) for cell in cells)
    return Explanation(tuple(connections), by_way_of)


def _explained(snapshot: Snapshot, cell: Cell, notes: Sequence[Note], doubt: str) -> Explained:
    if not doubt and Note.LABELS_UNKNOWN in notes and (extremes := label_extremes(snapshot)):
        doubt = f"it {extremes.why}"
    return Explained(decide(snapshot, cell), tuple(notes), doubt)


def service_name(text: str) -> str | None:
    """The full name of the Service that ``service/NAMESPACE/NAME`` or ``svc/NAMESPACE/NAME`` names; None for anything
    else.
    """
    prefix, _, name = text.partition("/")
    return name if prefix in SERVICE_PREFIXES and "/" in name else None


def _by_way_of(snapshot: Snapshot, source: Endpoint, name: str, port: PortRequest) -> ServicePort:
    try:
        service = find_service(snapshot, name)
    except KeyError:
        if (why := snapshot.absent.get(f"service/{name}")) is not None:
            raise UsageError(f"service/{name} {why}") from None
        known = ", ".join(f"service/{service.namespace}/{service.name}" for service in snapshot.services) or "none"
        raise UsageError(f"there is no Service {name!r} in the input; there are: {known}") from None
    cells = _service_cells(snapshot, source, service, port)
    return ServicePort(service, port, tuple(cells), tuple(blocks_that_cover(snapshot, service, source)))


def _service_cells(snapshot: Snapshot, source: Endpoint, service: Service, port: PortRequest) -> list[Cell]:
    ways = translate(snapshot, service, port)
    if not ways:
        known = ", ".join(f"{each.protocol}/{each.number}" for each in service.ports) or "no ports"
        name = f"service/{service.namespace}/{service.name}"
        raise UsageError(
            f"{name} sends {port} nowhere: it has {known}, and only pods that it selects and that declare the "
            "target count"
        )
    return [cell for way in ways for cell in _cells(source, way.backend, PortRequest(port.protocol, number=way.number))]


def _cells(source: Endpoint, destination: Endpoint, port: PortRequest) -> list[Cell]:
    numbers = destination.resolve(port.protocol, port.name) if port.name else (port.number,)
    if not numbers:
        raise UsageError(f"{destination.name} declares no {port.protocol} port called {port.name!r}")
    families = common_families(source, destination)
    if not families:
        raise UsageError(
            f"{source.name} and {destination.name} have no address family in common: they can't talk at all"
        )
    return [
        Cell(source.name, destination.name, port.protocol, number, family) for number in numbers for family in families
    ]
