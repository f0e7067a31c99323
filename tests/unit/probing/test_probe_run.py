"""The probe run against fake agents: retests, convergence, instability, controls, agents that fail, cancellation."""

import asyncio
import re
import time
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address
from itertools import count

import pytest

from auditor.model.errors import ClusterError
from auditor.model.ports import Protocol
from auditor.model.probe_pod import AfterStart, FirstMoments
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Observed, Verdict
from auditor.probing import probe_run, session
from auditor.probing import supervised_agent as agent
from auditor.probing.agent_pool import LOSS_SECONDS
from auditor.probing.disruptions import in_vain, tries_needed
from auditor.probing.options import ProbingOptions
from auditor.probing.probe_run import CONFIRMATIONS
from auditor.probing.sites import ProbeSite
from tests.unit.probing.world import OWN_FAILURE, RESET, STRANGER, SWIFT, TIMEOUT, TOKEN, World

TCP, UDP, SCTP = Protocol.TCP, Protocol.UDP, Protocol.SCTP
V4 = Family.IPV4
SILENCES = tries_needed(in_vain(()))
"""How often silence is met before it stands for a denial."""
THERE = Cell("a/0", "a/1", TCP, 80, V4)
BACK = Cell("a/1", "a/0", TCP, 80, V4)


def only(cell, *answers):
    """This cell gets these answers, the last of them for ever; every other gets its token."""

    def answer(source, destination, protocol, port, number):
        if (source, destination, protocol, port) == cell[:4]:
            return answers[min(number, len(answers) - 1)]
        return TOKEN

    return answer


class Recorder:
    def __init__(self):
        self.phases = []
        self.left = 0

    def phase(self, name, attempts):
        assert self.left == 0, f"{self.left} attempts of {self.phases[-1]} have no result"
        self.phases.append(name)
        self.left = attempts

    def advance(self, attempts):
        self.left -= attempts


async def test_all_as_expected_takes_one_attempt_each():
    world, progress = World(3), Recorder()
    outcome = await world.probe(progress=progress)
    assert {seen.verdict for seen in outcome.observations.values()} == {Observed.ALLOWED}
    assert {seen.attempts for seen in outcome.observations.values()} == {1}
    assert len(outcome.observations) == 9
    assert outcome.attempts == 9 + 2 * 3 + 2 * 3, (
        "each listener's control twice; each agent's node at the start and beside the cells"
    )
    assert (outcome.unstable, outcome.facts) == (frozenset(), ())
    assert progress.phases == ["starting", "probing", "controls"]
    assert progress.left == 0
    assert list(outcome.seconds) == ["starting", "probing", "controls"]
    assert all(channel.closed for channel in world.opened)


async def test_sources_begin_at_different_destinations():
    world = World(4)
    await world.probe()
    assert sorted(world.first_targets[4:8]) == ["a/0", "a/1", "a/2", "a/3"]


@pytest.mark.parametrize(
    ("expected", "answer", "verdict"),
    [
        (Verdict.DENIED, TOKEN, Observed.ALLOWED),
        (Verdict.ALLOWED, TIMEOUT, Observed.DROPPED),
        (Verdict.ALLOWED, RESET, Observed.REFUSED),
        (Verdict.ALLOWED, STRANGER, Observed.MISDELIVERED),
        (Verdict.DENIED, STRANGER, Observed.MISDELIVERED),
        (Verdict.ALLOWED, OWN_FAILURE, Observed.INCONCLUSIVE),
    ],
)
async def test_mismatch_that_lasts_is_retested_and_reported(expected, answer, verdict):
    progress = Recorder()
    outcome = await World(answer=only(THERE, answer)).probe(
        expected=lambda cell: expected if cell == THERE else Verdict.ALLOWED, progress=progress
    )
    seen = outcome.observations.pop(THERE)
    assert seen.verdict is verdict
    assert seen.history == (verdict,) * (1 + SWIFT.retests)
    assert {other.attempts for other in outcome.observations.values()} == {1}
    assert not outcome.unstable
    assert progress.phases.count("retesting") == SWIFT.retests
    assert progress.left == 0


async def test_silence_is_retested_more_patiently():
    world = World(answer=only(THERE, TIMEOUT))
    await world.probe()
    assert Counter(world.asked_timeouts) == {0.2: 2 + 2 + 2, 0.4: 2 * 2}, (
        "of two agents; the other one only calls its node"
    )


async def test_mismatch_lasts_as_long_as_a_cni_may_take():
    options = ProbingOptions(timeout=0.2, retests=1, settle=60.0)
    outcome = await World(answer=only(THERE, TIMEOUT, TIMEOUT, TIMEOUT, TOKEN)).probe(options=options)
    assert outcome.observations[THERE].verdict is Observed.ALLOWED
    assert not outcome.unstable


