"""The whole run: snapshot, expected matrix, probe plan, observations, comparison, findings, report."""

from __future__ import annotations

from dataclasses import dataclass, field

from auditor.cluster.port import Cluster
from auditor.model.ports import PortRequest
from auditor.model.report import Report
from auditor.probing.options import ProbingOptions, Progress


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """What to audit of a cluster. Empty ``ports``: chosen by the auditor. Empty selections: every endpoint.

    ``sources`` and ``destinations`` are selections in the notation of ``auditor.policy.selection``; an endpoint takes part when any of
    them matches. ``min_coverage`` is a share, 0 to 1.
    """

    ports: tuple[PortRequest, ...] = ()
    sources: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    min_coverage: float = 0.0
    probing: ProbingOptions = field(default_factory=ProbingOptions)


async def audit(cluster: Cluster, subject: str, options: AuditOptions, progress: Progress) -> Report:
    """Audit ``cluster``, which is up, and report.

    Raises UsageError when a selection or port matches nothing, ClusterError when the cluster fails under it.
    """
    raise NotImplementedError
