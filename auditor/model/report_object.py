"""A run as objects of a cluster: one for the whole of it, one for each namespace. Which API has them is left open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from auditor.model.report_scope import WHOLE_CLUSTER, ReportScope

STATUSES = ("pass", "fail", "warn", "error", "skip")
"""What a result can be, in the words of OpenReports and of the Policy WG's reports before it."""

BEGAN = "netpol-audit/began"
"""The annotation with the time at which the run of an object began, as ``2026-11-21T18:24:06Z``."""


@dataclass(frozen=True, slots=True)
class ReportResult:
    """One result. ``policy`` is the kind of check, ``rule`` what decided, ``properties`` are names with values."""

    policy: str
    status: str
    message: str
    rule: str = ""
    severity: str = ""
    properties: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class ReportObject:
    """What one object says; ``namespace`` is empty for that of the whole run.

    ``summary`` counts connections by status, ``results`` has what is not as expected, of which ``most`` are kept.
    ``annotations`` say which run it is, which ended at ``seconds`` since 1970 and had this ``scope``. ``optional``: it
    only takes the place of an older one.
    """

    namespace: str
    summary: Mapping[str, int] = field(hash=False)
    results: tuple[ReportResult, ...]
    annotations: Mapping[str, str] = field(hash=False)
    seconds: int
    most: int
    scope: ReportScope = WHOLE_CLUSTER
    optional: bool = False