def one_after_another(source, destination, _protocol, _port, number):
    """A CNI that programs a/1, a/2, … in turn, one in each round of retests."""
    return TOKEN if source != "a/0" or number >= int(destination[2:]) else TIMEOUT


async def test_a_cni_at_work_is_waited_for(monkeypatch):
    monkeypatch.setattr(probe_run, "LONGEST_PAUSE", probe_run.FIRST_PAUSE)
    options = ProbingOptions(timeout=0.2, retests=1, settle=60.0)
    outcome = await World(9, one_after_another).probe(options=options)
    assert {seen.verdict for seen in outcome.observations.values()} == {Observed.ALLOWED}
    assert not outcome.unstable


async def test_a_cni_at_work_is_not_waited_for_without_end():
    options = ProbingOptions(timeout=0.2, retests=1, settle=0.05)
    outcome = await World(8, one_after_another).probe(options=options)
    assert outcome.observations[Cell("a/0", "a/7", TCP, 80, V4)].verdict is Observed.DROPPED


async def test_nothing_expected_nothing_retested():
    outcome = await World(answer=only(THERE, TIMEOUT)).probe(expected=lambda _: None)
    assert outcome.observations[THERE].verdict is Observed.DROPPED
    assert outcome.observations[THERE].attempts == 1


async def test_late_convergence():
    progress = Recorder()
    outcome = await World(answer=only(THERE, TIMEOUT, TOKEN)).probe(progress=progress)
    assert outcome.observations[THERE].verdict is Observed.ALLOWED
    assert outcome.observations[THERE].history == (Observed.DROPPED, *[Observed.ALLOWED] * (2 + CONFIRMATIONS))
    assert outcome.observations[BACK].attempts == 2
    assert not outcome.unstable
    assert re.match(r"1 connection took up to \d+\.\d s to converge", outcome.facts[0])
    assert progress.left == 0


def denied_there(cell):
    return Verdict.DENIED if cell == THERE else Verdict.ALLOWED


async def test_late_denial_is_confirmed_as_often_as_a_late_answer():
    outcome = await World(answer=only(THERE, TOKEN, TIMEOUT)).probe(expected=denied_there)
    assert outcome.observations[THERE].history == (Observed.ALLOWED, *[Observed.DROPPED] * (2 + CONFIRMATIONS))
    assert not outcome.unstable


@pytest.mark.parametrize("borne", [None, 0.0, 60.0])
async def test_what_is_closed_too_late_is_unstable_and_says_how_long_it_was_open(borne):
    options = replace(SWIFT, late_isolation=borne)
    outcome = await World(answer=only(THERE, TOKEN, TOKEN, TIMEOUT)).probe(expected=denied_there, options=options)
    seen = outcome.observations[THERE]
    assert seen.verdict is Observed.DROPPED
    assert outcome.unstable == ({THERE} if borne == 0.0 else set())
    assert (seen.open_seconds is not None) is (borne == 0.0)
    assert seen.outcome.startswith("closed, but still open 0.") is (borne == 0.0)
    assert not any("converge" in fact for fact in outcome.facts) or "1 of them open at first" in outcome.facts[0]


def new_pods(world, ages, created=600.0):
    """Have the sites of ``world`` be pods that were made so long ago, whose containers have run for ``ages``."""
    world.sites = [replace(site, created=time.monotonic() - created) for site in world.sites]
    world.ages = {site.name: age for site, age in zip(world.sites, ages, strict=True)}


@pytest.mark.parametrize(
    ("ages", "created", "least"),
    [((30, 20), 600, 20), ((20, 30), 600, 20), ((30, 5000), 7, 7), ((30, None), 600, 0), ((None, None), 600, 0)],
)
async def test_how_long_it_was_open_counts_from_the_start_of_the_younger_container(ages, created, least):
    world = World(answer=only(THERE, TOKEN, TOKEN, TIMEOUT))
    new_pods(world, ages, created)
    outcome = await world.probe(expected=denied_there, options=replace(SWIFT, late_isolation=0.0))
    assert 0 <= outcome.observations[THERE].open_seconds - least < 4
    told = [fact for fact in outcome.facts if "after their start" in fact]
    assert bool(told) is any(ages)
    again = replace(SWIFT, late_isolation=5.0)
    world = World(answer=only(THERE, TOKEN, TOKEN, TIMEOUT))
    new_pods(world, ages, created)
    outcome = await world.probe(expected=denied_there, options=again)
    assert outcome.unstable == ({THERE} if least else set())


async def test_from_when_on_new_pods_were_tried_is_told_where_something_is_denied():
    world = World(answer=only(THERE, TIMEOUT))
    new_pods(world, (3.04, 9))
    outcome = await world.probe(expected=denied_there, options=replace(SWIFT, late_isolation=1.0))
    (fact,) = [fact for fact in outcome.facts if "after their start" in fact]
    told = r"probe pods were first tried 3\.\d to 9\.\d s after their start"
    assert re.fullmatch(f"{told}: what was open only before that is not seen", fact)
    for expected, options in ((denied_there, SWIFT), (lambda _: Verdict.ALLOWED, replace(SWIFT, late_isolation=1.0))):
        world = World(answer=only(THERE, TIMEOUT))
        new_pods(world, (3.04, 9))
        outcome = await world.probe(expected=expected, options=options)
        assert not any("after their start" in fact for fact in outcome.facts)


