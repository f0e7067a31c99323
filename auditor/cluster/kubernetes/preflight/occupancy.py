"""Why a namespace can't be audited now: the Lease that stands in the way, in words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

from auditor.cluster.kubernetes.client.listing import decode
from auditor.cluster.kubernetes.client.server import ApiServer, ForbiddenError, NotFoundError, Question
from auditor.cluster.kubernetes.objects import NAME
from auditor.cluster.kubernetes.session.finalizers import foreign_finalizers
from auditor.cluster.kubernetes.session.lease_liveness import LeaseRecord, server_time


async def occupants(api: ApiServer, namespaces: Iterable[str]) -> dict[str, str]:
    """For each of ``namespaces`` that could not be locked now: why. Where that may not be seen, it can. Raises
    ClusterError.
    """
    found = await asyncio.gather(*(_holding(api, namespace) for namespace in namespaces))
    leases = [lease for lease in found if lease is not None]
    now = await server_time(api) if leases else datetime.now(UTC)
    told = {lease.metadata.namespace: occupied(lease, now) for lease in leases}
    return {namespace: why.removeprefix(f"namespace {namespace}: ") for namespace, why in told.items() if why}


async def _holding(api: ApiServer, namespace: str) -> LeaseRecord | None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{NAME}"
    question = Question(path, "get", "leases.coordination.k8s.io", f" in namespace {namespace}")
    try:
        return decode(await api.get(question), LeaseRecord, api, question)
    except (ForbiddenError, NotFoundError):
        return None


def occupied(found: LeaseRecord, now: datetime, *, last_try: bool = False) -> str:
    """Why the Lease ``found`` keeps its namespace from being audited; empty when it can be cleared away, and was not on
    ``last_try``.
    """
    where = f"namespace {found.metadata.namespace}"
    if not found.run_id:
        return f"{where}: the Lease {NAME} there was not made by an audit; rename or delete it"
    keeping = foreign_finalizers(found.metadata.finalizers)
    if keeping and not found.is_alive(now):
        return (
            f"{where}: the Lease {NAME} of a run that is dead is kept by the finalizer {keeping}, which is not "
            "ours: remove it"
        )
    return found.holding(now) if last_try or found.is_alive(now) else ""
