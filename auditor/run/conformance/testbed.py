"""The seam between conformance and what it runs on: a lab for each scenario, or a part of a live cluster for many at
once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from auditor.model.addresses import IPAddress
from auditor.model.probe_pod import AfterStart
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell
from auditor.probing.sites import AgentChannel, ProbeSite, Witnesses
from auditor.run.conformance.prepared_scenarios import PreparedScenario


@dataclass(frozen=True, slots=True)
class ActualState:
    """One scenario as it really stands: ``before`` its change (None: it has none) and in the end, with the addresses
    and nodes there are.
    """

    snapshot: Snapshot
    before: Snapshot | None = None


class Testbed(Protocol):
    """Where scenarios stand as they begin, with all their policies in force. Every method raises ClusterError."""

    @property
    def sites(self) -> Sequence[ProbeSite]:
        """The places where agents can run now; a pod that comes later has one from then on."""

    @property
    def absent(self) -> Mapping[str, str]:
        """The endpoints that have no site on this ground, each with the reason: their cells are skipped."""

    @property
    def failed(self) -> Mapping[str, str]:
        """The endpoints that ought to have a site and don't, each with the reason: their cells are inconclusive."""

    @property
    def facts(self) -> Sequence[str]:
        """What a reader must know about this ground."""

    @property
    def witnesses(self) -> Witnesses:
        """Who can tell that the sites' network links carry packets."""

    async def open(self, site: ProbeSite) -> AgentChannel:
        """Start an agent at ``site``."""

    async def change(self, prepared: PreparedScenario) -> None:
        """Make the change of ``prepared``; return once the cluster has taken it, and a new pod runs."""

    def try_from_start(self, targets: Mapping[str, Mapping[Cell, tuple[IPAddress, int]]]) -> None:
        """Have new pods, by name, try the addresses and TCP ports of these cells from their first moment on, where this
        ground can. To be called before the change that makes them.
        """

    async def open_after_start(self) -> Mapping[Cell, AfterStart]:
        """What these pods have seen so far; nothing of those that have not."""

    @property
    def followed_addresses(self) -> Collection[str]:
        """The scenarios, by name, whose policies had to follow the address that a new pod got: what that pod met before
        was meant for another address.
        """

    def actual(self, prepared: PreparedScenario) -> ActualState:
        """How ``prepared`` really stands. Its pods must be there, for their addresses to be known."""
