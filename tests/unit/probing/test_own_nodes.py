"""What kubelets say of the way from a node to its own pods."""

from __future__ import annotations

from dataclasses import replace

import pytest

from auditor.model.errors import ClusterError
from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Snapshot
from auditor.model.verdict import Cell, Observed, Verdict
from auditor.probing import own_nodes
from auditor.probing.own_nodes import own_node_cells
from auditor.probing.sites import Contact, Witnesses
from tests.unit.probing.world import RESET, TIMEOUT, TOKEN, World

PORT = 10011
V4 = frozenset({Family.IPV4})
OWN = Cell("node/n-0", "a/0", Protocol.TCP, PORT, Family.IPV4)
BETWEEN = Cell("a/1", "a/0", Protocol.TCP, 80, Family.IPV4)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(own_nodes, "PATIENCE", 0.2)
    monkeypatch.setattr(own_nodes, "PAUSE", 0.01)


def watched(answer=lambda *_: TOKEN, *, reached=("a/1",), seconds=0.0, **more):
    """A world whose kubelets reach the pods called ``reached``, as news that may be ``seconds`` old."""
    world = World(answer=answer, **more)
    world.sites = [replace(site, watched=V4, watched_port=PORT, node=f"n-{n}") for n, site in enumerate(world.sites)]
    world.asked = []

    async def heard(names):
        world.asked.append(tuple(names))
        return {name: Contact(V4, seconds) for name in names if name in reached}

    world.witnesses = Witnesses(heard=heard)
    return world


async def seen(world, expected=lambda _: Verdict.ALLOWED):
    outcome = await world.probe([BETWEEN, OWN], expected)
    return outcome.observations[OWN]


def denied(cell):
    return Verdict.DENIED if cell == BETWEEN else Verdict.ALLOWED


async def test_a_pod_that_its_kubelet_reaches():
    world = watched(reached=("a/0",))
    observation = await seen(world)
    assert (observation.verdict, observation.outcome) == (Observed.ALLOWED, "ready")
    assert world.asked == [("a/0",)]


async def test_a_pod_that_others_reach_and_its_kubelet_does_not():
    observation = await seen(watched())
    assert (observation.verdict, observation.outcome) == (Observed.DROPPED, "not-ready")
    assert observation.attempts > 1


async def test_an_answer_of_its_own_node_shows_the_link_where_nobody_else_may_reach_the_pod():
    assert (await seen(watched(lambda *_: TIMEOUT), denied)).verdict is Observed.DROPPED


async def test_a_pod_that_nobody_hears_says_nothing():
    world = watched(lambda *_: TIMEOUT)
    world.node = lambda *_: TIMEOUT
    observation = await seen(world, denied)
    assert observation.verdict is Observed.INCONCLUSIVE
    assert observation.outcome == "nothing was heard from a/0 over its network link"


async def test_nor_does_one_whose_first_process_listens_no_more():
    world = watched(control=lambda _site, _protocol, port, _number: RESET if port == PORT else TOKEN)
    observation = await seen(world)
    assert observation.verdict is Observed.INCONCLUSIVE
    assert observation.outcome.startswith("what the kubelet tries to reach at a/0 did not answer its agent")


async def test_what_a_kubelet_said_before_the_policies_were_in_force_counts_only_where_none_isolates_the_pod():
    old = 1000.0
    assert (await seen(watched(reached=("a/0",), seconds=old))).verdict is Observed.ALLOWED
    observation = await seen(watched(lambda *_: TIMEOUT, reached=("a/0",), seconds=old), denied)
    assert (observation.verdict, observation.outcome) == (Observed.INCONCLUSIVE, own_nodes.STALE)


async def test_nobody_to_ask():
    world = watched()

    async def heard(_names):
        raise ClusterError("the server is away")

    world.witnesses = Witnesses(heard=heard)
    observation = await seen(world)
    assert observation.verdict is Observed.INCONCLUSIVE
    assert observation.outcome == "whether its node reaches the pod could not be found out: the server is away"


async def test_a_pod_of_which_nothing_else_is_tried_has_its_own_agent_asked():
    world = watched()
    outcome = await world.probe([OWN])
    assert [channel.site.name for channel in world.opened] == ["a/0"]
    assert outcome.observations[OWN].verdict is Observed.DROPPED


def test_connections_come_from_nodes_that_are_endpoints_and_go_where_kubelets_try():
    node = Endpoint("node/n-0", EndpointKind.NODE, node="n-0")
    sites = [*watched().sites, replace(watched().sites[0], name="a/2", watched_port=0)]
    assert own_node_cells(Snapshot({}, (node,)), sites) == (OWN,)
