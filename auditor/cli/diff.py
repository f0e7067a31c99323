"""``audit diff``: what changes between two sets of manifests, by the policies alone."""

from __future__ import annotations

from dataclasses import dataclass

import click

from auditor.cli import parameters
from auditor.cli.exit_codes import of_conclusion
from auditor.cli.help import SectionedCommand
from auditor.cli.outputs import Output, Outputs, output_options, read_outputs
from auditor.cli.snapshots import InputOptions, read_input
from auditor.model.errors import UsageError
from auditor.report.difference import ComparedClusters, FailOnChange
from auditor.report.registry import DIFF


@dataclass(frozen=True, slots=True)
class DiffOptions:
    """Which inputs to compare, and what of it makes the command fail."""

    old: InputOptions
    new: InputOptions
    fail_on: FailOnChange
    outputs: Outputs


@click.command(
    "diff",
    cls=SectionedCommand,
    examples=(
        "audit diff -R git:main:deploy deploy",
        "audit diff monday.json tuesday.json --fail-on opened",
        "audit diff -R git:v1.2:deploy git:v1.3:deploy -o markdown",
    ),
)
@parameters.recursive_option
@parameters.exclude_option
@parameters.keep_going_option
@parameters.namespace_of_files_option
@parameters.replicas_option
@click.option(
    "--fail-on",
    type=click.Choice([each.value for each in FailOnChange]),
    default=FailOnChange.NOTHING.value,
    show_default=True,
    help="Which changes make exit code 1: connections that open, that close, or either.",
)
@output_options(DIFF)
@click.argument("old")
@click.argument("new")
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    old: str,
    new: str,
    recursive: bool,
    exclude: tuple[str, ...],
    keep_going: bool,
    default_namespace: str | None,
    replicas: int,
    fail_on: str,
    output: tuple[Output, ...],
    output_file: str | None,
) -> int:
    """Show which connections open and which close from OLD to NEW, with the rules behind them.

    Each is a directory, a file, a scenario, what 'audit snapshot' saved, - for standard input, or a path in a revision
    of the git repository around, as git:REV:PATH. Workloads are compared by namespace, kind and name; what is only in
    one of both is named. Exit code 3 means that something is in doubt.
    """
    outputs = read_outputs(output, output_file, DIFF)
    before, after = (
        InputOptions((path,), recursive, exclude, keep_going, default_namespace or "", replicas=replicas)
        for path in (old, new)
    )
    return diff(DiffOptions(before, after, FailOnChange(fail_on), outputs))


def diff(options: DiffOptions) -> int:
    """Do what ``options`` say. Returns the exit code."""
    from auditor.policy.differences import differences
    from auditor.run.sources import STDIN

    if options.old.paths == options.new.paths == (STDIN,):
        raise UsageError(f"{STDIN}: standard input can be read once only")
    options.outputs.check()
    before, after = read_input(options.old), read_input(options.new)
    if not before.endpoints and not after.endpoints:
        raise UsageError(
            f"{options.old.name}, {options.new.name}: no pod, workload, node or host in either: add the manifests of "
            "the workloads"
        )
    compared = ComparedClusters(options.old.name, options.new.name, differences(before, after), options.fail_on)
    options.outputs.deliver(DIFF, compared)
    return of_conclusion(compared.conclusion)