@pytest.mark.parametrize(("sites", "few"), [(4, False), (6, True)])
async def test_one_relapse_among_many_that_were_closed_late_takes_nothing_back(sites, few):
    late, relapsing = (TOKEN, TOKEN, TIMEOUT), (TOKEN, TIMEOUT, TOKEN, TIMEOUT)

    def answer(source, destination, _protocol, _port, number):
        answers = relapsing if (source, destination) == THERE[:2] else late
        return answers[min(number, len(answers) - 1)] if source != destination else TOKEN

    def expected(cell):
        return Verdict.ALLOWED if cell.source == cell.destination else Verdict.DENIED

    world = World(sites, answer=answer)
    outcome = await world.probe(expected=expected, options=replace(SWIFT, late_isolation=0.0))
    closed_late = {cell for cell, seen in outcome.observations.items() if seen.open_seconds is not None}
    denied = {cell for cell in world.cells() if cell.source != cell.destination}
    assert outcome.unstable == denied
    assert closed_late == (denied - {THERE} if few else set())


async def told_by_newcomers(world, seen, **changes):
    async def look():
        return seen

    options = replace(SWIFT, late_isolation=1.0)
    return await world.probe(expected=denied_there, options=options, first_moments=look, **changes)


@pytest.mark.parametrize("way", ["sends", "receives"])
async def test_what_was_open_to_a_newcomer_was_closed_too_late(way):
    seen = FirstMoments(**{way: {THERE: AfterStart(5.0, 0.2, 3.1), BACK: AfterStart(5.0, 0.4, None)}}, pods=2)
    outcome = await told_by_newcomers(World(answer=only(THERE, TIMEOUT)), seen)
    assert outcome.unstable == {THERE}
    assert outcome.observations[THERE].open_seconds == 3.1
    (fact,) = [fact for fact in outcome.facts if "came later" in fact]
    they = {"sends": "they send", "receives": "they receive"}[way]
    assert fact == (
        f"2 further probe pods came later, to be tried from the start on (what {they} from 0.4 s after it): some of it "
        "was open for up to 3.1 s"
    )


async def test_what_was_closed_soon_enough_or_leaks_for_good_is_not_late():
    seen = FirstMoments({THERE: AfterStart(5.0, 0.2, 0.9)}, pods=1)
    outcome = await told_by_newcomers(World(answer=only(THERE, TIMEOUT)), seen)
    assert not outcome.unstable
    seen = FirstMoments({THERE: AfterStart(5.0, 0.2, 4.9)}, pods=1)
    outcome = await told_by_newcomers(World(answer=only(THERE, TOKEN)), seen)
    assert not outcome.unstable
    assert outcome.observations[THERE].verdict is Observed.ALLOWED


async def test_that_no_newcomer_could_come_is_no_failure():
    async def fail():
        raise ClusterError("gone")

    outcome = await World(answer=only(THERE, TIMEOUT)).probe(
        expected=denied_there, options=replace(SWIFT, late_isolation=1.0), first_moments=fail
    )
    assert not any("came later" in fact for fact in outcome.facts)


async def test_what_is_shut_at_first_is_no_fault_and_is_told():
    options = replace(SWIFT, late_isolation=0.0)
    outcome = await World(answer=only(THERE, TIMEOUT, TIMEOUT, TOKEN)).probe(options=options)
    assert not outcome.unstable
    assert "(shut at first, though allowed)" in outcome.facts[0]


async def test_a_leak_that_shows_now_and_then_does_not_pass_as_convergence():
    answers = [TOKEN, *[TIMEOUT] * 4, TOKEN, TIMEOUT]
    outcome = await World(answer=only(THERE, *answers)).probe(expected=denied_there)
    assert outcome.unstable == {THERE}


@pytest.mark.parametrize("relapse", [2, 5])
async def test_cell_that_keeps_changing_is_unstable(relapse):
    answers = [TIMEOUT, *[TOKEN] * (relapse - 1), TIMEOUT, TOKEN]
    outcome = await World(answer=only(THERE, *answers)).probe()
    assert outcome.unstable == {THERE}
    assert {Observed.ALLOWED, Observed.DROPPED} <= set(outcome.observations[THERE].history)


async def test_relapse_elsewhere_makes_the_late_cell_unstable_too():
    late, relapsing = only(THERE, TIMEOUT, TOKEN), only(BACK, TOKEN, TIMEOUT)
    outcome = await World(
        answer=lambda *attempt: late(*attempt) if attempt[0] == "a/0" else relapsing(*attempt)
    ).probe()
    assert outcome.unstable == {THERE, BACK}
    assert outcome.observations[BACK].attempts == 2 + SWIFT.retests


