"""The whole run: snapshot, expected matrix, probe plan, observations, comparison, findings, report."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from auditor.cluster.port import Cluster
from auditor.diagnosis.comparison import compare
from auditor.diagnosis.findings import find
from auditor.model.errors import UsageError
from auditor.model.ports import PortRequest
from auditor.model.report import CellResult, Report, Summary
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.model.verdict import Cell, Note, Verdict
from auditor.model.words import counted
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import ExpectedMatrix
from auditor.policy.selection import select
from auditor.probing.campaign import ProbingOutcome, probe
from auditor.probing.options import ProbingOptions, Progress
from auditor.probing.plan import ProbePlan, choose_ports, plan_cells


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


def choose(endpoints: Sequence[Endpoint], selections: Sequence[str]) -> tuple[Endpoint, ...]:
    """The endpoints that any of ``selections`` matches, in their order; all when there are none.

    Raises UsageError for a selection that is malformed or matches nothing.
    """
    if not selections:
        return tuple(endpoints)
    chosen: set[str] = set()
    for selection in selections:
        found = select(endpoints, selection)
        if not found:
            known = ", ".join(endpoint.name for endpoint in endpoints[:8])
            raise UsageError(f"{selection!r} matches no endpoint; there are: {known}{', …' if len(endpoints) > 8 else ''}")
        chosen.update(endpoint.name for endpoint in found)
    return tuple(endpoint for endpoint in endpoints if endpoint.name in chosen)


def plan(snapshot: Snapshot, options: AuditOptions) -> tuple[ExpectedMatrix, ProbePlan]:
    """The expected matrix of ``snapshot`` and the cells that an audit with ``options`` would probe.

    Raises UsageError when nothing is left to probe.
    """
    matrix = evaluate(snapshot, named_ports=options.ports)
    ports = options.ports or choose_ports(snapshot)
    sources = choose(snapshot.endpoints, options.sources)
    destinations = choose(snapshot.endpoints, options.destinations)
    cells = plan_cells(sources, destinations, ports)
    if not cells:
        raise UsageError("nothing to probe: no pair of the chosen endpoints and ports is one that a policy can govern")
    return matrix, ProbePlan(tuple(ports), cells)


async def audit(cluster: Cluster, subject: str, options: AuditOptions, progress: Progress) -> Report:
    """Audit ``cluster``, which is up, and report.

    Raises UsageError when a selection or port matches nothing, ClusterError when the cluster fails under it.
    """
    began = time.monotonic()
    snapshot = cluster.snapshot
    matrix, probes = plan(snapshot, options)
    expected = probes.expected(matrix)
    notes = {cell: matrix.notes(*cell) for cell in probes.cells}

    def demanded(cell: Cell) -> Verdict | None:
        return None if Note.UNDEFINED in notes[cell] else expected[cell]

    planned = time.monotonic()
    outcome = await probe(probes.cells, cluster.seats, cluster.open, demanded, options.probing, progress)
    probed = time.monotonic()
    results = tuple(_result(cell, expected[cell], notes[cell], outcome) for cell in probes.cells)
    findings = find(snapshot, results, cluster.reproduce)
    return Report(
        subject=subject,
        run_id=secrets.token_hex(4),
        endpoints=snapshot.endpoints,
        cells=results,
        findings=findings,
        summary=Summary.of(results),
        min_coverage=options.min_coverage,
        facts=(*_facts(snapshot, matrix), *outcome.facts),
        seconds={"evaluating": planned - began, **outcome.seconds, "comparing": time.monotonic() - probed},
        attempts=outcome.attempts,
    )


def _result(cell: Cell, expected: Verdict, notes: tuple[Note, ...], outcome: ProbingOutcome) -> CellResult:
    observation = outcome.observations[cell]
    result = compare(expected, notes, observation, unstable=cell in outcome.unstable)
    return CellResult(cell, expected, observation, result, notes)


def _facts(snapshot: Snapshot, matrix: ExpectedMatrix) -> list[str]:
    endpoints = counted(len(snapshot.endpoints), "endpoint")
    classes = counted(len(matrix.classes), "identity class", "identity classes")
    facts = [f"{endpoints} in {classes}, {counted(len(snapshot.policies), 'policy', 'policies')}"]
    if snapshot.ignored:
        facts.append("not taken into account: " + ", ".join(f"{count} {kind}" for kind, count in sorted(snapshot.ignored.items())))
    return facts
