"""What explain looks at, a few connections' ends and policies, says of them what the whole cluster says."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from random import Random

import pytest

from auditor.model.labels import LabelSelector
from auditor.model.policy import UnknownPolicy
from auditor.model.ports import PortRequest, Protocol
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.model.verdict import Cell
from auditor.policy.doubt import doubtful_cells
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import common_families
from auditor.run import explanation
from auditor.run.explanation import explain
from tests.strategies import random_snapshot
from tests.unit.policy.test_unknown_labels import cluster

PORT = PortRequest(Protocol.TCP, number=80)


def explained(snapshot: Snapshot) -> dict[Cell, explanation.Explained]:
    pairs = ((one, other) for one, other in product(snapshot.endpoints, repeat=2) if common_families(one, other))
    connections = (each for one, other in pairs for each in explain(snapshot, one, other, PORT).connections)
    return {each.decision.cell: each for each in connections}


@pytest.mark.parametrize("seed", range(8))
def test_verdicts_and_notes_are_those_of_the_whole_cluster(seed: int) -> None:
    snapshot = random_snapshot(Random(seed))
    matrix = evaluate(snapshot)
    for cell, each in explained(snapshot).items():
        assert each.notes == matrix.notes(*cell), (seed, cell)
        assert each.decision.verdict is matrix.verdict(*cell), (seed, cell)


@pytest.mark.parametrize("seed", range(20))
def test_unknown_labels_and_policies_put_in_doubt_what_they_do_in_the_whole_cluster(seed: int) -> None:
    snapshot = cluster(seed)
    matrix, cells = evaluate(snapshot), explained(snapshot)
    assert {cell for cell, each in cells.items() if each.notes} == {cell for cell in cells if matrix.notes(*cell)}
    unknown = tuple(
        UnknownPolicy(namespace, name, selector, "can't be read")
        for namespace, name, selector in (("known", "one", LabelSelector((("a", "x"),))), ("dim", "other", None))
    )
    doubted = explained(replace(snapshot, unknown=unknown))
    of_policies = {cell: each.doubt for cell, each in doubted.items() if each.doubt.startswith("policy")}
    in_doubt = doubtful_cells(snapshot, unknown, list(cells))
    assert of_policies == {cell: why for cell, why in in_doubt.items() if why}  # the others hang on labels alone


def test_only_the_ends_in_question_are_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated: list[tuple[Endpoint, ...]] = []

    def watched(snapshot: Snapshot, **options: object) -> object:
        evaluated.append(snapshot.endpoints)
        return evaluate(snapshot, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(explanation, "evaluate", watched)
    snapshot = cluster(1)
    explain(snapshot, snapshot.endpoints[0], snapshot.endpoints[-1], PORT)
    assert evaluated == [(snapshot.endpoints[0], snapshot.endpoints[-1])]
