"""Whom it takes to show that packets of pods get from one node to another, and what their failure says."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell
from auditor.probing.attempts import Answer, AttemptResult
from auditor.probing.crossings import TRIES, Crossing, Crossings, crossing_of
from auditor.probing.routes import route_cells
from auditor.probing.sites import ProbeSite

TCP, UDP, V4 = Protocol.TCP, Protocol.UDP, Family.IPV4
ALLOWED, SILENT = AttemptResult(Answer.ALLOWED, "token", 1.0), AttemptResult(Answer.DROPPED, "timeout")
REFUSED, FAILED = AttemptResult(Answer.REFUSED, "tcp-reset"), AttemptResult(Answer.ERROR, "the agent is gone")
SITES = [
    ProbeSite(f"a/{node}{number}", (ip_address(f"10.0.{where}.{number}"),), (f"a/{node}{number}",), node=node)
    for where, node in enumerate("mno")
    for number in (1, 2)
]
NODE = ProbeSite("node/m", (ip_address("172.18.0.2"),), ("node/m",), node="m", is_node=True)
THERE, BACK = Crossing("m", "n", TCP, V4), Crossing("n", "m", TCP, V4)
DATAGRAMS, ELSEWHERE = Crossing("m", "n", UDP, V4), Crossing("m", "o", TCP, V4)


def routes(*cells):
    return route_cells([Cell(*cell, 80, V4) for cell in cells], SITES).routes.values()


def crossings_with(*cells):
    return Crossings(routes(*cells))


def test_a_crossing_is_between_pods_of_two_nodes():
    assert crossing_of(SITES[0], SITES[2], TCP, V4) == THERE
    for other in (SITES[0], SITES[1], NODE, ProbeSite("host/x", (ip_address("192.0.2.1"),), ())):
        assert crossing_of(SITES[0], other, TCP, V4) is crossing_of(other, SITES[0], TCP, V4) is None


def test_volunteers_are_called_where_nothing_was_answered_and_nowhere_else():
    crossings = crossings_with(("a/m1", "a/n1", TCP), ("a/n2", "a/m2", TCP), ("a/m1", "a/o1", TCP))
    assert [call[:2] for call in crossings.calls([THERE])] == [("a/m1", "a/n1")] * TRIES + [("a/n2", "a/m2")] * TRIES
    crossings.note(THERE)
    assert crossings.calls([THERE]) == []
    assert [call[:2] for call in crossings.calls([BACK])] == [("a/n2", "a/m2")] * TRIES
    assert [call[:2] for call in crossings.calls([BACK, ELSEWHERE])] == [("a/n2", "a/m2")] * 3 + [("a/m1", "a/o1")] * 3


def test_nobody_calls_where_the_listener_could_not_be_opened():
    crossings, [route] = crossings_with(("a/m1", "a/n1", TCP)), routes(("a/m1", "a/n1", TCP))
    assert crossings.listeners({}) == {"a/n1": (route.listener,)}
    assert crossings.listeners({"a/n1": (route.listener,)}) == {"a/n1": (route.listener,)}
    assert crossings.calls([THERE], {route.listener: "EADDRINUSE"}) == []


@pytest.mark.parametrize(
    ("answers", "doubted"),
    [
        ((SILENT, SILENT), True),
        ((REFUSED, SILENT), True),
        ((FAILED, SILENT), True),
        ((FAILED, FAILED), False),
        ((SILENT, ALLOWED), False),
    ],
)
def test_they_must_have_tried_in_vain_each_of_them(answers, doubted):
    crossings = crossings_with(("a/m1", "a/n1", TCP), ("a/m2", "a/n2", TCP))
    calls = crossings.calls([THERE])[::TRIES]
    crossings.take(zip(calls, answers, strict=True))
    if ALLOWED in answers:
        crossings.note(THERE)
    assert bool(crossings.doubt(THERE)) is doubted
    assert crossings.doubt(ELSEWHERE) == ""


def test_where_nobody_may_try_just_that_whatever_crosses_between_these_nodes_will_do():
    crossings = crossings_with(("a/n1", "a/m1", TCP))
    crossings.take(zip(crossings.calls([THERE]), [SILENT] * TRIES, strict=True))
    told = (
        "nothing was answered from pods on node n to pods on node m over TCP/IPv4, where 1 connection that policies "
        "allow was tried"
    )
    assert crossings.doubt(BACK) == crossings.doubt(THERE) == crossings.doubt(DATAGRAMS) == told
    crossings.note(DATAGRAMS)
    assert crossings.doubt(THERE) == crossings.doubt(DATAGRAMS) == ""
    assert crossings.doubt(BACK) == told, "somebody may try just that, and does so in vain"


def test_without_volunteers_nothing_is_doubted():
    assert Crossings().doubt(THERE) == ""
    assert Crossings().calls([THERE]) == []
