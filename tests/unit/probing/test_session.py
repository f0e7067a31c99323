"""A session with an agent that dies, hangs or talks nonsense: it ends with a reason, and raises nothing."""

import asyncio
import json
import time
from dataclasses import replace
from ipaddress import ip_address

import pytest

from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.probing.attempts import Answer, AttemptId, Listener, Origin
from auditor.probing.batches import Batch, Target
from auditor.probing.keys import RunKey
from auditor.probing.session import AgentSession
from auditor.probing.sites import ProbeSite

WEB = ProbeSite("prod/web", (ip_address("10.0.0.1"),), ("prod/web",))
BATCH = "00000001"
HANGS = object()
OURS = RunKey(bytes(32), {"prod/web": "00" * 8, "prod/db": "11" * 8})


class Script:
    """A channel that says these lines, then ends; or hangs at HANGS. ``failing`` names a call that breaks."""

    broken = False
    failure = ""

    def __init__(self, *lines, failing=""):
        self.lines = list(lines)
        self.failing = failing
        self.sent = []
        self.closed = 0

    async def send(self, line):
        if self.failing == "send":
            raise ConnectionError("broken pipe")
        if self.failing == "send hangs":
            await asyncio.Event().wait()
        self.sent.append(json.loads(line))

    async def receive(self):
        line = self.lines.pop(0) if self.lines else b""
        if line is HANGS:
            await asyncio.Event().wait()
        return line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"

    async def close(self):
        self.closed += 1
        if self.failing == "close":
            raise ConnectionError("gone")


def results(*allowed, **changed):
    return {
        "kind": "results",
        "batch": BATCH,
        "allowed": [part for one in allowed for part in (one, 1000)],
        "others": [],
        **changed,
    }


DONE = {"kind": "done", "batch": BATCH, "attempts": 2, "allowed": 2, "slowest": 0.001, "sent": 3, "lost": 1}


async def run(channel):
    session = AgentSession(WEB, channel, OURS, patience=0.05)
    batch = Batch([Target("10.0.0.2", Protocol.TCP, port, "prod/db") for port in (80, 81)], 0.01, 3, 8, BATCH)
    advanced = []
    await session.run(batch, advanced.append)
    assert sum(advanced) == 2
    return session, batch


async def test_whole_batch():
    session, batch = await run(Script(results(1), results(0), DONE))
    assert session.ended == ""
    assert [one.answer for one in batch.results()] == [Answer.ALLOWED] * 2
    assert batch.slowest == 0.001
    assert batch.loss == (3, 1)


@pytest.mark.parametrize(
    ("channel", "kept", "reason"),
    [
        (Script(), 0, "agent of prod/web ended before finishing its batch"),
        (Script(results(0)), 1, "agent of prod/web ended before finishing its batch"),
        (Script(results(0, 1)), 2, "agent of prod/web ended before finishing its batch"),
        (Script(results(0), HANGS), 1, "agent of prod/web sent nothing for 0.06 s, before finishing its batch"),
        (Script(results(0), b"Segmentation fault\n"), 1, "sent something that is not an answer: b'Segmentation fault"),
        (Script(results(0), b"\xff\xfe\n"), 1, "sent something that is not an answer"),
        (Script(results(0), b"[" * 100000 + b"\n"), 1, "sent something that is not an answer"),
        (Script(results(0), b"[]\n"), 1, "sent something that is not an answer"),
        (Script(results(0), results(1, batch="ffffffff")), 1, "sent something that is not an answer"),
        (Script(results(0), results(0)), 1, "sent something that is not an answer"),
        (Script(results(0), results(7)), 1, "sent something that is not an answer"),
        (Script(results(0), results()), 1, "sent something that is not an answer"),
        (Script(results(0), {"kind": "results", "batch": BATCH}), 1, "sent something that is not an answer"),
        (Script(results(0), {"kind": "error", "message": "no such batch"}), 1, "no such batch"),
        (Script(results(0), {"kind": []}), 1, "sent something that is not an answer"),
        (Script(results(0), DONE), 1, "sent something that is not an answer: done, with 1 attempts missing"),
        *(
            (
                Script(results(0), results(1), {**DONE, **change}),
                2,
                "sent something that is not an answer: done, without numbers",
            )
            for change in (
                {"slowest": float("nan")},
                {"slowest": 1e999},
                {"slowest": -1},
                {"sent": -1},
                {"lost": 4},
                {"sent": 1e3},
            )
        ),
        (Script(failing="send"), 0, "agent of prod/web could not be reached: broken pipe"),
        (Script(failing="send hangs"), 0, "agent of prod/web accepted no commands for 0.05 s"),
    ],
)
async def test_batch_that_breaks_off(channel, kept, reason):
    session, batch = await run(channel)
    assert reason in session.ended
    tries = batch.results()
    assert [one.answer for one in tries] == [Answer.ALLOWED] * kept + [Answer.ERROR] * (2 - kept)
    assert all(one.outcome == session.ended for one in tries[kept:])


