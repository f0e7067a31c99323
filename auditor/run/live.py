"""A live cluster audited: read, choose probe pods, see that they do no harm, put them in, audit, take them away.

The audit itself is the one that the lab gets (``auditor.run.audit``); here stands only what a live cluster needs around it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from auditor.cluster.kubernetes.api import ApiServer
from auditor.cluster.kubernetes.config import ConnectionOptions, connect
from auditor.cluster.kubernetes.live import Deployment, LiveCluster
from auditor.cluster.kubernetes.objects import PodOptions
from auditor.cluster.kubernetes.preflight import Preflight, PreflightOptions, preflight
from auditor.cluster.kubernetes.reading import LiveSnapshot, read_cluster
from auditor.model.errors import ClusterError, UsageError
from auditor.model.labels import LabelSelector
from auditor.model.probe_pod import ProbePod
from auditor.model.report import Report
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot
from auditor.model.verdict import Cell
from auditor.model.words import counted
from auditor.policy.evaluator import evaluate
from auditor.policy.representatives import Mode, ProbeRequest, choose_probe_pods
from auditor.probing.options import Progress
from auditor.run.audit import AuditOptions, audit


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """Which pods of which cluster to audit: those in ``namespaces`` (none: all) that match ``selector`` (None: all).

    ``externals`` are hosts outside, each with the ports that may be probed. ``accept`` names harm that is put up with (``pdb``).
    """

    connection: ConnectionOptions
    namespaces: tuple[str, ...] = ()
    selector: LabelSelector | None = None
    mode: Mode = Mode.ONE_PER_CLASS
    externals: tuple[Endpoint, ...] = ()
    pods: PodOptions = field(default_factory=PodOptions)
    start_seconds: float = 60.0
    accept: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LivePlan:
    """What an audit of a cluster would do.

    ``snapshot`` is what is audited: one endpoint for each of ``probes`` and for each external host. ``scope`` names those that stand for
    audited pods. ``remarks`` are lines for people.
    """

    live: LiveSnapshot
    snapshot: Snapshot
    probes: tuple[ProbePod, ...]
    scope: frozenset[str]
    remarks: tuple[str, ...]


def plan_live(live: LiveSnapshot, options: LiveOptions) -> LivePlan:
    """Choose the probe pods for ``live``. Raises UsageError where there is nothing to audit."""
    workloads = live.snapshot
    matrix = evaluate(workloads)
    request = ProbeRequest(options.namespaces, options.selector, options.mode, live.ready_nodes)
    choice = choose_probe_pods(workloads, matrix, request)
    audited = {endpoint.name for endpoint in workloads.endpoints if request.audits(endpoint)}
    scope = frozenset(probe.name for probe in choice.probe_pods if not audited.isdisjoint(probe.stands_for))
    pods = sum(len(probe.stands_for) for probe in choice.probe_pods)
    namespaces = {probe.namespace for probe in choice.probe_pods}
    stood_in = (
        f"{counted(pods, 'pod')} stood in for by {counted(len(choice.probe_pods), 'probe pod')}"
        f" in {counted(len(namespaces), 'namespace')}; L3/L4 was measured, past any mesh"
    )
    endpoints = (*map(_endpoint, choice.probe_pods), *options.externals)
    return LivePlan(live, replace(workloads, endpoints=endpoints), choice.probe_pods, scope, (stood_in, *choice.uncovered, *_remarks(live)))


def _endpoint(probe: ProbePod) -> Endpoint:
    return Endpoint(probe.name, EndpointKind.POD, probe.namespace, probe.labels, (), probe.ports, probe.node)


def _remarks(live: LiveSnapshot) -> Sequence[str]:
    foreign = [
        f"{count} {kind} in force, too, and not evaluated: where they apply, what is expected may be wrong"
        for kind, count in live.foreign.items()
    ]
    unknown = [f"policy {policy.full_name} {policy.why}: what it may decide is inconclusive" for policy in live.snapshot.unknown]
    return [*foreign, *unknown, *live.notes]


async def read_live(options: LiveOptions) -> LiveSnapshot:
    """The whole cluster as it is now. Raises UsageError for a namespace that it does not have."""
    async with ApiServer(await connect(options.connection)) as api:
        return await _read(api, options)


async def _read(api: ApiServer, options: LiveOptions) -> LiveSnapshot:
    live = await read_cluster(api)
    for name in options.namespaces:
        if name not in live.snapshot.namespaces:
            raise UsageError(f"{api.connection.server}: there is no namespace {name!r} (-n {name})")
    return live


async def audit_live(
    options: LiveOptions, audit_options: AuditOptions, subject: str, reproduce: Callable[[Cell], str], progress: Progress
) -> Report:
    """Audit the cluster with probe pods of our own and report; nothing of it stays.

    Raises UsageError for options that match nothing, ClusterError when the audit can't be made or its pods can't be removed.
    """
    began = time.monotonic()
    run_id = secrets.token_hex(4)
    async with ApiServer(await connect(options.connection)) as api:
        progress.phase("reading the cluster", 0)
        intended = plan_live(await _read(api, options), options)
        read = time.monotonic()
        progress.phase("preflight", 0)
        checked = await preflight(api, intended.live, intended.probes, PreflightOptions(options.namespaces, options.pods, options.accept))
        if checked.obstacles:
            raise ClusterError("\n".join(checked.obstacles))
        deployment = _deployment(intended, checked, options)
        up = time.monotonic()
        async with LiveCluster(api, run_id, deployment, progress, reproduce) as cluster:
            started = time.monotonic()
            report = await audit(cluster, subject, replace(audit_options, scope=intended.scope), progress)
            ended = time.monotonic()
        seconds = {"reading": read - began, "preflight": up - read, "deploying": started - up, **report.seconds}
        seconds["removing"] = time.monotonic() - ended
        traffic = {"calls": api.calls, "received": api.received, "sent": api.sent}
    return replace(report, run_id=run_id, seconds=seconds, facts=(*report.facts, *cluster.farewell), api=traffic)


def _deployment(intended: LivePlan, checked: Preflight, options: LiveOptions) -> Deployment:
    return Deployment(
        snapshot=intended.snapshot,
        workloads=intended.live.snapshot,
        probes=intended.probes,
        versions=intended.live.resource_versions,
        absent=checked.refused,
        facts=(*intended.remarks, *checked.remarks),
        users=checked.users,
        options=options.pods,
        start_seconds=options.start_seconds,
    )
