"""One run at a time in an audited namespace: a Lease that is lock, sign of life and owner of everything that the run
creates there.

In namespaces that are no more than peers, where other runs may have probe pods at the same time, it has a name of its
own and locks nothing. Deleting it makes the garbage collector remove the rest. That is also how a dead run is cleared
away: once its Lease has not been renewed for its duration, the next run deletes it and creates its own, with a new uid.
Whether it is alive is judged by the API server's clock alone, by the times that the server itself writes into
managedFields: clocks of machines that auditors run on may disagree.

Whatever is in the way in one namespace costs that namespace: it is left out, unless nothing is left to audit.
"""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
import socket
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from auditor.cluster.kubernetes.client.creation import delete_options
from auditor.cluster.kubernetes.client.listing import decode, read_list
from auditor.cluster.kubernetes.client.own_pod import own_pod
from auditor.cluster.kubernetes.client.server import (
    AdmissionError,
    ApiServer,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    Question,
)
from auditor.cluster.kubernetes.objects import MANAGED_BY_LABEL, NAME, Anchor, lease_manifest, lease_name
from auditor.cluster.kubernetes.session.lease_liveness import LeaseRecord, occupied, pace_for, server_time
from auditor.model.errors import ClusterError

log = logging.getLogger(__name__)

GROUP = "/apis/coordination.k8s.io/v1"
RESOURCE = "leases.coordination.k8s.io"
RENEW_EVERY = 10.0
RENEW_WITHIN = 8.0
"""Seconds after which a renewal that hangs is given up for the next one, so that a slow server doesn't
make a living run look dead: of three in the life of a Lease, two may hang. Both are what few Leases get; see
``auditor.cluster.kubernetes.session.lease_liveness`` for many."""


def holder(run_id: str) -> str:
    """Who holds the Leases of a run, for those who find them."""
    pod = own_pod()
    if pod is not None:
        return f"{pod}, run {run_id}"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}, process {os.getpid()}, run {run_id}"


class OccupiedError(ClusterError):
    """Something holds one namespace, or keeps us from holding it."""


OF_ONE_NAMESPACE = (OccupiedError, AdmissionError, ForbiddenError, InvalidError, NotFoundError)
"""What does not concern the cluster as a whole."""


class Moment(NamedTuple):
    """A point in time by two clocks: one that nobody sets, and one that goes on while the machine sleeps."""

    steady: float
    by_the_wall: float

    @classmethod
    def now(cls) -> Self:
        """This very moment."""
        return cls(asyncio.get_running_loop().time(), time.time())

    @property
    def age(self) -> float:
        """The seconds since then, rather too many than too few."""
        now = Moment.now()
        return max(now.steady - self.steady, now.by_the_wall - self.by_the_wall)


@dataclass(slots=True)
class _Held:
    """A Lease of ours, as the server last reported it. ``renewed`` is when it was, or a little earlier; ``keeping``
    renews it again.
    """

    name: str
    manifest: dict[str, Any]
    uid: str = ""
    lost: str = ""
    renewed: Moment = field(default_factory=Moment.now)
    keeping: asyncio.Task[None] | None = None


