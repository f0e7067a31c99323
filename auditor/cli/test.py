"""``audit test``: intent files as tests, on manifests, the lab or a live cluster."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import click

from auditor.cli import parameters
from auditor.cli.connection import CONNECTION, connection_options, read_connection
from auditor.cli.help import SectionedCommand
from auditor.cli.outputs import Output, output_options, read_outputs
from auditor.model.errors import UsageError
from auditor.report.registry import TEST

if TYPE_CHECKING:
    from auditor.model.addresses import IPNetwork
    from auditor.testing.backends import Backend

LIVE_ONLY = ("namespaces", "all_namespaces", "image", "all_pods", *CONNECTION)
FILES_ONLY = ("recursive", "pod_networks")


def _read_networks(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> tuple[IPNetwork, ...]:
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as error:
        raise click.BadParameter(f"{error}: write a network such as 10.244.0.0/16") from error


@click.command(
    "test",
    cls=SectionedCommand,
    examples=(
        "audit test tests/ -f manifests/ -R",
        "audit test intent.yaml --lab manifests/",
        "audit test intent.yaml -n shop -o junit=out.xml",
    ),
)
@click.argument("intents", nargs=-1, required=True, metavar="PATH...")
@parameters.file_option
@parameters.recursive_option
@click.option(
    "--pod-network",
    "pod_networks",
    multiple=True,
    callback=_read_networks,
    metavar="CIDR",
    help="With -f: pods have their addresses from this range, so that no ipBlock apart from it is about them; "
    "may be repeated.",
)
@click.option(
    "--lab",
    metavar="PATH",
    help="Try with real packets on the embedded lab, made of this directory of manifests or scenario.",
)
@parameters.enforcer_option
@parameters.namespace_option("Try on the live cluster, with the pods of this namespace against all; may be repeated.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Try on the live cluster, with the pods of all namespaces.")
@click.option("--image", metavar="IMAGE", help="Image of the probe pods. [default: see docs/safety.md]")
@click.option("--all-pods", is_flag=True, help="One probe pod for every audited pod.")
@output_options(TEST)
@connection_options
def command(*, intents: tuple[str, ...], output: tuple[Output, ...], output_file: str | None, **where: Any) -> int:
    """Run the intents at PATH as tests: each connection under 'expect', and their rules against the policies.

    On manifests with -f, by the policies alone; with --lab or on a live cluster by real packets. A directory is
    searched for files with schema: audit.intent/v1. Exit code 1 means that a check failed, 3 that one is inconclusive.
    """
    from auditor.cli.exit_codes import of_conclusion
    from auditor.report.checks import headline
    from auditor.testing.intent_tests import find_intents, run_intents

    outputs = read_outputs(output, output_file, TEST)
    backend = _backend(**where)
    outputs.check()
    report = run_intents(find_intents(intents), backend, backend.made_on)
    outputs.deliver(TEST, report)
    outputs.tell(report.conclusion, headline(report), quiet=False)
    return of_conclusion(report.conclusion)


def _backend(  # noqa: PLR0913 - one parameter for each option
    *,
    paths: tuple[str, ...],
    recursive: bool,
    pod_networks: tuple[IPNetwork, ...],
    lab: str | None,
    enforcers: tuple[str, ...],
    namespaces: tuple[str, ...],
    all_namespaces: bool,
    image: str | None,
    all_pods: bool,
    **connection: Any,
) -> Backend:
    """Where the options say to make the checks. Raises UsageError unless it is one place."""
    parameters.check_scope(namespaces, all_namespaces=all_namespaces)
    live = bool(namespaces or all_namespaces)
    if [bool(paths), lab is not None, live].count(True) != 1:
        raise UsageError("say where to try: -f MANIFESTS, --lab PATH, or -n NAMESPACE or -A for the live cluster")
    if not live:
        parameters.refuse(LIVE_ONLY, "goes with -n or -A, which try on a live cluster")
    if not paths:
        parameters.refuse(FILES_ONLY, "goes with -f")
    if lab is None:
        parameters.refuse(["enforcers"], "goes with --lab")
    if paths:
        from auditor.testing.manifests import ManifestsBackend

        return ManifestsBackend(paths, recursive=recursive, pod_networks=pod_networks)
    if lab is not None:
        from auditor.testing.on_lab import lab_backend

        return lab_backend(lab, enforcers)
    from auditor.cluster.kubernetes.objects import DEFAULT_IMAGE
    from auditor.testing.on_cluster import ClusterOptions, cluster_backend

    options = ClusterOptions(read_connection(**connection), namespaces, image or DEFAULT_IMAGE, all_pods)
    return cluster_backend(options)
