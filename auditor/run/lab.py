"""The audit of a scenario on the embedded lab: set it up, audit, take it down again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic

from auditor.cluster.lab.lab import Lab
from auditor.history.surroundings import surroundings_of
from auditor.loop.apart import apart
from auditor.model.dialect import Enforcement
from auditor.model.intent import Intent
from auditor.model.probe_pod import MOST_COPIES
from auditor.model.report import Report
from auditor.model.scenario import Scenario
from auditor.model.verdict import Cell
from auditor.probing.options import ProbingProgress
from auditor.run.audit import look
from auditor.run.concluding import against_intent, report_on, with_lint
from auditor.run.planning import AuditOptions


@dataclass(frozen=True, slots=True)
class LabOptions:
    """Which scenario, what enforces its policies, and what they are meant to do, if that is to be checked, too."""

    scenario: Scenario
    enforcement: Enforcement
    intent: Intent | None = None


async def audit_lab(
    options: LabOptions,
    audit_options: AuditOptions,
    subject: str,
    reproduce: Callable[[Cell], str],
    progress: ProbingProgress,
) -> Report:
    """Audit a scenario and report on it as ``subject``; ``reproduce`` gives the command that probes one cell again.

    Raises UsageError and InputError for options that match nothing, ClusterError when there can be no lab.
    """
    scenario = options.scenario
    findings = await apart(against_intent, scenario.snapshot, options.intent)
    progress.phase("setting up the lab", 0)
    began = monotonic()
    lab = Lab(
        scenario.snapshot,
        nodes=scenario.nodes,
        enforcement=options.enforcement,
        previous_policies=scenario.previous_policies,
        reproduce=reproduce,
        spare=MOST_COPIES,
    )
    async with lab as cluster:
        up = monotonic() - began
        former = scenario.previous_policies if audit_options.former is None else audit_options.former
        seen = await look(cluster, replace(audit_options, former=former), progress)
    seen = replace(seen, seconds={"lab": up, **seen.seconds})
    report = await report_on(seen, subject, audit_options.min_coverage, progress)
    around = await apart(surroundings_of, scenario.snapshot, intent=None if options.intent is None else findings)
    return replace(await with_lint(report, scenario.snapshot), intent=findings, surroundings=around)
