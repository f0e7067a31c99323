"""Agents that are kept for whoever comes next, if nothing is left of what they were asked before."""

from __future__ import annotations

import json

import pytest

from auditor.cluster.kubernetes.session.kept_agents import KeptAgents


class Stream:
    broken = False

    def __init__(self, *lines):
        self.lines = list(lines)
        self.failure = ""
        self.closed = 0
        self.said = None

    async def send(self, line):
        pass

    async def receive(self):
        if self.said is not None:
            return self.said
        return json.dumps(self.lines.pop(0)).encode() + b"\n"

    async def close(self):
        self.closed += 1


async def conversation(channel, asked, lines):
    for _ in range(asked):
        await channel.send(b"{}\n")
    for _ in range(lines):
        await channel.receive()
    await channel.close()


LISTENING = {"kind": "listening", "failed": [], "more": False}
ANSWERS = ({**LISTENING, "more": True}, LISTENING, {"kind": "results", "more": "x"}, {"kind": "done"})


async def test_an_agent_that_has_answered_all_is_there_for_the_next_and_for_one_only():
    agents, stream = KeptAgents(), Stream(*({**ANSWERS[0]}, LISTENING, {"kind": "results"}, {"kind": "done"}))
    await conversation(agents.lent("a/x", stream), 2, 4)
    assert stream.closed == 0
    assert agents.lend("a/y") is None
    again = agents.lend("a/x")
    assert again is not None
    assert agents.lend("a/x") is None
    stream.lines.append({"kind": "lag"})
    await conversation(again, 1, 1)
    await again.close()
    assert agents.lend("a/x") is not None


@pytest.mark.parametrize(("asked", "read"), [(1, 0), (2, 2), (2, 3), (3, 4)])
async def test_an_agent_that_owes_an_answer_is_ended(asked, read):
    agents, stream = KeptAgents(), Stream(*ANSWERS[:2], {"kind": "results"}, {"kind": "done"})
    await conversation(agents.lent("a/x", stream), asked, read)
    assert stream.closed == 1
    assert agents.lend("a/x") is None


async def test_one_whose_stream_has_ended_is_not_lent():
    agents, stream = KeptAgents(), Stream(LISTENING)
    await conversation(agents.lent("a/x", stream), 1, 1)
    stream.failure = "the stream broke"
    assert agents.lend("a/x") is None


@pytest.mark.parametrize(
    "said", [b"nonsense", b"\xff\xfe", b'{"x": "\xff"}', b'{"x": ' + b"[" * 100_000, b"[]", b'{"kind": 5}', b""]
)
async def test_one_that_says_what_is_no_answer_is_ended(said):
    agents, stream = KeptAgents(), Stream(LISTENING)
    lent = agents.lent("a/x", stream)
    await lent.send(b"{}")
    await lent.receive()
    stream.said = said
    assert await lent.receive() == said
    await lent.close()
    assert stream.closed == 1


async def test_the_agents_of_pods_that_go_and_in_the_end_all_are_ended():
    agents = KeptAgents()
    streams = {name: Stream(LISTENING) for name in ("a/x", "a/y", "a/z")}
    for name, stream in streams.items():
        await conversation(agents.lent(name, stream), 1, 1)
    await agents.end(["a/x", "a/unknown"])
    assert [stream.closed for stream in streams.values()] == [1, 0, 0]
    await agents.end()
    assert [stream.closed for stream in streams.values()] == [1, 1, 1]
