"""``audit run --lab``: the audit on the embedded lab."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from auditor.cli import parameters
from auditor.cli.exit_codes import AS_EXPECTED, of_report
from auditor.cli.interruption import run_interruptibly
from auditor.cli.nightly import JOB, Before, after_run
from auditor.cli.notify import Group
from auditor.cli.output import now
from auditor.cli.outputs import Outputs, deliver_report
from auditor.cli.snapshots import check_manifests
from auditor.model.addresses import IPAddress
from auditor.model.dialect import Enforcement
from auditor.model.errors import UsageError
from auditor.model.scenario import Scenario
from auditor.model.verdict import Cell
from auditor.report.registry import DRY_RUN

if TYPE_CHECKING:
    from auditor.model.intent import Intent
    from auditor.policy.matrix import ExpectedMatrix
    from auditor.run.planning import AuditOptions

NO_HOSTS: Mapping[str, tuple[IPAddress, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LabRunOptions:
    """What to audit, how, and where to report. ``hosts`` are outside a cluster that is given by manifests."""

    scenario: str
    enforcers: tuple[str, ...]
    audit: AuditOptions
    outputs: Outputs
    dry_run: bool
    quiet: bool
    before: Before
    intent: Intent | None = None
    hosts: Mapping[str, tuple[IPAddress, ...]] = field(default_factory=dict, hash=False)


def run_on_lab(options: LabRunOptions) -> int:
    """Do what ``options`` say. Returns the exit code."""
    from auditor.model.words import pluralize
    from auditor.report.progress import open_progress
    from auditor.run.lab import LabOptions, audit_lab
    from auditor.run.planning import plan
    from auditor.run.sources import load_scenario

    scenario = load_scenario(options.scenario, options.hosts)
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
        progress.note(f"{scenario.name}: {size(matrix)}, {pluralize(len(probes.cells), 'connection')}")
        audited = audit_lab(
            LabOptions(scenario, enforcement, options.intent),
            options.audit,
            subject(scenario, options.enforcers),
            lambda cell: again(cell, options.scenario, options.enforcers, options.hosts),
            progress,
        )
        report = run_interruptibly(audited)
    report = after_run(replace(report, began=began), options.before, Group(JOB, part=f"--lab {scenario.name}"))
    deliver_report(report, options.outputs, quiet=options.quiet)
    return of_report(report)


def size(matrix: ExpectedMatrix) -> str:
    """How much there is to audit: ``9 endpoints in 7 classes``."""
    from auditor.model.words import pluralize

    return f"{pluralize(len(matrix.snapshot.endpoints), 'endpoint')} in {pluralize(len(matrix.classes), 'group')}"


def read_enforcement(texts: tuple[str, ...], scenario: Scenario) -> Enforcement:
    """The enforcers that ``texts`` name. Raises UsageError for an unknown one, or for a node that ``scenario`` does not
    have.
    """
    try:
        enforcement = Enforcement.parse(texts)
    except ValueError as error:
        raise UsageError(f"--enforcer: {error}") from None
    for node in sorted(enforcement.nodes):
        if node not in scenario.nodes:
            raise UsageError(
                f"--enforcer: scenario {scenario.name} has no node {node!r}: one of {', '.join(scenario.nodes)}"
            )
    return enforcement


def subject(scenario: Scenario, enforcers: tuple[str, ...]) -> str:
    """What is audited, in words."""
    return f"scenario {scenario.name} on the lab, enforcer {', '.join(enforcers) or 'spec'}"


def again(
    cell: Cell, scenario: str, enforcers: Iterable[str], hosts: Mapping[str, tuple[IPAddress, ...]] = NO_HOSTS
) -> str:
    """A shell command that probes ``cell``, in every address family that its ends have in common, on a lab like the one
    it was found on.
    """
    from auditor.run.naming import host_words

    words = ["audit", "run", "--lab", scenario]
    for enforcer in enforcers:
        words += ["--enforcer", enforcer]
    words += host_words(hosts)
    words += ["--from", cell.source, "--to", cell.destination, "--ports", f"{cell.protocol}/{cell.port}"]
    return shlex.join(words)