async def test_ended_session_fires_nothing():
    channel = Script()
    session, _ = await run(channel)
    sent = len(channel.sent)
    _, again = await run(channel)
    assert await session.arrivals([FIRST]) == {FIRST: None}
    assert len(channel.sent) == sent + 1  # the new session's own
    assert {one.answer for one in again.results()} == {Answer.ERROR}


async def test_listening():
    reason = "EADDRINUSE: Address already in use"
    failed = [[["tcp", 6, 80, reason]], [["tcp", 4, 81, "\x1b" * 10_000]]]
    channel = Script(*({"kind": "listening", "failed": one, "foreign": [], "more": one is failed[0]} for one in failed))
    session = AgentSession(WEB, channel, OURS)
    listeners = [
        Listener("prod/web", *rest) for rest in ((Protocol.TCP, 81, Family.IPV4), (Protocol.TCP, 80, Family.IPV6))
    ]
    await session.listen([*listeners, Listener("prod/web", Protocol.TCP, 80, Family.IPV4)])
    addresses = ["10.0.0.1"]
    identity = {"key": "00" * 32, "identity": "00" * 8}
    assert channel.sent == [{"do": "listen", **identity, "addresses": addresses, "tcp": [80, 81], "udp": []}]
    assert session.unbound == {listeners[1]: reason, listeners[0]: session.unbound[listeners[0]]}
    assert len(session.unbound[listeners[0]]) <= 200
    assert session.unbound[listeners[0]].isprintable()
    assert session.ended == ""


@pytest.mark.parametrize(
    "answer",
    [
        {"kind": "done"},
        {"kind": "listening"},
        {"kind": "listening", "failed": [["tcp"]]},
        *(
            {"kind": "listening", "failed": [["tcp", family, port, "x"]], "foreign": [], "more": False}
            for family, port in (
                (4, 1e999),
                (4, float("nan")),
                (4, True),
                (4, 1 << 16),
                (4, None),
                (1e999, 80),
                (5, 80),
                ([], 80),
            )
        ),
        *(
            {"kind": "listening", "failed": [], "foreign": foreign, "more": False}
            for foreign in ([[1, "x"]], [["x", None]], [None], None)
        ),
        {"kind": "error", "message": "x"},
        {"kind": "listening", "failed": [], "foreign": [], "more": True},
    ],
)
async def test_listening_goes_wrong(answer):
    session = AgentSession(WEB, Script(answer), OURS)
    await session.listen([])
    assert "sent something that is not an answer" in session.ended


@pytest.mark.parametrize(
    ("made", "age", "running"),
    [
        (100.0, 5.0, 5.0),
        (2.0, 5.0, 2.0),
        *((100.0, nonsense, None) for nonsense in (1e9, -1.0, float("nan"), "5", True, None)),
        (None, 5.0, None),
    ],
)
async def test_an_agent_tells_how_long_a_new_pod_has_run_and_is_believed_no_more_than_can_be(made, age, running):
    answer = {"kind": "listening", "failed": [], "foreign": [], "more": False, "age": age}
    now = time.monotonic()
    session = AgentSession(replace(WEB, created=None if made is None else now - made), Script(answer), OURS)
    await session.listen([])
    assert session.ended == ""
    assert session.started == (None if running is None else pytest.approx(now - running, abs=1.5))


HERE, THERE = Origin("10.0.0.1", 40001), Origin("10.0.0.2", 40002)
FIRST, SECOND = AttemptId("00000001", 1, HERE), AttemptId("00000001", 2, THERE)


@pytest.mark.parametrize(
    ("arrived", "complete", "known"),
    [
        ([[FIRST.nonce, *HERE]], True, (True, False)),
        ([[FIRST.nonce, *HERE]], False, (True, None)),
        # neither another address nor another port is where it was sent from
        ([[FIRST.nonce, *THERE], [SECOND.nonce, "10.0.0.2", 40001]], True, (THERE, Origin("10.0.0.2", 40001))),
        ([[FIRST.nonce, *THERE, *HERE]], True, (True, False)),
        ([], True, (False, False)),
        (None, True, (None, None)),
        ([["1"], {}, 2], True, (None, None)),
        ([[FIRST.nonce, "10.0.0.1"]], True, (None, None)),
        ([[FIRST.nonce, "10.0.0.1", "40001"]], True, (None, None)),
        ([[FIRST.nonce, "\x1b", 1]], True, (None, None)),
    ],
)
async def test_arrivals(arrived, complete, known):
    answer = {"kind": "arrivals", "arrived": arrived, "complete": complete}
    assert await AgentSession(WEB, Script(answer), OURS).arrivals([SECOND, FIRST]) == dict(
        zip((FIRST, SECOND), known, strict=True)
    )


