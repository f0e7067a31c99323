"""Runs made by hand: what was seen, by workload and node."""

from __future__ import annotations

from dataclasses import replace

from auditor.history.recording import night_of
from auditor.model.ports import Protocol
from auditor.model.report import CellResult, Finding, Report, Summary
from auditor.model.snapshot import Endpoint, EndpointKind, Family
from auditor.model.verdict import Cell, Observation, Observed, Result, Verdict

OBSERVED = {
    Result.MATCH: Observed.DROPPED,
    Result.LEAK: Observed.ALLOWED,
    Result.INCONCLUSIVE: Observed.INCONCLUSIVE,
    Result.SKIPPED: Observed.SKIPPED,
    Result.OUTAGE: Observed.DROPPED,
    Result.UNSTABLE: Observed.ALLOWED,
}
DENIED_BY = "ingress denied by prod/db (db.yaml:3)"


def pod(workload, node="n1", template_hash="7d4b9c", suffix="x2x4"):
    """A pod of the Deployment ``NAMESPACE/NAME``."""
    namespace, _, name = workload.partition("/")
    return Endpoint(
        f"{namespace}/{name}-{template_hash}-{suffix}",
        EndpointKind.POD,
        namespace,
        {"app": name, "pod-template-hash": template_hash},
        node=node,
        workload=f"ReplicaSet/{name}-{template_hash}",
    )


def stand_in(name, *workloads, node="n1"):
    """A probe pod that stands for several workloads."""
    return Endpoint(name, EndpointKind.POD, name.partition("/")[0], node=node, stands_for=workloads)


def tried(source, destination, result=Result.MATCH, port=5432):
    expected = Verdict.ALLOWED if result is Result.OUTAGE else Verdict.DENIED
    cell = Cell(source.name, destination.name, Protocol.TCP, port, Family.IPV4)
    return CellResult(cell, expected, Observation(OBSERVED[result], "token", (OBSERVED[result],)), result)


def run_of(endpoints, cells, *, reason=DENIED_BY, run="r1", began="2026-11-01T02:00:00Z", **fields):
    """A report; the cells that differ are one finding for each kind."""
    kinds = dict.fromkeys(each.result for each in cells if each.result in (Result.LEAK, Result.OUTAGE, Result.UNSTABLE))
    findings = tuple(
        Finding(
            kind, f"a {kind}", tuple(each for each in cells if each.result is kind), (reason,), "audit run", "Look."
        )
        for kind in sorted(kinds, key=list(Result).index)
    )
    made = Report(
        "all namespaces", run, tuple(endpoints), tuple(cells), findings, Summary.of(tuple(cells)), began=began
    )
    return replace(made, **fields)


def night(endpoints, cells, **fields):
    return night_of(run_of(endpoints, cells, **fields), "1.0", "fail")