async def test_slow_answers_make_silence_doubtful():
    world, progress = World(answer=only(THERE, TIMEOUT, TOKEN)), Recorder()
    world.slowest = {0.2: 0.1}
    outcome = await world.probe(progress=progress)
    assert outcome.observations[THERE].history == (Observed.ALLOWED,)
    assert progress.phases == ["starting", "probing", "probing patiently", "controls"]
    assert "silent" in outcome.facts[0]


@pytest.mark.parametrize(("slowest", "is_brief"), [(0.001, True), (0.3, False)])
async def test_silence_is_tried_again_briefly_only_where_answers_come_quickly(slowest, is_brief):
    world, long = World(answer=only(THERE, TIMEOUT)), 2.0
    world.slowest = {long: slowest}
    await world.probe(
        expected=lambda cell: Verdict.DENIED if cell == THERE else Verdict.ALLOWED, options=replace(SWIFT, timeout=long)
    )
    assert (probe_run.SECOND_SECONDS in world.asked_timeouts) is is_brief


async def test_always_slow_answers_are_waited_for_twice():
    world, progress = World(answer=only(THERE, TIMEOUT)), Recorder()
    world.slowest = {0.2: 0.1, 0.4: 0.2, 0.8: 0.4}
    await world.probe(expected=lambda cell: Verdict.DENIED if cell == THERE else Verdict.ALLOWED, progress=progress)
    assert progress.phases.count("probing patiently") == 2


@pytest.mark.parametrize("when", [0, 1], ids=["before", "after"])
async def test_denial_counts_only_with_its_controls(when):
    """A control fails and so does its repetition: the first two attempts, or those after the first."""

    def control(site, _protocol, _port, number):
        return TIMEOUT if site == "a/1" and (number < 2 if when == 0 else number > 0) else TOKEN

    denied = Cell("a/0", "a/1", TCP, 80, V4)
    outcome = await World(3, answer=only(denied, TIMEOUT), control=control).probe(
        expected=lambda cell: Verdict.DENIED if cell == denied else Verdict.ALLOWED
    )
    seen = outcome.observations[denied]
    assert seen.verdict is Observed.INCONCLUSIVE
    assert "a/1 on TCP/80 over IPv4 did not answer its own agent" in seen.outcome
    assert outcome.observations[Cell("a/2", "a/1", TCP, 80, V4)].verdict is Observed.ALLOWED


async def test_control_gets_a_second_chance():
    outcome = await World(
        answer=only(THERE, RESET), control=lambda *attempt: TIMEOUT if attempt[-1] == 0 else TOKEN
    ).probe(expected=lambda cell: Verdict.DENIED if cell == THERE else Verdict.ALLOWED)
    assert outcome.observations[THERE].verdict is Observed.REFUSED


async def test_port_that_cannot_be_opened_makes_its_cells_inconclusive():
    world = World(answer=only(THERE, RESET), control=lambda site, *_: RESET if site == "a/1" else TOKEN)
    world.unbound = {"a/1": [["tcp", 4, 80, "EADDRINUSE: Address already in use"]]}
    progress = Recorder()
    outcome = await world.probe(
        expected=lambda cell: Verdict.DENIED if cell == THERE else Verdict.ALLOWED, progress=progress
    )
    assert progress.phases == ["starting", "probing", "controls"]
    assert outcome.observations[THERE].verdict is Observed.INCONCLUSIVE
    assert (
        outcome.observations[THERE].outcome
        == "the agent of a/1 can't listen on TCP/80: EADDRINUSE: Address already in use"
    )


@pytest.mark.parametrize(("arrived", "outcome"), [(True, "reply-lost"), (False, "request-lost"), (None, "timeout")])
async def test_silent_datagrams_are_looked_for(arrived, outcome):
    cell = Cell("a/0", "a/1", UDP, 53, V4)
    world = World(answer=only(cell, TIMEOUT))
    world.arrived = lambda _: arrived
    seen = await world.probe(world.cells([(UDP, 53)]))
    assert seen.observations[cell].outcome == outcome


@pytest.mark.parametrize(("arrivals", "verdict"), [(1, Observed.DROPPED), (99, Observed.ALLOWED)])
async def test_a_denied_datagram_that_arrives_is_retested_and_counts_as_allowed_if_it_does_again(arrivals, verdict):
    cell = Cell("a/0", "a/1", UDP, 53, V4)
    world, asked = World(answer=only(cell, TIMEOUT)), count()
    world.arrived = lambda attempt: True if attempt is None else next(asked) < arrivals
    seen = await world.probe(
        world.cells([(UDP, 53)]), expected=lambda one: Verdict.DENIED if one == cell else Verdict.ALLOWED
    )
    assert seen.observations[cell].verdict is verdict
    assert seen.observations[cell].attempts == SILENCES + (SWIFT.retests if verdict is Observed.ALLOWED else 1)
    assert not seen.unstable


