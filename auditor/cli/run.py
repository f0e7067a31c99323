"""``audit run``: the whole audit, of a live cluster or on the embedded lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import click

from auditor.cli import parameters
from auditor.cli.beside import beside_options, refuse_in_place
from auditor.cli.connection import CONNECTION, connection_options, read_connection
from auditor.cli.help import SectionedCommand
from auditor.cli.history_place import is_ring
from auditor.cli.intent import read_intent_file
from auditor.cli.live import live_options, read_live_run, refuse_live_options
from auditor.cli.nightly import NightlyOptions, nightly_options, read_nightly
from auditor.cli.notify import Webhook
from auditor.cli.outputs import Output, output_options, read_outputs
from auditor.cli.reports import reports_option
from auditor.cli.snapshots import check_stdin, read_policies
from auditor.model.addresses import IPAddress
from auditor.model.admin_policy import full_name_of
from auditor.model.errors import UsageError
from auditor.model.ports import PortRequest
from auditor.model.standing import FailOn
from auditor.probing.options import ProbingOptions
from auditor.report.registry import DRY_RUN, RUN

DEFAULTS = ProbingOptions()


@click.command(
    "run",
    cls=SectionedCommand,
    examples=(
        "audit run -n prod --dry-run",
        "audit run -n prod",
        "audit run -A --history /var/lib/audit --fail-on new",
        "audit run --lab demo --enforcer ignores-egress@node-2",
    ),
)
@click.option(
    "--lab",
    "scenario",
    metavar="SCENARIO",
    help="Audit this scenario on the embedded lab: a name or a file ('audit scenarios'), or a directory of manifests.",
)
@parameters.host_option
@parameters.enforcer_option
@parameters.ports_option
@parameters.from_option
@parameters.to_option
@output_options(RUN)
@beside_options
@click.option("--dry-run", is_flag=True, help="Show what would be probed and what is expected; send nothing.")
@click.option(
    "--min-coverage",
    type=click.FloatRange(0, 100),
    default=0.0,
    metavar="PERCENT",
    help="Exit with 3 unless at least this share of all connections gets a verdict and, where probe pods are chosen, "
    "this share of the ways to misread the policies would be noticed.",
)
@click.option(
    "--accept-untested",
    multiple=True,
    metavar="NAMESPACE/NAME",
    help="Accept that nothing shows whether this policy is enforced; otherwise the run is inconclusive; "
    "may be repeated. A policy of administrators is KIND/NAME.",
)
@parameters.timeout_option
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
    help="How long a mismatch must last to count: the time that a slow enforcer gets.",
)
@parameters.late_isolation_option
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
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option(
    "-f",
    "--filename",
    "paths",
    multiple=True,
    metavar="PATH",
    help="With --dry-run: use this saved snapshot instead of a live cluster.",
)
@click.option(
    "--intent",
    metavar="FILE",
    help="Also check the policies against this intent: who may reach whom (docs/intent.md).",
)
@click.option(
    "--policies-before",
    "former",
    metavar="PATH",
    help="The policies as they were before the last change (manifests, or a saved snapshot): what is still enforced of "
    "these is named.",
)
@nightly_options
@reports_option
@live_options
@connection_options
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    scenario: str | None,
    hosts: Mapping[str, tuple[IPAddress, ...]],
    enforcers: tuple[str, ...],
    ports: tuple[PortRequest, ...],
    sources: tuple[str, ...],
    destinations: tuple[str, ...],
    min_coverage: float,
    accept_untested: tuple[str, ...],
    timeout: float,
    retests: int,
    settle: float,
    late_isolation: float,
    datagrams: int,
    window: int,
    services: bool,
    dns: bool,
    reach: tuple[str, ...],
    output: tuple[Output, ...],
    output_file: str | None,
    dry_run: bool,
    quiet: bool,
    paths: tuple[str, ...],
    intent: str | None,
    former: str | None,
    history: str | None,
    history_keep: int,
    history_days: int,
    baseline: str | None,
    fail_on: str | None,
    suppressions: str | None,
    webhooks: tuple[Webhook, ...],
    gateway: str | None,
    reports: str | None,
    **live: Any,
) -> int:
    """Audit a cluster: compute who should reach whom, try every connection with real packets, and explain each
    difference.

    On a live cluster it creates probe pods that carry the workloads' identity and removes them all afterwards;
    docs/safety.md says what is created. With --lab the cluster is a scenario, set up on this machine as a small network
    with no way out.
    """
    from auditor.run.planning import AuditOptions

    probing = ProbingOptions(timeout, datagrams, retests, settle, window, late_isolation)
    options = AuditOptions(
        ports,
        sources,
        destinations,
        min_coverage=min_coverage / 100,
        accept_untested=frozenset(map(full_name_of, accept_untested)),
        services=services,
        dns=dns,
        reach=reach,
        probing=probing,
    )
    outputs = read_outputs(output, output_file, DRY_RUN if dry_run else RUN)
    check_stdin(paths, "--intent", intent)
    check_stdin(paths, "--policies-before", former)
    _refuse_together(click.get_current_context().params)
    meant = None if intent is None else read_intent_file(intent)
    if former is not None:
        options = replace(options, former=read_policies(former, "--policies-before"))
    nightly = NightlyOptions(
        history,
        history_keep,
        history_days,
        baseline,
        FailOn(fail_on) if fail_on else None,
        suppressions,
        webhooks,
        gateway,
        read_connection(**{name: live[name] for name in CONNECTION}),
    )
    before = read_nightly(nightly)
    if scenario is None:
        from auditor.cli.run_live import LiveRunOptions, run_live

        if paths:
            parameters.refuse(CONNECTION, "applies to live clusters only: leave out either it or -f")
        parameters.refuse(["hosts"], "goes with --lab and a directory: --external tries a host outside a live cluster")
        chosen, again = read_live_run(live, ", or --lab SCENARIO for the embedded lab")
        if chosen.seed is None and before.seed is not None:
            chosen, again = replace(chosen, seed=before.seed), (*again, "--seed", str(before.seed))
        chosen = replace(chosen, intent=meant, services=services, dns=dns, reach=reach)
        return run_live(LiveRunOptions(chosen, options, again, outputs, dry_run, quiet, before, paths, reports))
    from auditor.cli.run_on_lab import LabRunOptions, run_on_lab

    refuse_live_options()
    return run_on_lab(LabRunOptions(scenario, enforcers, options, outputs, dry_run, quiet, before, meant, hosts))


WITHOUT_FINDINGS = ("history", "baseline", "fail_on", "suppressions", "webhooks", "gateway", "reports")


def _refuse_together(given: Mapping[str, Any]) -> None:
    """Raise UsageError where options are given that don't go together."""
    on_lab, dry_run = given["scenario"] is not None, given["dry_run"]
    if dry_run and given["intent"] is not None:
        raise UsageError("--intent says nothing with --dry-run: 'audit intent' sends no packet")
    if dry_run and given["former"] is not None:
        raise UsageError("--policies-before says nothing with --dry-run: nothing is seen that they could explain")
    if dry_run and any(map(given.get, WITHOUT_FINDINGS)):
        raise UsageError(
            "--history, --baseline, --fail-on, --suppressions, --notify, --push and --reports say nothing with "
            "--dry-run: there are no findings"
        )
    refuse_in_place(given)
    if on_lab:
        _refuse_on_lab(given)
    elif given["enforcers"]:
        raise UsageError("--enforcer goes with --lab: on a live cluster its own CNI enforces the policies")
    elif given["paths"] and not dry_run:
        raise UsageError("-f goes with --dry-run: packets need a cluster")


def _refuse_on_lab(given: Mapping[str, Any]) -> None:
    if is_ring(given["history"] or ""):
        raise UsageError(f"--history {given['history']}: goes with a live cluster: for the lab, name a directory")
    if given["reach"]:
        raise UsageError(
            "--service goes with a live cluster: in the lab nobody answers for Services but --services' own"
        )
    if given["reports"]:
        raise UsageError("--reports goes with a live cluster: the lab has no objects")
