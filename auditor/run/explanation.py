"""Why one connection is allowed or denied, or each of those that a connection to a Service becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from auditor.model.ports import PortRequest
from auditor.model.skipped import NOTHING_LEFT_OUT, LeftOut
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot
from auditor.model.verdict import Cell, Note, Verdict
from auditor.model.ways_in import NO_WAYS, WaysIn
from auditor.policy.doubt import doubtful_cells
from auditor.policy.evaluator import evaluate
from auditor.policy.explain import Decision, decide
from auditor.policy.matrix import ExpectedMatrix
from auditor.policy.selection import SERVICE_PREFIXES
from auditor.policy.services import behind
from auditor.policy.unknown_labels import label_extremes
from auditor.run.service_connections import ServicePort, ServiceQuestion, connections


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
    """What becomes of each connection in question, by way of which Service, if of any, and what of the input plays no
    part. ``entry`` is what else leads to its destinations, where it comes from outside.
    """

    connections: tuple[Explained, ...]
    by_way_of: ServicePort | None = None
    left_out: LeftOut = NOTHING_LEFT_OUT
    entry: WaysIn = NO_WAYS

    @property
    def in_doubt(self) -> bool:
        """Whether anything of it is."""
        return any(each.doubt for each in self.connections)

    @property
    def is_denied(self) -> bool:
        """Whether any of its connections is."""
        return any(each.decision.verdict is Verdict.DENIED for each in self.connections)


def explain(snapshot: Snapshot, source: Endpoint, destination: Endpoint | str, port: PortRequest) -> Explanation:
    """Why ``source`` can or can't reach ``destination``, an endpoint or the full name of a Service, on ``port``. A node
    on the nodePort of a Service, and an address that a Service has, stand for that Service.

    Raises UsageError when there is no such Service, port or connection.
    """
    service = None
    if isinstance(destination, str):
        service = ServiceQuestion.by_name(snapshot, source, destination, port)
    elif (found := behind(snapshot, destination, port)) is not None:
        service = ServiceQuestion(snapshot, source, found[0], found[1], destination)
    cells = connections(source, destination, port) if isinstance(destination, Endpoint) else ()
    if service is not None:
        cells, snapshot = service.cells, service.snapshot
    matrix, doubts = doubts_of(snapshot, cells, [port])
    doubts = {**(service.doubts if service else {}), **doubts}
    explained = tuple(
        Explained(decide(snapshot, cell), tuple(matrix.notes(*cell)), doubts.get(cell, "")) for cell in cells
    )
    return Explanation(explained, service.answer if service else None, snapshot.left_out)


def doubts_of(
    snapshot: Snapshot, cells: Sequence[Cell], ports: Sequence[PortRequest] = ()
) -> tuple[ExpectedMatrix, Mapping[Cell, str]]:
    """The matrix of what has a part in ``cells`` of ``snapshot``, and which of them are in doubt, with the reason:
    policies that can't be read, and labels that nobody knows.
    """
    around = _around(snapshot, cells)
    matrix = evaluate(around, named_ports=ports)
    doubts = dict(doubtful_cells(around, snapshot.unknown, cells)) if snapshot.unknown else {}
    hanging = [cell for cell in cells if cell not in doubts and Note.LABELS_UNKNOWN in matrix.notes(*cell)]
    if hanging and (extremes := label_extremes(snapshot)):
        doubts |= dict.fromkeys(hanging, f"it {extremes.why}")
    return matrix, doubts


def _around(snapshot: Snapshot, cells: Sequence[Cell]) -> Snapshot:
    """What of ``snapshot`` has a part in verdicts and notes of ``cells``: their ends, and policies that may select one.
    The rest of a large cluster need not be evaluated for a few connections.
    """
    names = {name for cell in cells for name in (cell.source, cell.destination)}
    known_by_labels = bool(snapshot.admin_policies)  # which may name nodes so
    ends = tuple(
        endpoint
        for endpoint in snapshot.endpoints
        if endpoint.name in names or (known_by_labels and endpoint.kind is EndpointKind.NODE)
    )
    namespaces = {endpoint.namespace for endpoint in ends}
    policies = tuple(policy for policy in snapshot.policies if policy.namespace in namespaces)
    return replace(snapshot, endpoints=ends, policies=policies)


def service_name(text: str) -> str | None:
    """The full name of the Service that ``service/NAMESPACE/NAME`` or ``svc/NAMESPACE/NAME`` names; None for anything
    else.
    """
    prefix, _, name = text.partition("/")
    return name if prefix in SERVICE_PREFIXES and "/" in name else None
