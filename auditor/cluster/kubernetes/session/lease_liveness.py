"""How long a Lease keeps its run alive: how often it is renewed, whether its run must be taken to be going on.

And what is said of a Lease that stands in the way.

Each namespace is judged by its own Lease, so each Lease must be renewed. A few are every ten seconds; of hundreds each
is less often, so that they leave room for other requests, and says itself that it lasts longer.

Why a namespace can't be audited now: the Lease that stands in the way, in words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil

import msgspec

from auditor.cluster.kubernetes.client.api_types import Record
from auditor.cluster.kubernetes.client.creation import foreign_finalizers
from auditor.cluster.kubernetes.client.listing import decode
from auditor.cluster.kubernetes.client.server import ApiServer, ForbiddenError, NotFoundError, Question
from auditor.cluster.kubernetes.objects import LEASE_SECONDS, LONGEST_LEASE_SECONDS, NAME, RUN_LABEL, lease_name
from auditor.model.errors import ClusterError

SHARE = 0.2
"""The part of all requests that renewals are to take up, unless there are so many Leases that they have to take more,
up to ``MOST``.
"""
MOST = 0.5
LIVES = 3
"""How many renewals fit into the life of a Lease: one that fails or hangs, and the one after it, too, cost nothing."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Each Lease is renewed ``every`` N seconds and ``lasts`` N seconds; as many renewals as ``at_once`` may be
    under way.

    A renewal that hangs is given up after ``within`` seconds.
    """

    every: float
    lasts: int
    at_once: int
    within: float


def pace_for(leases: int, qps: float, every: float, within: float) -> Pace:
    """The pace for ``leases``, a number of them. ``every`` and ``within`` are what one alone gets.

    Raises ClusterError where ``qps`` requests per second don't keep them alive.
    """
    longest = LONGEST_LEASE_SECONDS / LIVES
    needed = leases / longest / MOST
    if qps < needed:
        allow = f"allow {ceil(10 * needed) / 10:g}, or audit fewer"
        raise ClusterError(f"--qps {qps:g} is too little to keep the Leases of {leases:,} namespaces renewed: {allow}")
    spread = min(longest, max(every, leases / (SHARE * qps)))
    # While the server answers there is hardly ever more than one; room for a quarter is for one that lets each of them
    # hang.
    return Pace(spread, max(LEASE_SECONDS, ceil(LIVES * spread)), 8 + leases // 4, within + 2 / qps)


ROUNDING = 2.0
"""Seconds that the server's times, which have no fractions, may be off."""
AHEAD = timedelta(seconds=LONGEST_LEASE_SECONDS)
"""How far the clocks of several API servers may disagree. A time further ahead was not written by a server."""


class ManagedFields(Record, frozen=True):
    """metav1 ManagedFieldsEntry."""

    time: datetime | None = None


class LeaseMetadata(Record, frozen=True):
    """metav1 ObjectMeta of a Lease."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    creation_timestamp: datetime | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    managed_fields: tuple[ManagedFields, ...] = ()
    finalizers: tuple[str, ...] = ()


class LeaseSpec(Record, frozen=True):
    """coordination/v1 LeaseSpec."""

    holder_identity: str = ""
    lease_duration_seconds: int = 0
    acquire_time: datetime | None = None
    renew_time: datetime | None = None


class LeaseRecord(Record, frozen=True):
    """coordination/v1 Lease."""

    metadata: LeaseMetadata
    spec: LeaseSpec = LeaseSpec()

    @property
    def run_id(self) -> str:
        """The run that it belongs to; empty when it isn't ours."""
        run_id = self.metadata.labels.get(RUN_LABEL, "")
        return run_id if self.metadata.name in (NAME, lease_name(run_id, locks=False)) else ""

    def silence(self, now: datetime) -> float:
        """Seconds since the last sign of life. ``now`` is the API server's time."""
        told: list[datetime | None] = [entry.time for entry in self.metadata.managed_fields if entry.time]
        signs = [time for time in (told or [self.spec.renew_time]) if time is not None and time <= now + AHEAD]
        known = [time for time in (*signs, self.metadata.creation_timestamp) if time is not None]
        return max(0.0, (now - max(known)).total_seconds()) if known else 0.0

    def is_alive(self, now: datetime) -> bool:
        """Whether its run must be taken to be going on."""
        return self.silence(now) <= min(self.spec.lease_duration_seconds, LONGEST_LEASE_SECONDS) + ROUNDING

    def holding(self, now: datetime) -> str:
        """Whose it is, since when, and what to do: for who finds it in the way."""
        since = f"{self.spec.acquire_time:%Y-%m-%d %H:%M:%S} UTC" if self.spec.acquire_time else "a while"
        return (
            f"namespace {self.metadata.namespace}: {self.spec.holder_identity or 'somebody'} has been auditing here "
            f"since {since} "
            f"(last sign of life {self.silence(now):.0f} s ago): wait until it has ended, or end it with "
            f"'audit cleanup --run {self.run_id}'"
        )


class Reviewed(Record, frozen=True):
    """The metadata of a SelfSubjectReview that matters here."""

    creation_timestamp: datetime | None = None


class Review(Record, frozen=True):
    """authentication/v1 SelfSubjectReview."""

    metadata: Reviewed


async def server_time(api: ApiServer) -> datetime:
    """The time by the API server's clock, in whole seconds; by ours where the server can't say (before Kubernetes
    1.28).

    Raises ClusterError where it could and doesn't: our clock may be wrong, and a living run be taken for a dead one.
    """
    question = Question(
        "/apis/authentication.k8s.io/v1/selfsubjectreviews", "create", "selfsubjectreviews.authentication.k8s.io"
    )
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    with suppress(NotFoundError):
        told = decode(await api.send("POST", question, body), Review, api, question).metadata.creation_timestamp
        if told is not None:
            return told
    return datetime.now(UTC)


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
