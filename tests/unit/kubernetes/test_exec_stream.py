from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import WSMsgType, web

from auditor.cluster.kubernetes.client import exec as exec_stream
from auditor.cluster.kubernetes.client.exec import FRAME, open_exec
from auditor.cluster.kubernetes.client.server import ForbiddenError, NotFoundError
from auditor.model.errors import ClusterError
from tests.unit.kubernetes.fake_api import broken, refused, websocket
from tests.unit.kubernetes.test_sending import server

PATH = "/api/v1/namespaces/prod/pods/probe/exec"


def status(code=None, message=""):
    if code == 0:
        return b"\x03" + json.dumps({"status": "Success"}).encode()
    causes = [{"reason": "ExitCode", "message": str(code)}] if code is not None else []
    return b"\x03" + json.dumps({"status": "Failure", "message": message, "details": {"causes": causes}}).encode()


def saying(*frames, protocol="v4.channel.k8s.io"):
    async def play(socket):
        for frame in frames:
            await socket.send_bytes(frame)
        await socket.close()

    return websocket(play, protocol)


def plain(text):
    async def answer(_request):
        return web.Response(text=text, status=500)

    return answer


async def talk(api, tmp_path, fault):
    """Every line of the stream that ``fault`` gives, and the stream after its end."""
    api.faults[PATH] = fault if isinstance(fault, list) else [fault]
    async with await server(api, tmp_path) as live:
        stream = await open_exec(live, "prod", "probe", "agent", ["python3", "-c", "x y"])
        lines = []
        while line := await stream.receive():
            lines.append(line)
        assert await stream.receive() == b""
        await stream.close()
        await stream.close()
        return lines, stream


async def test_lines_are_put_together_and_cut_apart(api, tmp_path):
    lines, stream = await talk(
        api, tmp_path, saying(b"\x01", b"\x01on", b"\x02no", b"\x01e\ntwo\nthr", b"\x01ee\nrest", status(0))
    )
    assert lines == [b"one\n", b"two\n", b"three\n"]
    assert (stream.failure, stream.broken) == ("the process ended with exit code 0: no", False)
    query = api.queries[0]
    assert query.getall("command") == ["python3", "-c", "x y"]
    assert (query["container"], query["stdin"], query["stdout"], query["stderr"]) == ("agent", "true", "true", "true")


@pytest.mark.parametrize(
    ("frames", "failure", "broken"),
    [
        ([b"\x02" + b"x" * 400 + b"\nnot found\n", status(127)], "the process ended with exit code 127: xx", False),
        ([status(137)], "the process was killed (exit code 137)", False),
        ([status(None, "no such container")], "the process could not be started or followed: no such container", False),
        ([b"\x03what"], "the process could not be started or followed: what", False),
        ([], "the stream broke: the server closed it", True),
    ],
)
async def test_why_it_ended(api, tmp_path, frames, failure, broken):
    _, stream = await talk(api, tmp_path, saying(*frames))
    assert stream.failure.startswith(failure)
    assert len(stream.failure) < 400
    assert stream.broken is broken


async def test_a_protocol_that_is_refused_is_followed_by_the_other(api, tmp_path):
    answer = saying(b"\x01hi\n", status(0), protocol="v5.channel.k8s.io")
    assert (await talk(api, tmp_path, [answer, answer]))[0] == [b"hi\n"]
    assert len(api.requests) == 2


async def test_what_is_sent_arrives_in_small_frames(api, tmp_path):
    frames = []

    async def play(socket):
        while sum(map(len, frames)) - len(frames) < 100_001:
            frames.append((await socket.receive()).data)
        await socket.send_bytes(b"\x01done\n")

    api.faults[PATH] = [websocket(play)]
    async with await server(api, tmp_path) as live:
        stream = await open_exec(live, "prod", "probe", "agent", ["x"])
        await stream.send(b"y" * 100_000 + b"\n")
        assert await stream.receive() == b"done\n"
        assert b"".join(frame[1:] for frame in frames) == b"y" * 100_000 + b"\n"
        assert {frame[0] for frame in frames} == {0}
        assert max(map(len, frames)) <= FRAME + 1
        assert (live.calls, live.sent, live.received) == (1, 100_001 + len(frames), 6)
        await stream.close()
        with pytest.raises(ConnectionError):
            await stream.send(b"more\n")


