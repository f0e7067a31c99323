"""What proves that packets cross a network link, and what only seems to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Observed, Verdict
from auditor.probing import probe_rounds
from auditor.probing.attempts import Answer, AttemptResult
from auditor.probing.batches import Attempt, Target
from auditor.probing.disruptions import MOST_LOST, TELLING, Loss, in_vain, packets, tries_needed, unbearable
from auditor.probing.links import End, Links, ends_of
from auditor.probing.routes import route_cells
from auditor.probing.sites import Contact, ProbeSite, Witnesses
from tests.unit.probing.world import RESET, TIMEOUT, TOKEN, World

TCP, UDP, V4, V6 = Protocol.TCP, Protocol.UDP, Family.IPV4, Family.IPV6
ALLOWED, SILENT = AttemptResult(Answer.ALLOWED, "token", 1.0), AttemptResult(Answer.DROPPED, "timeout")
REFUSED, UNREACHABLE = (
    AttemptResult(Answer.REFUSED, "tcp-reset"),
    AttemptResult(Answer.REFUSED, "icmp-unreachable: EHOSTUNREACH"),
)
NODE = ProbeSite(
    "node/n", (ip_address("172.18.0.2"),), (), neighbour="node/m", neighbour_addresses=(ip_address("172.18.0.3"),)
)
POD = ProbeSite("a/pod", (ip_address("10.0.0.1"),), ("a/pod",), neighbour="node/n", neighbour_addresses=NODE.addresses)
FAR = ProbeSite(
    "a/far", (ip_address("10.0.1.1"),), ("a/far",), neighbour="node/m", neighbour_addresses=(ip_address("172.18.0.3"),)
)
ALONE = ProbeSite("a/alone", (ip_address("10.0.2.1"),), ("a/alone",))
WATCHED = ProbeSite(
    "a/watched", (ip_address("10.0.3.1"),), ("a/watched",), neighbour_addresses=NODE.addresses, watched=frozenset({V4})
)
SITES = (NODE, POD, FAR, ALONE, WATCHED)
OUT, INTO = Direction.EGRESS, Direction.INGRESS


def links():
    routing = route_cells([Cell("a/far", site.name, TCP, 80, V4) for site in SITES if site.endpoints], SITES)
    return Links(SITES, routing.listeners)


def attempt(source, destination, protocol=TCP):
    return Attempt(source.name, destination.name, Target(str(destination.addresses[0]), protocol, 80, destination.name))


def doubts(links, *ends, probe_round=1):
    return [bool(links.doubt(end, probe_round)) for end in ends]


def test_what_stays_in_one_kernel_needs_no_link_and_a_node_none_towards_its_own_pod():
    cells = [Cell(a, b, TCP, 80, V4) for a, b in (("a/pod", "a/pod"), ("a/pod", "a/far"))]
    own, other = route_cells(cells, SITES).routes.values()
    assert ends_of(own) == ()
    assert ends_of(other) == (End("a/far", INTO, V4), End("a/pod", OUT, V4))
    resident = ProbeSite("node/n", NODE.addresses, ("node/n",))
    (route,) = route_cells([Cell("node/n", "a/pod", TCP, 80, V4)], (resident, POD)).routes.values()
    assert ends_of(route) == (End("a/pod", INTO, V4),)


@pytest.mark.parametrize(
    ("made", "answer", "out_of_source", "into_destination"),
    [
        (attempt(POD, FAR), ALLOWED, True, True),
        (attempt(POD, FAR), REFUSED, True, False),
        (attempt(POD, FAR), UNREACHABLE, False, False),
        (attempt(POD, FAR, UDP), AttemptResult(Answer.REFUSED, "tcp-reset"), False, False),
        (attempt(POD, FAR), AttemptResult(Answer.REFUSED, "prohibited-locally: EPERM"), False, False),
        (attempt(POD, FAR), AttemptResult(Answer.MISDELIVERED, "wrong-identity: b/x"), False, False),
        (attempt(POD, FAR), SILENT, False, False),
        (attempt(POD, FAR), AttemptResult(Answer.ERROR, "EMFILE"), False, False),
        (Attempt("a/pod", "a/far", Target("127.0.0.1", TCP, 80, "a/far")), ALLOWED, False, False),
    ],
)
def test_only_what_must_have_crossed_a_link_proves_it(made, answer, out_of_source, into_destination):
    known = links()
    for probe_round in range(3):
        known.take(probe_round, [made], [answer])
    assert doubts(known, End("a/pod", OUT, V4), End("a/far", INTO, V4)) == [not out_of_source, not into_destination]
    assert doubts(known, End("a/pod", OUT, V6), End("a/pod", INTO, V4)) == [True, True]


def test_a_port_that_is_refused_hides_no_other_that_is_reached():
    known = links()
    for probe_round in range(3):
        known.take(probe_round, [attempt(POD, FAR)] * 2, [REFUSED, ALLOWED])
    assert doubts(known, End("a/far", INTO, V4)) == [False]


def test_a_pod_that_reaches_itself_proves_nothing():
    known = links()
    for probe_round in range(3):
        known.take(probe_round, [attempt(POD, POD)], [ALLOWED])
    assert doubts(known, End("a/pod", OUT, V4), End("a/pod", INTO, V4)) == [True, True]


@pytest.mark.parametrize(
    ("heard", "doubtful"), [([0, 2], False), ([1, 2], False), ([0, 1], True), ([2, 3], True), ([0], True), ([2], True)]
)
def test_it_must_be_heard_before_and_after(heard, doubtful):
    known = links()
    for probe_round in heard:
        known.take(probe_round, [attempt(POD, FAR)], [ALLOWED])
    assert doubts(known, End("a/far", INTO, V4)) == [doubtful]


def test_the_other_direction_serves_only_where_nobody_can_try_this_one():
    known = links()
    for probe_round in range(3):
        known.take(probe_round, [attempt(site, FAR) for site in (POD, ALONE, WATCHED)], [ALLOWED] * 3)
    assert doubts(known, *(End(site.name, INTO, V4) for site in (POD, ALONE, WATCHED))) == [True, False, True]
    known.take_contacts(["a/watched"], {"a/watched": Contact(frozenset({V4}), 4.0)}, None)
    assert doubts(known, End("a/watched", INTO, V4)) == [False]
    known.take_contacts(["a/watched"], {}, None)
    assert doubts(known, End("a/watched", INTO, V4)) == [True]


def test_a_node_is_called_by_another_and_its_own_pod_proves_nothing_of_it():
    known = links()
    for probe_round in range(3):
        known.take(probe_round, [attempt(NODE, POD), attempt(FAR, POD)], [ALLOWED] * 2, 1)
    assert doubts(known, End("node/n", OUT, V4), End("a/pod", INTO, V4)) == [True, False]


def test_calls_go_to_the_neighbour_and_where_that_is_silent_to_whoever_answered():
    known, out = links(), End("a/pod", OUT, V4)
    knock = [Attempt("a/pod", "", Target("172.18.0.2", TCP, port, None)) for port in (9, 10250)]
    assert known.calls([out, out]) == knock[:1]
    assert known.calls([out]) == knock
    known.take(1, [attempt(POD, FAR), *knock], [ALLOWED, SILENT, SILENT], 2)
    assert known.calls([out]) == [*knock, attempt(POD, FAR)]
    assert known.calls([out]) == [attempt(POD, FAR)], "it was asked often enough"
    assert known.calls([out], patiently=True) == [*knock, attempt(POD, FAR)]
    known.take(2, knock, [SILENT, REFUSED], 2)
    assert known.calls([out]) == knock[1:], "the one that helped"
    assert known.calls([End("a/pod", INTO, V4)]) == [attempt(NODE, POD)]
    assert known.calls([End("a/alone", INTO, V4)]) == []
    assert known.calls([End("a/watched", INTO, V4)]) == [Attempt("a/watched", "", Target("172.18.0.2", TCP, 9, None))]


def test_who_is_silent_when_called_was_dead_meanwhile_if_it_ever_answered():
    known = links()
    calls = known.calls([End("a/pod", OUT, V4), End("a/far", OUT, V4)])
    known.take(0, calls, [REFUSED, SILENT], 2)
    known.take(1, calls, [SILENT, SILENT], 2)
    assert known.silenced(1, calls) == {("a/pod", V4): "nothing was heard from a/pod over its network link meanwhile"}
    known.take(2, [attempt(FAR, POD), *calls], [ALLOWED, SILENT, SILENT], 2)
    assert known.silenced(2, calls) == {}


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.1, 0.2, 0.25])
def test_silence_is_met_often_enough_to_miss_less_than_one_in_a_thousand(share):
    unanswered = 1 - (1 - share) ** 2
    assert unanswered ** tries_needed(unanswered) <= 1 / 1000
    assert packets(unanswered) == pytest.approx(share)
    assert tries_needed(unanswered) >= 2


def test_loss_is_what_agents_tell_and_few_answers_tell_little():
    assert in_vain([Loss(10_000, 0)]) < 0.001
    assert tries_needed(in_vain([])) == 3
    assert tries_needed(in_vain([Loss(100, 0)])) == 2
    assert in_vain([Loss(1000, 0), Loss(100, 30)]) > 0.25, "the worst agent counts"
    assert unbearable() == pytest.approx(1 - (1 - MOST_LOST) ** 2)


def test_an_agent_may_be_worse_off_than_all_together_from_so_many_packets_on():
    many = Loss(10_000, 0)
    assert in_vain([many, Loss(TELLING, TELLING // 2)]) > 0.25
    assert in_vain([many, Loss(TELLING - 1, TELLING // 2)]) < 0.01


THERE = Cell("a/0", "a/1", TCP, 80, V4)


def denied_there(cell):
    return Verdict.DENIED if cell == THERE else Verdict.ALLOWED


def silent_there(*more):
    silent = {THERE[:2], *more}
    return lambda source, destination, *_: TIMEOUT if (source, destination) in silent else TOKEN


@pytest.mark.parametrize(
    ("nodes", "verdict"),
    [
        (lambda *_: RESET, Observed.DROPPED),
        (lambda *_: TOKEN, Observed.DROPPED),
        (lambda _site, port, _number: RESET if port == 10250 else TIMEOUT, Observed.DROPPED),
        (lambda *_: TIMEOUT, Observed.INCONCLUSIVE),
        (lambda site, *_: TIMEOUT if site == "a/0" else RESET, Observed.INCONCLUSIVE),
        (lambda site, *_: TIMEOUT if site == "a/1" else RESET, Observed.INCONCLUSIVE),
        (lambda _site, _port, number: RESET if number < 2 else TIMEOUT, Observed.INCONCLUSIVE),
        (lambda *_: ("refused", "icmp-unreachable", "EHOSTUNREACH"), Observed.INCONCLUSIVE),
    ],
    ids=["reset", "accepted", "kubelet", "silent", "silent-source", "silent-destination", "dies", "no-neighbour"],
)
async def test_a_denial_counts_if_both_nodes_answer(nodes, verdict):
    world = World(2, answer=silent_there(THERE[1::-1]))
    world.node = nodes
    seen = (await world.probe([THERE], expected=denied_there)).observations[THERE]
    assert seen.verdict is verdict
    assert verdict is Observed.DROPPED or "over its network link" in seen.outcome


async def test_where_nodes_are_silent_other_cells_that_are_allowed_do():
    world = World(3, answer=silent_there())
    world.node = lambda *_: TIMEOUT
    assert (await world.probe(expected=denied_there)).observations[THERE].verdict is Observed.DROPPED


async def test_calls_cost_no_more_than_a_few_attempts_and_no_phase():
    world = World(4)
    outcome = await world.probe(world.cells([(TCP, port) for port in range(80, 90)]))
    assert outcome.attempts == 160 + 2 * 40 + 2 * 4
    assert list(outcome.seconds) == ["starting", "probing", "controls"]


def watched_world(*contacts):
    """Two sites that a kubelet reaches for; ``contacts`` is what it tells, each time that it is asked, the last for
    ever.
    """
    world = World(2, answer=silent_there())
    world.sites = [
        ProbeSite(
            site.name,
            site.addresses,
            site.endpoints,
            neighbour_addresses=site.neighbour_addresses,
            watched=frozenset({V4}),
        )
        for site in world.sites
    ]
    told = iter(contacts)
    last = [contacts[-1]]

    async def heard(names):
        last[0] = next(told, last[0])
        return {name: Contact(frozenset({V4}), 0.1) for name in names} if last[0] else {}

    world.witnesses = Witnesses(heard=heard)
    return world


@pytest.mark.parametrize(
    ("contacts", "verdict"),
    [((True,), Observed.DROPPED), ((False, False, True), Observed.DROPPED), ((False,), Observed.INCONCLUSIVE)],
)
async def test_a_kubelet_that_is_to_reach_a_pod_must_say_so(contacts, verdict, monkeypatch):
    monkeypatch.setattr(probe_rounds, "CONTACT_SECONDS", 0.5)
    monkeypatch.setattr(probe_rounds, "CONTACT_PAUSE", 0.01)
    seen = (await watched_world(*contacts).probe([THERE], expected=denied_there)).observations[THERE]
    assert seen.verdict is verdict
    expected = "nothing was heard from a/1 over its network link, so silence proves nothing"
    assert verdict is Observed.DROPPED or seen.outcome == expected


@pytest.mark.parametrize(("dies", "verdict"), [(False, Observed.DROPPED), (True, Observed.INCONCLUSIVE)])
async def test_what_a_kubelet_said_long_ago_is_no_news(dies, verdict, monkeypatch):
    """No node answers its pods; so only a kubelet's word can show that the link was alive after the probes."""
    monkeypatch.setattr(probe_rounds, "CONTACT_SECONDS", 0.5)
    monkeypatch.setattr(probe_rounds, "CONTACT_PAUSE", 0.01)
    world = watched_world(True, *([False] if dies else []))
    world.node = lambda site, *_: TIMEOUT if site == "a/1" else RESET
    assert (await world.probe([THERE], expected=denied_there)).observations[THERE].verdict is verdict
