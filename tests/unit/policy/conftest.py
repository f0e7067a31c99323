"""The judges of a cell: whoever reads the rules must come to the same verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from auditor.model.ports import Protocol
from auditor.model.snapshot import Family, Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.policy.evaluator import evaluate
from auditor.policy.explain import decide
from tests.oracle.evaluator import verdict

Reaches: TypeAlias = Callable[..., bool]


def by_oracle(snapshot: Snapshot, cell: Cell) -> Verdict | None:
    return verdict(
        snapshot,
        snapshot.endpoint(cell.source),
        snapshot.endpoint(cell.destination),
        cell.protocol,
        cell.port,
        cell.family,
    )


def by_evaluator(snapshot: Snapshot, cell: Cell) -> Verdict:
    return evaluate(snapshot).verdict(*cell)


def by_explanation(snapshot: Snapshot, cell: Cell) -> Verdict:
    return decide(snapshot, cell).verdict


@pytest.fixture(params=[by_oracle, by_evaluator, by_explanation])
def reaches(request: pytest.FixtureRequest) -> Reaches:
    """Whether a source reaches a destination on a port such as ``TCP/80``, according to each judge in turn."""

    def ask(
        snapshot: Snapshot, source: str, destination: str, port: str = "TCP/80", family: Family = Family.IPV4
    ) -> bool:
        protocol, _, number = port.partition("/")
        return (
            request.param(snapshot, Cell(source, destination, Protocol(protocol), int(number), family))
            is Verdict.ALLOWED
        )

    return ask
