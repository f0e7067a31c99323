"""Reading a cluster of 100,000 pods, 2,000 nodes, 2,000 namespaces and 10,000 policies from an API server on loopback,
page by page: ``python -m tests.bench.reading [TEAMS]``. No part of all benchmarks.

Pods are as large as API servers give them, managedFields included. The server is this process; what is measured is
another one, which reads and plans nothing.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml
from aiohttp import web

from tests.bench.clusters import Document, platform
from tests.bench.measure import say

TEAMS, PODS, NODES = 2000, 50, 2000
SECONDS, MOST = 30.0, 500.0
PATHS = {
    "Node": "/api/v1/nodes",
    "Namespace": "/api/v1/namespaces",
    "Pod": "/api/v1/pods",
    "Service": "/api/v1/services",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/networkpolicies",
}
SPEC = "f:containers f:image f:imagePullPolicy f:ports f:resources f:env f:volumeMounts f:dnsPolicy f:restartPolicy"
FIELDS: Document = {"f:spec": {f"{name}-{number}": {} for number in range(12) for name in SPEC.split()}}
"""What every pod of a Deployment carries about who set which of its fields."""
READ = """
import asyncio, resource, sys, time
from auditor.cluster.kubernetes.client.config import connect
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.client.server import ApiServer
from auditor.cluster.kubernetes.reading import read_cluster

async def read():
    async with ApiServer(await connect(ConnectionOptions(kubeconfig=sys.argv[1]))) as api:
        began = time.monotonic()
        live = await read_cluster(api)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        print(len(live.snapshot.endpoints), len(live.snapshot.policies), time.monotonic() - began,
              usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, api.calls, api.received)

asyncio.run(read())
"""


def documents(teams: int) -> Iterator[Document]:
    """The cluster, with pods as an API server has them."""
    for made in platform(teams, pods=PODS, nodes=NODES, crons=True):
        if made["kind"] == "Pod":
            made["metadata"]["managedFields"] = [{"manager": "kubelet", "operation": "Update", "fieldsV1": FIELDS}]
        yield made


class Server:
    """An API server with lists of ``documents`` and nothing else. ``pages`` are by path and place."""

    def __init__(self, documents: Iterator[Document]) -> None:
        self._items: dict[str, list[bytes]] = {path: [] for path in PATHS.values()}
        for made in documents:
            path = PATHS[made.pop("kind")]
            made.pop("apiVersion")
            self._items[path].append(json.dumps(made).encode())

    async def answer(self, request: web.Request) -> web.Response:
        """One page."""
        if request.path == "/apis":
            return web.json_response({"kind": "APIGroupList", "groups": []})
        items = self._items.get(request.path)
        if items is None:
            status = {"kind": "Status", "reason": "NotFound", "message": "not found", "code": 404}
            return web.json_response(status, status=404)
        first, most = int(request.query.get("continue", 0)), int(request.query.get("limit", len(items)))
        following = str(first + most) if first + most < len(items) else ""
        metadata = json.dumps({"resourceVersion": "1", "continue": following}).encode()
        body = b'{"kind":"List","metadata":%b,"items":[%b]}' % (metadata, b",".join(items[first : first + most]))
        return web.Response(body=body, content_type="application/json")


async def measure(teams: int) -> None:
    """Serve, have it read, and print."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", Server(documents(teams)).answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config"
        config.write_text(yaml.safe_dump(kubeconfig(url)), encoding="utf-8")
        reading = await asyncio.create_subprocess_exec(sys.executable, "-c", READ, str(config), stdout=subprocess.PIPE)
        said, _ = await reading.communicate()
    await runner.cleanup()
    ends, policies, wall, seconds, memory, calls, received = map(float, said.split())
    say(
        f"reading {ends:,.0f} pods and nodes, {policies:,.0f} policies",
        f"{seconds:.1f} s",
        f"limit {SECONDS:g} s; {wall:.1f} s on the clock; {memory:.0f} MiB of {MOST:.0f}; {calls:.0f} requests, "
        f"{received / 2**20:.0f} MiB",
    )


def kubeconfig(server: str) -> Document:
    """One that names ``server``."""
    return {
        "current-context": "bench",
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "clusters": [{"name": "bench", "cluster": {"server": server}}],
        "users": [{"name": "bench", "user": {"token": "none"}}],
    }


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else TEAMS))
