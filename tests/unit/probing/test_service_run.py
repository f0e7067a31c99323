"""Connections through Services by agents that answer from a script: what a denial takes, and whose address counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from auditor.model.ports import Protocol
from auditor.model.service_seen import ServiceCell, Way
from auditor.model.snapshot import Family
from auditor.model.verdict import Observed, Verdict
from auditor.probing.attempts import Answer, AttemptId, AttemptResult, by_way_of
from auditor.probing.batches import Loss
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.probing.service_routes import Proof, ServiceTry, Translating
from auditor.probing.service_run import _ServiceRun
from auditor.probing.sites import ProbeSite

OPTIONS = ProbingOptions(timeout=0.01, settle=0.0, retests=1)
WEB, DB = (ProbeSite(name, (), (name,), node=node) for name, node in (("a/web", "n0"), ("a/db", "n1")))
CELL = ServiceCell("a/web", "a/db", Protocol.TCP, 80, Family.IPV4, Way.CLUSTER_IP, "10.96.0.1", 10001)
SILENT = AttemptResult(Answer.DROPPED, "timeout")
ANSWERED = AttemptResult(Answer.ALLOWED, "token", 0.2)
FAILED = AttemptResult(Answer.ERROR, "the agent had no turn")
GATEWAY = by_way_of("10.244.0.1", ANSWERED)


class Pool:
    """Answers each attempt by what ``script`` gives for it and the number of the round; controls always."""

    def __init__(self, script, arrived=None):
        self.script = script
        self.arrived = arrived or {}
        self.round = 0
        self.size, self.attempts, self.losses, self.unbound, self.facts = 2, 0, (), {}, []

    async def start(self, _listeners, controls, _seconds):
        return [ANSWERED for _ in controls]

    async def fire(self, attempts, _seconds):
        self.round += 1
        return [
            ANSWERED if attempt.target.address.startswith("127.") else self.script(attempt, self.round)
            for attempt in attempts
        ]

    async def arrivals(self, _asked):
        return self.arrived


def proof_of(one):
    return Proof(one.translating, one.attempt._replace(source="node/n0"), one.listener)


async def outcome(script, cell=CELL, demanded=Verdict.DENIED, source=WEB, **more):
    one = ServiceTry(cell, demanded, source, DB)
    run = _ServiceRun([one], [proof_of(one)], Pool(script, **more), OPTIONS, NoProgress())
    found = await run.run()
    return found.observations[cell], found.seen.get(cell, "")


def proven(*rounds):
    """Silence for what is asked, and the proof in ``rounds`` alone, in all without any."""
    return lambda attempt, number: (
        ANSWERED if attempt.source == "node/n0" and (not rounds or number in rounds) else SILENT
    )


async def test_silence_counts_where_the_node_translates_before_and_after():
    seen, _ = await outcome(proven())
    assert (seen.verdict, seen.attempts) == (Observed.DROPPED, 3)


@pytest.mark.parametrize(("rounds", "when"), [((99,), ""), ((1, 2), "afterwards"), ((5,), "")])
async def test_silence_says_nothing_without_that_proof(rounds, when):
    seen, _ = await outcome(proven(*rounds))
    assert seen.verdict is Observed.INCONCLUSIVE
    assert "nothing that goes through a Service on node n0 was answered" in seen.outcome
    assert seen.outcome.partition(", so")[0].endswith(when or "IPv4")


async def test_what_should_be_allowed_is_no_outage_where_nothing_is_translated():
    seen, _ = await outcome(proven(99), demanded=Verdict.ALLOWED)
    assert seen.verdict is Observed.INCONCLUSIVE


async def test_silence_has_to_be_met_often_enough():
    def once(attempt, number):
        return ANSWERED if attempt.source == "node/n0" else SILENT if number == 2 else FAILED

    seen, _ = await outcome(once)
    assert seen.verdict is Observed.INCONCLUSIVE


async def test_what_an_agent_had_no_turn_for_is_tried_again():
    def now_and_then(attempt, number):
        return ANSWERED if attempt.source == "node/n0" else FAILED if number == 3 else SILENT

    seen, _ = await outcome(now_and_then)
    assert seen.verdict is Observed.DROPPED


async def test_a_leak_is_one_though_the_proof_is_missing():
    seen, _ = await outcome(lambda attempt, _: SILENT if attempt.source == "node/n0" else ANSWERED)
    assert seen.verdict is Observed.ALLOWED


async def test_an_address_that_is_nobodys_counts_for_what_a_pod_sends_to_itself_and_for_nobody_else():
    itself = CELL._replace(source="a/db")
    seen, address = await outcome(lambda *_: GATEWAY, itself, Verdict.ALLOWED, DB)
    assert (seen.verdict, address) == (Observed.ALLOWED, "10.244.0.1")
    other, _ = await outcome(lambda *_: GATEWAY, CELL, Verdict.ALLOWED)
    assert other.verdict is Observed.INCONCLUSIVE


async def test_a_nodes_own_address_is_known_from_what_its_pods_send_to_themselves():
    by_port = CELL._replace(way=Way.NODE_PORT, at="n1", address="172.18.0.3", number=30000)
    one = ServiceTry(by_port, Verdict.ALLOWED, WEB, DB)
    itself = Proof(
        Translating("n1", Family.IPV4, of_node_ports=True), one.attempt._replace(source="a/db"), one.listener
    )
    found = await _ServiceRun([one], [itself], Pool(lambda *_: GATEWAY), OPTIONS, NoProgress()).run()
    assert found.observations[by_port].verdict is Observed.ALLOWED
    assert found.seen[by_port] == "10.244.0.1"


OVERLAY = by_way_of("10.244.2.0", ANSWERED)
BY_PORT = CELL._replace(way=Way.NODE_PORT, at="n2", address="172.18.0.4", number=30000)


@pytest.mark.parametrize(
    ("cell", "inner", "verdict"),
    [
        (BY_PORT, {"n2": ("10.244.2.0", "10.244.2.1")}, Observed.ALLOWED),
        (BY_PORT, {"n2": ("10.244.2.1",)}, Observed.INCONCLUSIVE),
        # Of another node it proves nothing: somebody may have passed it on.
        (BY_PORT, {"n0": ("10.244.2.0",), "n1": ("10.244.2.0",)}, Observed.INCONCLUSIVE),
        # Nobody is to be taken for a node where there is no NodePort.
        (CELL, {"n0": ("10.244.2.0",), "n1": ("10.244.2.0",), "": ()}, Observed.INCONCLUSIVE),
    ],
)
@pytest.mark.parametrize("demanded", list(Verdict))
async def test_an_address_that_a_node_has_towards_pods_counts_by_its_node_ports_alone(cell, inner, verdict, demanded):
    one = ServiceTry(cell, demanded, WEB, DB)
    pool = Pool(lambda *_: OVERLAY)
    found = await _ServiceRun([one], [proof_of(one)], pool, OPTIONS, NoProgress(), inner).run()
    assert (found.observations[cell].verdict, found.seen[cell]) == (verdict, "10.244.2.0")


async def test_a_datagram_that_arrived_got_through_though_its_answer_did_not():
    cell = CELL._replace(protocol=Protocol.UDP)
    lost = replace(SILENT, attempt_id=AttemptId("00000000", 0))

    def script(attempt, _):
        return ANSWERED if attempt.source == "node/n0" else lost

    seen, _ = await outcome(script, cell, arrived={lost.attempt_id: True})
    assert (seen.verdict, seen.outcome) == (Observed.ALLOWED, "reply-lost")
    seen, _ = await outcome(script, cell, arrived={lost.attempt_id: False})
    assert seen.verdict is Observed.DROPPED


class LosingPool(Pool):
    """As Pool; from round ``since`` on so much has been lost that silence has to be met more often."""

    def __init__(self, script, since):
        super().__init__(script)
        self.since = since

    async def fire(self, attempts, seconds):
        results = await super().fire(attempts, seconds)
        self.losses = (Loss(200, 30),) if self.round >= self.since else ()
        return results


@pytest.mark.parametrize("since", range(1, 9))
async def test_silence_is_met_more_often_whenever_it_shows_that_packets_get_lost(since):
    one = ServiceTry(CELL, Verdict.DENIED, WEB, DB)
    run = _ServiceRun([one], [proof_of(one)], LosingPool(proven(), since), OPTIONS, NoProgress())
    seen = (await run.run()).observations[CELL]
    assert seen.verdict is Observed.DROPPED, seen
    assert seen.attempts >= (4 if run._pool.round >= since else 3)


async def test_silence_that_could_not_be_met_more_often_says_nothing():
    def at_first(attempt, number):
        return ANSWERED if attempt.source == "node/n0" else SILENT if number < 5 else FAILED

    one = ServiceTry(CELL, Verdict.DENIED, WEB, DB)
    pool = LosingPool(at_first, 5)
    seen = (await _ServiceRun([one], [proof_of(one)], pool, OPTIONS, NoProgress()).run()).observations[CELL]
    assert seen.verdict is Observed.INCONCLUSIVE
    assert "could be tried" in seen.outcome
