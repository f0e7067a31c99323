"""``audit lint``: what in the policies is likely not meant, without a packet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from auditor.cli import parameters
from auditor.cli.connection import connection_options, read_connection
from auditor.cli.help import SectionedCommand
from auditor.cli.outputs import Output, Outputs, output_options, read_outputs
from auditor.cli.snapshots import (
    InputOptions,
    check_stdin,
    not_evaluated,
    read_input,
    read_rendered,
    refuse_the_other_input,
    warn,
)
from auditor.model.errors import UsageError
from auditor.model.policy import NOT_EVALUATED
from auditor.report.registry import LINT

if TYPE_CHECKING:
    from auditor.cluster.kubernetes.client.options import ConnectionOptions
    from auditor.cluster.kubernetes.reading import LiveSnapshot
    from auditor.model.addresses import IPAddress
    from auditor.model.lint import Suppression
    from auditor.model.snapshot import Snapshot

SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class LintOptions:
    """What to look at (files, or the live cluster), which findings to report (no ``namespaces``: all), and how."""

    read: InputOptions | ConnectionOptions
    namespaces: tuple[str, ...]
    suppressions: str | None
    fail_on: str
    outputs: Outputs
    in_full: bool = False


@click.command(
    "lint",
    cls=SectionedCommand,
    examples=(
        "audit lint -f manifests/ -R",
        "audit lint -n prod --fail-on error",
        "audit lint --explain two-peers-one-dash",
    ),
)
@click.option(
    "-f",
    "--filename",
    "paths",
    multiple=True,
    metavar="PATH",
    help="File, directory or scenario to read, or - for standard input; may be repeated. Without it: the live cluster.",
)
@parameters.input_options
@parameters.replicas_option
@parameters.host_option
@parameters.namespace_option(
    "Only findings in this namespace; may be repeated. A single one is also the namespace of objects that have none."
)
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces of the live cluster.")
@click.option("--suppressions", metavar="FILE", help="A file of accepted findings, each with owner, reason and expiry.")
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES),
    default="warning",
    show_default=True,
    help="The lowest severity that gives exit code 1.",
)
@click.option("--full", is_flag=True, help="Print every finding, also where there are more than 20.")
@output_options(LINT)
@click.option("--list", "list_checks", is_flag=True, help="List the checks.")
@click.option("--explain", metavar="ID", help="Explain what a check is about and why it matters.")
@connection_options
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    paths: tuple[str, ...],
    recursive: bool,
    exclude: tuple[str, ...],
    keep_going: bool,
    kustomizations: tuple[str, ...],
    charts: tuple[str, ...],
    values: tuple[str, ...],
    replicas: int,
    hosts: dict[str, tuple[IPAddress, ...]],
    namespaces: tuple[str, ...],
    all_namespaces: bool,
    suppressions: str | None,
    fail_on: str,
    full: bool,
    output: tuple[Output, ...],
    output_file: str | None,
    list_checks: bool,
    explain: str | None,
    **connection: Any,
) -> int:
    """Find likely mistakes in network policies: of files with -f, of the live cluster with -n or -A.

    The live cluster is read as a whole, since peers are in other namespaces, and nothing in it is changed. Exit code 1
    means findings of the severity --fail-on or worse.
    """
    if list_checks or explain is not None:
        return _describe(explain)
    parameters.check_scope(namespaces, all_namespaces=all_namespaces)
    check_stdin(paths, "--suppressions", suppressions)
    rendered = read_rendered(kustomizations, charts, values)
    files = bool(paths or rendered)
    if files and all_namespaces:
        raise UsageError("-f and -A exclude each other: -A is for the live cluster")
    if not files and not namespaces and not all_namespaces:
        raise UsageError("nothing to look at: give -f PATH, or -n NAMESPACE or -A for the live cluster")
    refuse_the_other_input(files=files)
    # The client of a cluster is more to import than all the rest, so files come without it.
    namespace = namespaces[0] if len(namespaces) == 1 else ""
    read = (
        InputOptions(paths, recursive, exclude, keep_going, namespace, rendered, replicas, hosts)
        if files
        else read_connection(**connection)
    )
    outputs = read_outputs(output, output_file, LINT)
    return lint_command(LintOptions(read, namespaces, suppressions, fail_on, outputs, full))


def lint_command(options: LintOptions) -> int:
    """Do what ``options`` say. Returns the exit code."""
    from datetime import datetime

    from auditor.cli.exit_codes import of_conclusion
    from auditor.lint import lint
    from auditor.lint.imagined import not_checked
    from auditor.lint.suppressions import suppress
    from auditor.model.lint import LintReport, Severity, put_together

    options.outputs.check()
    accepted = _read_suppressions(options.suppressions)
    files = options.read if isinstance(options.read, InputOptions) else None
    snapshot = read_input(options.read) if isinstance(options.read, InputOptions) else _read_live(options.read)
    snapshot = replace(snapshot, policies=(*snapshot.policies, *snapshot.variants))
    subject = files.name if files else "the cluster"
    if not snapshot.endpoints and not snapshot.number_of_policies:
        raise UsageError(f"{subject}: no network policy and no pod to look at")
    _check_namespaces(snapshot, options.namespaces)
    complete = files is None or _is_whole_cluster(snapshot)
    today = datetime.now().astimezone().date().isoformat()
    result = suppress(lint(snapshot, complete=complete), accepted, today).about(options.namespaces)
    result = replace(result, findings=put_together(result.findings))
    policies = sum(not options.namespaces or policy.namespace in options.namespaces for policy in snapshot.policies)
    policies += len(snapshot.admin_policies) if not options.namespaces else 0
    unreadable = [policy for policy in snapshot.unknown if policy.why != NOT_EVALUATED]
    report = LintReport(
        subject,
        policies,
        result,
        Severity(options.fail_on),
        snapshot.left_out,
        _doubts(snapshot),
        not_checked(snapshot),
        nothing=not (snapshot.number_of_policies or unreadable),
        in_full=options.in_full,
    )
    options.outputs.deliver(LINT, report)
    return of_conclusion(report.conclusion)


def _doubts(snapshot: Snapshot) -> tuple[str, ...]:
    """Labels that policies depend on and that are not in the input."""
    from auditor.policy.unknown_labels import label_extremes

    extremes = label_extremes(snapshot)
    return (f"labels-unknown: what the policies mean {extremes.why}",) if extremes else ()


def _read_suppressions(path: str | None) -> tuple[Suppression, ...]:
    from auditor.lint.suppressions import read_suppressions
    from auditor.run.sources import load_sources

    return () if path is None else tuple(each for source in load_sources([path]) for each in read_suppressions(source))


def _read_live(connection: ConnectionOptions) -> Snapshot:
    from auditor.cli.interruption import run_interruptibly

    live = run_interruptibly(_read_cluster(connection))
    warn(f"{problem} (not looked at)" for policy in live.unreadable for problem in policy.problems)
    warn([*not_evaluated(live.other_kinds, "the cluster"), *live.notes])
    return live.snapshot


async def _read_cluster(connection: ConnectionOptions) -> LiveSnapshot:
    from auditor.cluster.kubernetes.api_server_calls import with_api_server_calls
    from auditor.cluster.kubernetes.client.config import connect
    from auditor.cluster.kubernetes.client.server import ApiServer
    from auditor.cluster.kubernetes.reading import read_cluster, with_service_endpoints

    async with ApiServer(await connect(connection)) as api:
        live = await with_api_server_calls(api, await read_cluster(api))
        return replace(live, snapshot=await with_service_endpoints(api, live.snapshot))


def _is_whole_cluster(snapshot: Snapshot) -> bool:
    """Whether files are what a whole cluster has: its own namespaces are among them, and all others that are meant."""
    namespaces = snapshot.namespaces
    own = all(name in namespaces for name in ("default", "kube-system"))
    return own and all(namespace.known for namespace in namespaces.values())


def _check_namespaces(snapshot: Snapshot, namespaces: tuple[str, ...]) -> None:
    for name in namespaces:
        if name not in snapshot.namespaces:
            raise UsageError(f"there is no namespace {name!r}")


def _describe(check_id: str | None) -> int:
    """Write what a check is about to stdout or, for None, the list of them."""
    from auditor.lint import CHECKS
    from auditor.report.lines import say

    if check_id is None:
        width = max(map(len, CHECKS))
        for check in CHECKS.values():
            say(f"{check.id:{width}}  {check.severity:7}  {check.title}")
        return 0
    if check_id not in CHECKS:
        from difflib import get_close_matches

        near = get_close_matches(check_id, CHECKS, 1)
        raise UsageError(
            f"no check is called {check_id!r}: " + (f"did you mean {near[0]}?" if near else "--list has them")
        )
    check = CHECKS[check_id]
    for line in (
        f"{check.id} ({check.severity}): {check.title}",
        "",
        *check.why.split("\n"),
        "",
        f"More: {check.page}",
    ):
        say(line)
    say(f"The rule: {check.reference}")
    return 0
