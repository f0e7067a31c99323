"""What proves that packets get from one node to another, and what only seems to."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address

import pytest

from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Observed, Verdict
from auditor.probing.attempts import Answer, AttemptResult
from auditor.probing.batches import Attempt, Target
from auditor.probing.paths import CALLED_PORT, CALLS, Path, Paths, forwarding_of, path_of
from auditor.probing.routes import route_cells
from auditor.probing.sites import ProbeSite, Witnesses
from tests.unit.probing.world import RESET, TIMEOUT, TOKEN, World

TCP, V4 = Protocol.TCP, Family.IPV4
ALLOWED, SILENT = AttemptResult(Answer.ALLOWED, "token", 1.0), AttemptResult(Answer.DROPPED, "timeout")
REFUSED = AttemptResult(Answer.REFUSED, "tcp-reset")
ADDRESSES = {"m": (ip_address("172.18.0.2"),), "n": (ip_address("172.18.0.3"),)}
NODES = [ProbeSite(f"node/{name}", ADDRESSES[name], (), node=name, is_node=True) for name in "mn"]
PODS = [
    ProbeSite(
        f"a/{name}",
        (ip_address(f"10.0.0.{number}"),),
        (f"a/{name}",),
        neighbour=f"node/{name}",
        neighbour_addresses=ADDRESSES[name],
        node=name,
    )
    for number, name in enumerate("mn", start=1)
]
OUTSIDE = ProbeSite("host/x", (ip_address("192.0.2.9"),), ("host/x",), agent=False)
PATH = Path("m", "n", V4)
UNSHOWN = (
    "nothing was answered between nodes m and n over IPv4: that 12 denied connections between them were denied by "
    "policy was not shown"
)
UNFORWARDED = UNSHOWN.replace("between nodes", "between pods of nodes")
THERE = Cell("a/m", "a/n", TCP, 80, V4)


def lab():
    """Paths of a cluster whose nodes have agents, which listen."""
    paths = Paths([*NODES, *PODS], [*NODES, *PODS])
    routing = route_cells([THERE], PODS)
    paths.listeners(routing.listeners, routing.routes.values())
    return paths


def live():
    """Paths of a cluster that has agents in pods alone."""
    return Paths(PODS, PODS)


def attempt(source, destination):
    return Attempt(source.name, destination.name, Target(str(destination.addresses[0]), TCP, 80, destination.name))


def test_a_path_is_between_two_nodes_both_ways():
    assert path_of(*PODS, V4) == path_of(*PODS[::-1], V4) == path_of(NODES[0], PODS[1], V4) == PATH
    assert path_of(PODS[0], PODS[0], V4) is path_of(NODES[0], PODS[0], V4) is path_of(PODS[0], OUTSIDE, V4) is None


def test_nodes_listen_for_each_other_and_call_each_other():
    routing, paths = route_cells([THERE], PODS), Paths([*NODES, *PODS], [*NODES, *PODS])
    listeners = paths.listeners(routing.listeners, routing.routes.values())
    assert {name: [each.port for each in listeners[name]] for name in ("node/m", "node/n", "a/n")} == {
        "node/m": [CALLED_PORT],
        "node/n": [CALLED_PORT],
        "a/n": [80],
    }
    calls = Counter((call.source, call.target.address, call.target.port) for call in paths.calls([PATH, PATH]))
    assert calls == {
        ("node/m", "172.18.0.3", 9): 1,
        ("node/m", "172.18.0.3", CALLED_PORT): CALLS,
        ("node/n", "172.18.0.2", 9): 1,
        ("node/n", "172.18.0.2", CALLED_PORT): CALLS,
    }
    pods = [call.source for call in paths.calls([PATH], from_pods=True) if call.source.startswith("a/")]
    assert Counter(pods).keys() == {"a/m", "a/n"}


@pytest.mark.parametrize(
    ("made", "answer", "shown"),
    [
        (attempt(*PODS), ALLOWED, True),
        (attempt(*PODS[::-1]), ALLOWED, True),
        (attempt(*PODS), REFUSED, False),
        (attempt(*PODS), SILENT, False),
        (attempt(NODES[0], PODS[0]), ALLOWED, False),
        (Attempt("node/m", "", Target("172.18.0.3", TCP, 9, None)), REFUSED, True),
        (Attempt("node/m", "", Target("172.18.0.3", TCP, 9, None)), SILENT, False),
        (Attempt("a/m", "", Target("172.18.0.2", TCP, 9, None)), REFUSED, False),
    ],
)
def test_only_what_must_have_come_from_the_other_node_shows_a_path(made, answer, shown):
    paths = lab()
    paths.calls([PATH])
    for probe_round in range(3):
        paths.take(probe_round, [made], [answer])
    assert (paths.doubt(PATH, 1) == "") is shown


@pytest.mark.parametrize(
    ("heard", "doubt"),
    [([0, 2], ""), ([1, 2], ""), ([0, 1], " after the probes"), ([2, 3], " before the probes")],
)
def test_it_must_be_shown_before_and_after(heard, doubt):
    paths = lab()
    for probe_round in heard:
        paths.take(probe_round, [attempt(*PODS)], [ALLOWED])
    told = f"nothing was answered between nodes m and n over IPv4{doubt}"
    assert paths.doubt(PATH, 1) == (told if doubt else "")


def test_a_path_that_is_silent_in_a_round_was_dead_meanwhile_if_it_ever_carried_anything():
    paths = lab()
    assert paths.silenced(0, [PATH]) == {}
    paths.take(0, [attempt(*PODS)], [ALLOWED])
    assert paths.silenced(0, [PATH]) == {}
    assert paths.silenced(1, [PATH]) == {PATH: "nothing was answered between nodes m and n over IPv4 meanwhile"}


def unshown(paths, source=PODS[0], destination=PODS[1]):
    """What is reported of 12 denials from ``source`` to ``destination``."""
    (route,) = route_cells([Cell(source.name, destination.name, TCP, 80, V4)], [source, destination]).routes.values()
    path = forwarding_of(source, destination, V4) or path_of(source, destination, V4)
    return [] if paths.is_shown(path, route) else list(paths.unshown(Counter({path: 12})))


def test_where_no_agent_sits_at_nodes_nothing_is_doubted_but_it_is_told():
    paths = live()
    assert paths.calls([PATH], from_pods=True) == []
    assert paths.doubt(PATH, 1) == ""
    assert unshown(paths) == [UNSHOWN]
    calls = paths.last_calls([PATH])
    assert [(call.source, call.target.address, call.target.port) for call in calls] == [
        ("a/m", "172.18.0.3", 10250),
        ("a/n", "172.18.0.2", 10250),
    ]
    paths.take(1, calls, [REFUSED, SILENT])
    assert unshown(paths) == [UNSHOWN], "the pod's own node may have refused it"
    paths.take(1, calls, [AttemptResult(Answer.ALLOWED, "connected", 1.0), SILENT])
    assert unshown(paths) == [UNFORWARDED]
    assert paths.last_calls([PATH]) == []
    paths.take(1, [attempt(*PODS)], [ALLOWED])
    assert unshown(paths) == []


def test_what_nodes_say_to_each_other_does_not_show_that_their_pods_can():
    paths = lab()
    for probe_round in range(3):
        paths.take(probe_round, [attempt(*NODES), attempt(NODES[0], PODS[1])], [ALLOWED] * 2)
    assert paths.doubt(PATH, 1) == ""
    assert unshown(paths) == [UNFORWARDED]
    paths.take(3, [attempt(*PODS[::-1])], [ALLOWED])
    assert unshown(paths) == []


RESIDENT = ProbeSite("a/x", ADDRESSES["n"], ("a/x",), node="n", is_node=True)
BESIDE = ProbeSite("a/beside", (ip_address("10.0.0.9"),), ("a/beside",), node="m")


def test_what_nodes_themselves_get_is_shown_by_what_they_get():
    paths = Paths([*PODS, RESIDENT], PODS)
    assert unshown(paths, PODS[0], RESIDENT) == [UNSHOWN]
    paths.take(0, [Attempt("a/m", "a/x", Target("172.18.0.3", TCP, 80, None))], [ALLOWED])
    assert unshown(paths, PODS[0], RESIDENT) == []
    assert unshown(paths) == [UNFORWARDED]


def test_that_a_node_forwards_what_its_own_pods_send_each_other_must_be_shown_too():
    paths = Paths([*NODES, *PODS, BESIDE], PODS)
    told = UNSHOWN.replace("between nodes m and n", "between pods on node m")
    paths.take(0, [attempt(NODES[0], BESIDE), attempt(BESIDE, BESIDE), attempt(*PODS)], [ALLOWED] * 3)
    assert unshown(paths, PODS[0], BESIDE) == [told]
    paths.take(1, [attempt(BESIDE, PODS[0])], [ALLOWED])
    assert unshown(paths, PODS[0], BESIDE) == []


def test_of_many_pairs_of_nodes_a_few_are_named():
    denials = Counter({Path("m", f"n{number}", V4): 2 for number in range(9)})
    *_, last = facts = list(live().unshown(denials))
    assert len(facts) == 4
    assert last.startswith("nor on 6 further paths of these kinds: that 12 denied connections on these were")


def world_of_two_nodes(between, *, agents):
    """Two pods on two nodes, with an agent at each node or none; ``between`` is what comes of calls from node to node
    and of nothing else.
    """

    def answer(source, destination, *_):
        if source.startswith("node/") and destination.startswith("node/"):
            return between
        return TOKEN if source.startswith("node/") or source == destination else TIMEOUT

    world = World(2, answer=answer)
    world.sites = [
        ProbeSite(
            site.name,
            site.addresses,
            site.endpoints,
            neighbour=f"node/{name}" if agents else "",
            neighbour_addresses=site.neighbour_addresses,
            node=name,
        )
        for site, name in zip(world.sites, "mn", strict=True)
    ]
    nodes = [
        ProbeSite(f"node/{site.node}", site.neighbour_addresses, (), node=site.node, is_node=True)
        for site in world.sites
    ]
    world.witnesses = Witnesses(sites=tuple(nodes)) if agents else world.witnesses
    places = {str(node.addresses[0]): node.node for node in nodes}

    def at_node(site, _port, _number, address):
        mine = {"a/0": "m", "a/1": "n", "node/m": "m", "node/n": "n"}[site]
        if places[address] == mine:
            return RESET
        return between if site.startswith("node/") else TIMEOUT

    world.node_by_address = at_node
    return world


ONE_WAY = Cell("a/0", "a/1", TCP, 80, V4)


@pytest.mark.parametrize(("between", "verdict"), [(TOKEN, Observed.DROPPED), (TIMEOUT, Observed.INCONCLUSIVE)])
async def test_a_denial_between_nodes_needs_a_call_between_them_that_is_answered(between, verdict):
    world = world_of_two_nodes(between, agents=True)
    seen = (await world.probe([ONE_WAY], expected=lambda _: Verdict.DENIED)).observations[ONE_WAY]
    assert seen.verdict is verdict
    told = "nothing was answered between nodes m and n over IPv4, so silence proves nothing"
    assert verdict is Observed.DROPPED or seen.outcome == told


async def test_where_no_agents_sit_at_nodes_a_denial_stands_and_the_report_tells():
    outcome = await world_of_two_nodes(TIMEOUT, agents=False).probe([ONE_WAY], expected=lambda _: Verdict.DENIED)
    assert outcome.observations[ONE_WAY].verdict is Observed.DROPPED
    told = "nothing was answered between nodes m and n over IPv4: that 1 denied connection between them was denied"
    assert any(fact.startswith(told) for fact in outcome.facts), outcome.facts