BY_WAY = (
    "it reached its destination from {}, which is not its source: translated on the way, or repeated by somebody else"
)
ELSEWHERE = ("10.0.0.9", 1234)


@pytest.mark.parametrize("expected", [Verdict.ALLOWED, Verdict.DENIED])
@pytest.mark.parametrize("times", [1, 99])
async def test_a_datagram_that_arrives_from_somewhere_else_neither_arrived_nor_did_not(expected, times):
    cell = Cell("a/0", "a/1", UDP, 53, V4)
    world, asked = World(answer=only(cell, TIMEOUT)), count()
    world.arrived = lambda attempt: attempt is None or (ELSEWHERE if next(asked) < times else False)
    seen = await world.probe(
        world.cells([(UDP, 53)]), expected=lambda one: expected if one == cell else Verdict.ALLOWED
    )
    observed = seen.observations[cell]
    assert (observed.verdict, observed.outcome.rpartition("tested: ")[2]) == (
        Observed.INCONCLUSIVE,
        BY_WAY.format("10.0.0.9"),
    )


def seen_from(address, answer="allowed", outcome="token"):
    return (answer, outcome, "", {"seen": address, "microseconds": 1000})


@pytest.mark.parametrize("expected", [Verdict.ALLOWED, Verdict.DENIED])
@pytest.mark.parametrize("answer", [seen_from("10.0.0.9"), seen_from("10.0.0.9", "misdelivered", "wrong-identity")])
async def test_an_answer_to_what_came_from_somewhere_else_is_no_proof(expected, answer):
    world = World(answer=only(THERE, answer))
    outcome = await world.probe(expected=lambda one: expected if one == THERE else Verdict.ALLOWED)
    seen = outcome.observations[THERE]
    assert (seen.verdict, seen.outcome) == (Observed.INCONCLUSIVE, BY_WAY.format("10.0.0.9"))
    assert {one.verdict for cell, one in outcome.observations.items() if cell != THERE} == {Observed.ALLOWED}


@pytest.mark.parametrize("expected", [Verdict.ALLOWED, Verdict.DENIED])
async def test_an_answer_to_what_came_from_a_node_is_one(expected):
    world = World(answer=only(THERE, seen_from("172.18.0.2")))
    outcome = await world.probe(
        expected=lambda one: expected if one == THERE else Verdict.ALLOWED, translators=[ip_address("172.18.0.2")]
    )
    seen = outcome.observations[THERE]
    assert (seen.verdict, seen.outcome, seen.milliseconds) == (Observed.ALLOWED, "token", 1.0)


@pytest.mark.parametrize(
    ("expected", "later", "verdict"),
    [
        (Verdict.DENIED, TIMEOUT, Observed.INCONCLUSIVE),
        (Verdict.DENIED, RESET, Observed.INCONCLUSIVE),
        (Verdict.DENIED, TOKEN, Observed.ALLOWED),
        (Verdict.ALLOWED, TOKEN, Observed.ALLOWED),
        (Verdict.ALLOWED, TIMEOUT, Observed.DROPPED),
        (None, TIMEOUT, Observed.INCONCLUSIVE),
    ],
)
async def test_silence_later_on_does_not_undo_what_got_through_by_another_way(expected, later, verdict):
    world = World(answer=only(THERE, seen_from("10.0.0.9"), later))
    outcome = await world.probe(expected=lambda one: expected if one == THERE else Verdict.ALLOWED)
    assert outcome.observations[THERE].verdict is verdict


@pytest.mark.parametrize("batch", [0, 1, 2])
async def test_agent_that_dies_is_never_a_denial(batch):
    """In its first control, in the main pass, in the last control: others are judged, its own cells need positive
    proof.
    """
    denied = Cell("a/2", "a/1", TCP, 80, V4)
    world = World(3, answer=only(denied, TIMEOUT))
    world.deaths = {"a/1": batch}
    outcome = await world.probe(expected=lambda cell: Verdict.DENIED if cell == denied else Verdict.ALLOWED)
    of_the_dead = {cell: seen for cell, seen in outcome.observations.items() if "a/1" in cell[:2]}
    others = {cell: seen for cell, seen in outcome.observations.items() if cell not in of_the_dead}
    assert {seen.verdict for seen in others.values()} == {Observed.ALLOWED}
    assert {seen.verdict for seen in of_the_dead.values()} <= {Observed.ALLOWED, Observed.INCONCLUSIVE}
    assert outcome.observations[denied].verdict is Observed.INCONCLUSIVE
    assert "agent of a/1 ended before finishing its batch" in outcome.observations[denied].outcome
    assert outcome.facts == ("agent of a/1 ended before finishing its batch",)


