"""Which loss of single datagrams makes a connection unstable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Observed, Verdict
from auditor.probing.attempts import Answer, AttemptResult
from auditor.probing.datagrams import FIRST_COUNT, MOST_COUNTED, SECOND_COUNT, DatagramCounts, _patience, turns
from tests.unit.probing.world import TIMEOUT, TOKEN, World

ANSWERED, SILENT = AttemptResult(Answer.ALLOWED, "token", 1.0), AttemptResult(Answer.DROPPED, "timeout")
FAILED = AttemptResult(Answer.ERROR, "the agent stood still")
CELL = Cell("a/0", "a/1", Protocol.UDP, 53, Family.IPV4)


def counts(*rounds):
    counted = DatagramCounts()
    for sent, lost, failed in rounds:
        tries = [SILENT] * lost + [ANSWERED] * (sent - lost) + [FAILED] * failed
        counted.take((CELL, one) for one in tries)
    return counted


@pytest.mark.parametrize(
    ("rounds", "suspicious", "unstable"),
    [
        (((12, 0, 0),), False, False),
        (((12, 1, 0),), False, False),
        (((12, 12, 0),), True, False),
        (((12, 4, 0), (24, 8, 0)), True, True),
        (((12, 4, 0), (24, 0, 0)), True, False),
        (((12, 12, 0), (24, 2, 0)), True, False),
        (((12, 4, 0), (24, 24, 0)), True, False),
        (((12, 4, 0), (0, 0, 24)), True, False),
        (((12, 2, 0), (24, 5, 0)), True, False),
        (((12, 3, 0), (24, 5, 0)), True, True),
    ],
)
def test_loss_counts_where_it_is_met_again(rounds, suspicious, unstable):
    counted = counts(*rounds)
    assert counted.suspicious() == ([CELL] if suspicious else [])
    assert counted.unstable == ({CELL} if unstable else set())


def test_what_is_lost_is_told():
    assert counts((12, 0, 3)).fact == ""
    assert counts((12, 3, 9)).fact == "3 of 12 single datagrams (25%) that policies allow, or their answers, were lost"
    assert counts((12, 4, 0), (24, 8, 0)).outcome(CELL) == "12 of 36 single datagrams or their answers were lost"


@given(st.integers(0, 3000), st.sampled_from([FIRST_COUNT, SECOND_COUNT]))
def test_no_more_go_out_together_than_may(count, times):
    cells = [Cell("a/0", f"a/{number}", Protocol.UDP, 53, Family.IPV4) for number in range(count)]
    sent = turns(cells, times)
    assert len(sent) <= MOST_COUNTED
    assert set(sent) == set(cells) or len(set(sent)) * times > MOST_COUNTED // 2


def test_answers_are_waited_for_longer_than_they_usually_take():
    assert _patience([]) == _patience([1.0] * 5) == 0.65
    assert _patience([200.0] * 5) == 0.8
    assert _patience([500.0] * 5) == 0.95
    assert _patience([1.0] * 5 + [1200.0]) == 0.65


UDP_CELLS = [Cell("a/0", "a/1", Protocol.UDP, port, Family.IPV4) for port in (53, 80)]


def every_third(source, destination, protocol, _port, number):
    return TIMEOUT if source != destination and protocol is Protocol.UDP and number % 3 == 1 else TOKEN


async def test_a_connection_that_loses_every_third_datagram_is_unstable():
    outcome = await World(2, answer=every_third).probe(UDP_CELLS)
    assert outcome.unstable == set(UDP_CELLS)
    for cell in UDP_CELLS:
        assert outcome.observations[cell].verdict is Observed.ALLOWED
        assert outcome.observations[cell].outcome == "12 of 36 single datagrams or their answers were lost"


async def test_one_that_loses_none_is_tried_a_few_times_and_that_is_all():
    world = World(2)
    outcome = await world.probe(UDP_CELLS)
    assert not outcome.unstable
    assert not any("datagram" in fact for fact in outcome.facts)
    assert {world.tries["a/0", "a/1", Protocol.UDP, port, False] + 1 for port in (53, 80)} == {1 + FIRST_COUNT}


async def test_where_answers_are_slow_none_counts_as_lost():
    world = World(2, answer=every_third)
    world.slowest = {0.65: 0.4}
    outcome = await world.probe(UDP_CELLS)
    assert not outcome.unstable
    told = "how many single datagrams get lost was not counted: answers took up to 0.40 s"
    assert told in outcome.facts


async def test_what_is_to_be_denied_is_not_counted():
    world = World(2)
    await world.probe(UDP_CELLS, expected=lambda _: Verdict.DENIED)
    assert world.tries["a/0", "a/1", Protocol.UDP, 53, False] < FIRST_COUNT