async def test_silence_is_asked_about_and_then_the_end(api, tmp_path, monkeypatch):
    monkeypatch.setattr(exec_stream, "HEARTBEAT", 0.5)
    asked = []

    async def play(socket):
        for _ in range(3):
            message = await socket.receive()
            asked.append(message.type)
            await socket.pong(message.data)
        await socket.send_bytes(b"\x01late\n")
        await asyncio.sleep(60)

    lines, stream = await talk(api, tmp_path, websocket(play))
    assert lines == [b"late\n"]
    assert asked == [WSMsgType.PING] * 3
    assert (stream.failure, stream.broken) == ("the stream broke: silent for 1 s", True)


@pytest.mark.parametrize("end", [b"", b"\n"])
async def test_a_line_that_is_too_long_is_cut_off(api, tmp_path, end):
    with pytest.raises(ConnectionError, match="a line of more than 1 MiB"):
        await talk(api, tmp_path, saying(*[b"\x01" + b"x" * (1 << 16)] * 16, b"\x01x" + end, b"\x01x"))


async def test_a_message_that_no_kubelet_sends_breaks_the_stream(api, tmp_path):
    lines, stream = await talk(api, tmp_path, saying(b"\x01" + b"x" * (3 << 20)))
    assert lines == []
    assert stream.broken
    assert len(stream._stdout) == 0


@pytest.mark.parametrize(
    "frame",
    [
        status(message="\x1b[2J" * 100_000),
        status("9" * 5000),
        status("\u0663" * 20, "\u202e" * 1000),
        b"\x03" + b"[" * 200_000,
        b"\x03" + b'{"message": ' * 200_000,
        b"\x03" + b"\xff\x1b\n" * 100_000,
    ],
)
async def test_a_hostile_end_is_told_in_few_printable_words(api, tmp_path, frame):
    lines, stream = await talk(api, tmp_path, saying(b"\x02" + b"\x1b]0;pwned\x07" * 1000, frame))
    assert lines == []
    assert stream.failure
    assert stream.failure.isprintable()
    assert len(stream.failure) < 400


async def test_what_an_ended_process_said_last_is_printable(api, tmp_path):
    _, stream = await talk(api, tmp_path, saying(b"\x02\x1b[31mNo such\nfile \xff\x00", status(2)))
    assert stream.failure == "the process ended with exit code 2: \\x1b[31mNo such file \ufffd\\x00"


async def test_a_cancelled_receive_loses_nothing(api, tmp_path):
    async def play(socket):
        await socket.send_bytes(b"\x01one ")
        await socket.receive()
        await socket.send_bytes(b"\x01line\n")

    api.faults[PATH] = [websocket(play)]
    async with await server(api, tmp_path) as live:
        stream = await open_exec(live, "prod", "probe", "agent", ["x"])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.receive(), 0.1)
        await stream.send(b"go\n")
        assert await stream.receive() == b"one line\n"
        await stream.close()


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        (
            refused(403, 'User "u" cannot create resource "pods/exec"'),
            ForbiddenError,
            r"cannot create .* both create pods/exec and get pods/exec",
        ),
        (refused(404, 'pods "probe" not found'), NotFoundError, 'pods "probe" not found'),
        (refused(500, "container not found"), ClusterError, "answered 500, .*: container not found"),
        (plain("container not found (probe)"), ClusterError, r"answered 500, .*: container not found \(probe\)"),
        (plain("<html>"), ClusterError, r"answered 500, asked to create pods/exec in pod prod/probe$"),
        (refused(200), ClusterError, "answered 200"),
        (broken, ClusterError, "the connection failed"),
    ],
)
async def test_a_stream_that_is_refused(api, tmp_path, fault, kind, text):
    with pytest.raises(kind, match=text):
        await talk(api, tmp_path, [fault, fault])
