"""The suite's own enforcer does what each dialect's definition says, before anything is built on it: packets from the
real pods.
"""

from __future__ import annotations

import pytest

from auditor.model.dialect import Dialect, Enforcement
from auditor.model.ports import Protocol
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell, Verdict
from tests.e2e import world
from tests.e2e.live import read_world
from tests.e2e.packets import arrivals
from tests.oracle.evaluator import AmbiguousPrediction, verdict

PORTS = [(Protocol.TCP, port) for port in (443, 5432, 7000, 8079, 8080, 8085, 8090, 8091, 9100, 9187)] + [
    (Protocol.UDP, 53)
]

DIALECTS = (Dialect.SPEC, Dialect.ENFORCES_NOTHING, Dialect.IGNORES_INGRESS, Dialect.STATELESS, Dialect.BLOCKS_OWN_NODE)
"""A few: the audits of the suite show the rest."""


def wrong(snapshot: Snapshot, enforcement: Enforcement, seen: dict[Cell, bool]) -> list[str]:
    """The cells that are not as the oracle predicts."""
    by_name = {endpoint.name: endpoint for endpoint in snapshot.endpoints}
    found = []
    for cell, arrived in seen.items():
        ends = by_name[cell.source], by_name[cell.destination]
        try:
            predicted = verdict(snapshot, *ends, cell.protocol, cell.port, cell.family, enforcement=enforcement)
        except AmbiguousPrediction:
            continue
        if arrived != (predicted is Verdict.ALLOWED):
            found.append(f"{cell}: predicted {predicted}, {'arrived' if arrived else 'silence'}")
    return found


@pytest.mark.parametrize("dialect", DIALECTS)
def test_packets_fare_as_the_definition_says(shop, kubectl, enforcer, dialect):
    if not enforcer.dialects and dialect is not Dialect.SPEC:
        pytest.skip("this enforcer can't be told to misunderstand")
    enforcer.use(dialect)
    enforcer.settle()
    snapshot = read_world(kubectl)
    pods = [endpoint for endpoint in snapshot.endpoints if endpoint.namespace in world.NAMESPACES]
    seen = arrivals(kubectl, pods, PORTS)
    assert any(seen.values())
    assert wrong(snapshot, Enforcement.parse((dialect,)), seen) == []
