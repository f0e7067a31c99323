"""Coverage, which looks at each part once, against its definition, which takes each part away and compares every
verdict.
"""

from __future__ import annotations

from random import Random

from auditor.diagnosis.coverage import unexercised
from auditor.model.report import CellResult
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Observation, Observed, Result, Verdict
from tests.strategies import FAMILY_MIX, Shape, boundaries_in_policies, random_snapshot
from tests.unit.diagnosis import plain_coverage

WORLDS = 250
SHAPES = (
    Shape(policies=6),
    Shape(pods=6, policies=3, addressless=0.4, hosts=2),
    Shape(namespaces=3, pods=8, policies=12, host_network=0.3, hosts=3, families=FAMILY_MIX),
)


def random_results(random, snapshot):
    ports = sorted(boundaries_in_policies(snapshot))
    names = [endpoint.name for endpoint in snapshot.endpoints]
    cells = [
        Cell(random.choice(names), random.choice(names), *random.choice(ports), random.choice(list(Family)))
        for _ in range(random.choice((0, 3, 20, 120)))
    ]
    return [
        CellResult(cell, Verdict.DENIED, Observation(Observed.DROPPED, ""), Result.MATCH)
        for cell in dict.fromkeys(cells)
    ]


def test_what_is_not_exercised_is_what_the_definition_says():
    found = set()
    for seed in range(WORLDS):
        random = Random(seed)
        snapshot = random_snapshot(random, random.choice(SHAPES))
        results = random_results(random, snapshot)
        answer = unexercised(snapshot, results)
        assert answer == plain_coverage.unexercised(snapshot, results), f"seed {seed}"
        found |= {(part.what.partition(" ")[0], part.reason) for part in answer}
    assert len(found) > 12, "the worlds are so poor that hardly any reason occurs"
