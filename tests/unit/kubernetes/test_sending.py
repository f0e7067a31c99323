from __future__ import annotations

import socket

import pytest
from aiohttp import web

from auditor.cluster.kubernetes.client.config import connect
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.client.server import (
    AdmissionError,
    ApiServer,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    Question,
)
from auditor.model.errors import ClusterError
from tests.unit.kubernetes.fake_api import broken, refused

PATH = "/api/v1/namespaces/prod/pods"
CREATE = Question(PATH, "create", "pods", " in namespace prod")
DELETE = Question(PATH, "delete", "pods", " in namespace prod")
EXISTS = refused(409, 'pods "a" already exists', reason="AlreadyExists")


async def created(request):
    return web.json_response(
        {"echo": await request.text(), "type": request.headers["Content-Type"], "method": request.method}, status=201
    )


async def server(api, tmp_path, **options):
    return ApiServer(
        await connect(ConnectionOptions(kubeconfig=api.kubeconfig(tmp_path), qps=10_000)), first_pause=0.01, **options
    )


async def send(api, tmp_path, method="POST", question=CREATE, *, patience=0, **more):
    async with await server(api, tmp_path, patience=patience) as live:
        return await live.send(method, question, more.pop("body", {"a": 1}), **more)


async def test_a_body_goes_out_and_bytes_are_counted(api, tmp_path):
    api.faults[PATH] = [created, created]
    async with await server(api, tmp_path) as live:
        answer = await live.send("POST", CREATE, {"a": 1}, {"dryRun": "All"})
        assert answer == b'{"echo": "{\\"a\\":1}", "type": "application/json", "method": "POST"}'
        patched = await live.send("PATCH", CREATE, b"[]", content_type="application/json-patch+json")
        assert b'"type": "application/json-patch+json", "method": "PATCH"' in patched
        assert (live.calls, live.sent, live.received) == (2, 9, len(answer) + len(patched))
    assert api.requests[0][1] == {"dryRun": "All"}


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (
            refused(403, 'pods is forbidden: User "eve" cannot create resource "pods" in API group ""'),
            ForbiddenError,
            "grant it the verb create",
        ),
        (
            refused(403, 'pods "a" is forbidden: exceeded quota: q'),
            AdmissionError,
            r"refused to create pods .*: exceeded quota: q",
        ),
        (refused(403, "namespace prod is being terminated"), AdmissionError, "being terminated"),
        (refused(400, 'admission webhook "w" denied the request: no'), AdmissionError, r"\(400\): admission webhook"),
        (refused(422, "metadata.name: Invalid value"), InvalidError, "object is not valid"),
        (refused(404, "namespace not found"), NotFoundError, "can't create pods"),
        (EXISTS, ConflictError, "already exists"),
    ],
)
async def test_refusals_are_told_apart(api, tmp_path, answer, kind, text):
    api.faults[PATH] = [answer]
    with pytest.raises(kind, match=text):
        await send(api, tmp_path)
    assert len(api.requests) == 1


async def test_a_conflict_says_why_and_that_every_answer_came(api, tmp_path):
    api.faults[PATH] = [refused(429), EXISTS]
    with pytest.raises(ConflictError) as caught:
        await send(api, tmp_path)
    assert (caught.value.reason, caught.value.after_lost_answer) == ("AlreadyExists", False)


@pytest.mark.parametrize("lost", [broken, refused(504), refused(503)])
async def test_a_conflict_after_a_lost_answer_says_so(api, tmp_path, lost):
    api.faults[PATH] = [lost, EXISTS]
    with pytest.raises(ConflictError) as caught:
        await send(api, tmp_path)
    assert caught.value.after_lost_answer


async def test_what_could_be_done_twice_is_not_tried_again(api, tmp_path):
    api.faults[PATH] = [broken, created]
    with pytest.raises(ClusterError, match="the connection failed"):
        await send(api, tmp_path, "PATCH", content_type="application/json-patch+json")
    assert len(api.requests) == 1


@pytest.mark.parametrize(("method", "asked"), [("POST", 1), ("DELETE", 2)])
async def test_an_internal_error_is_tried_again_where_it_does_no_harm(api, tmp_path, method, asked):
    api.faults[PATH] = [refused(500, "boom")] + [created] * 3
    try:
        await send(api, tmp_path, method, DELETE if method == "DELETE" else CREATE)
    except ClusterError as error:
        assert "answered 500, asked to" in str(error)  # noqa: PT017 - only one of the two raises
    assert len(api.requests) == asked


async def test_patience_outlasts_more_failures_than_usual(api, tmp_path):
    api.faults[PATH] = (
        [broken] * 6 + [refused(403, 'User "u" cannot create resource "pods" in')] + [refused(401), created]
    )
    assert b"echo" in await send(api, tmp_path, patience=60)
    assert len(api.requests) == 9


async def test_without_patience_they_are_an_error(api, tmp_path):
    api.faults[PATH] = [broken] * 6
    with pytest.raises(ClusterError, match="the connection failed"):
        await send(api, tmp_path)
    assert len(api.requests) == 4


async def test_patience_ends(api, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        api.url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(ClusterError, match=r"can't be reached: connection refused: check"):
        await send(api, tmp_path, patience=0.1)


async def test_a_refusal_long_after_a_failure_is_told_at_once(api, tmp_path):
    api.faults[PATH] = [refused(403, 'User "u" cannot create resource "pods" in')]
    with pytest.raises(ForbiddenError):
        await send(api, tmp_path, patience=60)
    assert len(api.requests) == 1
