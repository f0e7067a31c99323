"""One round of probing after the other: of what is planned, and of what changes in the cluster have touched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace

from auditor.cluster.interface import Cluster
from auditor.loop.apart import apart
from auditor.model.probe_pod import FirstMoments
from auditor.model.verdict import Cell, ProbingOutcome
from auditor.model.words import pluralize
from auditor.probing.crossings import NO_VOLUNTEERS
from auditor.probing.first_moments import no_newcomers
from auditor.probing.options import ProbingProgress
from auditor.probing.probe_run import probe
from auditor.run.expectation import AuditState, Expectation, after, renewed
from auditor.run.planning import AuditOptions
from auditor.run.volunteers import choose_volunteers

MOST_REPROBES = 3
"""How often cells are probed anew because the policies changed during the run, before they are given up as
inconclusive.
"""
RESTLESS = "policies or labels of namespaces that decide this kept changing during the run"


def more_may_come(options: AuditOptions) -> bool:
    """Whether further pods may come during the audit."""
    borne = options.probing.late_isolation
    return borne is not None and borne < options.probing.settle


async def probe_round(  # noqa: PLR0913 - as everywhere here, and one switch
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


def later(options: AuditOptions) -> AuditOptions:
    """``options`` for what is probed once pods have been there for a while, or policies have changed."""
    return replace(options, probing=replace(options.probing, late_isolation=None))


async def probe_also(  # noqa: PLR0913 - as probe_round
    cluster: Cluster,
    audit_state: AuditState,
    cells: Sequence[Cell],
    options: AuditOptions,
    progress: ProbingProgress,
    *,
    helped: bool = True,
) -> AuditState:
    """``audit_state`` with further ``cells``, probed once pods have been there for a while."""
    expectation = await apart(audit_state.expectation.widened, cells, dict(cluster.failed))
    further = await probe_round(cluster, expectation, cells, later(options), progress, helped=helped)
    outcome = await apart(renewed, audit_state.outcome, further)
    return await follow_changes(
        cluster, replace(audit_state, expectation=expectation, outcome=outcome), options, progress
    )


async def follow_changes(
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
                renewed, outcome, await probe_round(cluster, expectation, again, later(options), progress)
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


def _told(audit_state: AuditState, reprobed: Collection[Cell]) -> AuditState:
    if not reprobed:
        return audit_state
    return audit_state.telling(
        f"policies or namespaces changed during the run: {pluralize(len(reprobed), 'connection')} probed "
        "again and judged by the new ones"
    )
