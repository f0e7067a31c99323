"""A small API server on loopback: lists with pages, and whatever fault a test plans. In a thread, so that commands can
be tested.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict

import yaml
from aiohttp import web


class FakeApi:
    """``objects`` by the path of their list for all namespaces; ``faults`` by path: answers to give first, one per
    request.
    """

    def __init__(self, objects, groups=None):
        self.objects = objects
        self.groups = groups or {}
        self.faults = defaultdict(list)
        self.requests = []
        self.queries = []
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve)
        self._ready = threading.Event()
        self._stop = asyncio.Event()

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def paths(self):
        return [path for path, _, _ in self.requests]

    def kubeconfig(self, directory, name="config", **changes):
        """Writes a kubeconfig for this server; returns its path. ``changes``: more fields of its user and cluster."""
        config = {
            "current-context": "fake",
            "contexts": [{"name": "fake", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": self.url, **changes.get("cluster", {})}}],
            "users": [{"name": "u", "user": changes.get("user", {"token": "secret-token"})}],
        }
        path = directory / name
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return str(path)

    def _serve(self):
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._run())
        finally:
            self._loop.close()

    async def _run(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request):
        self.requests.append((request.path, dict(request.query), request.headers.copy()))
        self.queries.append(request.query.copy())
        if self.faults[request.path]:
            fault = self.faults[request.path].pop(0)
            if fault is not None:
                return await fault(request) if callable(fault) else fault
        if request.path == "/apis":
            versions = [
                {"name": name, "preferredVersion": {"version": version}} for name, (version, _) in self.groups.items()
            ]
            return web.json_response({"kind": "APIGroupList", "groups": versions})
        for name, (version, resources) in self.groups.items():
            if request.path == f"/apis/{name}/{version}":
                return web.json_response(
                    {"kind": "APIResourceList", "resources": [{"name": resource} for resource in resources]}
                )
        return self._list(request)

    def _list(self, request):
        path, namespace = request.path, None
        parts = path.split("/")
        if "namespaces" in parts and len(parts) > (at := parts.index("namespaces")) + 1:
            namespace = parts[at + 1]
            if len(parts) == at + 2:
                found = [item for item in self.objects["/api/v1/namespaces"] if item["metadata"]["name"] == namespace]
                return web.json_response(found[0]) if found else refusal(404, f'namespaces "{namespace}" not found')
            path = "/".join(parts[:at] + parts[at + 2 :])
        if path not in self.objects:
            return refusal(404, "the server could not find the requested resource")
        items = [
            item for item in self.objects[path] if namespace is None or item["metadata"].get("namespace") == namespace
        ]
        start, limit = int(request.query.get("continue", 0)), int(request.query.get("limit", 0)) or len(items)
        metadata = {"resourceVersion": "42"}
        if start + limit < len(items):
            metadata["continue"] = str(start + limit)
        return web.json_response(
            {"kind": "SomeList", "metadata": metadata, "items": items[start : start + limit] or None}
        )


class KeepingApi(FakeApi):
    """Keeps single objects, by path, as an API server does: a write has to name the version that it replaces."""

    def __init__(self, groups=None):
        super().__init__({}, groups)
        self.kept = {}
        self.calls = []
        self.after_a_read = lambda: None

    async def _answer(self, request):
        if request.path.count("/") < 4 or self.faults[request.path]:
            return await super()._answer(request)
        self.calls.append((request.method, request.path))
        path = request.path
        body = json.loads(await request.read() or b"null")
        if request.method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.kept:
                return refusal(409, "there already", reason="AlreadyExists")
        elif path not in self.kept:
            return refusal(404, "not found", reason="NotFound")
        elif request.method == "PUT" and body["metadata"].get("resourceVersion") != self._version(path):
            return refusal(409, "another version", reason="Conflict")
        if body is not None:
            version = str(len(self.calls))
            self.kept[path] = {**body, "metadata": {**body["metadata"], "resourceVersion": version}}
        answer = web.json_response(self.kept[path])
        if request.method == "GET":
            self.after_a_read()
        return answer

    def _version(self, path):
        return self.kept[path]["metadata"]["resourceVersion"]


def refusal(code, message="", headers=None, reason=""):
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    return web.json_response(body, status=code, headers=headers)


def refused(code, message="", headers=None, reason=""):
    """A fault that can be planned any number of times."""

    async def answer(_request):
        return refusal(code, message, headers, reason)

    return answer


async def silence(_request):
    await asyncio.sleep(60)


async def broken(request):
    """A connection that ends without an answer."""
    request.transport.abort()
    return web.Response()


def websocket(play, protocol="v4.channel.k8s.io"):
    """A fault that opens a websocket, if it is asked for ``protocol``, and lets ``play`` have it."""

    async def answer(request):
        if protocol not in request.headers["Sec-WebSocket-Protocol"].split(","):
            return web.Response(status=403)
        socket = web.WebSocketResponse(protocols=(protocol,), autoping=False)
        await socket.prepare(request)
        await play(socket)
        return socket

    return answer