@pytest.mark.parametrize("end", ["a/0", "a/1"])
async def test_a_leak_that_could_not_be_retested_is_none(end):
    """A pod that is being deleted loses its rules before it loses its agent."""
    world = World(3)
    world.deaths = {end: 2}
    world.answer = lambda source, destination, *_: TOKEN
    expected = {
        THERE: Verdict.DENIED,
        Cell("a/2", "a/0", TCP, 80, V4): Verdict.DENIED,
        Cell("a/1", "a/2", TCP, 80, V4): Verdict.DENIED,
    }
    outcome = await world.probe(expected=lambda cell: expected.get(cell, Verdict.ALLOWED))
    assert outcome.observations[THERE].verdict is Observed.INCONCLUSIVE
    assert f"agent of {end} ended" in outcome.observations[THERE].outcome


async def test_agent_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(session, "PATIENCE", 0.05)
    outcome = await World(3, answer=only(THERE, None)).probe()
    verdicts = Counter(seen.verdict for cell, seen in outcome.observations.items() if cell.source == "a/0")
    assert verdicts[Observed.INCONCLUSIVE] == 2
    assert "a/0 sent nothing" in outcome.facts[0]
    assert outcome.observations[Cell("a/1", "a/2", TCP, 80, V4)].verdict is Observed.ALLOWED


@pytest.mark.parametrize("error", [ClusterError("no room"), ConnectionError("no room"), TimeoutError()])
async def test_agent_that_does_not_start(error, monkeypatch):
    monkeypatch.setattr(agent, "START_PAUSES", (0.0,))
    world, progress = World(3), Recorder()
    world.refuses_to_open = {"a/1": error}
    outcome = await world.probe(progress=progress)
    verdicts = {cell: seen.verdict for cell, seen in outcome.observations.items()}
    assert all((verdict is Observed.INCONCLUSIVE) == ("a/1" in cell[:2]) for cell, verdict in verdicts.items())
    assert progress.left == 0


async def test_programming_errors_are_not_hidden():
    world = World()
    world.refuses_to_open = {"a/1": AssertionError("a bug")}
    with pytest.raises(BaseExceptionGroup):
        await world.probe()
    assert all(channel.closed for channel in world.opened)


async def test_cells_that_nobody_can_probe_are_skipped():
    world = World()
    gone = Cell("a/0", "a/gone", TCP, 80, V4)
    outcome = await world.probe([gone, Cell("a/0", "a/1", SCTP, 80, V4)])
    assert {seen.verdict for seen in outcome.observations.values()} == {Observed.SKIPPED}
    assert outcome.observations[gone].outcome == "no agent can run at a/gone"
    assert world.opened == []


@pytest.mark.parametrize("insisting", [False, True], ids=["once", "again-and-again"])
async def test_cancelled_at_every_wait(insisting):
    """Ctrl-C at each wait in turn, until a run gets through: every channel that was opened is closed."""
    for step in range(1000):
        world = World(3, answer=only(THERE, TIMEOUT, TOKEN))
        world.cancel_at, world.insisting = step, insisting
        running = asyncio.create_task(world.probe(options=ProbingOptions(timeout=0.01, retests=1, settle=0.0)))
        await asyncio.wait([running], timeout=30)
        assert running.done()
        assert all(channel.closed for channel in world.opened), f"step {step}"
        if not running.cancelled():
            break
    else:
        pytest.fail("no run got through")
    assert step > 60
    assert next(world.steps) <= step
    assert running.result().observations[THERE].verdict is Observed.ALLOWED


def denied(*cells):
    return lambda cell: Verdict.DENIED if cell in cells else Verdict.ALLOWED


async def test_silence_of_an_agent_that_stood_still_says_nothing():
    """Denied and silent, which would be a match; but its agent had no turn, and once it has, the cell proves open."""
    world = World(3, answer=only(THERE, TIMEOUT, TOKEN))
    world.lags = {"a/1": [2.0]}
    outcome = await world.probe(expected=denied(THERE))
    assert outcome.observations[THERE].verdict is Observed.ALLOWED
    assert outcome.observations[THERE].history[0] is Observed.INCONCLUSIVE
    assert Observed.DROPPED not in outcome.observations[THERE].history
    assert not outcome.unstable


async def test_a_reset_is_no_matter_of_lag():
    world = World(3, answer=only(THERE, RESET))
    world.lags = {"a/1": [2.0]}
    outcome = await world.probe(expected=denied(THERE))
    assert outcome.observations[THERE].history == (Observed.REFUSED,)


async def test_an_agent_that_always_stands_still_leaves_its_silence_inconclusive():
    world = World(3, answer=only(THERE, TIMEOUT))
    world.lags = {"a/1": [2.0] * 20}
    seen = (await world.probe(expected=denied(THERE))).observations[THERE]
    assert (seen.verdict, seen.outcome) == (Observed.INCONCLUSIVE, "agent of a/1 stood still for 2.0 s meanwhile")