class Leases:
    """The Leases of one run, one for each of ``namespaces``, in which it creates something; those in ``locked`` (None:
    all) are locked.

    ``anchors`` are by namespace, for the owner references. ``lost`` says in words when one was taken from us while we
    held it: what it owned is going away then. ``blocked`` has the namespaces in which none could be taken, with the
    reason: nothing may be created there. ``take`` first; then ``release`` in any case, also after a ``take`` that
    failed or was cancelled.
    """

    def __init__(
        self, api: ApiServer, namespaces: Iterable[str], run_id: str, locked: Collection[str] | None = None
    ) -> None:
        self._api = api
        self._namespaces = sorted(set(namespaces))
        self._locked = frozenset(self._namespaces).intersection(self._namespaces if locked is None else locked)
        self._run_id = run_id
        self._holder = holder(run_id)
        self._held: dict[str, _Held] = {}
        self.blocked: dict[str, str] = {}
        self._pace = pace_for(len(self._namespaces), api.qps, RENEW_EVERY, RENEW_WITHIN)
        self._gate = asyncio.Semaphore(self._pace.at_once)

    @property
    def lost(self) -> str:
        return "; ".join(held.lost for held in self._held.values() if held.lost)

    @property
    def anchors(self) -> Mapping[str, Anchor]:
        return {namespace: Anchor(held.name, held.uid) for namespace, held in self._held.items() if held.uid}

    async def take(self) -> None:
        """Take them all, in the order of their names, and keep each renewed from then on.

        Raises ClusterError that names the holders when others hold all that are locked; what was taken is released by
        then.
        """
        self.blocked = {}
        try:
            for namespace in self._namespaces:
                await self._take_or_leave(namespace)
            self._check_what_is_left()
        except ClusterError:
            await self.release()
            raise

    async def release(self) -> tuple[str, ...]:
        """Delete them, and with them all they own. A line for each one that could not be deleted. May be
        called again.
        """
        await self._renew_no_more()
        lines = await asyncio.gather(*(self._release(namespace) for namespace in self._held))
        self._held = {
            namespace: held for (namespace, held), line in zip(self._held.items(), lines, strict=True) if line
        }
        return tuple(line for line in lines if line)

    def _check_what_is_left(self) -> None:
        """Raise ClusterError when there is a namespace to lock, and none of them could be."""
        if self._locked and self.blocked.keys() >= self._locked:
            raise ClusterError(*(self.blocked[namespace] for namespace in sorted(self._locked)))

    async def _take_or_leave(self, namespace: str) -> None:
        try:
            await self._take(namespace)
        except OF_ONE_NAMESPACE as error:
            del self._held[namespace]
            told = str(error)
            self.blocked[namespace] = told if told.startswith("namespace ") else f"namespace {namespace}: {told}"

    async def _take(self, namespace: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        locks = namespace in self._locked
        name = lease_name(self._run_id, locks=locks)
        held = self._held[namespace] = _Held(
            name, lease_manifest(namespace, name, self._run_id, self._holder, now, self._pace.lasts)
        )
        if not locks:
            await self._sweep(namespace)
        question = Question(f"{GROUP}/namespaces/{namespace}/leases", "create", RESOURCE, f" in namespace {namespace}")
        for last_try in (False, True):
            try:
                self._note(
                    held,
                    decode(await self._api.send("POST", question, held.manifest), LeaseRecord, self._api, question),
                )
            except ConflictError as error:
                found = await self._find(namespace)
                if found is not None and self._is_ours(found):
                    return self._note(held, found)
                if found is not None:
                    await self._clear_away(found, error, last_try=last_try)
                elif last_try:
                    raise
            else:
                return None
        return None

    async def _clear_away(self, found: LeaseRecord, error: ConflictError, *, last_try: bool) -> None:
        """Delete ``found`` if its run is dead and this is not the ``last_try``; OccupiedError if it is alive, or none
        of ours.
        """
        now = await server_time(self._api)
        if in_the_way := occupied(found, now, last_try=last_try):
            raise OccupiedError(in_the_way) from error
        await delete_lease(self._api, found)

    async def _sweep(self, namespace: str) -> None:
        """Delete what dead runs left in a namespace that nobody locks, where no other run would come upon it."""
        question = Question(f"{GROUP}/namespaces/{namespace}/leases", "list", RESOURCE, f" in namespace {namespace}")
        items, _ = await read_list(self._api, question, parameters={"labelSelector": f"{MANAGED_BY_LABEL}={NAME}"})
        found = [lease for item in items if (lease := decode(item, LeaseRecord, self._api, question)).run_id]
        now = await server_time(self._api) if found else None
        for lease in found:
            if now is not None and not lease.is_alive(now):
                await delete_lease(self._api, lease)

    async def _find(self, namespace: str) -> LeaseRecord | None:
        question = _question("get", namespace, self._held[namespace].name)
        try:
            return decode(await self._api.get(question), LeaseRecord, self._api, question)
        except NotFoundError:
            return None

    def _is_ours(self, found: LeaseRecord) -> bool:
        return found.run_id == self._run_id and found.spec.holder_identity == self._holder

    def _note(self, held: _Held, told: LeaseRecord) -> None:
        """Take in what the server says about one of ours, and renew it from then on."""
        held.uid = told.metadata.uid
        held.manifest["metadata"] |= {"uid": told.metadata.uid, "resourceVersion": told.metadata.resource_version}
        if held.keeping is None:
            held.keeping = asyncio.create_task(self._keep(told.metadata.namespace, held))

    async def _keep(self, namespace: str, held: _Held) -> None:
        """Renew one again and again. The first time is another one for each, so that they are spread over the time from
        then on.
        """
        turn = self._namespaces.index(namespace) + 1
        pause = self._pace.every * turn / len(self._namespaces)
        while not held.lost:
            await asyncio.sleep(pause)
            began = asyncio.get_running_loop().time()
            await self._renew_soon(namespace, held)
            pause = max(0.0, began + self._pace.every - asyncio.get_running_loop().time())

    async def _renew_no_more(self) -> None:
        keeping = [held.keeping for held in self._held.values() if held.keeping is not None]
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)

    async def _renew_soon(self, namespace: str, held: _Held) -> None:
        async with self._gate:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace.within):
                    await self._renew(namespace, held)

    async def _renew(self, namespace: str, held: _Held) -> None:
        """Renew one. A server that can't be reached now may be reached in ten seconds, so only the Lease's own end
        counts.
        """
        began = Moment.now()
        held.manifest["spec"]["renewTime"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        question = replace(_question("update", namespace, held.name), urgent=True)
        try:
            answer = await self._api.send("PUT", question, held.manifest)
            self._note(held, decode(answer, LeaseRecord, self._api, question))
            held.renewed = began
            log.debug("Lease %s in namespace %s renewed", held.name, namespace)
        except (ConflictError, NotFoundError):
            with suppress(ClusterError):
                found = await self._find(namespace)
                if found is not None and found.metadata.uid == held.uid:
                    held.renewed = began  # somebody wrote to it, which is as good
                    return self._note(held, found)
                by = f"taken over by {found.spec.holder_identity}" if found is not None else "deleted"
                held.lost = f"namespace {namespace}: the Lease of this run was {by}, and its probe pods with it"
        except ClusterError as error:
            log.debug("Lease %s in namespace %s not renewed: %s", held.name, namespace, error)
        return None

    async def doubtful(self) -> dict[str, str]:
        """The namespaces in which the run may have been taken for dead and cleared away by now, with the reason.

        One that was not renewed for as long as it lasts is renewed here and now: if it is still this very one, nobody
        has touched it.
        """
        old = {
            namespace: held
            for namespace, held in self._held.items()
            if not held.lost and held.renewed.age > self._pace.lasts
        }
        await asyncio.gather(*(self._renew_soon(namespace, held) for namespace, held in old.items()))
        return {namespace: reason for namespace, held in self._held.items() if (reason := self._doubt(namespace, held))}

    def _doubt(self, namespace: str, held: _Held) -> str:
        if held.lost or held.renewed.age <= self._pace.lasts:
            return held.lost
        silence = f"the Lease of this run could not be renewed for {held.renewed.age:.0f} s"
        return f"namespace {namespace}: {silence}, so its probe pods may have been taken for those of a dead run"

    async def _release(self, namespace: str) -> str:
        try:
            found = await self._find(namespace)
            if found is not None and self._is_ours(found):
                await delete_lease(self._api, found, whatever_version=True)
        except ClusterError as error:
            return f"{error}; 'audit cleanup --run {self._run_id}' removes what is left in namespace {namespace}"
        return ""


async def delete_lease(api: ApiServer, lease: LeaseRecord, *, whatever_version: bool = False) -> None:
    """Delete ``lease``, if it is still this very one and, unless ``whatever_version``, as it was. Nothing to do when it
    is not.
    """
    metadata = lease.metadata
    options = delete_options(uid=metadata.uid, version="" if whatever_version else metadata.resource_version)
    with suppress(NotFoundError, ConflictError):
        await api.send("DELETE", _question("delete", metadata.namespace, metadata.name), options)


def _question(verb: str, namespace: str, name: str) -> Question:
    return Question(f"{GROUP}/namespaces/{namespace}/leases/{name}", verb, RESOURCE, f" in namespace {namespace}")
