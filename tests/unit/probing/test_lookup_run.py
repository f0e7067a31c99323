"""Lookups by agents that answer from a script: what a denial takes, and when a node loses one of two questions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from auditor.model.dns_seen import LookupCell
from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Observed, Verdict
from auditor.probing import lookup_run
from auditor.probing.attempts import Answer, AttemptResult
from auditor.probing.batches import Loss
from auditor.probing.lookup_run import LookupTry, _LookupRun, probe_lookups
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.probing.sites import ProbeSite

OPTIONS = ProbingOptions(timeout=0.01, retests=1)
SERVER, POD = "10.96.0.10", "10.244.1.2"
API, WEB, FAR = (
    ProbeSite(name, (), (name,), node=node) for name, node in (("a/api", "n0"), ("a/web", "n0"), ("b/far", "n1"))
)
SILENT = AttemptResult(Answer.DROPPED, "timeout")
REFUSED = AttemptResult(Answer.REFUSED, "icmp-port-unreachable")
ANSWERED = AttemptResult(Answer.ALLOWED, "answered", 0.2)
CONNECTED = AttemptResult(Answer.ALLOWED, "connected", 0.2)
HALF = AttemptResult(Answer.ALLOWED, "half-answered", 0.2)
FAILED = AttemptResult(Answer.ERROR, "the agent had no turn")


class Pool:
    """Answers each attempt by what ``script`` gives for its source, address and the number of the round."""

    def __init__(self, script, losses=()):
        self.script, self.losses, self.facts, self.round = script, losses, [], 0

    async def fire(self, attempts, _seconds, datagrams):
        assert datagrams == 1
        self.round += 1
        return [self.script(each.source, each.target.address, self.round) for each in attempts]


def lookup(site, demanded=Verdict.ALLOWED, behind=((POD, 53),), protocol=Protocol.UDP):
    return LookupTry(LookupCell(site.name, protocol, SERVER, Family.IPV4), demanded, site, behind)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(lookup_run, "PAUSE", 0.0)


async def outcome(script, *tries, losses=()):
    return await _LookupRun(tries, "name", Pool(script, losses), OPTIONS, NoProgress()).run()


async def seen_of(script, demanded=Verdict.DENIED, others=(WEB,), behind=((POD, 53),), losses=()):
    asked = lookup(API, demanded, behind)
    found = await outcome(script, asked, *map(lookup, others), losses=losses)
    return found.observations[asked.cell]


def api_is(one, beside=SILENT, others=ANSWERED):
    """What the api gets from the server and beside it, and what everybody else gets."""
    return lambda source, address, _: (beside if address == POD else one) if source == API.name else others


async def test_silence_counts_where_another_pod_of_the_node_is_answered_before_and_after():
    seen = await seen_of(api_is(SILENT), behind=())
    assert (seen.verdict, seen.attempts) == (Observed.DROPPED, 3)
    assert (await seen_of(api_is(REFUSED))).verdict is Observed.REFUSED


async def test_silence_says_nothing_where_nobody_at_all_is_answered():
    seen = await seen_of(api_is(SILENT, others=SILENT))
    assert seen.verdict is Observed.INCONCLUSIVE
    assert seen.outcome == "nobody got an answer from 10.96.0.10 before and after, so silence proves nothing"


@pytest.mark.parametrize("rounds", [(1,), (1, 2, 3), (4,)])
async def test_what_is_answered_before_or_after_alone_proves_nothing(rounds):
    def script(source, _address, number):
        return ANSWERED if source == WEB.name and number in rounds else SILENT

    assert (await seen_of(script)).verdict is Observed.INCONCLUSIVE


async def test_on_a_node_where_nobody_is_answered_the_pods_of_the_dns_have_to_be_silent_too():
    assert (await seen_of(api_is(SILENT), others=(FAR,))).verdict is Observed.DROPPED
    unasked = await seen_of(api_is(SILENT), others=(FAR,), behind=())
    assert unasked.outcome.startswith("nobody on node n0 got an answer from 10.96.0.10 before and after")
    failed = await seen_of(api_is(SILENT, beside=FAILED), others=(FAR,))
    assert failed.verdict is Observed.INCONCLUSIVE


@pytest.mark.parametrize("demanded", [Verdict.DENIED, None])
async def test_a_pod_of_the_dns_that_answers_itself_is_reached(demanded):
    seen = await seen_of(api_is(SILENT, beside=ANSWERED), demanded)
    assert (seen.verdict, seen.outcome) == (
        Observed.ALLOWED,
        "answered by 10.244.1.2, a pod of the DNS that was asked itself",
    )


async def test_where_it_answers_itself_alone_translation_may_be_what_is_wrong():
    alone = await seen_of(api_is(SILENT, beside=ANSWERED), Verdict.ALLOWED, others=(FAR,))
    assert alone.verdict is Observed.INCONCLUSIVE
    assert "nobody on node n0 got an answer from 10.96.0.10" in alone.outcome
    assert (await seen_of(api_is(SILENT, beside=ANSWERED), Verdict.ALLOWED)).verdict is Observed.DROPPED


@pytest.mark.parametrize("when", [1, 2, 3])
async def test_any_answer_at_all_is_one(when):
    def script(source, address, number):
        return ANSWERED if source == WEB.name or (address == SERVER and number == when) else SILENT

    for demanded in Verdict:
        assert (await seen_of(script, demanded)).verdict is Observed.ALLOWED


async def test_our_own_failures_are_no_denial():
    seen = await seen_of(api_is(FAILED))
    assert (seen.verdict, seen.outcome) == (Observed.INCONCLUSIVE, "the agent had no turn")
    rarely = await seen_of(
        lambda source, *_: SILENT if source == API.name and _[1] == 1 else ANSWERED if source == WEB.name else FAILED
    )
    assert "it could be tried 1 time only, of 3" in rarely.outcome


async def test_where_too_many_packets_get_lost_silence_proves_nothing():
    seen = await seen_of(api_is(SILENT), losses=(Loss(1000, 600),))
    assert "of packets were lost" in seen.outcome


async def test_what_servers_answer_other_than_noerror_is_counted():
    found = await outcome(lambda *_: AttemptResult(Answer.ALLOWED, "answered: SERVFAIL", 1.0), lookup(API), lookup(WEB))
    assert found.codes == {"SERVFAIL": 2}


@pytest.mark.parametrize(
    ("halves", "lost"),
    [
        ((1, 2, 3, 4), [("n0", 4, 4)]),
        ((1, 2, 3), []),  # may be chance
        ((1, 2), []),
        ((), []),
    ],
)
async def test_a_node_loses_one_of_two_questions(halves, lost):
    def script(source, _address, number):
        return HALF if source == API.name and number in halves else ANSWERED

    found = await outcome(script, lookup(API), lookup(FAR))
    assert [(each.node, each.pairs, each.lost) for each in found.pairs_lost] == lost
    assert {each.verdict for each in found.observations.values()} == {Observed.ALLOWED}


async def test_one_round_alone_may_be_a_stall_however_many_pods_are_in_it():
    sites = [ProbeSite(f"a/{number}", (), (), node="n0") for number in range(20)]
    found = await outcome(lambda _s, _a, number: HALF if number == 1 else ANSWERED, *map(lookup, sites))
    assert not found.pairs_lost


async def test_loss_of_packets_is_not_taken_for_it():
    found = await outcome(lambda *_: HALF, lookup(API), losses=(Loss(1000, 500),))
    assert not found.pairs_lost


async def test_over_tcp_there_are_no_pairs_and_without_tries_nothing_is_fired():
    assert not (await outcome(lambda *_: HALF, lookup(API, protocol=Protocol.TCP))).pairs_lost
    pool = Pool(lambda *_: SILENT)
    assert not (await probe_lookups([], "name", pool, OPTIONS, NoProgress())).observations
    assert not pool.round


def at_service(site, demanded=Verdict.ALLOWED, *, several=False):
    cell = LookupCell(site.name, Protocol.TCP, "10.96.0.7", Family.IPV4, 5432, "prod/db")
    return LookupTry(cell, demanded, site, several=several)


async def test_a_service_is_connected_to_once_by_each_source_and_once_more_on_each_node_for_who_got_nothing():
    asked = []

    def script(source, address, number):
        asked.append((source, address, number))
        return SILENT if source == API.name else CONNECTED

    found = await outcome(script, at_service(API, Verdict.DENIED), at_service(WEB), at_service(FAR))
    assert [each.verdict for each in found.observations.values()] == [
        Observed.DROPPED,
        Observed.ALLOWED,
        Observed.ALLOWED,
    ]
    assert [number for source, _, number in asked if source == WEB.name] == [1, 4]
    assert [number for source, _, number in asked if source == API.name] == [1, 2, 3]
    asked.clear()
    await outcome(lambda *one: asked.append(one) or CONNECTED, at_service(WEB), at_service(FAR))
    assert len(asked) == 2


async def test_another_port_or_node_is_no_proof_that_a_service_is_served():
    asked = at_service(API, Verdict.DENIED)
    for others, said in (
        ((at_service(FAR),), "nobody on node n0 got an answer from 10.96.0.7 before and after"),
        (
            (lookup(WEB), replace(at_service(WEB), cell=at_service(WEB).cell._replace(port=81))),
            "nobody got an answer from 10.96.0.7 before and after",
        ),
    ):
        found = await outcome(api_is(SILENT, others=CONNECTED), asked, *others)
        assert found.observations[asked.cell].verdict is Observed.INCONCLUSIVE
        assert found.observations[asked.cell].outcome.startswith(said)
    found = await outcome(api_is(SILENT, others=CONNECTED), asked, at_service(FAR), lookup(WEB))
    assert found.observations[asked.cell].verdict is Observed.DROPPED


@pytest.mark.parametrize(
    ("one", "demanded", "several", "said"),
    [
        (REFUSED, Verdict.ALLOWED, False, "a pod that does not listen refuses, too"),
        (REFUSED, Verdict.DENIED, False, "a pod that does not listen refuses, too"),
        (SILENT, Verdict.ALLOWED, True, "of several pods behind it one may be what does not answer"),
        (SILENT, Verdict.ALLOWED, False, ""),
        (SILENT, Verdict.DENIED, True, ""),
    ],
)
async def test_what_a_pod_behind_a_service_may_be_to_blame_for_is_no_denial(one, demanded, several, said):
    found = await outcome(api_is(one, others=CONNECTED), at_service(API, demanded, several=several), at_service(WEB))
    (seen, _) = found.observations.values()
    assert seen.verdict is (Observed.INCONCLUSIVE if said else Observed.DROPPED)
    assert said in seen.outcome


async def test_where_a_pod_of_the_dns_answers_itself_the_dead_one_beside_it_may_have_been_chosen_each_time():
    for answered_in, verdict in ((9, Observed.ALLOWED), (99, Observed.DROPPED)):
        asked = []

        def script(source, address, number, *, when=answered_in, asked=asked):
            asked.append((source, address))
            return ANSWERED if source == WEB.name or address == POD or number == when else SILENT

        assert (await seen_of(script, Verdict.ALLOWED)).verdict is verdict
        assert asked.count((API.name, SERVER)) == (10 if verdict is Observed.ALLOWED else 12)
        assert asked.count((WEB.name, SERVER)) == 4


@pytest.mark.parametrize("one", [SILENT, REFUSED])
@pytest.mark.parametrize(("answered", "verdict"), [(1, Observed.INCONCLUSIVE), (24, Observed.DROPPED)])
async def test_where_others_are_answered_at_times_only_the_same_may_be_chance(answered, verdict, one):
    """Dead pods of the DNS besides those that are asked themselves, or a DNS that has too much to do."""
    asked = []

    def script(source, _address, number):
        asked.append((source, number))
        return one if source == API.name or (hash_of(source) + number) % 4 >= answered else ANSWERED

    sites = [ProbeSite(f"a/{number}", (), (), node="n0") for number in range(24)]
    seen = await seen_of(script, Verdict.ALLOWED, others=sites)
    wanted = Observed.REFUSED if (verdict, one) == (Observed.DROPPED, REFUSED) else verdict
    assert seen.verdict is wanted
    if verdict is Observed.INCONCLUSIVE:
        assert seen.outcome.startswith("others go unanswered there in about")
    assert asked.count((API.name, 12)) == (2 if verdict is Observed.INCONCLUSIVE else 0)


def hash_of(name):
    return int(name.partition("/")[2])


async def test_a_denial_counts_once_chance_explains_it_no_more():
    def script(source, _address, number):
        return SILENT if source == API.name or (hash_of(source) + number) % 3 == 0 else ANSWERED

    sites = [ProbeSite(f"a/{number}", (), (), node="n0") for number in range(24)]
    for demanded, verdict in ((Verdict.DENIED, Observed.DROPPED), (Verdict.ALLOWED, Observed.DROPPED)):
        seen = await seen_of(script, demanded, others=sites, behind=())
        assert (seen.verdict, 6 < seen.attempts <= 12) == (verdict, True)


async def test_a_dns_that_leaves_much_unanswered_loses_one_of_two_questions_by_itself():
    def script(source, _address, number):
        return (SILENT, HALF, ANSWERED)[(hash_of(source) + number) % 3]

    sites = [ProbeSite(f"a/{number}", (), (), node="n0") for number in range(24)]
    assert not (await outcome(script, *map(lookup, sites))).pairs_lost


async def test_nobody_is_said_to_go_unanswered_who_never_did():
    def script(source, _address, number):
        return ANSWERED if source == WEB.name else REFUSED if number == 1 else FAILED

    assert (await seen_of(script)).verdict is Observed.REFUSED
