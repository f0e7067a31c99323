"""What every stay in a live cluster has in common: the Leases, the watch on what changes, and leaving everything as it
was.

However a stay ends, by an error or by cancellation at any moment, what it put in is taken out again, in the reverse
order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

from auditor.cluster.kubernetes.client.api_types import ServiceRecord
from auditor.cluster.kubernetes.client.listing import decode, read_list
from auditor.cluster.kubernetes.client.server import ApiServer, Question
from auditor.cluster.kubernetes.session.changes import Changes, LabelDrift
from auditor.cluster.kubernetes.session.lease import Leases
from auditor.loop.apart import apart
from auditor.model.dns_seen import NameService
from auditor.model.errors import AuditError, ClusterError
from auditor.model.labels import Labels
from auditor.model.probe_pod import Copy, FirstMoments, Newcomer, Room
from auditor.model.service_seen import OwnService
from auditor.model.snapshot import Service, Snapshot
from auditor.model.verdict import Cell
from auditor.probing.sites import NO_WITNESSES, Witnesses

PATIENCE = 45.0
"""Seconds for which an API server may be away once there is something of ours in the cluster."""


class ClusterSession:
    """One run's stay in the cluster behind ``api``: what adapters of ``auditor.cluster.interface`` build on.

    ``snapshot`` is what is audited, read from lists with the resourceVersions ``versions`` (by path). No other run may
    be in the namespaces that are ``locked`` (None: all). ``farewell`` has, once left, what there is to say about the
    leaving.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what every stay depends on
        self,
        api: ApiServer,
        run_id: str,
        snapshot: Snapshot,
        versions: Mapping[str, str],
        namespaces: Iterable[str],
        reproduce: Callable[[Cell], str],
        locked: Collection[str] | None = None,
    ) -> None:
        self._api = api
        self._run_id = run_id
        self._snapshot = snapshot
        self._absent: dict[str, str] = {}
        self._failed: dict[str, str] = {}
        self._leases = Leases(api, namespaces, run_id, locked)
        self._changes = Changes(api, snapshot, versions)
        self._relabelling = LabelDrift(snapshot)
        self._unseen = ""
        self._reproduce = reproduce
        self._stack = AsyncExitStack()
        self._left = ""
        self.farewell: Sequence[str] = ()

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    @property
    def absent(self) -> Mapping[str, str]:
        return self._absent

    @property
    def failed(self) -> Mapping[str, str]:
        return self._failed

    @property
    def inner_addresses(self) -> Mapping[str, Sequence[str]]:
        """None are needed where no Services are tried."""
        return {}

    @property
    def left_out(self) -> Sequence[str]:
        """The namespaces that something keeps from being audited, a line each."""
        return [f"left out: {reason}" for reason in self._leases.blocked.values()]

    @property
    def witnesses(self) -> Witnesses:
        return NO_WITNESSES

    @property
    def facts(self) -> Sequence[str]:
        return [trouble for trouble in (self._leases.lost, self._changes.trouble, self._unseen) if trouble]

    def reproduce(self, cell: Cell) -> str:
        return self._reproduce(cell)

    async def changes(self) -> Sequence[Snapshot]:
        states = [replace(state, endpoints=self._snapshot.endpoints) for state in await self._changes.take_states()]
        for state in states:
            await apart(self._relabelling.take, state)
        await self._check_labels()
        return states

    async def _check_labels(self) -> None:
        """A pod that somebody relabelled so that policies notice has ``failed`` from then on."""
        try:
            now = await self._labels_now()
        except ClusterError as error:
            self._unseen = f"whether someone relabelled its pods during the run could not be found out: {error}"
            return
        before = {endpoint.name: endpoint.labels for endpoint in self._snapshot.endpoints}
        relabelled = await apart(self._relabelling.look, before, now)
        for name, reason in relabelled.items():
            self._failed.setdefault(name, reason)

    async def _labels_now(self) -> Mapping[str, Labels]:
        """The labels that the pods of endpoints have now, by endpoint name, as far as they are there. Raises
        ClusterError.
        """
        raise NotImplementedError

    async def expose(self, wanted: Sequence[OwnService]) -> Sequence[Service | None]:  # noqa: ARG002 - the interface
        """Make Services of our own. Raises ClusterError where there are no probe pods that they could lead to."""
        raise ClusterError("--services tries Services that lead to probe pods alone: leave out either it or --in-place")

    async def newcomers(self, wanted: Sequence[Newcomer], seconds: float) -> FirstMoments:  # noqa: ARG002 - the interface
        """None come where no pod is new."""
        return FirstMoments()

    @property
    def room(self) -> Room:
        """None."""
        return Room()

    async def add(self, copies: Sequence[Copy]) -> Sequence[str]:
        """Raises ClusterError: there is no ``room``."""
        raise ClusterError(f"no further pods can come: {', '.join(copy.name for copy in copies)}")

    @property
    def workloads(self) -> Snapshot:
        """Those that are audited."""
        return self._snapshot

    async def service_now(self, service: Service) -> Service | None:
        """The Service of this name, read again; None where it is gone. Raises ClusterError."""
        where = f" in namespace {service.namespace}"
        question = Question(f"/api/v1/namespaces/{service.namespace}/services", "list", "services", where)
        # By a list, for which everybody who may audit has the right.
        wanted = {"fieldSelector": f"metadata.name={service.name}"}
        items, _ = await read_list(self._api, question, parameters=wanted)
        found = [decode(item, ServiceRecord, self._api, question) for item in items]
        return next((each.value() for each in found if each.metadata.name == service.name), None)

    async def name_service(self) -> NameService:
        """Raises ClusterError where there are no probe pods that could look names up."""
        raise ClusterError("--dns asks from probe pods alone: leave out either it or --in-place")

    def _leave_out(self, blocked: Mapping[str, str]) -> None:
        """Have nothing put into the namespaces that are ``blocked``, for the reason given by name."""
        raise NotImplementedError

    async def _put_in(self) -> None:
        """Put in what the run needs; before each thing, ``_when_leaving`` is given the way to take it out again."""
        raise NotImplementedError

    def _when_leaving(self, step: Callable[[], Awaitable[None]]) -> None:
        self._stack.push_async_callback(self._try, step)

    async def _try(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do ``step``; where it fails, the next may still do."""
        try:
            await step()
        except ClusterError as error:
            self._left = f"{error}; 'audit cleanup --run {self._run_id}' removes what is left"
            self._api.patience = 0  # it has been used up, and need not be again

    async def __aenter__(self) -> Self:
        try:
            self._when_leaving(self._release)
            await self._leases.take()
            self._leave_out(self._leases.blocked)
            self._api.patience = PATIENCE
            await self._stack.enter_async_context(self._changes)
            await self._put_in()
            for state in await self.changes():
                self._snapshot = state
        except BaseException as error:
            await self._take_out(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._take_out(error)

    async def _release(self) -> None:
        lines = await self._leases.release()
        self._left = "\n".join(lines) or self._left

    async def _take_out(self, error: BaseException | None) -> None:
        """Take everything out, also if cancelled meanwhile; each step of it is bounded.

        Raises ClusterError when something may be left. That is worth more than what ended the stay before, ``error``,
        but reports it, too.
        """
        ending = asyncio.ensure_future(self._stack.aclose())
        cancelled = False
        while not ending.done():
            try:
                await asyncio.wait([ending])
            except asyncio.CancelledError:
                cancelled = True
        ending.result()
        if self._left:
            raise ClusterError(*_in_words(error), self._left) from error
        if cancelled:
            raise asyncio.CancelledError


def _in_words(error: BaseException | None) -> list[str]:
    match error:
        case None | asyncio.CancelledError():
            return []
        case AuditError():
            return list(error.lines)
        case _:
            return [f"{type(error).__name__}: {error}"]
