"""Audits on the lab, held against what the tests' own evaluator predicts for the enforcer that is injected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from auditor.cluster.lab.lab import Lab
from auditor.model.dialect import Dialect, Enforcement, Enforcer
from auditor.model.policy import NetworkPolicy
from auditor.model.ports import Protocol
from auditor.model.report import CellResult, Report
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell, Result, Verdict
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.run.audit import AuditOptions, audit
from tests.oracle.evaluator import AmbiguousPrediction, before_convergence, may_flake, verdict

HASTY = ProbingOptions(timeout=0.3, retests=2, settle=0.0)
"""For a lab, where a round trip takes a fraction of a millisecond unless the machine is busy, which the retests are for."""

PATIENT = ProbingOptions(timeout=0.3, retests=2, settle=4.0)

DIFFERENT = (Result.LEAK, Result.OUTAGE, Result.UNSTABLE, Result.MISDELIVERED, Result.CNI_DEPENDENT)
UNKNOWN = (Result.INCONCLUSIVE,)

SLOW_START = 0.8
NEVER = 60.0


@dataclass(frozen=True)
class Prediction:
    """The cells that must differ from the specification, and those that may."""

    must: frozenset[Cell]
    may: frozenset[Cell]


def predict(
    snapshot: Snapshot,
    cells: Iterable[CellResult],
    enforcement: Enforcement,
    previous_policies: Sequence[NetworkPolicy] | None = None,
    *,
    converged: bool = True,
) -> Prediction:
    """Which of ``cells`` an audit under ``enforcement`` must find to differ from the specification."""
    by_name = {endpoint.name: endpoint for endpoint in snapshot.endpoints}
    in_force = enforcement if converged else before_convergence(enforcement)
    must, may = set(), set()
    for result in cells:
        cell = result.cell
        if result.result in (Result.UNDEFINED, Result.SKIPPED):
            continue
        source, destination = by_name[cell.source], by_name[cell.destination]
        try:
            predicted = verdict(
                snapshot,
                source,
                destination,
                cell.protocol,
                cell.port,
                cell.family,
                enforcement=in_force,
                previous_policies=previous_policies,
            )
        except AmbiguousPrediction:
            may.add(cell)
            continue
        if predicted is not result.expected:
            must.add(cell)
        elif predicted is Verdict.ALLOWED and may_flake(source, destination, enforcement):
            may.add(cell)
    return Prediction(frozenset(must), frozenset(may))


@dataclass(frozen=True)
class Judgement:
    """One audit under one enforcer: how many cells it found to differ, and every way in which that isn't as predicted."""

    found: int
    wrong: tuple[str, ...]
    report: Report


def judge(
    report: Report,
    snapshot: Snapshot,
    enforcement: Enforcement,
    previous_policies: Sequence[NetworkPolicy] | None = None,
    *,
    converged: bool = True,
) -> Judgement:
    """Hold a report against the prediction."""
    prediction = predict(snapshot, report.cells, enforcement, previous_policies, converged=converged)
    results = {result.cell: result for result in report.cells}
    differing = {cell for cell, result in results.items() if result.result in DIFFERENT}
    wrong = [f"missed: {_say(results[cell])}" for cell in sorted(prediction.must - differing)]
    wrong += [
        f"not caused by {enforcement.everywhere}: {_say(results[cell])}" for cell in sorted(differing - prediction.must - prediction.may)
    ]
    wrong += [f"no verdict: {_say(result)}" for result in results.values() if result.result in UNKNOWN]
    wrong += [
        f"skipped: {_say(result)}"
        for result in results.values()
        if result.result is Result.SKIPPED and result.cell.protocol is not Protocol.SCTP
    ]
    return Judgement(len(differing), tuple(wrong), report)


def _say(result: CellResult) -> str:
    seen = result.observation
    return f"{result.cell} expected {result.expected}, observed {seen.verdict} ({seen.outcome}), {result.result}, {list(seen.history)}"


async def audit_under(
    lab: Lab, enforcement: Enforcement, previous_policies: Sequence[NetworkPolicy] | None = None, options: ProbingOptions = HASTY
) -> Judgement:
    """Program ``lab``, which is up, with ``enforcement``, audit it and judge the report."""
    await lab.program(enforcement, previous_policies=previous_policies)
    report = await audit(lab, str(enforcement.everywhere), AuditOptions(probing=options), NoProgress())
    slow = Dialect.SLOW in {enforcement.everywhere.dialect, *(enforcer.dialect for enforcer in enforcement.on_node.values())}
    return judge(report, lab.snapshot, enforcement, previous_policies, converged=not slow or options.settle > SLOW_START)


def enforcers() -> list[tuple[Enforcer, ProbingOptions]]:
    """Every dialect with the patience that its audit needs; ``slow`` twice: waited for, and caught before it has converged."""
    plain = [(Enforcer(dialect), HASTY) for dialect in Dialect if dialect not in (Dialect.SLOW, Dialect.FLAKY)]
    return [
        *plain,
        (Enforcer(Dialect.FLAKY, 0.4), HASTY),
        (Enforcer(Dialect.SLOW, SLOW_START), PATIENT),
        (Enforcer(Dialect.SLOW, NEVER), HASTY),
    ]
