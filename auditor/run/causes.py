"""Looking for the cause of what differs while the cluster is there: more probes and further pods can tell causes
apart.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from auditor.cluster.interface import Cluster
from auditor.diagnosis.search import diagnose
from auditor.loop.apart import apart
from auditor.model.diagnosis import Diagnosis
from auditor.model.errors import ClusterError
from auditor.policy.evaluator import evaluate
from auditor.probing.options import ProbingProgress
from auditor.run.deciding import choose_deciders, is_open
from auditor.run.expectation import AuditState
from auditor.run.planning import AuditOptions, further_cells
from auditor.run.rounds import more_may_come, probe_also

SEARCH_SECONDS = 10.0
"""How long pods wait in the cluster while the cause is looked for; after that there are no probes that would tell
causes apart.
"""


async def tell_causes_apart(
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
    cells = diagnosis.discriminating
    return await probe_also(cluster, audit_state, cells, options, progress, helped=False), None, False


async def have_pods_decide(  # noqa: PLR0913 - as everywhere here, and one switch
    cluster: Cluster,
    audit_state: AuditState,
    diagnosis: Diagnosis | None,
    options: AuditOptions,
    progress: ProbingProgress,
    *,
    sought: bool,
) -> tuple[AuditState, Diagnosis | None, bool]:
    """Where several causes still fit, or one isn't certain, have further probe pods come that show more, and try these.
    As ``tell_causes_apart``: what is known of the cause, and if that is all.
    """
    if not more_may_come(options) or not cluster.room.pods or (sought and diagnosis is None):
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
        wider = replace(audit_state.expectation, matrix=await apart(evaluate, snapshot))
        audit_state = await probe_also(cluster, replace(audit_state, expectation=wider), cells, options, progress)
    return audit_state.telling(deciders.told(there, failures)), diagnosis, not cells


def _search(audit_state: AuditState, options: AuditOptions | None) -> Diagnosis | None:
    """The cause, and the probes that would tell it from others; none of these without ``options``."""
    matrix = audit_state.expectation.matrix
    results, candidates = audit_state.results(), further_cells(matrix, options) if options is not None else ()
    return diagnose(matrix.snapshot, results, audit_state.former, candidates)
