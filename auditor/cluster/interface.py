"""The seam between the auditor and whatever it audits: the lab, a live cluster, a test's fake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from auditor.model.dns_seen import NameService
from auditor.model.probe_pod import Copy, FirstMoments, Newcomer, Room
from auditor.model.service_seen import OwnService
from auditor.model.snapshot import Service, Snapshot
from auditor.model.verdict import Cell
from auditor.probing.sites import AgentChannel, ProbeSite, Witnesses


class Cluster(Protocol):
    """A cluster that is up: entered with ``async with``, which leaves nothing behind however it ends.

    Every method raises ClusterError when the cluster or the machine can't do what was asked.
    """

    @property
    def snapshot(self) -> Snapshot:
        """Who is there, and which policies are in force; every endpoint with its addresses."""

    @property
    def sites(self) -> Sequence[ProbeSite]:
        """The places where agents can run. Each endpoint of the snapshot that can be probed has exactly one."""

    @property
    def absent(self) -> Mapping[str, str]:
        """The endpoints of the snapshot that were left out on purpose, each with the reason: their cells
        are skipped.
        """

    @property
    def failed(self) -> Mapping[str, str]:
        """The endpoints whose agent could not be started, or no longer stands for them, with the reason: their cells
        are inconclusive.
        """

    @property
    def facts(self) -> Sequence[str]:
        """What a reader of the report must know about how this cluster is audited: what is represented,
        and what isn't.
        """

    @property
    def witnesses(self) -> Witnesses:
        """Who can tell that the sites' network links carry packets."""

    @property
    def inner_addresses(self) -> Mapping[str, Sequence[str]]:
        """Addresses that nodes have towards pods and that are no pod's, by bare name, as far as they are known."""

    async def changes(self) -> Sequence[Snapshot]:
        """The states that the cluster went through since the last call, oldest first; empty when nothing that matters
        has changed.
        """

    async def newcomers(self, wanted: Sequence[Newcomer], seconds: float) -> FirstMoments:
        """Have more pods come, as far as there is room for them, look on for so many ``seconds`` at most until what
        should be closed to them is, and tell what was seen. They are gone with the cluster. Asked for only where sites
        say when they were ``created``.
        """

    @property
    def room(self) -> Room:
        """How many further pods may come to stay, and where."""

    async def add(self, copies: Sequence[Copy]) -> Sequence[str]:
        """Have ``copies`` come, no more than there is ``room`` for: those that run are in ``snapshot`` and ``sites``
        from then on, under their names, and gone with the cluster. Why others don't run, a line each.
        """

    async def open(self, site: ProbeSite) -> AgentChannel:
        """Start an agent at ``site`` and return the stream to it."""

    async def expose(self, wanted: Sequence[OwnService]) -> Sequence[Service | None]:
        """Make the Services ``wanted``, in that order, those that prove something last, and return each with its
        addresses; None for one that could not be made. They are gone with the cluster.
        """

    @property
    def workloads(self) -> Snapshot:
        """The pods of the cluster itself, which may be represented by others in ``snapshot``."""

    async def name_service(self) -> NameService:
        """How pods look names up, once that is possible."""

    async def service_now(self, service: Service) -> Service | None:
        """``service`` as it is by now; None where it is gone."""

    def reproduce(self, cell: Cell) -> str:
        """A shell command with which a person can try ``cell`` again."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
