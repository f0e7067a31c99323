"""A link that carries one protocol alone proves nothing of the other, and silence over both says nothing of either."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Observed, Verdict
from auditor.probing.attempts import Answer, AttemptResult
from auditor.probing.batches import Attempt, Target
from auditor.probing.links import End, Links
from auditor.probing.protocols import TRIED_IN_VAIN, Carried, Protocols
from auditor.probing.routes import route_cells
from auditor.probing.sites import ProbeSite
from tests.unit.probing.world import CLOSED, RESET, TIMEOUT, TOKEN, World

TCP, UDP, V4 = Protocol.TCP, Protocol.UDP, Family.IPV4
ALLOWED, SILENT = AttemptResult(Answer.ALLOWED, "token", 1.0), AttemptResult(Answer.DROPPED, "timeout")
SHUT = {TCP: AttemptResult(Answer.REFUSED, "tcp-reset"), UDP: AttemptResult(Answer.REFUSED, "icmp-port-unreachable")}
KEPT = AttemptResult(Answer.REFUSED, "prohibited-locally")
NO_NEIGHBOUR = AttemptResult(Answer.REFUSED, "icmp-unreachable")
NODE = ProbeSite("node/n", (ip_address("172.18.0.2"),), ())
POD = ProbeSite("a/pod", (ip_address("10.0.0.1"),), ("a/pod",), neighbour="node/n", neighbour_addresses=NODE.addresses)
FAR = ProbeSite("a/far", (ip_address("10.0.1.1"),), ("a/far",))
SITES = (NODE, POD, FAR)
OUT, INTO = End("a/pod", Direction.EGRESS, V4), End("a/pod", Direction.INGRESS, V4)


def protocols(port=80):
    cells = [Cell(one, other, UDP, port, V4) for one, other in (("a/far", "a/pod"), ("a/pod", "a/far"))]
    listeners = route_cells(cells, SITES).listeners
    return Protocols(Links(SITES, listeners), listeners)


def pair(source, destination, address, port=9):
    return [Attempt(source, destination, Target(address, protocol, port, None)) for protocol in (TCP, UDP)]


OUTWARDS, INWARDS = pair("a/pod", "", "172.18.0.2"), pair("node/n", "a/pod", "10.0.0.1")


def told(answers, end=OUT, *, also=(), rounds=range(3)):
    """What is said of either protocol once ``answers`` came of the calls in each of ``rounds``, as in round 1."""
    known = protocols()
    for probe_round in rounds:
        calls = [*known.calls([Carried(end, UDP)], patiently=True)[:2], *also]
        known.take(probe_round, calls, [*answers, *(ALLOWED for _ in also)])
    return {protocol for protocol in (TCP, UDP) if known.doubt(Carried(end, protocol), 1)}


@pytest.mark.parametrize(("end", "calls"), [(OUT, OUTWARDS), (INTO, INWARDS)])
def test_the_neighbour_is_tried_over_both_protocols_where_nobody_listens(end, calls):
    known = protocols()
    assert known.calls([Carried(end, UDP), Carried(end, TCP)]) == calls
    assert known.calls([Carried(End("a/far", end.direction, V4), UDP)]) == [], "nobody is beside it"


def test_a_port_on_which_an_agent_listens_is_no_closed_one():
    assert protocols(port=9).calls([Carried(INTO, UDP)]) == pair("node/n", "a/pod", "10.0.0.1", 10)


@pytest.mark.parametrize("end", [OUT, INTO])
@pytest.mark.parametrize(
    ("answers", "doubtful"),
    [
        ((SHUT[TCP], SHUT[UDP]), set()),
        ((SHUT[TCP], SILENT), {UDP}),
        ((ALLOWED, SILENT), {UDP}),
        ((SHUT[TCP], KEPT), {UDP}),
        ((SILENT, SHUT[UDP]), {TCP}),
        ((SILENT, SILENT), set()),
        ((KEPT, KEPT), set()),
        ((SILENT, NO_NEIGHBOUR), set()),
        ((SHUT[TCP], AttemptResult(Answer.ERROR, "EMFILE")), set()),
    ],
)
def test_silence_over_one_protocol_counts_against_it_only_where_the_other_is_answered(end, answers, doubtful):
    assert told(answers, end) == doubtful


def test_an_answer_to_anybody_over_that_protocol_proves_it_in_its_direction():
    def datagram(source, destination):
        return Attempt(source.name, destination.name, Target(str(destination.addresses[0]), UDP, 80, destination.name))

    silent = SHUT[TCP], SILENT
    assert told(silent, OUT, also=[datagram(POD, FAR)]) == set()
    assert told(silent, INTO, also=[datagram(FAR, POD)]) == set()
    assert told(silent, INTO, also=[datagram(POD, FAR)]) == {UDP}
    assert told(silent, OUT, also=[datagram(FAR, POD)]) == {UDP}


@pytest.mark.parametrize(("alive", "doubtful"), [((0, 2), False), ((1, 2), False), ((0, 1), True), ((2,), True)])
def test_it_must_be_heard_before_and_after(alive, doubtful):
    known = protocols()
    for probe_round in range(3):
        calls = known.calls([Carried(OUT, UDP)], patiently=True)
        known.take(probe_round, calls, [SHUT[TCP], SHUT[UDP] if probe_round in alive else SILENT])
    assert bool(known.doubt(Carried(OUT, UDP), 1)) is doubtful
    assert known.lacks(Carried(OUT, UDP), 1) is doubtful


def test_who_was_heard_is_not_called_again_and_who_is_silent_not_for_ever():
    known, wanted = protocols(), [Carried(OUT, UDP)]
    for _ in range(TRIED_IN_VAIN):
        assert known.calls(wanted) == OUTWARDS
    assert known.calls(wanted) == []
    assert known.calls(wanted, patiently=True) == OUTWARDS
    known, also = protocols(), Attempt("a/pod", "a/far", Target("10.0.1.1", UDP, 80, "a/far"))
    known.take(0, [also], [ALLOWED])
    assert known.calls(wanted) == []
    assert known.calls(wanted, patiently=True) == [*OUTWARDS, also], "what was answered is tried again"


THERE = Cell("a/0", "a/1", UDP, 80, V4)


def silent_there(source, destination, *_):
    return TIMEOUT if (source, destination) in {THERE[:2], THERE[1::-1]} else TOKEN


@pytest.mark.parametrize(
    ("node", "datagram", "verdict"),
    [
        (RESET, CLOSED, Observed.DROPPED),
        (RESET, TIMEOUT, Observed.INCONCLUSIVE),
        (TOKEN, TIMEOUT, Observed.INCONCLUSIVE),
    ],
)
async def test_a_denied_datagram_counts_only_if_the_link_carries_datagrams(node, datagram, verdict):
    world = World(2, answer=silent_there)
    world.node, world.node_datagram = lambda *_: node, lambda _: datagram
    world.arrived = lambda nonce: None if nonce is None else False
    seen = (await world.probe([THERE], expected=lambda _: Verdict.DENIED)).observations[THERE]
    assert seen.verdict is verdict
    assert verdict is Observed.DROPPED or seen.outcome == (
        "the network link of a/0 carries no UDP, so silence proves nothing"
    )


async def test_a_firewall_that_is_silent_about_all_that_is_closed_puts_no_protocol_in_doubt():
    world = World(2, answer=silent_there)
    world.node = lambda _site, port, _number: RESET if port == 10250 else TIMEOUT
    world.node_datagram = lambda _: TIMEOUT
    world.arrived = lambda nonce: None if nonce is None else False
    seen = (await world.probe([THERE], expected=lambda _: Verdict.DENIED)).observations[THERE]
    assert seen.verdict is Observed.DROPPED


async def test_a_link_that_carries_no_datagram_takes_nothing_back_that_was_answered():
    world = World(3, answer=silent_there)
    world.node_datagram = lambda _: TIMEOUT
    world.arrived = lambda nonce: None if nonce is None else False
    outcome = await world.probe(
        [THERE, Cell("a/0", "a/2", UDP, 80, V4)],
        expected=lambda cell: Verdict.DENIED if cell == THERE else Verdict.ALLOWED,
    )
    assert {seen.verdict for seen in outcome.observations.values()} == {Observed.DROPPED, Observed.ALLOWED}
