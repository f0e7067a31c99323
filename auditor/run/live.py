"""A live cluster audited: read, choose probe pods, see that they do no harm, put them in, audit, take them away; or
only looked at, to find out what an audit would create and what would stop it.

The audit itself is the one that the lab gets (``auditor.run.audit``); here stands only what a live cluster needs around
it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from auditor.cluster.kubernetes.client.config import connect
from auditor.cluster.kubernetes.client.server import ApiServer
from auditor.cluster.kubernetes.live import Deployment, LiveCluster
from auditor.cluster.kubernetes.preflight.checks import Preflight
from auditor.cluster.kubernetes.reading import LiveSnapshot, read_cluster
from auditor.cluster.kubernetes.session.in_place import InPlaceCluster, InPlacePlan
from auditor.history.surroundings import surroundings_of
from auditor.loop.apart import apart
from auditor.model.errors import ClusterError, UsageError
from auditor.model.ports import PortRequest, Protocol
from auditor.model.probe_pod import ProbePod
from auditor.model.report import Report
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell
from auditor.probing.options import ProbingProgress
from auditor.probing.plan import choose_ports
from auditor.run.audit import look
from auditor.run.concluding import Seconds, Seen, against_intent, report_on, with_lint
from auditor.run.live_noticing import noticing_of
from auditor.run.live_plan import LiveOptions, LivePlan, narrowed, plan_live
from auditor.run.live_settling import settle
from auditor.run.planning import AuditOptions, check_accepted
from auditor.run.reached_services import named_services

ONLY_NEW = (
    "probe pods are new: what the CNI has lost about a pod that has been there for long shows only with --in-place "
    "(--sample N joins a few, others every day)"
)
"""What no audit with pods of our own can show."""


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


@dataclass(frozen=True, slots=True)
class LiveAudit:
    """The report of an audit, and what it intended: which probe pod stands for which pods of the cluster."""

    report: Report
    intended: LivePlan


async def audit_live(
    options: LiveOptions,
    audit_options: AuditOptions,
    subject: str,
    reproduce: Callable[[Cell], str],
    progress: ProbingProgress,
) -> Report:
    """As ``audit_with_plan``, the report alone."""
    return (await audit_with_plan(options, audit_options, subject, reproduce, progress)).report


async def audit_with_plan(
    options: LiveOptions,
    audit_options: AuditOptions,
    subject: str,
    reproduce: Callable[[Cell], str],
    progress: ProbingProgress,
) -> LiveAudit:
    """Audit the cluster with probe pods of our own and report; nothing of it stays.

    Raises UsageError for options that match nothing, ClusterError when the audit can't be made, and LeftBehindError,
    with the report, when its pods can't be removed.
    """
    run_id = secrets.token_hex(4)
    seconds = Seconds()
    async with ApiServer(await connect(options.connection)) as api:
        with seconds.of("reading"):
            progress.phase("reading the cluster", 0)
            live = await _read(api, options)
            check_accepted(live.snapshot, audit_options.accept_untested)
            named_services(live.snapshot, audit_options.reach)
        with seconds.of("planning"):
            intended = await apart(plan_live, live, options)
            tried = await apart(_tcp_ports, intended.snapshot, audit_options.ports)
            pods = replace(
                options.pods.apart_from(tried),
                numbered=options.services,
                names=options.looks_names_up,
            )
            options = replace(options, pods=pods)
            findings = await apart(against_intent, live.snapshot, options.intent)
        with seconds.of("preflight"):
            progress.phase("preflight", 0)
            intended, session = await _prepare(api, run_id, intended, options, progress, reproduce)
        chosen = narrowed(audit_options, intended, in_place=options.in_place)
        seen, left = await _stay(session, chosen, progress, seconds)
        traffic = {"calls": api.calls, "received": api.received, "sent": api.sent}
    report = await report_on(seen, subject, audit_options.min_coverage, progress)
    report = await with_lint(report, live.snapshot, options.namespaces)
    meant = None if options.intent is None else findings
    around = await apart(surroundings_of, live.snapshot, options.namespaces, live.versions, intent=meant)
    noticing = await apart(noticing_of, options, intended, report.cells, ports_given=bool(audit_options.ports))
    whole = replace(
        report, noticing=noticing, draw=intended.draw, run_id=run_id, api=traffic, intent=findings, surroundings=around
    )
    if left is not None:
        raise LeftBehindError(str(left), whole) from left
    return LiveAudit(whole, intended)


def _tcp_ports(snapshot: Snapshot, asked: Collection[PortRequest]) -> frozenset[int]:
    """The TCP ports that are tried, or may be."""
    wanted = [(port.protocol, port.number) for port in (*choose_ports(snapshot), *asked)]
    wanted += [(port.protocol, port.number) for endpoint in snapshot.endpoints for port in endpoint.ports]
    return frozenset(number for protocol, number in wanted if protocol is Protocol.TCP and number)


async def _stay(
    session: LiveCluster | InPlaceCluster, options: AuditOptions, progress: ProbingProgress, before: Seconds
) -> tuple[Seen, ClusterError | None]:
    """What the cluster showed while it was entered, and why something may be left there, if anything may.

    Raises ClusterError where it could not be seen. ``before`` has the times of the phases so far.
    """
    arrived = time.monotonic()
    seen, left = None, None
    try:
        async with session as cluster:
            started = time.monotonic()
            seen = await look(cluster, options, progress)
            ended = time.monotonic()
    except ClusterError as error:
        if seen is None:
            raise
        left = error
    seconds = {**before, "deploying": started - arrived, **seen.seconds, "removing": time.monotonic() - ended}
    return replace(seen, seconds=seconds, facts=(*seen.facts, *session.farewell)), left


async def _prepare(  # noqa: PLR0913, PLR0917 - where it all comes together
    api: ApiServer,
    run_id: str,
    intended: LivePlan,
    options: LiveOptions,
    progress: ProbingProgress,
    reproduce: Callable[[Cell], str],
) -> tuple[LivePlan, LiveCluster | InPlaceCluster]:
    """What is done in the end, and the cluster to enter, once nothing stands in the way. Raises ClusterError that says
    all that does.
    """
    intended, checked = await settle(api, intended.live, intended, options)
    if checked.obstacles:
        raise ClusterError(*checked.obstacles)
    versions = intended.live.resource_versions
    facts = (*checked.left_out, *intended.remarks, *checked.remarks)
    if options.in_place:
        plan = InPlacePlan(
            snapshot=intended.snapshot,
            pods={name: place for name, place in intended.members.items() if name not in checked.refused},
            versions=versions,
            facts=facts,
            absent={**intended.absent, **checked.refused},
            options=options.pods,
            start_seconds=options.start_seconds,
            audited=frozenset(options.namespaces) or None,
        )
        return intended, InPlaceCluster(api, run_id, plan, progress, reproduce)
    deployment = Deployment(
        snapshot=intended.snapshot,
        workloads=intended.live.snapshot,
        probes=intended.probes,
        versions=versions,
        absent={**intended.absent, **checked.refused},
        facts=(*facts, ONLY_NEW),
        users=checked.users,
        options=options.pods,
        start_seconds=options.start_seconds,
        audited=frozenset(options.namespaces) or None,
        newcomers=max(0, options.max_probe_pods - len(intended.probes)),
        room=checked.room,
        inner_addresses=intended.live.inner_addresses,
    )
    return intended, LiveCluster(api, run_id, deployment, progress, reproduce)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What an audit, ``in_place`` or with pods of its own and perhaps ``services``, intends, and what it would meet."""

    intended: LivePlan
    found: Preflight
    in_place: bool = False
    services: bool = False

    @property
    def put(self) -> tuple[ProbePod, ...]:
        """The probe pods to create or, in place, those that stand for a pod that can be joined."""
        return tuple(
            probe for probe in self.intended.probes if not self.in_place or probe.name in self.intended.members
        )

    @property
    def can_start(self) -> bool:
        """Whether a run could do anything at all."""
        return self.found.can_start(self.put)


async def look_ahead(options: LiveOptions) -> Outlook:
    """What an audit with ``options`` intends, and what it would meet. Raises UsageError for options that match nothing,
    ClusterError when the cluster can't be asked.
    """
    live = await read_live(options)
    named_services(live.snapshot, options.reach)
    intended = await apart(plan_live, live, options)
    options = replace(options, pods=replace(options.pods, numbered=options.services, names=options.looks_names_up))
    async with ApiServer(await connect(options.connection)) as api:
        return Outlook(*await settle(api, live, intended, options), options.in_place, options.services)
