from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest
from aiohttp import web

from auditor.cluster.kubernetes.client import watch as watching
from auditor.cluster.kubernetes.client.server import ExpiredError, ForbiddenError, Question
from auditor.cluster.kubernetes.client.watch import watch
from auditor.model.errors import ClusterError
from tests.unit.kubernetes.fake_api import broken, refused
from tests.unit.kubernetes.test_sending import server

PATH = "/api/v1/pods"
WATCH = Question(PATH, "watch", "pods", " in all namespaces")


def line(kind, version, **fields):
    return (
        json.dumps({"type": kind, "object": {"metadata": {"resourceVersion": str(version)}, **fields}}).encode() + b"\n"
    )


def streaming(*pieces, end=None):
    async def answer(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        if end == "wait":
            await asyncio.sleep(60)
        if end == "break":
            await asyncio.sleep(0.05)
            request.transport.abort()
        return response

    return answer


async def events(api, tmp_path, count, version="5"):
    found = []
    async with await server(api, tmp_path) as live, aclosing(watch(live, WATCH, version)) as watched:
        async for event in watched:
            found.append((event.kind, event.resource_version))
            if len(found) == count:
                return found
    return found


async def test_a_watch_goes_on_from_the_last_version_however_it_ends(api, tmp_path):
    text = line("ADDED", 6) + line("MODIFIED", 7)
    api.faults[PATH] = [
        streaming(text[:10], text[10:]),
        broken,
        refused(503),
        streaming(line("BOOKMARK", 20), line("ADDED", 21)[:-5], end="break"),
        streaming(line("DELETED", 22), end="wait"),
    ]
    assert await events(api, tmp_path, 4) == [("ADDED", "6"), ("MODIFIED", "7"), ("BOOKMARK", "20"), ("DELETED", "22")]
    assert [query["resourceVersion"] for query in api.queries] == ["5", "7", "7", "7", "20"]
    assert {(query["watch"], query["allowWatchBookmarks"], query["timeoutSeconds"]) for query in api.queries} == {
        ("true", "true", "240")
    }


@pytest.mark.parametrize(
    "end", [refused(410, "too old"), streaming(b'{"type":"ERROR","object":{"kind":"Status","code":410}}\n')]
)
async def test_a_forgotten_version_is_told(api, tmp_path, end):
    api.faults[PATH] = [streaming(line("ADDED", 6)), end]
    with pytest.raises(ExpiredError):
        await events(api, tmp_path, 2)


async def test_a_refusal_ends_it(api, tmp_path):
    api.faults[PATH] = [refused(403, "no")]
    with pytest.raises(ForbiddenError, match="grant it the verb watch on pods"):
        await events(api, tmp_path, 1)


async def test_it_does_not_fail_forever(api, tmp_path):
    api.faults[PATH] = [broken] * 10
    with pytest.raises(ClusterError, match="the connection failed, asked to watch pods"):
        await events(api, tmp_path, 1)


async def test_silence_breaks_it(api, tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "SILENCE_SECONDS", 0.5)
    api.faults[PATH] = [streaming(line("ADDED", 6), end="wait"), streaming(line("ADDED", 7), end="wait")]
    assert await events(api, tmp_path, 2) == [("ADDED", "6"), ("ADDED", "7")]


async def test_a_cancelled_watch_leaves_no_connection(api, tmp_path):
    api.faults[PATH] = [streaming(line("ADDED", 6), end="wait")]
    seen = asyncio.Event()
    async with await server(api, tmp_path) as live:

        async def follow():
            async for _ in watch(live, WATCH, "5"):
                seen.set()

        task = asyncio.create_task(follow())
        await asyncio.wait_for(seen.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not live._session.connector._acquired
