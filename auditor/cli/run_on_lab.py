"""``audit run --lab``: the audit on the embedded lab."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

from auditor.cli import parameters
from auditor.cli.exit_codes import AS_EXPECTED, of_report
from auditor.cli.interruption import run_interruptibly
from auditor.cli.output import now
from auditor.cli.outputs import Outputs, deliver_report
from auditor.cli.snapshots import check_manifests
from auditor.model.dialect import Enforcement
from auditor.model.errors import UsageError
from auditor.model.report import Report
from auditor.model.scenario import Scenario
from auditor.report.registry import DRY_RUN

if TYPE_CHECKING:
    from auditor.model.intent import Intent
    from auditor.policy.matrix import ExpectedMatrix
    from auditor.report.progress import Progress
    from auditor.run.audit import AuditOptions


@dataclass(frozen=True, slots=True)
class LabRunOptions:
    """What to audit, how, and where to tell."""

    scenario: str
    enforcers: tuple[str, ...]
    audit: AuditOptions
    outputs: Outputs
    dry_run: bool
    quiet: bool
    intent: Intent | None = None


def run_on_lab(options: LabRunOptions) -> int:
    """Do what ``options`` say. Returns the exit code."""
    from auditor.model.words import pluralize
    from auditor.report.progress import open_progress
    from auditor.run.audit import plan
    from auditor.run.sources import load_scenario

    scenario = load_scenario(options.scenario)
    check_manifests(scenario)
    enforcement = read_enforcement(options.enforcers, scenario)
    parameters.check_ports(scenario.snapshot.endpoints, options.audit.ports)
    options.outputs.check()
    matrix, probes = plan(scenario.snapshot, options.audit)
    if options.dry_run:
        options.outputs.deliver(DRY_RUN, (matrix, probes))
        return AS_EXPECTED
    began = now()
    with open_progress(sys.stderr, quiet=options.quiet) as progress:
        progress.note(f"{scenario.name}: {size(matrix)}, {pluralize(len(probes.cells), 'cell')}")
        report = run_interruptibly(audit_on_lab(scenario, enforcement, options, progress))
    deliver_report(replace(report, began=began), options.outputs, quiet=options.quiet)
    return of_report(report)


def size(matrix: ExpectedMatrix) -> str:
    """How much there is to audit: ``9 endpoints in 7 classes``."""
    from auditor.model.words import pluralize

    return (
        f"{pluralize(len(matrix.snapshot.endpoints), 'endpoint')} in "
        f"{pluralize(len(matrix.classes), 'class', 'classes')}"
    )


def read_enforcement(texts: tuple[str, ...], scenario: Scenario) -> Enforcement:
    """The enforcers that ``texts`` name. Raises UsageError for an unknown one, or for a node that
    ``scenario`` does not have.
    """
    try:
        enforcement = Enforcement.parse(texts)
    except ValueError as error:
        raise UsageError(f"--enforcer: {error}") from None
    for node in enforcement.on_node:
        if node not in scenario.nodes:
            raise UsageError(
                f"--enforcer: scenario {scenario.name} has no node {node!r}: one of {', '.join(scenario.nodes)}"
            )
    return enforcement


async def audit_on_lab(
    scenario: Scenario, enforcement: Enforcement, options: LabRunOptions, progress: Progress
) -> Report:
    """Set the lab up for ``scenario``, audit it, and take it down again."""
    from auditor.cli.reproduction import again
    from auditor.cluster.lab.lab import Lab
    from auditor.loop.apart import apart
    from auditor.run.audit import look
    from auditor.run.concluding import report_on, with_lint
    from auditor.run.remarks import against_intent

    findings = await apart(against_intent, scenario.snapshot, options.intent)
    progress.phase("setting up the lab", 0)
    began = monotonic()
    lab = Lab(
        scenario.snapshot,
        nodes=scenario.nodes,
        enforcement=enforcement,
        previous_policies=scenario.previous_policies,
        reproduce=lambda cell: again(cell, options.scenario, options.enforcers),
    )
    async with lab as cluster:
        up = monotonic() - began
        seen = await look(cluster, options.audit, progress)
    seen = replace(seen, seconds={"lab": up, **seen.seconds})
    report = await report_on(seen, subject(scenario, options.enforcers), options.audit.min_coverage, progress)
    return replace(await with_lint(report, scenario.snapshot), intent=findings)


def subject(scenario: Scenario, enforcers: tuple[str, ...]) -> str:
    """What is audited, in words."""
    return f"scenario {scenario.name} on the lab, enforcer {', '.join(enforcers) or 'spec'}"