@pytest.fixture
def swift_reopening(monkeypatch):
    monkeypatch.setattr(agent, "REOPEN_PAUSES", (0.001, 0.002))


@pytest.mark.usefixtures("swift_reopening")
@pytest.mark.parametrize("batch", [0, 1, 2])
async def test_a_stream_that_breaks_is_opened_again_and_only_the_rest_is_fired(batch, caplog):
    caplog.set_level("DEBUG", "auditor")
    world, progress = World(3), Recorder()
    world.breaks = {"a/1": [batch]}
    outcome = await world.probe(progress=progress)
    assert {(seen.verdict, seen.attempts) for seen in outcome.observations.values()} == {(Observed.ALLOWED, 1)}
    assert outcome.facts == ("the stream to the agent of a/1 broke 1 time: it was started again",)
    assert len(world.opened) == 4
    fired = {key: number + 1 for key, number in world.tries.items() if not key[-1]}
    assert set(fired.values()) <= {1, 2}
    assert sum(number == 2 for number in fired.values()) <= 2  # those that the first agent made and could not tell
    assert progress.left == 0
    assert all(channel.closed for channel in world.opened)
    logged = [record.getMessage() for record in caplog.records]
    assert logged.count("agent of a/1 started") == 2
    assert sum(line.startswith("agent of a/1 lost: ") for line in logged) == 1


@pytest.mark.usefixtures("swift_reopening")
@pytest.mark.parametrize("lost", [TIMEOUT, RESET])
async def test_what_was_aimed_at_an_agent_that_was_gone_meanwhile_says_nothing(lost):
    world = World(3, answer=only(THERE, lost, TOKEN))
    world.breaks = {"a/1": [1]}
    outcome = await world.probe(expected=denied(THERE))
    assert outcome.observations[THERE].verdict is Observed.ALLOWED
    assert not any(verdict.is_denied for verdict in outcome.observations[THERE].history)


@pytest.mark.usefixtures("swift_reopening")
async def test_a_break_that_only_the_question_after_the_round_finds():
    """Its own batch had ended before: it is a destination only when its stream breaks."""
    world = World(3, answer=only(THERE, RESET, TOKEN))
    world.breaks_at_lag = {"a/1"}
    outcome = await world.probe(expected=denied(THERE))
    assert outcome.observations[THERE].verdict is Observed.ALLOWED
    assert not any(verdict.is_denied for verdict in outcome.observations[THERE].history)
    assert len(world.opened) == 4


@pytest.mark.usefixtures("swift_reopening")
async def test_a_new_agent_knows_nothing_of_what_arrived_before():
    """The stream breaks in a retest of another cell: what the old agent had logged is lost with it, later tries are
    not.
    """
    silent, back = Cell("a/0", "a/1", UDP, 53, V4), Cell("a/1", "a/0", UDP, 53, V4)
    world = World(2, answer=lambda source, to, *_: {silent[:2]: TIMEOUT, back[:2]: RESET}.get((source, to), TOKEN))
    world.arrived = lambda attempt: attempt is None
    world.breaks = {"a/1": [2]}
    outcome = await world.probe(world.cells([(UDP, 53)]), expected=denied(silent))
    assert len(world.opened) == 3
    assert outcome.observations[back].verdict is Observed.REFUSED
    seen = outcome.observations[silent]
    assert (seen.verdict, seen.outcome, seen.attempts) == (Observed.DROPPED, "request-lost", SILENCES)


@pytest.mark.usefixtures("swift_reopening")
async def test_a_stream_that_never_holds_is_given_up():
    world, progress = World(3), Recorder()
    world.breaks = {"a/1": list(range(30))}
    outcome = await world.probe(progress=progress)
    verdicts = {cell: seen.verdict for cell, seen in outcome.observations.items()}
    assert {verdict for cell, verdict in verdicts.items() if "a/1" not in cell[:2]} == {Observed.ALLOWED}
    assert Observed.INCONCLUSIVE in verdicts.values()
    assert not any(verdict.is_denied for verdict in verdicts.values())
    assert len(world.opened) == 3 + agent.MOST_REOPENINGS
    assert progress.left == 0


@pytest.mark.usefixtures("swift_reopening")
async def test_an_agent_that_cannot_be_started_at_once_is_tried_again(monkeypatch):
    monkeypatch.setattr(agent, "START_PAUSES", (0.001, 0.002))
    world, refusals = World(3), [ClusterError("error dialing backend"), ClusterError("answered 500")]
    proper = world.open

    async def open_at_last(site):
        if site.name == "a/1" and refusals:
            raise refusals.pop()
        return await proper(site)

    world.open = open_at_last
    outcome = await world.probe()
    assert {seen.verdict for seen in outcome.observations.values()} == {Observed.ALLOWED}
    assert outcome.facts == ()


