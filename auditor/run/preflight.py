"""What an audit of a live cluster would create, and what would stop it, found out without creating anything."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.cluster.kubernetes.client.config import connect
from auditor.cluster.kubernetes.client.server import ApiServer
from auditor.cluster.kubernetes.preflight.checks import Preflight
from auditor.loop.apart import apart
from auditor.model.probe_pod import ProbePod
from auditor.run.live import read_live
from auditor.run.live_plan import LiveOptions, LivePlan, plan_live
from auditor.run.live_settling import settle


@dataclass(frozen=True, slots=True)
class Outlook:
    """What an audit, ``in_place`` or with pods of its own, intends, and what it would meet."""

    intended: LivePlan
    found: Preflight
    in_place: bool = False

    @property
    def put(self) -> tuple[ProbePod, ...]:
        """The probe pods to create or, in place, those that stand for a pod that can be joined."""
        return tuple(
            probe for probe in self.intended.probes if not self.in_place or probe.name in self.intended.members
        )

    @property
    def can_start(self) -> bool:
        """Whether a run could do anything at all."""
        return self.found.can_start(self.put)


async def look_ahead(options: LiveOptions) -> Outlook:
    """What an audit with ``options`` intends, and what it would meet. Raises UsageError for options that match nothing,
    ClusterError when the cluster can't be asked.
    """
    live = await read_live(options)
    intended = await apart(plan_live, live, options)
    async with ApiServer(await connect(options.connection)) as api:
        return Outlook(*await settle(api, live, intended, options), options.in_place)
