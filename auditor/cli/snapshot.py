"""``audit snapshot``: what matters of a live cluster, saved to a file that the other commands read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from auditor.cli import parameters
from auditor.cli.connection import connection_options, read_connection
from auditor.cli.help import SectionedCommand
from auditor.cli.outputs import refuse_to_replace_input
from auditor.model.errors import UsageError
from auditor.model.policy import NOT_EVALUATED
from auditor.model.words import pluralize
from auditor.report.registry import all_formats

if TYPE_CHECKING:
    from auditor.cluster.kubernetes.client.options import ConnectionOptions
    from auditor.cluster.kubernetes.reading import LiveSnapshot


@dataclass(frozen=True, slots=True)
class SnapshotOptions:
    """Which cluster, which namespaces of it (none: all), and where the result goes (None: standard output)."""

    connection: ConnectionOptions
    namespaces: tuple[str, ...]
    output_file: str | None


@click.command("snapshot", cls=SectionedCommand)
@parameters.namespace_option("Only this namespace; may be repeated. Pods of other namespaces are then not known.")
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces, which is also the default.")
@click.option(
    "-o", "--output-file", metavar="FILE", help="Write to this file, whole or not at all. [default: standard output]"
)
@connection_options
def command(*, namespaces: tuple[str, ...], all_namespaces: bool, output_file: str | None, **connection: Any) -> int:
    """Save the relevant part of a live cluster (namespaces, nodes, pods, services, network policies, Ingresses and
    Gateways with their routes) as one JSON List.

    'audit expect', 'explain', 'lint', 'intent' and 'run --dry-run' read it with -f. Nothing in the cluster is
    changed; secrets are not read, and environment variables, images and annotations are left out, but
    for those that name an Ingress's class.
    """
    parameters.check_scope(namespaces, all_namespaces=all_namespaces)
    if output_file and output_file.partition("=")[0] in all_formats() | {"yaml"}:  # elsewhere -o names a format
        raise UsageError("-o names a file here, and what it gets is JSON: write -o cluster.json")
    refuse_to_replace_input(output_file, f"--output-file {output_file}")
    return snapshot(SnapshotOptions(read_connection(**connection), namespaces, output_file))


def snapshot(options: SnapshotOptions) -> int:
    """Do what ``options`` say. Returns the exit code."""
    from auditor.cli.interruption import run_interruptibly
    from auditor.cli.output import check_output, open_output
    from auditor.cli.snapshots import warn
    from auditor.cluster.kubernetes.reading import manifest_text
    from auditor.report.documents import write_json
    from auditor.report.lines import say_aside

    check_output(options.output_file)
    live, cost = run_interruptibly(_read(options))
    with open_output(options.output_file) as stream:
        write_json([manifest_text(live.manifests)], stream)
    warn(_warnings(live))
    say_aside(f"{_counts(live)}; {cost}")
    return 0


async def _read(options: SnapshotOptions) -> tuple[LiveSnapshot, str]:
    from auditor.cluster.kubernetes.client.config import connect
    from auditor.cluster.kubernetes.client.server import ApiServer
    from auditor.cluster.kubernetes.entries import with_entries
    from auditor.cluster.kubernetes.reading import read_cluster

    async with ApiServer(await connect(options.connection)) as api:
        live = await with_entries(api, await read_cluster(api, options.namespaces), options.namespaces)
    return live, f"{api.calls} requests, {api.received / 1000:.0f} kB"


def _warnings(live: LiveSnapshot) -> list[str]:
    lines = [
        f"{problem} (saved as it is; 'audit expect' will refuse the file until it can be read)"
        for policy in live.unreadable
        for problem in policy.problems
    ]
    saved_as_they_are = {policy.full_name for policy in live.unreadable}
    lines += [
        f"{policy.full_name} {policy.why}: what is expected from the file may be wrong"
        for policy in live.snapshot.unknown
        if policy.full_name not in saved_as_they_are and policy.why != NOT_EVALUATED
    ]
    lines += [
        f"{count} {kind} in the cluster: not evaluated and not saved; what is expected may be wrong where they apply"
        for kind, count in live.other_kinds.items()
    ]
    return [*lines, *live.notes]


def _counts(live: LiveSnapshot) -> str:
    from auditor.parsing.admin_policy import KINDS
    from auditor.parsing.entries import ROUTES

    names = {
        "Namespace": "namespaces",
        "Node": "nodes",
        "Pod": "pods",
        "Service": "services",
        "NetworkPolicy": "network policies",
    }
    counts = Counter(manifest["kind"] for manifest in live.manifests)
    said = [f"{counts[kind]} {name}" for kind, name in names.items()]
    if of_administrators := sum(counts[kind] for kind in KINDS):
        said.append(pluralize(of_administrators, "policy of administrators", "policies of administrators"))
    if leading_in := sum(counts[kind] for kind in ("Ingress", *ROUTES)):
        said.append(pluralize(leading_in, "Ingress or route", "Ingresses and routes"))
    return "saved " + ", ".join(said)
