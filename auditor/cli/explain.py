"""``audit explain``: why one connection is allowed or denied."""

from __future__ import annotations

from dataclasses import dataclass

import click

from auditor.cli import parameters
from auditor.cli.snapshots import InputOptions, endpoint_called, read_input
from auditor.model.errors import UsageError
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Endpoint, IPAddress
from auditor.model.verdict import Cell


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """Which connection of which input to explain."""

    read: InputOptions
    source: str
    destination: str
    port: PortRequest


@click.command("explain")
@parameters.file_option
@parameters.recursive_option
@parameters.replicas_option
@parameters.host_option
@click.argument("source")
@click.argument("destination")
@click.argument("port", callback=parameters.read_port)
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    paths: tuple[str, ...],
    recursive: bool,
    replicas: int,
    hosts: dict[str, tuple[IPAddress, ...]],
    source: str,
    destination: str,
    port: PortRequest,
) -> int:
    """Say why SOURCE can or can't reach DESTINATION on PORT, such as prod/web prod/db TCP/3306.

    Names the policies that isolate each side and the rule that allows or, when denied, the rules that came near and what they lacked.
    """
    return explain(ExplainOptions(InputOptions(paths, recursive, replicas, hosts), source, destination, port))


def explain(options: ExplainOptions) -> int:
    """Write the explanation to stdout, one paragraph for each port and address family in question. Returns the exit code."""
    import sys

    from auditor.policy.evaluator import evaluate
    from auditor.policy.explain import decide
    from auditor.report.console import open_console
    from auditor.report.explanation import print_decision

    snapshot = read_input(options.read)
    source = endpoint_called(snapshot, options.source)
    destination = endpoint_called(snapshot, options.destination)
    cells = _cells(source, destination, options.port)
    matrix = evaluate(snapshot, named_ports=[options.port])
    console = open_console(sys.stdout)
    for cell in cells:
        print_decision(decide(snapshot, cell), matrix.notes(*cell), console)
    return 0


def _cells(source: Endpoint, destination: Endpoint, port: PortRequest) -> list[Cell]:
    from auditor.policy.matrix import common_families

    numbers = destination.resolve(port.protocol, port.name) if port.name else (port.number,)
    if not numbers:
        raise UsageError(f"{destination.name} declares no {port.protocol} port called {port.name!r}")
    families = common_families(source, destination)
    if not families:
        raise UsageError(f"{source.name} and {destination.name} have no address family in common: they can't talk at all")
    return [Cell(source.name, destination.name, port.protocol, number, family) for number in numbers for family in families]