async def test_arrivals_of_a_probe_that_nobody_knows_the_socket_of():
    attempt_id = AttemptId("00000001", 1)
    answer = {"kind": "arrivals", "arrived": [[attempt_id.nonce, *HERE]], "complete": True}
    assert await AgentSession(WEB, Script(answer, b""), OURS).arrivals([attempt_id]) == {attempt_id: None}
    assert await AgentSession(WEB, Script(b""), OURS).arrivals([attempt_id]) == {attempt_id: None}


async def test_many_arrivals_are_asked_for_in_pieces():
    attempt_ids = [AttemptId("00000001", number, HERE) for number in range(2500)]
    channel = Script(*({"kind": "arrivals", "arrived": [], "complete": True} for _ in range(3)))
    assert await AgentSession(WEB, channel, OURS).arrivals(attempt_ids) == dict.fromkeys(attempt_ids, False)
    assert max(len(command["nonces"]) for command in channel.sent) <= 1024


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind": "results", "batch": "%b", "allowed": [], "others": [[0, "dropped", "%b", "", {}]]}\n'
        % (BATCH.encode(), b"x" * (1 << 20)),
        b'{"kind": "error", "message": "%b"}\n' % (b"\\u001b" * 1000),
        b'{"kind": "results", "x": %b}\n' % (b"9" * 5000),
        b'{"kind": "results", "x": %b}\n' % (b"[" * 500_000 + b"]" * 500_000),
    ],
    ids=["long", "control characters", "a number of 5000 digits", "nested"],
)
async def test_a_hostile_line_ends_the_session_in_few_printable_words(line):
    session, _ = await run(Script(results(0), line))
    assert session.ended
    assert len(session.ended) < 400
    assert session.ended.isprintable()


async def test_lines_that_are_too_much_for_their_batch_end_the_session(monkeypatch):
    monkeypatch.setattr("auditor.probing.session.LONGEST_LINE", 5000)
    session, batch = await run(Script({**results(0), "x": "y" * 4900}, {**results(1), "x": "y" * 4900}))
    assert session.ended == "agent of prod/web said more than there can be to say about its batch"
    assert [one.answer for one in batch.results()] == [Answer.ALLOWED] * 2


@pytest.mark.parametrize(
    ("answer", "health"),
    [
        ({"seconds": 0.2, "udp_overruns": 7, "listen_overflows": 1}, (0.2, 7, 1)),
        ({"seconds": 0, "udp_overruns": None, "listen_overflows": None}, (0.0, None, None)),
        ({"seconds": 0.2, "udp_overruns": -1, "listen_overflows": 1e999}, (0.2, None, None)),
        ({"seconds": None}, None),
        ({"seconds": -1}, None),
        ({"seconds": 1e999}, None),
        ({"seconds": float("nan")}, None),
        ({"seconds": True}, None),
    ],
)
async def test_health(answer, health):
    session = AgentSession(WEB, Script({"kind": "lag", **answer}), OURS)
    assert await session.health() == health
    assert bool(session.ended) == (health is None)


@pytest.mark.parametrize("failing", ["", "close"])
async def test_closing(failing):
    channel = Script(failing=failing)
    session = AgentSession(WEB, channel, OURS)
    await session.close()
    assert channel.closed == 1
    assert session.ended


@pytest.mark.parametrize("broken", [False, True])
async def test_a_channel_says_why_it_ended_and_whether_another_may_take_its_place(broken):
    channel = Script(results(0))
    channel.failure, channel.broken = "the process ended with exit code 137", broken
    session = AgentSession(WEB, channel, OURS, patience=0.05)
    batch = Batch([Target("10.0.0.2", Protocol.TCP, port, "prod/db") for port in (80, 81)], 0.01, 3, 8, BATCH)
    advanced = []
    await session.run(batch, advanced.append)
    assert session.ended == "agent of prod/web ended before finishing its batch: the process ended with exit code 137"
    assert session.lost == broken
    assert batch.unfinished == ([1] if broken else [])
    assert sum(advanced) == (1 if broken else 2)
