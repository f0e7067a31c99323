"""``audit explain``: why one connection is allowed or denied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from auditor.cli import parameters
from auditor.cli.connection import connection_options
from auditor.cli.exit_codes import AS_EXPECTED, INCONCLUSIVE
from auditor.cli.help import SectionedCommand
from auditor.cli.snapshots import InputOptions, choose_input, endpoint_called, read_endpoints
from auditor.model.errors import UsageError
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Endpoint, Service, Snapshot
from auditor.model.verdict import Cell

SERVICE_PREFIXES = ("service", "svc")


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """Which connection of which input to explain."""

    read: InputOptions
    source: str
    destination: str
    port: PortRequest


@click.command(
    "explain",
    cls=SectionedCommand,
    examples=(
        "audit explain -f manifests/ prod/web prod/db TCP/5432",
        "audit explain -f manifests/ --host backup=192.0.2.10 host/backup prod/db 22",
    ),
)
@parameters.file_option
@parameters.live_option
@parameters.recursive_option
@parameters.replicas_option
@parameters.host_option
@connection_options
@click.argument("source")
@click.argument("destination")
@click.argument("port", callback=parameters.read_port)
def command(
    *,
    source: str,
    destination: str,
    port: PortRequest,
    **read: Any,
) -> int:
    """Say why SOURCE can or can't reach DESTINATION on PORT, such as prod/web prod/db TCP/3306.

    DESTINATION may be a Service, service/prod/db: then for each backend, on the port that the Service sends PORT to.

    Names the policies that isolate each side and the rule that allows or, when denied, the rules that came near and
    what they lacked.
    """
    return explain(ExplainOptions(choose_input(**read), source, destination, port))


def explain(options: ExplainOptions) -> int:
    """Write the explanation to stdout, one paragraph for each port and address family in question. Returns
    the exit code.
    """
    import sys

    from auditor.policy.doubt import doubtful_cells
    from auditor.policy.evaluator import evaluate
    from auditor.policy.explain import decide
    from auditor.policy.services import blocks_that_cover
    from auditor.report.console import open_console
    from auditor.report.explanation import print_decision, print_translation

    snapshot = read_endpoints(options.read)
    source = endpoint_called(snapshot, options.source)
    console = open_console(sys.stdout)
    if (service := _service_called(snapshot, options.destination)) is not None:
        cells = _service_cells(snapshot, source, service, options.port)
        print_translation(service, options.port, cells, blocks_that_cover(snapshot, service, source), console)
    else:
        cells = _cells(source, endpoint_called(snapshot, options.destination), options.port)
    matrix = evaluate(snapshot, named_ports=[options.port])
    doubts = doubtful_cells(snapshot, snapshot.unknown, cells) if snapshot.unknown else {}
    for cell in cells:
        print_decision(decide(snapshot, cell), matrix.notes(*cell), console, doubts.get(cell, ""))
    return INCONCLUSIVE if doubts else AS_EXPECTED


def _service_called(snapshot: Snapshot, name: str) -> Service | None:
    """The Service that ``service/NAMESPACE/NAME`` or ``svc/NAMESPACE/NAME`` names; None for anything else."""
    from auditor.policy.services import find_service

    prefix, _, rest = name.partition("/")
    if prefix not in SERVICE_PREFIXES or "/" not in rest:
        return None
    try:
        return find_service(snapshot, rest)
    except KeyError:
        known = ", ".join(f"service/{service.namespace}/{service.name}" for service in snapshot.services) or "none"
        raise UsageError(f"there is no Service {rest!r} in the input; there are: {known}") from None


def _service_cells(snapshot: Snapshot, source: Endpoint, service: Service, port: PortRequest) -> list[Cell]:
    from auditor.policy.services import translate

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
    from auditor.policy.matrix import common_families

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
