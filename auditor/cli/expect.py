"""``audit expect``: the expected matrix, without a cluster and without a packet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import click

from auditor.cli import parameters
from auditor.cli.connection import connection_options
from auditor.cli.exit_codes import AS_EXPECTED, INCONCLUSIVE
from auditor.cli.help import SectionedCommand
from auditor.cli.outputs import Output, Outputs, output_options, read_outputs
from auditor.cli.snapshots import InputOptions, choose_input, read_endpoints
from auditor.model.ports import PortRequest
from auditor.model.snapshot import EndpointKind
from auditor.model.ways_in import NO_WAYS
from auditor.report.lines import say_aside
from auditor.report.registry import EXPECT


@dataclass(frozen=True, slots=True)
class ExpectOptions:
    """What to show of which input, and how."""

    read: InputOptions
    ports: tuple[PortRequest, ...]
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    expand: bool
    outputs: Outputs


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
@parameters.input_options
@parameters.default_namespace_option
@parameters.replicas_option
@parameters.host_option
@parameters.ports_option
@parameters.from_option
@parameters.to_option
@click.option(
    "--expand",
    is_flag=True,
    help="Show every endpoint by itself, rather than one for all that no policy can tell apart.",
)
@output_options(EXPECT)
@connection_options
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    ports: tuple[PortRequest, ...],
    sources: tuple[str, ...],
    destinations: tuple[str, ...],
    expand: bool,
    output: tuple[Output, ...],
    output_file: str | None,
    **read: Any,
) -> int:
    """Show who should reach whom on which ports, by the policies alone.

    The answer is exact for every port and every address outside. It is given for ranges of ports and of addresses
    ('outside 203.0.113.0/24') that no rule splits, unless --ports names some. Exit code 3 means that something can't be
    read; what it may decide is marked.
    """
    outputs = read_outputs(output, output_file, EXPECT)
    return expect(ExpectOptions(choose_input(**read), ports, sources, destinations, expand, outputs))


def _in_scope(options: ExpectOptions) -> ExpectOptions:
    """``options`` about the namespace of -n on a live cluster, which is the other end of --from or --to; without these
    all that reaches it is shown.
    """
    scope = options.read.namespace if options.read.connection is not None else ""
    if not scope or (options.sources and options.destinations):
        return options
    if options.destinations:
        return replace(options, sources=(scope,))
    if not options.sources:
        say_aside(f"-n {scope}: what reaches its pods; --from {scope} shows what they reach")
        return replace(options, destinations=(scope,))
    return options if scope in options.sources else replace(options, destinations=(scope,))


def expect(options: ExpectOptions) -> int:
    """Do what ``options`` say. Returns the exit code."""
    from auditor.policy.evaluator import evaluate
    from auditor.policy.matrix import MatrixView
    from auditor.policy.outside import with_outside
    from auditor.policy.patterns import hangs_on_labels
    from auditor.policy.selection import choose
    from auditor.run.ways_in import ways_in

    options.outputs.check()
    snapshot = with_outside(read_endpoints(options.read, entries=True))
    given = _in_scope(options)
    sources = choose(snapshot.endpoints, given.sources, snapshot.services)
    destinations = choose(snapshot.endpoints, given.destinations, snapshot.services)
    parameters.check_ports(destinations, options.ports)
    matrix = evaluate(snapshot, named_ports=options.ports)
    outside = any(source.kind is EndpointKind.HOST for source in sources)
    pods = {pod.name for pod in destinations} if len(destinations) < len(snapshot.endpoints) else None
    entry = ways_in(snapshot, pods) if outside else NO_WAYS
    view = MatrixView(matrix, sources, destinations, options.ports, options.expand, entry=entry)
    options.outputs.deliver(EXPECT, view)
    unsure = snapshot.unknown or snapshot.problems or hangs_on_labels(view)
    return INCONCLUSIVE if unsure else AS_EXPECTED