@pytest.mark.usefixtures("swift_reopening")
async def test_an_agent_that_cannot_be_started_anew_is_given_up(monkeypatch):
    monkeypatch.setattr(agent, "REOPEN_SECONDS", 0.05)
    world = World(3)
    world.breaks = {"a/1": [1]}
    world.refuses_to_open_again = ClusterError("no such pod")
    outcome = await world.probe()
    assert outcome.facts[0] == "agent of a/1 could not be started: no such pod"
    assert outcome.observations[Cell("a/0", "a/2", TCP, 80, V4)].verdict is Observed.ALLOWED


@pytest.mark.usefixtures("swift_reopening")
async def test_a_new_agent_waits_until_the_old_one_has_left_its_ports():
    world = World(3)
    world.breaks = {"a/1": [1]}
    world.taken_ports = [[["tcp", 4, 80, "EADDRINUSE: Address already in use"]]] * 2
    outcome = await world.probe()
    assert {seen.verdict for seen in outcome.observations.values()} == {Observed.ALLOWED}
    assert world.taken_ports == []


async def test_an_agent_at_another_site_makes_its_cells_inconclusive():
    world = World(3)
    places = {"a/0": world.sites[1], "a/1": world.sites[0], "a/2": world.sites[2]}
    proper = world.open
    world.open = lambda site: proper(places[site.name])
    outcome = await world.probe()
    seen = outcome.observations[Cell("a/2", "a/1", TCP, 80, V4)]
    assert (seen.verdict, seen.outcome) == (
        Observed.INCONCLUSIVE,
        "agent of a/1 is not at 10.0.0.2: EADDRNOTAVAIL",
    )


def with_other_peoples(world, **what):
    world.sites.append(ProbeSite("x/real", (ip_address("10.9.9.9"),), ("x/real",), **what))
    return [Cell(source, "x/real", TCP, 443, V4) for source in ("a/0", "a/1")]


@pytest.mark.parametrize(("reached", "verdict"), [(True, Observed.DROPPED), (False, Observed.INCONCLUSIVE)])
async def test_silence_of_a_host_without_an_agent_counts_if_anybody_reached_it(reached, verdict):
    world = World(2, answer=lambda source, *_: TOKEN if reached and source == "a/1" else TIMEOUT)
    cells = with_other_peoples(world, agent=False)
    outcome = await world.probe(cells, expected=denied(cells[0]))
    seen = outcome.observations[cells[0]]
    assert seen.verdict is verdict
    assert len(world.opened) == 2
    if reached:
        assert outcome.observations[cells[1]].outcome == "connected"
    else:
        assert seen.outcome == "nobody reached x/real on TCP/443 in this run, so silence proves nothing"


@pytest.mark.parametrize(("there", "verdict"), [(True, Observed.DROPPED), (False, Observed.INCONCLUSIVE)])
async def test_silence_of_a_real_listener_counts_if_the_agent_beside_it_can_connect(there, verdict):
    def answer(source, *_):
        return TOKEN if source == "a/1" or (there and source == "x/real") else TIMEOUT

    world = World(2, answer=answer)
    cells = with_other_peoples(world, listens=False)
    outcome = await world.probe(cells, expected=denied(cells[0]))
    assert outcome.observations[cells[0]].verdict is verdict
    assert outcome.observations[cells[1]].outcome == "connected"
    if not there:
        assert outcome.observations[cells[0]].outcome.startswith(
            "nothing listens on TCP/443 at 10.9.9.9 of x/real before the probes"
        )


async def test_what_connects_at_the_address_of_a_pod_that_is_gone_may_be_another_pod():
    world = World(2)
    cells = with_other_peoples(world, listens=False)
    world.deaths = {"x/real": 1}
    outcome = await world.probe(cells, expected=denied(cells[0]))
    assert {(seen.verdict, seen.outcome) for seen in outcome.observations.values()} == {
        (Observed.INCONCLUSIVE, "agent of x/real ended before finishing its batch")
    }


async def test_what_connects_counts_where_only_the_pods_own_attempt_was_dropped():
    world = World(2, answer=lambda source, *_: TIMEOUT if source == "x/real" else TOKEN)
    cells = with_other_peoples(world, listens=False)
    outcome = await world.probe(cells)
    assert {seen.verdict for seen in outcome.observations.values()} == {Observed.ALLOWED}


async def test_silence_is_met_more_often_where_the_last_round_shows_that_packets_get_lost():
    world = World(2, only(THERE, TIMEOUT))

    class LosingLate(Recorder):
        def phase(self, name, attempts):
            super().phase(name, attempts)
            if name == "controls":
                world.loss = {site.name: (200, 30) for site in world.sites}

    options = replace(SWIFT, timeout=LOSS_SECONDS)
    outcome = await world.probe(expected=denied_there, options=options, progress=LosingLate())
    seen = outcome.observations[THERE]
    assert seen.verdict is Observed.DROPPED, seen
    assert seen.attempts > SILENCES
