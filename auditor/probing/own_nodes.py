"""Connections from a node to its own pods, which no agent can try where none sits at the nodes: kubelets make them.

The kubelet keeps reaching for a probe pod at a port of its own, as for any pod with a readiness probe, and says whether
it does. That it doesn't shows that the node is kept from its pod only where the pod's process at that port answers over
loopback and the pod's network link carries packets all the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

from auditor.model.errors import ClusterError
from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell, Observation, Observed
from auditor.probing.attempts import Answer, AttemptResult
from auditor.probing.batches import Attempt, Target
from auditor.probing.controls import LOOPBACK
from auditor.probing.links import End
from auditor.probing.probe_rounds import Calls, ProbeRounds
from auditor.probing.sites import ProbeSite, Witnesses

PATIENCE = 8.0
"""Seconds for which a kubelet is waited for that doesn't reach a pod: it tries once a second, and may be busy."""
PAUSE = 0.5
READY = "ready"
NOT_READY = "not-ready"
STALE = "its kubelet has not been heard to reach it since the policies were in force"


def own_node_cells(snapshot: Snapshot, sites: Iterable[ProbeSite]) -> tuple[Cell, ...]:
    """The connections that kubelets make to ``sites``, from those nodes that are endpoints of ``snapshot``."""
    there = {endpoint.name for endpoint in snapshot.endpoints}
    return tuple(
        Cell(name, site.name, Protocol.TCP, site.watched_port, family)
        for site in sites
        if site.watched_port and (name := f"node/{site.node}") in there
        for family in sorted(site.watched)
    )


def made_by_kubelets(cells: Iterable[Cell], sites: Iterable[ProbeSite]) -> dict[Cell, ProbeSite]:
    """Those of ``cells`` that kubelets make, each with its destination."""
    watched = {(f"node/{site.node}", site.name): site for site in sites if site.watched_port}
    return {
        cell: site
        for cell in cells
        if (site := watched.get(cell[:2])) is not None
        and (cell.protocol, cell.port) == (Protocol.TCP, site.watched_port)
        and cell.family in site.watched
    }


class OwnNodes:
    """The connections of ``cells``, each to the site given; ``isolated`` are the names of those sites to which
    something should be denied.
    """

    def __init__(self, cells: Mapping[Cell, ProbeSite], isolated: Collection[str]) -> None:
        self._cells = cells
        self._isolated = frozenset(isolated)

    async def look(
        self, rounds: ProbeRounds, witnesses: Witnesses, since: float, seconds: float
    ) -> dict[Cell, Observation]:
        """What came of each. A pod that policies isolate must have been reached after the moment ``since``, when they
        were in force. ``seconds``: how long an attempt over loopback may take.
        """
        if not self._cells:
            return {}
        with rounds.phase("own nodes", 0):
            try:
                unreached, stale, polls = await self._wait(witnesses, since)
            except ClusterError as error:
                reason = f"whether its node reaches the pod could not be found out: {error}"
                return dict.fromkeys(self._cells, Observation(Observed.INCONCLUSIVE, reason))
        doubts = await self._doubts(rounds, [cell for cell in self._cells if cell.destination in unreached], seconds)
        doubts |= {cell: STALE for cell in self._cells if cell.destination in stale}
        reached = Observation(Observed.ALLOWED, READY, (Observed.ALLOWED,))
        kept_out = Observation(Observed.DROPPED, NOT_READY, (Observed.DROPPED,) * polls)
        observations = {cell: kept_out if cell in doubts else reached for cell in self._cells}
        unknown = {cell: Observation(Observed.INCONCLUSIVE, doubt) for cell, doubt in doubts.items() if doubt}
        return observations | unknown

    async def _wait(self, witnesses: Witnesses, since: float) -> tuple[set[str], set[str], int]:
        """The names of those sites that no kubelet reaches, those of which that is only known of an earlier time, and
        how often it was asked.
        """
        waiting, bound, polls = {cell.destination for cell in self._cells}, time.monotonic() + PATIENCE, 0
        while True:
            began, polls = time.monotonic(), polls + 1
            contacts = await witnesses.heard(sorted(waiting))
            waiting -= {
                name
                for name, contact in contacts.items()
                if name not in self._isolated or began - contact.seconds >= since
            }
            if not waiting or time.monotonic() >= bound:
                return waiting - contacts.keys(), waiting & contacts.keys(), polls
            await asyncio.sleep(PAUSE)

    async def _doubts(self, rounds: ProbeRounds, cells: Sequence[Cell], seconds: float) -> dict[Cell, str]:
        """For each of ``cells``, which no kubelet makes, why that says nothing; empty where it does."""
        if not cells:
            return {}
        ends = [End(cell.destination, direction, cell.family) for cell in cells for direction in Direction]
        calls = Calls(at_ends=[*rounds.links.calls(ends, patiently=True), *rounds.links.answered(ends)])
        tries = await rounds.fire("own nodes", [_control(cell) for cell in cells], 2 * seconds, calls)
        return {cell: _doubt(rounds, cell, one) for cell, one in zip(cells, tries, strict=True)}


def _control(cell: Cell) -> Attempt:
    """The attempt of the agent beside the process that the kubelet reaches for."""
    return Attempt(
        cell.destination, cell.destination, Target(LOOPBACK[cell.family], cell.protocol, cell.port, identity=None)
    )


def _doubt(rounds: ProbeRounds, cell: Cell, control: AttemptResult) -> str:
    if control.answer is not Answer.ALLOWED:
        return f"what the kubelet tries to reach at {cell.destination} did not answer its agent: {control.outcome}"
    end = End(cell.destination, Direction.INGRESS, cell.family)
    if rounds.number not in rounds.links.moments(end):
        return f"nothing was heard from {rounds.links.named(end)} over its network link"
    return ""
