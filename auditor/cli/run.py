"""``audit run``: the whole audit, on the embedded lab."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

import click

from auditor.cli import parameters
from auditor.cli.exit_codes import AS_EXPECTED, of_report
from auditor.cli.interruption import run_interruptibly
from auditor.cli.output import check_output, open_output
from auditor.model.dialect import Enforcement
from auditor.model.errors import UsageError
from auditor.model.ports import PortRequest
from auditor.model.report import Report
from auditor.model.scenario import Scenario
from auditor.probing.options import ProbingOptions
from auditor.report import RENDERERS, renderer

if TYPE_CHECKING:
    from auditor.policy.matrix import ExpectedMatrix
    from auditor.report.progress import Progress
    from auditor.run.audit import AuditOptions

DEFAULTS = ProbingOptions()


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What to audit, how, and where to tell."""

    scenario: str
    enforcers: tuple[str, ...]
    audit: AuditOptions
    output: str
    output_file: str | None
    dry_run: bool
    quiet: bool


@click.command("run")
@click.option("--lab", "scenario", required=True, metavar="SCENARIO", help="The scenario to set up: a name or a file ('audit scenarios').")
@click.option(
    "--enforcer",
    "enforcers",
    multiple=True,
    metavar="NAME[:VALUE][@NODE]",
    help="What enforces the policies, everywhere or on one node; may be repeated. [default: spec] See 'audit enforcers'.",
)
@parameters.ports_option
@parameters.from_option
@parameters.to_option
@click.option("-o", "--output", type=click.Choice(list(RENDERERS)), default="table", show_default=True, help="Format of the report.")
@click.option("--output-file", metavar="FILE", help="Write the report to this file, whole or not at all.")
@click.option("--dry-run", is_flag=True, help="Show what would be probed and what is expected; send nothing.")
@click.option(
    "--min-coverage",
    type=click.FloatRange(0, 100),
    default=0.0,
    metavar="PERCENT",
    help="Exit with 3 unless so many of all cells get a verdict.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.05, 60),
    default=DEFAULTS.timeout,
    show_default=True,
    metavar="SECONDS",
    help="How long silence must last to count as dropped.",
)
@click.option(
    "--retests",
    type=click.IntRange(0, 20),
    default=DEFAULTS.retests,
    show_default=True,
    metavar="N",
    help="How often a mismatch is tried again, at least.",
)
@click.option(
    "--settle",
    type=click.FloatRange(0, 600),
    default=DEFAULTS.settle,
    show_default=True,
    metavar="SECONDS",
    help="How long a mismatch must last: a slow enforcer gets this long.",
)
@click.option(
    "--datagrams",
    type=click.IntRange(1, 20),
    default=DEFAULTS.datagrams,
    show_default=True,
    metavar="N",
    help="UDP datagrams per attempt.",
)
@click.option(
    "--window",
    type=click.IntRange(1, 65536),
    default=DEFAULTS.window,
    show_default=True,
    metavar="N",
    help="Attempts under way at once.",
)
@click.option("-q", "--quiet", is_flag=True, help="Tell no progress.")
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    scenario: str,
    enforcers: tuple[str, ...],
    ports: tuple[PortRequest, ...],
    sources: tuple[str, ...],
    destinations: tuple[str, ...],
    output: str,
    output_file: str | None,
    dry_run: bool,
    min_coverage: float,
    timeout: float,
    retests: int,
    settle: float,
    datagrams: int,
    window: int,
    quiet: bool,
) -> int:
    """Audit a cluster: compute who should reach whom, probe every cell with real packets, and explain each difference.

    The cluster is a scenario, set up on this machine as a small network without a way out.
    """
    from auditor.run.audit import AuditOptions

    probing = ProbingOptions(timeout, datagrams, retests, settle, window)
    options = AuditOptions(ports, sources, destinations, min_coverage / 100, probing)
    return run(RunOptions(scenario, enforcers, options, output, output_file, dry_run, quiet))


def run(options: RunOptions) -> int:
    """Do what ``options`` say. Returns the exit code."""
    from auditor.model.words import counted
    from auditor.report.progress import open_progress
    from auditor.run.audit import plan
    from auditor.run.sources import load_scenario

    scenario = load_scenario(options.scenario)
    if scenario.problems:
        raise UsageError(f"{scenario.file}: this scenario shows that its manifests are refused; there is nothing to run")
    enforcement = read_enforcement(options.enforcers, scenario)
    parameters.check_ports(scenario.snapshot.endpoints, options.audit.ports)
    check_output(options.output_file)
    matrix, probes = plan(scenario.snapshot, options.audit)
    if options.dry_run:
        from auditor.report import dry_run

        with open_output(options.output_file) as stream:
            dry_run.renderer(options.output)(matrix, probes, stream)
        return AS_EXPECTED
    with open_progress(sys.stderr, quiet=options.quiet) as progress:
        progress.note(f"{scenario.name}: {size(matrix)}, {counted(len(probes.cells), 'cell')}")
        report = run_interruptibly(audit_on_lab(scenario, enforcement, options, progress))
    with open_output(options.output_file) as stream:
        renderer(options.output)(report, stream)
    return of_report(report)


def size(matrix: ExpectedMatrix) -> str:
    """How much there is to audit: ``9 endpoints in 7 classes``."""
    from auditor.model.words import counted

    return f"{counted(len(matrix.snapshot.endpoints), 'endpoint')} in {counted(len(matrix.classes), 'class', 'classes')}"


def read_enforcement(texts: tuple[str, ...], scenario: Scenario) -> Enforcement:
    """The enforcers that ``texts`` name. Raises UsageError for an unknown one, or for a node that ``scenario`` does not have."""
    try:
        enforcement = Enforcement.parse(texts)
    except ValueError as error:
        raise UsageError(f"--enforcer: {error}") from None
    for node in enforcement.on_node:
        if node not in scenario.nodes:
            raise UsageError(f"--enforcer: scenario {scenario.name} has no node {node!r}: one of {', '.join(scenario.nodes)}")
    return enforcement


async def audit_on_lab(scenario: Scenario, enforcement: Enforcement, options: RunOptions, progress: Progress) -> Report:
    """Set the lab up for ``scenario``, audit it, and take it down again."""
    from auditor.cli.reproduction import again
    from auditor.cluster.lab.lab import Lab
    from auditor.run.audit import audit

    progress.phase("setting up the lab", 0)
    began = monotonic()
    lab = Lab(
        scenario.snapshot,
        nodes=scenario.nodes,
        enforcement=enforcement,
        previous_policies=scenario.previous_policies,
        reproduce=lambda cell: again(cell, options.scenario, options.enforcers),
    )
    async with lab as cluster:
        up = monotonic() - began
        report = await audit(cluster, subject(scenario, options.enforcers), options.audit, progress)
    return replace(report, seconds={"lab": up, **report.seconds})


def subject(scenario: Scenario, enforcers: tuple[str, ...]) -> str:
    """What is audited, in words."""
    return f"scenario {scenario.name} on the lab, enforcer {', '.join(enforcers) or 'spec'}"
