"""The whole run: snapshot, expected matrix, probe plan, observations, and from these the report
(``auditor.run.concluding``).

Whatever computes does so apart from the event loop: while it lasts, Leases are renewed and signals heard.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from auditor.cluster.interface import Cluster
from auditor.diagnosis.asked import Asked
from auditor.diagnosis.search import diagnose
from auditor.loop.apart import apart
from auditor.model.diagnosis import Diagnosis
from auditor.model.errors import ClusterError, UsageError
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.ports import PortRequest
from auditor.model.probe_pod import FirstMoments
from auditor.model.report import Report
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot
from auditor.model.verdict import Cell, ProbingOutcome
from auditor.model.words import pluralize
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import ExpectedMatrix
from auditor.policy.selection import choose
from auditor.probing.crossings import NO_VOLUNTEERS
from auditor.probing.first_moments import no_newcomers
from auditor.probing.lookup_run import PHASE as LOOKING_UP
from auditor.probing.options import ProbingOptions, ProbingProgress
from auditor.probing.own_nodes import own_node_cells
from auditor.probing.plan import (
    Connection,
    ProbePlan,
    choose_ports,
    plan_cells,
    plan_chosen,
    plan_narrowly,
    with_other_protocols,
)
from auditor.probing.probe_run import probe
from auditor.probing.sites import ProbeSite
from auditor.run.concluding import Seen, report_on
from auditor.run.deciding import choose_deciders, is_open
from auditor.run.expectation import AuditState, Expectation, after, renewed
from auditor.run.lookups import look_names_up
from auditor.run.newcomers import choose_newcomers
from auditor.run.reached_services import PHASE as REACHING
from auditor.run.reached_services import named_services, reach_services
from auditor.run.services import PHASE as THROUGH
from auditor.run.services import through_services
from auditor.run.volunteers import choose_volunteers

MOST_REPROBES = 3
"""How often cells are probed anew because the policies changed during the run, before they are given up as
inconclusive.
"""
MOST_CELLS = 50_000
"""Beyond this many cells, pairs are probed only on the ports that matter to them, unless the user has named ports."""
MOST_FURTHER_CELLS = 20_000
"""Beyond this many cells, none is looked for that would tell hypotheses apart."""
SEARCH_SECONDS = 10.0
"""How long pods wait in the cluster while the cause is looked for; after that there are no probes that would tell
causes apart.
"""
RESTLESS = "policies or labels of namespaces that decide this kept changing during the run"


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """What to audit of a cluster. Empty ``ports``: chosen by the auditor. Empty selections: every endpoint.

    ``sources`` and ``destinations`` are selections in the notation of ``auditor.policy.selection``; an endpoint takes
    part when any of them matches. ``scope`` names endpoints, of which one at least takes part in each cell.
    ``declared_only``: no port that its destination doesn't declare. ``min_coverage`` is a share, 0 to 1.
    ``accept_untested`` are full names of policies that may stay untested. ``connections``: try no others, unless
    ``ports`` are given (None: all); ``not_chosen`` are the policies of administrators, by full name and direction, of
    which these show nothing though others would. ``also`` are ports to try besides those that the auditor chooses.
    ``at_nodes``: whether agents sit at nodes, too. ``services``: try all of it through Services, too. ``dns``: have
    the sources look a name up. ``reach``: Services of the cluster's own, ``NAMESPACE/NAME``, to connect to.
    ``former``: the policies as they were before the last change (None: nobody knows).
    """

    ports: tuple[PortRequest, ...] = ()
    sources: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    scope: frozenset[str] = frozenset()
    declared_only: bool = False
    min_coverage: float = 0.0
    accept_untested: frozenset[str] = frozenset()
    connections: frozenset[Connection] | None = None
    not_chosen: frozenset[tuple[str, Direction]] = frozenset()
    at_nodes: bool = True
    services: bool = False
    dns: bool = False
    reach: tuple[str, ...] = ()
    probing: ProbingOptions = field(default_factory=ProbingOptions)
    also: tuple[PortRequest, ...] = ()
    former: tuple[NetworkPolicy, ...] | None = None


def check_accepted(snapshot: Snapshot, accepted: Collection[str]) -> None:
    """Raise UsageError for a name among ``accepted`` that no policy of ``snapshot`` has."""
    known = {policy.full_name for policy in snapshot.policies} | {policy.full_name for policy in snapshot.unknown}
    known |= {policy.full_name for policy in snapshot.admin_policies}
    for name in sorted(accepted):
        if name not in known:
            form = "KIND/NAME" if " " in name else "NAMESPACE/NAME, as reports do"
            written = name.replace(" ", "/")
            raise UsageError(f"--accept-untested {written}: no policy has this name; write {form}")


def asked_about(snapshot: Snapshot, options: AuditOptions) -> dict[Direction, frozenset[str]]:
    """The endpoints whose filters an audit with ``options`` tries: for egress the sources, for ingress the
    destinations.
    """
    chosen = {
        Direction.INGRESS: choose(snapshot.endpoints, options.destinations, snapshot.services),
        Direction.EGRESS: choose(snapshot.endpoints, options.sources, snapshot.services),
    }
    return {
        direction: frozenset(end.name for end in ends if not options.scope or end.name in options.scope)
        for direction, ends in chosen.items()
    }


def plan(snapshot: Snapshot, options: AuditOptions) -> tuple[ExpectedMatrix, ProbePlan]:
    """The expected matrix of ``snapshot`` and the cells that an audit with ``options`` would probe.

    Raises UsageError when nothing is left to probe, and for a policy to accept that isn't there.
    """
    check_accepted(snapshot, options.accept_untested)
    matrix = evaluate(snapshot, named_ports=(*options.ports, *options.also))
    ports = options.ports or tuple(dict.fromkeys((*choose_ports(snapshot), *options.also)))
    sources, destinations = _chosen_ends(snapshot, options)
    if options.connections is not None and not options.ports:
        cells = plan_chosen(sources, destinations, options.connections)
    else:
        cells = plan_cells(sources, destinations, ports, options.scope, declared_only=options.declared_only)
    if not cells:
        raise UsageError("nothing to probe: no pair of the chosen endpoints and ports is one that a policy can govern")
    if options.ports or options.declared_only or options.connections is not None:
        return matrix, ProbePlan(tuple(ports), cells)
    if len(cells) <= MOST_CELLS:
        cells = with_other_protocols(cells, matrix)
    if len(cells) <= MOST_CELLS:
        return matrix, ProbePlan(tuple(ports), cells)
    narrow = with_other_protocols(plan_narrowly(snapshot, sources, destinations, options.scope), matrix)
    remark = (
        f"{len(cells):,} connections would be too many to try: each pair is probed on the ports that its own policies "
        "and pods name"
    )
    return matrix, ProbePlan(tuple(ports), narrow, remark)


def _chosen_ends(snapshot: Snapshot, options: AuditOptions) -> tuple[tuple[Endpoint, ...], tuple[Endpoint, ...]]:
    """The sources and the destinations that an audit with ``options`` tries with agents of its own."""
    ends = [end for end in snapshot.endpoints if options.at_nodes or end.kind is not EndpointKind.NODE]
    return choose(ends, options.sources, snapshot.services), choose(ends, options.destinations, snapshot.services)


def _by_kubelets(snapshot: Snapshot, sites: Sequence[ProbeSite], options: AuditOptions) -> tuple[Cell, ...]:
    """The connections that kubelets make, of those that an audit with ``options`` is about."""
    if options.ports:
        return ()
    asked = asked_about(snapshot, options)
    sources = {end.name for end in choose(snapshot.endpoints, options.sources, snapshot.services)}
    return tuple(
        cell
        for cell in own_node_cells(snapshot, sites)
        if cell.destination in asked[Direction.INGRESS] and cell.source in sources
    )


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
    outcome = await _probe(cluster, expectation, cells, options, progress, first_moments=first_moments)
    audit_state = AuditState(expectation, outcome, options.former)
    audit_state = await _follow_changes(cluster, audit_state, options, progress)
    audit_state, diagnosis, sought = await _diagnose(cluster, audit_state, options, progress)
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
    audit_state, diagnosis, sought = await _decide(cluster, audit_state, diagnosis, options, progress, sought=sought)
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
    return probes, Expectation.of(matrix, (*probes.cells, *_by_kubelets(snapshot, sites, options)), failed)


async def _first_moments(
    cluster: Cluster, expectation: Expectation, options: AuditOptions
) -> Callable[[], Awaitable[FirstMoments]]:
    """What has further pods come, and tells what was open to them from their start on; nothing where that is no fault,
    or nothing is closed to pods of this run.
    """
    if not _more_may_come(options):
        return no_newcomers
    wanted = await apart(choose_newcomers, expectation, cluster.sites)
    return partial(cluster.newcomers, wanted, options.probing.settle) if wanted else no_newcomers


def _more_may_come(options: AuditOptions) -> bool:
    """Whether further pods may come during the audit."""
    borne = options.probing.late_isolation
    return borne is not None and borne < options.probing.settle


async def _probe(  # noqa: PLR0913 - as everywhere here, and one switch
    cluster: Cluster,
    expectation: Expectation,
    cells: Sequence[Cell],
    options: AuditOptions,
    progress: ProbingProgress,
    *,
    helped: bool = True,
    first_moments: Callable[[], Awaitable[FirstMoments]] = no_newcomers,
) -> ProbingOutcome:
    """Probe ``cells``; ``helped``: by volunteers, where nothing in ``cells`` shows that packets get between nodes."""
    absent = {**cluster.absent, **cluster.failed}
    helping = NO_VOLUNTEERS
    if helped and not options.declared_only:
        helping = await apart(choose_volunteers, expectation, absent, cells)
    return await probe(
        cells,
        cluster.sites,
        cluster.open,
        expectation.demanded,
        options.probing,
        progress,
        absent=absent,
        translators=cluster.snapshot.node_addresses,
        witnesses=cluster.witnesses,
        volunteers=helping,
        first_moments=first_moments,
    )


def _later(options: AuditOptions) -> AuditOptions:
    """``options`` for what is probed once pods have been there for a while, or policies have changed."""
    return replace(options, probing=replace(options.probing, late_isolation=None))


async def _follow_changes(
    cluster: Cluster, audit_state: AuditState, options: AuditOptions, progress: ProbingProgress
) -> AuditState:
    """Judge anew what changes in the cluster have touched since it was read, and probe it anew; what never comes to
    rest is doubtful.
    """
    reprobed: set[Cell] = set()
    for _ in range(MOST_REPROBES):
        states = await cluster.changes()
        if not states:
            return await _ended(cluster, audit_state, reprobed)
        expectation, touched = await apart(after, states, audit_state.expectation, dict(cluster.failed))
        again = [cell for cell in audit_state.expectation.verdicts if cell in touched]
        outcome = audit_state.outcome
        if again:
            outcome = await apart(
                renewed, outcome, await _probe(cluster, expectation, again, _later(options), progress)
            )
        reprobed |= touched
        audit_state = audit_state.changed_to(expectation, outcome)
    states = await cluster.changes()
    if states:
        expectation, touched = await apart(after, states, audit_state.expectation, dict(cluster.failed))
        audit_state = replace(
            audit_state,
            expectation=replace(expectation, doubts={**expectation.doubts, **dict.fromkeys(touched, RESTLESS)}),
        )
    return await _ended(cluster, audit_state, reprobed)


async def _ended(cluster: Cluster, audit_state: AuditState, reprobed: Collection[Cell]) -> AuditState:
    return _told(await apart(audit_state.failing, dict(cluster.failed)), reprobed)


async def _diagnose(
    cluster: Cluster, audit_state: AuditState, options: AuditOptions, progress: ProbingProgress
) -> tuple[AuditState, Diagnosis | None, bool]:
    """Where several causes fit what differs, make the probes that tell them apart. What is known of the cause, and if
    that is all.

    It is not all when it took too long with pods waiting in the cluster, or when there are further probes to take into
    account.
    """
    try:
        async with asyncio.timeout(SEARCH_SECONDS):
            diagnosis = await apart(_search, audit_state, options)
    except TimeoutError:
        return audit_state, None, False
    if diagnosis is None or not diagnosis.discriminating:
        return audit_state, diagnosis, True
    expectation = await apart(audit_state.expectation.widened, diagnosis.discriminating, dict(cluster.failed))
    further = await _probe(cluster, expectation, diagnosis.discriminating, _later(options), progress, helped=False)
    outcome = await apart(renewed, audit_state.outcome, further)
    widened = replace(audit_state, expectation=expectation, outcome=outcome)
    return await _follow_changes(cluster, widened, options, progress), None, False


async def _decide(  # noqa: PLR0913 - as everywhere here, and one switch
    cluster: Cluster,
    audit_state: AuditState,
    diagnosis: Diagnosis | None,
    options: AuditOptions,
    progress: ProbingProgress,
    *,
    sought: bool,
) -> tuple[AuditState, Diagnosis | None, bool]:
    """Where several causes still fit, or one isn't certain, have further probe pods come that show more, and try these.
    As ``_diagnose``: what is known of the cause, and if that is all.
    """
    if not _more_may_come(options) or not cluster.room.pods or (sought and diagnosis is None):
        return audit_state, diagnosis, sought
    try:
        async with asyncio.timeout(SEARCH_SECONDS):
            if not sought:
                diagnosis = await apart(_search, audit_state, None)
            if diagnosis is None or not is_open(diagnosis):
                return audit_state, diagnosis, True
            deciders = await apart(choose_deciders, audit_state, diagnosis, cluster.sites, cluster.room)
    except TimeoutError:
        return audit_state, diagnosis, sought
    if not deciders.copies:
        return audit_state, diagnosis, True
    progress.phase("further probe pods", len(deciders.copies))
    try:
        failures = await cluster.add(deciders.copies)
    except ClusterError as error:  # what was seen without them stands
        failures = error.lines
    snapshot = replace(audit_state.expectation.matrix.snapshot, endpoints=cluster.snapshot.endpoints)
    there = {end.name for end in snapshot.endpoints}
    cells = [cell for cell in deciders.cells if cell.source in there and cell.destination in there]
    if cells:
        matrix = await apart(evaluate, snapshot)
        wider = replace(audit_state.expectation, matrix=matrix)
        expectation = await apart(wider.widened, cells, dict(cluster.failed))
        further = await _probe(cluster, expectation, cells, _later(options), progress)
        audit_state = replace(
            audit_state, expectation=expectation, outcome=await apart(renewed, audit_state.outcome, further)
        )
        audit_state = await _follow_changes(cluster, audit_state, options, progress)
    told = deciders.told(there, failures)
    outcome = replace(audit_state.outcome, facts=(*audit_state.outcome.facts, told))
    return replace(audit_state, outcome=outcome), diagnosis, not cells


def _search(audit_state: AuditState, options: AuditOptions | None) -> Diagnosis | None:
    """The cause, and the probes that would tell it from others; none of these without ``options``."""
    matrix = audit_state.expectation.matrix
    results, candidates = audit_state.results(), _further_cells(matrix, options) if options is not None else ()
    return diagnose(matrix.snapshot, results, audit_state.former, candidates)


def _further_cells(matrix: ExpectedMatrix, options: AuditOptions) -> tuple[Cell, ...]:
    """Cells between the chosen endpoints that a plan leaves out: at ports inside the ranges whose edges it probes. None
    beyond --ports.
    """
    if options.ports or options.declared_only:
        return ()
    ports = [
        PortRequest(atom.protocol, number=number)
        for atom in matrix.atoms
        for number in {atom.first, (atom.first + atom.last) // 2}
    ]
    sources, destinations = _chosen_ends(matrix.snapshot, options)
    if len(sources) * len(destinations) * len(ports) > MOST_FURTHER_CELLS:
        return ()
    return plan_cells(sources, destinations, ports, options.scope)


def _told(audit_state: AuditState, reprobed: Collection[Cell]) -> AuditState:
    if not reprobed:
        return audit_state
    fact = (
        f"policies or namespaces changed during the run: {pluralize(len(reprobed), 'connection')} probed "
        "again and judged by the new ones"
    )
    return replace(audit_state, outcome=replace(audit_state.outcome, facts=(*audit_state.outcome.facts, fact)))


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
