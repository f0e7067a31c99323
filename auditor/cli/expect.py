"""``audit expect``: the expected matrix, without a cluster and without a packet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from auditor.cli import parameters
from auditor.cli.connection import connection_options
from auditor.cli.exit_codes import AS_EXPECTED, INCONCLUSIVE
from auditor.cli.help import SectionedCommand
from auditor.cli.snapshots import InputOptions, choose_input, read_endpoints
from auditor.model.ports import PortRequest


@dataclass(frozen=True, slots=True)
class ExpectOptions:
    """What to show of which input, and how."""

    read: InputOptions
    ports: tuple[PortRequest, ...]
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    expand: bool
    output: str


@click.command(
    "expect",
    cls=SectionedCommand,
    examples=(
        "audit expect -f manifests/ -R",
        "kubectl get ns,pods,svc,netpol -A -o yaml | audit expect -f -",
        "audit expect -A --to prod/app=db --ports TCP/5432",
    ),
)
@parameters.file_option
@parameters.live_option
@parameters.recursive_option
@parameters.replicas_option
@parameters.host_option
@parameters.ports_option
@parameters.from_option
@parameters.to_option
@click.option(
    "--expand", is_flag=True, help="Show every endpoint by itself, and not one for all that no policy can tell apart."
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Format of the result.",
)
@connection_options
def command(
    *,
    ports: tuple[PortRequest, ...],
    sources: tuple[str, ...],
    destinations: tuple[str, ...],
    expand: bool,
    output: str,
    **read: Any,
) -> int:
    """Show who should reach whom on which ports, by the policies alone.

    The answer is exact for every port: it is given for ranges of ports that no rule splits, unless --ports asks for
    some. Exit code 3 means that a policy of the live cluster can't be read; what it may decide is marked.
    """
    return expect(ExpectOptions(choose_input(**read), ports, sources, destinations, expand, output))


def expect(options: ExpectOptions) -> int:
    """Write what ``options`` ask for to stdout. Returns the exit code."""
    import sys

    from auditor.policy.evaluator import evaluate
    from auditor.run.audit import choose

    snapshot = read_endpoints(options.read)
    sources = choose(snapshot.endpoints, options.sources)
    destinations = choose(snapshot.endpoints, options.destinations)
    parameters.check_ports(destinations, options.ports)
    matrix = evaluate(snapshot, named_ports=options.ports)
    if options.output == "json":
        from auditor.report.documents import write_json
        from auditor.report.expected_as_json import expected_json

        names = ({endpoint.name for endpoint in chosen} for chosen in (sources, destinations))
        write_json(expected_json(matrix, *names, ports=options.ports, expand=options.expand), sys.stdout)
    else:
        from auditor.report.expected_as_table import ExpectedRequest, render

        render(matrix, ExpectedRequest(sources, destinations, options.ports, options.expand), sys.stdout)
    return INCONCLUSIVE if snapshot.unknown else AS_EXPECTED
