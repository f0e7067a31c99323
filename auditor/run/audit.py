"""The whole run: snapshot, expected matrix, probe plan, observations, and from these the report
(``auditor.run.concluding``).

Whatever computes does so apart from the event loop: while it lasts, Leases are renewed and signals heard.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from auditor.cluster.interface import Cluster
from auditor.diagnosis.asked import Asked
from auditor.loop.apart import apart
from auditor.model.policy import Direction
from auditor.model.probe_pod import FirstMoments
from auditor.model.report import Report
from auditor.model.snapshot import Snapshot
from auditor.model.words import pluralize
from auditor.policy.matrix import ExpectedMatrix
from auditor.probing.first_moments import no_newcomers
from auditor.probing.lookup_run import PHASE as LOOKING_UP
from auditor.probing.options import ProbingProgress
from auditor.probing.plan import (
    ProbePlan,
)
from auditor.probing.sites import ProbeSite
from auditor.run.causes import have_pods_decide, tell_causes_apart
from auditor.run.concluding import Seen, report_on
from auditor.run.expectation import AuditState, Expectation
from auditor.run.lookups import look_names_up
from auditor.run.newcomers import choose_newcomers
from auditor.run.planning import AuditOptions, asked_about, by_kubelets, plan
from auditor.run.reached_services import PHASE as REACHING
from auditor.run.reached_services import named_services, reach_services
from auditor.run.rounds import follow_changes, more_may_come, probe_round
from auditor.run.services import PHASE as THROUGH
from auditor.run.services import through_services


async def audit(cluster: Cluster, subject: str, options: AuditOptions, progress: ProbingProgress) -> Report:
    """Audit ``cluster``, which is up, and report. Raises what ``look`` raises."""
    return await report_on(await look(cluster, options, progress), subject, options.min_coverage, progress)


async def look(cluster: Cluster, options: AuditOptions, progress: ProbingProgress) -> Seen:
    """Probe ``cluster``, which is up, for all that a report needs of it.

    Raises UsageError when a selection or port matches nothing, ClusterError when the cluster fails under it.
    """
    began = time.monotonic()
    named = named_services(cluster.snapshot, options.reach)
    probes, expectation = await apart(_intend, cluster.snapshot, cluster.sites, options, dict(cluster.failed))
    planned = time.monotonic()
    first_moments = await _first_moments(cluster, expectation, options)
    cells = tuple(expectation.verdicts)
    outcome = await probe_round(cluster, expectation, cells, options, progress, first_moments=first_moments)
    audit_state = AuditState(expectation, outcome, options.former)
    audit_state = await follow_changes(cluster, audit_state, options, progress)
    audit_state, diagnosis, sought = await tell_causes_apart(cluster, audit_state, options, progress)
    services, through = None, {}
    if options.services:
        services, seconds = await through_services(cluster, audit_state, options.probing, progress)
        through = {THROUGH: seconds}
    dns, reached = None, None
    sources = asked_about(cluster.snapshot, options)[Direction.EGRESS] if options.dns or named else frozenset[str]()
    if named:
        reached, seconds = await reach_services(cluster, audit_state, sources, named, options.probing, progress)
        through = {**through, REACHING: seconds}
    if options.dns:
        dns, seconds = await look_names_up(cluster, audit_state, sources, options.probing, progress)
        through = {**through, LOOKING_UP: seconds}
    audit_state, diagnosis, sought = await have_pods_decide(
        cluster, audit_state, diagnosis, options, progress, sought=sought
    )
    judging = time.monotonic() - planned - sum(audit_state.outcome.seconds.values()) - sum(through.values())
    told = [
        *await apart(_facts, cluster.snapshot, expectation.matrix),
        *([probes.remark] if probes.remark else ()),
        *cluster.facts,
    ]
    return Seen(
        endpoints=cluster.snapshot.endpoints,
        audit_state=audit_state,
        reproduce=cluster.reproduce,
        diagnosis=diagnosis,
        sought=sought,
        asked=Asked(
            asked_about(cluster.snapshot, options),
            {**cluster.absent, **audit_state.expectation.failed},
            options.accept_untested,
            options.not_chosen,
        ),
        facts=(
            *told,
            *audit_state.outcome.facts,
            *(fact for part in (services, dns, reached) if part is not None for fact in part.facts),
        ),
        services=services,
        dns=dns,
        reached=reached,
        seconds={"evaluating": planned - began, **audit_state.outcome.seconds, **through, "judging": max(0.0, judging)},
    )


def _intend(
    snapshot: Snapshot, sites: Sequence[ProbeSite], options: AuditOptions, failed: Mapping[str, str]
) -> tuple[ProbePlan, Expectation]:
    matrix, probes = plan(snapshot, options)
    return probes, Expectation.of(matrix, (*probes.cells, *by_kubelets(snapshot, sites, options)), failed)


async def _first_moments(
    cluster: Cluster, expectation: Expectation, options: AuditOptions
) -> Callable[[], Awaitable[FirstMoments]]:
    """What has further pods come, and tells what was open to them from their start on; nothing where that is no fault,
    or nothing is closed to pods of this run.
    """
    if not more_may_come(options):
        return no_newcomers
    wanted = await apart(choose_newcomers, expectation, cluster.sites)
    return partial(cluster.newcomers, wanted, options.probing.settle) if wanted else no_newcomers


def _facts(snapshot: Snapshot, matrix: ExpectedMatrix) -> list[str]:
    endpoints = pluralize(len(snapshot.endpoints), "endpoint")
    groups = pluralize(len(matrix.classes), "group")
    policies = pluralize(snapshot.number_of_policies, "policy", "policies")
    facts = [f"{endpoints} in {groups} (alike to every policy), {policies}"]
    if snapshot.ignored:
        facts.append(
            "not taken into account: "
            + ", ".join(f"{count} {kind}" for kind, count in sorted(snapshot.ignored.items()))
        )
    return facts
