"""``audit run`` on a live cluster."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from auditor.cli.exit_codes import AS_EXPECTED, of_report
from auditor.cli.interruption import LEAVES_CONTAINERS, LEAVES_PODS, run_interruptibly
from auditor.cli.nightly import JOB, Before, after_run
from auditor.cli.notify import Group
from auditor.cli.output import now
from auditor.cli.outputs import Outputs, deliver_report
from auditor.cli.reports import scope_of, write_reports
from auditor.model.errors import AuditError, ClusterError
from auditor.model.verdict import Cell
from auditor.model.words import in_brief, pluralize
from auditor.report.lines import say_aside
from auditor.report.registry import DRY_RUN

if TYPE_CHECKING:
    from auditor.model.probe_pod import ProbePod
    from auditor.run.live_plan import LiveOptions, LivePlan
    from auditor.run.planning import AuditOptions

TRACES = (
    "--in-place: an ephemeral container joins one pod of each kind and ends with the run; Kubernetes can't take it "
    "out again, so each of"
    " these pods lists it until it is replaced"
)

MOST_LEFT_OUT = 3
"""How many of the pods that get no probe pod are named before a run."""


@dataclass(frozen=True, slots=True)
class LiveRunOptions:
    """What to audit, how, and where to report. ``again`` is the command line that names the cluster and what of it is
    audited.

    ``paths``: files to read in the place of the cluster, for a dry run. ``reports``: what the objects are called that
    the results are written to.
    """

    live: LiveOptions
    audit: AuditOptions
    again: tuple[str, ...]
    outputs: Outputs
    dry_run: bool
    quiet: bool
    before: Before
    paths: tuple[str, ...] = ()
    reports: str | None = None


def run_live(options: LiveRunOptions) -> int:
    """Do what ``options`` say. Returns the exit code."""
    from auditor.cluster.kubernetes.client.own_pod import own_pod
    from auditor.report.progress import open_progress
    from auditor.run.live import LeftBehindError, audit_live

    options.outputs.check()
    if options.dry_run:
        return _show(options)
    if options.live.in_place:
        say_aside(TRACES)
    began, left = now(), None
    with open_progress(sys.stderr, quiet=options.quiet) as progress:
        if (pod := own_pod()) is not None:
            progress.note(f"running in {pod}" + (f" as {pod.account}" if pod.account else ""))
        audited = audit_live(
            options.live, options.audit, subject(options.live), lambda cell: _reproduce(options.again, cell), progress
        )
        try:
            report = run_interruptibly(audited, LEAVES_CONTAINERS if options.live.in_place else LEAVES_PODS)
        except LeftBehindError as error:
            report, left = error.report, error
    scope = scope_of(options.live, options.audit)
    group = Group(JOB, ",".join(sorted(options.live.namespaces)), scope.part)
    report = after_run(replace(report, began=began), options.before, group)
    everywhere = report.surroundings.namespaces if report.surroundings is not None else ()
    namespaces = options.live.namespaces or everywhere
    write_reports(report, options.reports, options.live.connection, namespaces, scope)
    try:
        deliver_report(report, options.outputs, quiet=options.quiet)
    except AuditError as error:
        if left is not None:
            raise ClusterError(*left.lines, *error.lines) from error
        raise
    if left is not None:
        raise left
    return of_report(report)


def _show(options: LiveRunOptions) -> int:
    """Say what a run would do: which probe pods it would create, and the expected matrix."""
    from auditor.cli.snapshots import InputOptions, read_input
    from auditor.cluster.kubernetes.reading import LiveSnapshot
    from auditor.run.live import read_live
    from auditor.run.live_plan import narrowed, plan_live
    from auditor.run.planning import plan
    from auditor.run.reached_services import named_services
    from auditor.run.service_plan import services_at_most

    live = (
        LiveSnapshot(read_input(InputOptions(options.paths)))
        if options.paths
        else run_interruptibly(read_live(options.live))
    )
    named_services(live.snapshot, options.live.reach)
    intended = plan_live(live, options.live)
    matrix, probes = plan(intended.snapshot, narrowed(options.audit, intended, in_place=options.live.in_place))
    for line in _intentions(intended, in_place=options.live.in_place):
        say_aside(line)
    if options.live.services:
        count = sum(probe.name not in intended.absent for probe in intended.probes)
        say_aside(f"would make {services_at_most(count)}")
    options.outputs.deliver(DRY_RUN, (matrix, probes))
    return AS_EXPECTED


def _intentions(intended: LivePlan, *, in_place: bool) -> list[str]:
    told = [_joining(intended, probe) if in_place else _creating(probe) for probe in intended.probes]
    left = [f"would leave out {name}: {reason}" for name, reason in intended.absent.items()]
    if not in_place and left:
        number, reason = pluralize(len(left), "kind"), next(iter(intended.absent.values()))
        left = [f"would leave out {number} of audited pods, {in_brief(list(intended.absent), MOST_LEFT_OUT)}: {reason}"]
    draw = [] if intended.draw is None else [intended.draw.ahead]
    return [*filter(None, told), *left, *draw, *intended.remarks]


def _creating(probe: ProbePod) -> str:
    labels = ",".join(f"{key}={value}" for key, value in sorted(probe.labels.items())) or "no labels"
    represented = in_brief(probe.stands_for, 2)
    return f"would create a probe pod in {probe.namespace}{_on(probe.node)} with {labels}, for {represented}"


def _joining(intended: LivePlan, probe: ProbePod) -> str:
    if probe.name not in intended.members:
        return ""
    pod, node = "/".join(intended.members[probe.name]), intended.snapshot.endpoint(probe.name).node
    put = f"would put an ephemeral container into pod {pod}{_on(node)}, which lists it until the pod is recreated"
    return f"{put}; for {in_brief(probe.stands_for, 2)}"


def _on(node: str) -> str:
    return f" on {node}" if node else ""


def subject(options: LiveOptions) -> str:
    """What is audited, in words."""
    where = f"namespace {', '.join(options.namespaces)}" if options.namespaces else "all namespaces"
    which = "" if options.selector is None else f", pods {options.selector}"
    context = f" (context {options.connection.context})" if options.connection.context else ""
    return f"{where}{which} of the live cluster{context}"


def _reproduce(again: Sequence[str], cell: Cell) -> str:
    if cell.source.startswith("node/"):  # its kubelet tries, whatever else is tried
        return shlex.join([*again, "--to", cell.destination])
    return shlex.join(
        [*again, "--from", cell.source, "--to", cell.destination, "--ports", f"{cell.protocol}/{cell.port}"]
    )
