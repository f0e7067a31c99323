"""``audit explain``: why one connection is allowed or denied."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from auditor.cli import parameters
from auditor.cli.connection import connection_options
from auditor.cli.exit_codes import AS_EXPECTED, FINDINGS, INCONCLUSIVE
from auditor.cli.help import SectionedCommand
from auditor.cli.outputs import Output, Outputs, output_options, read_outputs
from auditor.cli.snapshots import (
    InputOptions,
    choose_input,
    endpoint_called,
    in_namespace,
    namespace_of_names,
    read_endpoints,
)
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Endpoint, EndpointKind
from auditor.report.lines import say_aside
from auditor.report.registry import EXPLAIN

if TYPE_CHECKING:
    from auditor.model.snapshot import Snapshot
    from auditor.policy.absent_peers import AbsentPeer
    from auditor.run.explanation import Explanation


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """Which connection of which input to explain."""

    read: InputOptions
    source: str
    destination: str
    port: PortRequest
    outputs: Outputs
    exit_code: bool = False


@click.command(
    "explain",
    cls=SectionedCommand,
    examples=(
        "audit explain -f manifests/ prod/web prod/db TCP/5432",
        "audit explain -f manifests/ 192.0.2.10 prod/db 22",
        "audit explain -f manifests/ prod/web 'outside 203.0.113.0/24' 443",
        "audit explain -f manifests/ '[pods app=prometheus in namespaces team=obs]' prod/web 9090",
    ),
)
@parameters.file_option
@parameters.live_option
@parameters.input_options
@parameters.default_namespace_option
@parameters.replicas_option
@parameters.host_option
@click.option("--exit-code", is_flag=True, help="End with exit code 1 where a connection is denied.")
@output_options(EXPLAIN)
@connection_options
@click.argument("source")
@click.argument("destination")
@click.argument("port", callback=parameters.read_port)
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    source: str,
    destination: str,
    port: PortRequest,
    exit_code: bool,
    output: tuple[Output, ...],
    output_file: str | None,
    **read: Any,
) -> int:
    """Explain why SOURCE can or can't reach DESTINATION on PORT, such as prod/web prod/db TCP/3306.

    DESTINATION may be a Service, such as service/prod/db: then each backend is explained, on the port that the Service
    sends PORT to. Either may be an address or a range outside, or pods that are not in the input, as 'audit expect'
    shows them.

    Names the policies that isolate each side and the rule that allows or, when denied, the rules that came near and
    what they lacked.
    """
    outputs = read_outputs(output, output_file, EXPLAIN)
    return explain_command(ExplainOptions(choose_input(**read), source, destination, port, outputs, exit_code))


def explain_command(options: ExplainOptions) -> int:
    """Do what ``options`` say. Returns the exit code."""
    from auditor.policy.outside import with_outside
    from auditor.report.skipped import ignored_line

    options.outputs.check()
    given = read_endpoints(options.read, entries=True)
    explanation = _of_absent_pods(given, options) or _of_endpoints(with_outside(given), options)
    if ignored := ignored_line(given.left_out):
        say_aside(f"ignored: {ignored}")
    options.outputs.deliver(EXPLAIN, explanation)
    if explanation.in_doubt or given.problems:
        return INCONCLUSIVE
    return FINDINGS if options.exit_code and explanation.is_denied else AS_EXPECTED


def _of_absent_pods(snapshot: Snapshot, options: ExplainOptions) -> Explanation | None:
    """The explanation where an end is pods that are not in the input; None where none is."""
    from auditor.run.absent_peers import absent_peer_called, explain_absent
    from auditor.run.addresses import endpoint_at
    from auditor.run.explanation import service_name

    absent = [absent_peer_called(snapshot, name) for name in (options.source, options.destination)]
    if absent == [None, None]:
        return None
    namespace = namespace_of_names(options.read)
    source = absent[0] or endpoint_at(snapshot, options.source)
    if source is None:
        source = endpoint_called(snapshot, in_namespace(options.source, namespace))
    destination: Endpoint | AbsentPeer | str | None = absent[1] or endpoint_at(snapshot, options.destination)
    if destination is None:
        named = in_namespace(options.destination, namespace)
        destination = service_name(named) or endpoint_called(snapshot, named)
    return explain_absent(snapshot, source, destination, options.port)


def _of_endpoints(snapshot: Snapshot, options: ExplainOptions) -> Explanation:
    """The explanation for two ends that are in the input, the outside included."""
    from auditor.run.addresses import endpoint_at
    from auditor.run.explanation import explain, service_name
    from auditor.run.ways_in import ways_in

    namespace = namespace_of_names(options.read)
    source = endpoint_at(snapshot, options.source)
    if source is None:
        source = endpoint_called(snapshot, in_namespace(options.source, namespace))
    destination: Endpoint | str | None = endpoint_at(snapshot, options.destination)
    if destination is None:
        named = in_namespace(options.destination, namespace)
        destination = service_name(named) or endpoint_called(snapshot, named, source)
    asked = [each for each in (source, destination) if isinstance(each, Endpoint) and each not in snapshot.endpoints]
    snapshot = replace(snapshot, endpoints=(*snapshot.endpoints, *dict.fromkeys(asked)))
    explanation = explain(snapshot, source, destination, options.port)
    if source.kind is not EndpointKind.HOST:
        return explanation
    ends = {each.decision.cell.destination for each in explanation.connections}
    return replace(explanation, entry=ways_in(snapshot, ends))
