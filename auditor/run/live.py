"""A live cluster audited: read, choose probe pods, see that they do no harm, put them in, audit, take them away.

The audit itself is the one that the lab gets (``auditor.run.audit``); here stands only what a live cluster needs around it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from auditor.cluster.kubernetes.api import ApiServer
from auditor.cluster.kubernetes.config import ConnectionOptions, connect
from auditor.cluster.kubernetes.in_place import Guests, InPlaceCluster
from auditor.cluster.kubernetes.live import Deployment, LiveCluster
from auditor.cluster.kubernetes.meshes import PROXIED, proxied_pods
from auditor.cluster.kubernetes.objects import PodOptions
from auditor.cluster.kubernetes.permissions import JOINING, as_rules, missing_rights
from auditor.cluster.kubernetes.preflight import PreflightOptions, preflight
from auditor.cluster.kubernetes.reading import LiveSnapshot, read_cluster
from auditor.loop.apart import apart
from auditor.model.errors import ClusterError, UsageError
from auditor.model.intent import Intent
from auditor.model.labels import LabelSelector
from auditor.model.probe_pod import ProbePod
from auditor.model.report import Report
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot
from auditor.model.verdict import Cell
from auditor.model.words import counted
from auditor.policy.evaluator import evaluate
from auditor.policy.representatives import Mode, ProbeRequest, choose_probe_pods
from auditor.probing.options import Progress
from auditor.run.audit import AuditOptions, check_accepted, look
from auditor.run.concluding import Seconds, Seen, report_on, with_lint
from auditor.run.remarks import against_intent


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """Which pods of which cluster to audit: those in ``namespaces`` (none: all) that match ``selector`` (None: all).

    ``in_place``: from inside these pods, and not from probe pods. ``externals`` are hosts outside, each with the ports that may be probed.
    ``accept`` names harm that is put up with (``pdb``); ``intent`` is what the policies of the whole cluster are to mean.
    """

    connection: ConnectionOptions
    namespaces: tuple[str, ...] = ()
    selector: LabelSelector | None = None
    mode: Mode = Mode.ONE_PER_CLASS
    in_place: bool = False
    externals: tuple[Endpoint, ...] = ()
    pods: PodOptions = field(default_factory=PodOptions)
    start_seconds: float = 60.0
    accept: frozenset[str] = frozenset()
    intent: Intent | None = None


@dataclass(frozen=True, slots=True)
class LivePlan:
    """What an audit of a cluster would do.

    ``snapshot`` is what is audited: one endpoint for each of ``probes`` and for each external host. ``scope`` names those that stand for
    audited pods. ``members`` has, for an audit in place, namespace and name of the pod to join in the place of each probe pod. ``remarks``
    are lines for people; ``absent`` the probe pods in the place of which there is no pod to join, with the reason.
    """

    live: LiveSnapshot
    snapshot: Snapshot
    probes: tuple[ProbePod, ...]
    scope: frozenset[str]
    remarks: tuple[str, ...]
    members: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)


def plan_live(live: LiveSnapshot, options: LiveOptions) -> LivePlan:
    """Choose the probe pods for ``live``. Raises UsageError where there is nothing to audit, and for a host that is not outside."""
    workloads = live.snapshot
    _check_externals(workloads, options.externals)
    request = ProbeRequest(options.namespaces, options.selector, options.mode, live.ready_nodes or None)
    choice = choose_probe_pods(workloads, evaluate(workloads), request)
    audited = {endpoint.name for endpoint in workloads.endpoints if request.audits(endpoint)}
    scope = frozenset(probe.name for probe in choice.probe_pods if not audited.isdisjoint(probe.stands_for))
    proxied = proxied_pods(live) if options.in_place else frozenset()
    members = _members(workloads, choice.probe_pods, proxied) if options.in_place else {}
    missing = [probe for probe in choice.probe_pods if options.in_place and probe.name not in members]
    pods = [replace(members[probe.name], name=probe.name) if probe.name in members else _stand_in(probe) for probe in choice.probe_pods]
    return LivePlan(
        live,
        replace(workloads, endpoints=(*pods, *options.externals)),
        choice.probe_pods,
        scope,
        (_size(choice.probe_pods, in_place=options.in_place), *choice.uncovered, *_remarks(live)),
        {name: (member.namespace, member.name.partition("/")[2]) for name, member in members.items()},
        {probe.name: "none of its pods runs" if proxied.isdisjoint(probe.stands_for) else PROXIED for probe in missing},
    )


def _check_externals(workloads: Snapshot, externals: Iterable[Endpoint]) -> None:
    """Raise UsageError for a host that is inside the cluster: no ipBlock says of it what it says of a host outside."""
    known = {address: f"Service {service.namespace}/{service.name}" for service in workloads.services for address in service.cluster_ips}
    for endpoint in workloads.endpoints:
        who = f"node {endpoint.node}" if endpoint.host_network or endpoint.kind is EndpointKind.NODE else f"pod {endpoint.name}"
        known |= dict.fromkeys(endpoint.addresses, who)
    for external in externals:
        for address in external.addresses:
            if address in known:
                name = external.name.partition("/")[2]
                raise UsageError(f"--external {name}: {address} is {known[address]} of this cluster, and no host outside: leave it out")


def _members(workloads: Snapshot, probes: Sequence[ProbePod], proxied: frozenset[str]) -> dict[str, Endpoint]:
    """For each of ``probes`` a pod that it would stand for and that runs where it would; none of ``proxied``."""
    members: dict[str, Endpoint] = {}
    for probe in probes:
        standing = (workloads.endpoint(name) for name in probe.stands_for if name not in proxied)
        running = [member for member in standing if member.addresses and member.node]
        placed = [member for member in running if member.namespace == probe.namespace and probe.node in ("", member.node)]
        if running:
            members[probe.name] = (placed or running)[0]
    return members


def _stand_in(probe: ProbePod) -> Endpoint:
    return Endpoint(probe.name, EndpointKind.POD, probe.namespace, probe.labels, (), probe.ports, probe.node)


def _size(probes: Sequence[ProbePod], *, in_place: bool) -> str:
    pods = counted(sum(len(probe.stands_for) for probe in probes), "pod")
    if in_place:
        return f"{pods} audited by way of {len(probes)} of them, from inside; real processes answer, on the ports that pods declare"
    namespaces = counted(len({probe.namespace for probe in probes}), "namespace")
    return f"{pods} stood in for by {counted(len(probes), 'probe pod')} in {namespaces}, at L3/L4: a service mesh takes no part"


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
            raise UsageError(f"{api.place}: there is no namespace {name!r} (-n {name})")
    return live


class LeftBehindError(ClusterError):
    """The audit has been made, and ``report`` is whole, but something of it may still be in the cluster."""

    def __init__(self, message: str, report: Report) -> None:
        super().__init__(message)
        self.report = report


async def audit_live(
    options: LiveOptions,
    audit_options: AuditOptions,
    subject: str,
    reproduce: Callable[[Cell], str],
    progress: Progress,
) -> Report:
    """Audit the cluster with probe pods of our own and report; nothing of it stays.

    Raises UsageError for options that match nothing, ClusterError when the audit can't be made, and LeftBehindError, with the report, when
    its pods can't be removed.
    """
    run_id = secrets.token_hex(4)
    seconds = Seconds()
    async with ApiServer(await connect(options.connection)) as api:
        with seconds.of("reading"):
            progress.phase("reading the cluster", 0)
            live = await _read(api, options)
            check_accepted(live.snapshot, audit_options.accept_untested)
        with seconds.of("planning"):
            intended = await apart(plan_live, live, options)
            findings = await apart(against_intent, live.snapshot, options.intent)
        with seconds.of("preflight"):
            progress.phase("preflight", 0)
            visit = await _prepare(api, run_id, intended, options, progress, reproduce)
        chosen = replace(audit_options, scope=intended.scope, declared_only=options.in_place)
        seen, left = await _stay(visit, chosen, progress, seconds)
        traffic = {"calls": api.calls, "received": api.received, "sent": api.sent}
    report = await report_on(seen, subject, audit_options.min_coverage, progress)
    report = await with_lint(report, live.snapshot, options.namespaces)
    whole = replace(report, run_id=run_id, api=traffic, intent=findings)
    if left is not None:
        raise LeftBehindError(str(left), whole) from left
    return whole


async def _stay(
    visit: LiveCluster | InPlaceCluster, options: AuditOptions, progress: Progress, before: Seconds
) -> tuple[Seen, ClusterError | None]:
    """What the cluster showed while it was entered, and why something may be left there, if anything may.

    Raises ClusterError where it could not be seen. ``before`` has the times of the phases so far.
    """
    arrived = time.monotonic()
    seen, left = None, None
    try:
        async with visit as cluster:
            started = time.monotonic()
            seen = await look(cluster, options, progress)
            ended = time.monotonic()
    except ClusterError as error:
        if seen is None:
            raise
        left = error
    seconds = {**before, "deploying": started - arrived, **seen.seconds, "removing": time.monotonic() - ended}
    return replace(seen, seconds=seconds, facts=(*seen.facts, *visit.farewell)), left


async def _prepare(  # noqa: PLR0913, PLR0917 - where it all comes together
    api: ApiServer, run_id: str, intended: LivePlan, options: LiveOptions, progress: Progress, reproduce: Callable[[Cell], str]
) -> LiveCluster | InPlaceCluster:
    """The cluster to enter, once nothing stands in the way. Raises ClusterError that tells all that does."""
    versions = intended.live.resource_versions
    if options.in_place:
        await _check_rights(api, intended.members.values())
        guests = Guests(
            snapshot=intended.snapshot,
            pods=intended.members,
            versions=versions,
            facts=intended.remarks,
            absent=intended.absent,
            options=options.pods,
            start_seconds=options.start_seconds,
            audited=frozenset(options.namespaces) or None,
        )
        return InPlaceCluster(api, run_id, guests, progress, reproduce)
    bounds = PreflightOptions(options.namespaces, options.pods, options.accept, intended.scope)
    checked = await preflight(api, intended.live, intended.probes, bounds)
    if checked.obstacles:
        raise ClusterError(*checked.obstacles)
    deployment = Deployment(
        snapshot=intended.snapshot,
        workloads=intended.live.snapshot,
        probes=intended.probes,
        versions=versions,
        absent=checked.refused,
        facts=(*intended.remarks, *checked.remarks),
        users=checked.users,
        options=options.pods,
        start_seconds=options.start_seconds,
        audited=frozenset(options.namespaces) or None,
    )
    return LiveCluster(api, run_id, deployment, progress, reproduce)


async def _check_rights(api: ApiServer, pods: Iterable[tuple[str, str]]) -> None:
    """Raise ClusterError, with the rules to grant, where we may not join pods."""
    missing = await missing_rights(api, {namespace for namespace, _ in pods}, JOINING)
    if missing:
        lines = [f"namespace {name}: may not join pods; grant {as_rules(rights)}" for name, rights in missing.items()]
        raise ClusterError(*lines)
