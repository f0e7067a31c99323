"""``audit conformance``: every scenario against one enforcer, on the embedded lab or on a live cluster, and a
scorecard.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from auditor.cli import parameters
from auditor.cli.conformance_nightly import (
    after_conformance,
    conformance_nightly_options,
    read_before_conformance,
    verdict_of,
)
from auditor.cli.connection import connection_options, read_connection
from auditor.cli.exit_codes import AS_EXPECTED, FINDINGS, INCONCLUSIVE
from auditor.cli.help import SectionedCommand
from auditor.cli.history_place import is_ring
from auditor.cli.live import refuse_live_options
from auditor.cli.nightly import NightlyOptions
from auditor.cli.notify import Webhook
from auditor.cli.outputs import Output, Outputs, output_options, read_outputs
from auditor.model.errors import UsageError
from auditor.model.standing import FailOn
from auditor.probing.options import ProbingOptions
from auditor.report.registry import CONFORMANCE

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from auditor.cluster.kubernetes.client.options import ConnectionOptions
    from auditor.model.scenario import Scenario
    from auditor.model.scorecard import Scorecard
    from auditor.report.progress import Progress

DEFAULTS = ProbingOptions()


@dataclass(frozen=True, slots=True)
class ConformanceOptions:
    """On what, which scenarios (none: all), how, and where to report. ``enforcers`` is None for a live cluster."""

    enforcers: tuple[str, ...] | None
    scenarios: tuple[str, ...]
    probing: ProbingOptions
    connection: ConnectionOptions
    image: str | None
    start_seconds: float
    outputs: Outputs
    quiet: bool
    nightly: NightlyOptions
    admin_policies: bool = False


@click.command(
    "conformance",
    cls=SectionedCommand,
    examples=(
        "audit conformance --context staging",
        "audit conformance --lab --enforcer ignores-end-port",
        "audit conformance --history /var/lib/audit --fail-on new",
    ),
)
@click.option("--lab", is_flag=True, help="Use the embedded lab instead of a live cluster.")
@parameters.enforcer_option
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME",
    help="Only this scenario; may be repeated. See 'audit scenarios'.",
)
@click.option(
    "--admin-policies",
    is_flag=True,
    help="Try policies of administrators, too, such as ClusterNetworkPolicy. They are for the whole cluster: only "
    "where nothing else in it matters.",
)
@output_options(CONFORMANCE)
@conformance_nightly_options
@parameters.timeout_option
@click.option(
    "--settle",
    type=click.FloatRange(0, 600),
    default=DEFAULTS.settle,
    show_default=True,
    metavar="SECONDS",
    help="How long a mismatch must last to count, and how long a change may take.",
)
@parameters.late_isolation_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option(
    "--image", metavar="IMAGE", help="Image of the pods: any with python3, 3.8 or later. [default: see docs/safety.md]"
)
@click.option(
    "--start-timeout",
    "start_seconds",
    type=click.FloatRange(1, 3600),
    default=180.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the pods may take to start.",
)
@connection_options
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    lab: bool,
    enforcers: tuple[str, ...],
    scenarios: tuple[str, ...],
    admin_policies: bool,
    output: tuple[Output, ...],
    output_file: str | None,
    timeout: float,
    settle: float,
    late_isolation: float,
    quiet: bool,
    image: str | None,
    start_seconds: float,
    history: str | None,
    history_keep: int,
    history_days: int,
    fail_on: str,
    webhooks: tuple[Webhook, ...],
    gateway: str | None,
    **connection: Any,
) -> int:
    """Run every scenario against the enforcer of a live cluster, or of the lab, and report which features of policies
    it gets right.

    On a live cluster this takes place in new namespaces called netpol-conf-..., with pods and policies of its own, and
    touches nothing else; all of it is removed at the end. Exit codes: 0 conforms (with --fail-on new, also where it
    departs as was known); 1 departs; 3 inconclusive.
    """
    if enforcers and not lab:
        raise UsageError("--enforcer goes with --lab: on a live cluster its own CNI enforces the policies")
    if lab:
        refuse_live_options()
        if is_ring(history or ""):
            raise UsageError(f"--history {history}: goes with a live cluster: for the lab, name a directory")
    probing = ProbingOptions(timeout=timeout, settle=settle, late_isolation=late_isolation)
    reached = read_connection(**connection)
    outputs = read_outputs(output, output_file, CONFORMANCE)
    nightly = NightlyOptions(
        history,
        history_keep,
        history_days,
        fail_on=FailOn(fail_on),
        webhooks=webhooks,
        gateway=gateway,
        connection=reached,
    )
    return conformance(
        ConformanceOptions(
            enforcers if lab else None,
            scenarios,
            probing,
            reached,
            image,
            start_seconds,
            outputs,
            quiet,
            nightly,
            admin_policies,
        )
    )


def conformance(options: ConformanceOptions) -> int:
    """Do what ``options`` say. Returns the exit code."""
    from auditor.cli.interruption import LEAVES_NAMESPACES, LEAVES_NOTHING, run_interruptibly
    from auditor.cli.output import now
    from auditor.model.scorecard import Score
    from auditor.report.progress import open_progress

    options.outputs.check()
    scenarios = read_scenarios(options.scenarios)
    before = read_before_conformance(options.nightly)
    began, after_kill = now(), LEAVES_NAMESPACES if options.enforcers is None else LEAVES_NOTHING
    with open_progress(sys.stderr, quiet=options.quiet) as progress:
        card = run_interruptibly(_run(options, scenarios, progress), after_kill)
    card = after_conformance(replace(card, began=began), before, _part(options))
    options.outputs.deliver(CONFORMANCE, card)
    options.outputs.tell(card.score, card.behaviour, quiet=options.quiet)
    return {Score.CONFORMS: AS_EXPECTED, Score.DEPARTS: FINDINGS}.get(verdict_of(card), INCONCLUSIVE)


def _part(options: ConformanceOptions) -> str:
    """The options that leave less than all scenarios on a live cluster, in a line."""
    told = ["--lab"] if options.enforcers is not None else []
    told += [f"--scenario {name}" for name in sorted(options.scenarios)]
    return " ".join(told)


def read_scenarios(names: Sequence[str]) -> list[Scenario]:
    """The scenarios called ``names``; all that come with the auditor when there are none. Raises UsageError for an
    unknown name.
    """
    from auditor.run.sources import load_scenario, scenario_names

    return [load_scenario(name) for name in dict.fromkeys(names or scenario_names())]


def _run(
    options: ConformanceOptions, scenarios: Sequence[Scenario], progress: Progress
) -> Coroutine[Any, Any, Scorecard]:
    if options.enforcers is None:
        from auditor.cluster.kubernetes.objects import DEFAULT_IMAGE
        from auditor.run.conformance.on_cluster import ClusterConformanceOptions, conform_on_cluster

        chosen = ClusterConformanceOptions(
            options.connection,
            options.image or DEFAULT_IMAGE,
            options.start_seconds,
            options.probing,
            options.admin_policies,
        )
        return conform_on_cluster(scenarios, chosen, progress)
    from auditor.model.dialect import Enforcement
    from auditor.run.conformance.on_lab import LabConformanceOptions, conform_on_lab

    try:
        enforcement = Enforcement.parse(options.enforcers)
    except ValueError as error:
        raise UsageError(f"--enforcer: {error}") from None
    subject = f"enforcer {', '.join(options.enforcers) or 'spec'}"
    return conform_on_lab(scenarios, LabConformanceOptions(enforcement, subject, options.probing), progress)
