"""Whether a run is alive, told by its Leases and the API server's clock.

Judged by the times that the server itself writes into managedFields: clocks of machines that auditors run on may
disagree with it, and a living run that is taken for a dead one loses its probe pods. Whoever may create Leases in a
namespace can write one that looks like ours, so what it says of itself counts within bounds, and for its own namespace
alone.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import msgspec

from auditor.cluster.kubernetes.client.api_types import Record
from auditor.cluster.kubernetes.client.listing import decode
from auditor.cluster.kubernetes.client.server import ApiServer, NotFoundError, Question
from auditor.cluster.kubernetes.objects import LONGEST_LEASE_SECONDS, NAME, RUN_LABEL, lease_name

ROUNDING = 2.0
"""Seconds that the server's times, which have no fractions, may be off."""
AHEAD = timedelta(seconds=LONGEST_LEASE_SECONDS)
"""How far the clocks of several API servers may disagree. A time further ahead is none that a server wrote."""


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
    """The time by the API server's clock, in whole seconds; by ours where the server can't tell it (before Kubernetes
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
