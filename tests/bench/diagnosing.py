"""The time that a diagnosis takes, over every dialect in every scope: one fault, two, and what no known
fault explains.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from auditor.diagnosis.evidence import Evidence
from auditor.diagnosis.hypotheses import faults
from auditor.diagnosis.predictors import Predictor
from auditor.diagnosis.search import diagnose
from auditor.model.dialect import Dialect, Enforcement
from auditor.model.report import CellResult
from auditor.model.verdict import Observation, Observed, Result, Verdict
from tests.bench.measure import say, wall
from tests.lab.naming import SHAPE, World, injected

CELLS = 5_000
LIMIT = 2.0
CASES = {
    "one fault": ("ignores-egress@node-2",),
    "two faults": ("ignores-ports@node-1", "label-key-only@node-2"),
    "nothing known": (),
}


def world(policies: int) -> World:
    """A cluster of 24 pods on 4 nodes, of whose cells 5,000 are observed."""
    shape = replace(SHAPE, pods=24, nodes=4, hosts=2, namespaces=5, policies=policies)
    return World.random(3, shape, CELLS)


def observed(world: World, enforcers: tuple[str, ...]) -> list[CellResult]:
    """What the predictors themselves say of ``enforcers``; without any, one cell in twenty is different at random."""
    predictor = Predictor(world.predictor.cells)
    expected = predictor.specification
    seen = predictor.predict(injected(Enforcement.parse(enforcers))).allowed if enforcers else expected
    random = Random(1)
    results = []
    for number, cell in enumerate(world.cells):
        verdict = Verdict.ALLOWED if expected >> number & 1 else Verdict.DENIED
        allowed = bool(seen >> number & 1) ^ (not enforcers and random.random() < 0.05)
        observation = Observation(Observed.ALLOWED if allowed else Observed.DROPPED, "")
        kind = Result.MATCH if allowed == (verdict is Verdict.ALLOWED) else Result.LEAK if allowed else Result.OUTAGE
        results.append(CellResult(cell, verdict, observation, kind))
    return results


def run() -> None:
    """Print the times against the limit."""
    for policies in (20, 200):
        cluster = world(policies)
        hypotheses = len(list(faults(Evidence(cluster.snapshot, observed(cluster, ())).predictor, stale=False)))
        for name, enforcers in CASES.items():
            results = observed(cluster, enforcers)
            seconds = wall(lambda results=results, cluster=cluster: diagnose(cluster.snapshot, results))
            what = (
                f"diagnosis of {len(results):,} cells, {policies} policies, {len(Dialect)} dialects, "
                f"{hypotheses:,} single faults: {name}"
            )
            say(what, f"{seconds:.2f} s", f"limit {LIMIT:g} s: {seconds / LIMIT:.2f}")
