"""Whether what is to be closed is open before its policies come."""

from __future__ import annotations

from dataclasses import replace

import pytest

from auditor.model.ports import Protocol
from auditor.model.scenario import Scenario
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Verdict
from auditor.run.conformance.opening import still_closed
from auditor.run.conformance.prepared_scenarios import prepare_scenarios
from auditor.run.conformance.testbed import ActualState
from tests.oracle.clusters import cluster, host, pod
from tests.unit.probing.world import SWIFT, TIMEOUT, TOKEN, World

CLOSED = ("a/0", "a/1", Protocol.UDP)


class Bed:
    absent = {"host/outside": "no host is at hand"}  # noqa: RUF012
    failed: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, world):
        self.sites = world.sites
        self.open = world.open

    @staticmethod
    def actual(prepared):
        return ActualState(prepared.snapshot)


def prepared_scenarios():
    pods = [pod(f"a/{number}", {}, f"10.0.0.{number + 1}", node="n") for number in range(2)]
    ends = (*pods, host("outside", "192.168.5.10"))
    cells = [
        Cell(one.name, other.name, protocol, 80, Family.IPV4)
        for one in ends
        for other in ends
        for protocol in (Protocol.TCP, Protocol.UDP)
    ]
    truth = {cell: Verdict.ALLOWED if cell.source == "a/1" else Verdict.DENIED for cell in cells}
    scenario = Scenario("one", "title", "one.yaml", ("n",), (Family.IPV4,), cluster(*ends), truth=truth)
    return prepare_scenarios([scenario], "")


@pytest.mark.parametrize(("opens_after", "closed"), [(0, 0), (2, 0), (10**6, 1)])
async def test_what_is_to_be_denied_is_tried_until_it_is_open_or_patience_ends(opens_after, closed):
    def answer(source, destination, protocol, _port, number):
        return TIMEOUT if (source, destination, protocol) == CLOSED and number < opens_after else TOKEN

    options = replace(SWIFT, settle=0.5)
    found = await still_closed(Bed(World(2, answer)), prepared_scenarios(), options)
    assert found == {Cell("a/0", "a/1", Protocol.UDP, 80, Family.IPV4)} if closed else found == set()
