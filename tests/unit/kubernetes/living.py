"""The API server in memory with life in it: watches tell what happens, a kubelet starts pods, and any request may meet
a cancellation.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections import defaultdict
from contextlib import asynccontextmanager
from ipaddress import ip_address
from itertools import count

import aiohttp

from auditor.cluster.kubernetes.client.errors import RefusedError
from auditor.cluster.kubernetes.live import Deployment, LiveCluster
from auditor.cluster.kubernetes.session.changes import NAMESPACES, POLICIES
from auditor.model.errors import ClusterError
from auditor.model.probe_pod import ProbePod
from auditor.model.snapshot import Endpoint, EndpointKind, Namespace, Snapshot
from auditor.probing.options import NoProgress
from tests.unit.kubernetes.store import Store, split

RUN = "11111111"
PROD_POLICIES = "/apis/networking.k8s.io/v1/namespaces/prod/networkpolicies"


def running(number):
    """The status of a pod that runs, and that its kubelet reaches."""
    address = f"10.0.0.{number}"
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": "192.0.2.1",
        "containerStatuses": [{"name": "agent", "ready": True, "state": {"running": {}}}],
    }


class Objects(dict):
    """Objects by path, which tell of what becomes of them."""

    def __init__(self, told):
        super().__init__()
        self._told = told

    def __setitem__(self, path, item):
        kind = "MODIFIED" if path in self else "ADDED"
        super().__setitem__(path, item)
        self._told(path, kind, item)

    def __delitem__(self, path):
        item = self[path]
        super().__delitem__(path)
        self._told(path, "DELETED", item)


class LivingStore(Store):
    """``start`` gives the status that the kubelet makes of a pod, by its number; None leaves it pending. ``faults`` by
    path are raised by watches, one each. ``stuck`` pods only go by force; ``away``: nobody answers. ``cancel_at`` is
    the number of the step, two in each request, at which ``main`` is cancelled; ``insisting``: and at each one after
    it."""

    def __init__(self, *objects):
        super().__init__()
        self.first_pause = 0.0
        self.patience = self.sent = 0
        self.note_failure = lambda: None
        self.is_disturbed = lambda: False
        self.log = []
        self.news = asyncio.Event()
        self.objects = Objects(self._tell)
        self.start = lambda number, _pod: running(number)
        self.faults = defaultdict(list)
        self.stuck = self.away = False
        self.main = self.cancel_at = None
        self.insisting = False
        self.steps = count()
        self.started = 0
        for collection, item in objects:
            self.put(collection, item)

    def _tell(self, path, kind, item):
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        self.log.append((self._version, path.rpartition("/")[0], kind, copy.deepcopy(item)))
        news, self.news = self.news, asyncio.Event()
        news.set()

    async def step(self):
        number = next(self.steps)
        if self.cancel_at is not None and (number >= self.cancel_at if self.insisting else number == self.cancel_at):
            self.main.cancel()
        await asyncio.sleep(0)

    async def send(self, method, question, body=None, parameters=None, *, content_type=""):
        await self.step()
        if self.away:
            raise ClusterError(f"{self.place}: can't be reached, tried for {self.patience:g} s")
        answer = await super().send(method, question, body, parameters)
        await self.step()
        return answer

    def _create(self, path, resource, body, parameters):
        answer = super()._create(path, resource, body, parameters)
        if resource == "pods" and answer[0] == 201 and not parameters.get("dryRun"):
            self.started += 1
            asyncio.get_running_loop().call_soon(self._start, f"{path}/{answer[1]['metadata']['name']}", self.started)
        return answer

    def _start(self, path, number):
        status = self.start(number, self.objects[path]) if path in self.objects else None
        if status is not None:
            pod = copy.deepcopy(self.objects[path])
            pod["spec"]["nodeName"] = "node-1"
            pod["status"] = status
            self.objects[path] = pod

    def _answer(self, method, question, body, parameters):
        if question.path == "/apis":
            return super()._answer(method, question, body, parameters)
        namespace, resource = split(question.path)
        if question.verb == "deletecollection" and (question.verb, resource, namespace) not in self.denied:
            if not self.stuck or body.get("gracePeriodSeconds") == 0:
                for path in self._selected(question.path, parameters):
                    self.discard(path)
            return 200, {"kind": "Status"}
        if method == "PATCH" and (question.verb, resource, namespace) not in self.denied:
            return self._join(
                question.path.removesuffix("/ephemeralcontainers"), body["spec"]["ephemeralContainers"][0]
            )
        return super()._answer(method, question, body, parameters)

    def _join(self, path, container):
        if path not in self.objects:
            return 404, ("NotFound", "no such pod")
        pod = copy.deepcopy(self.objects[path])
        self.started += 1
        status = self.start(self.started, pod)["containerStatuses"][0]
        pod["status"]["ephemeralContainerStatuses"] = [{**status, "name": container["name"]}]
        self.objects[path] = pod
        return 200, pod

    def _selected(self, collection, parameters):
        key, _, value = parameters["labelSelector"].partition("=")
        items = [(path, item) for path, item in self.objects.items() if path.startswith(f"{collection}/")]
        name = parameters.get("fieldSelector", "").removeprefix("metadata.name=")
        return [
            path for path, item in items if item["metadata"].get("labels", {}).get(key) == value and path.endswith(name)
        ]

    def _list(self, path, namespace, resource, parameters):
        status, answer = super()._list(path, namespace, resource, parameters)
        if "items" in answer:
            answer["metadata"]["resourceVersion"] = str(self._version)
        return status, answer

    @asynccontextmanager
    async def stream(self, question, parameters, *, silence):
        self.requests.append(("WATCH", question.path))
        await self.step()
        if self.faults[question.path]:
            raise self.faults[question.path].pop(0)
        yield Content(self, question.path, parameters)

    def delete(self, path):
        del self.objects[path]
        self.collect_garbage()


class Content:
    """The answer to one watch."""

    def __init__(self, store, path, parameters):
        self._store = store
        self._resource = split(path)[1]
        self._seen = int(parameters.get("resourceVersion", 0))
        self._key, _, self._value = parameters.get("labelSelector", "").partition("=")
        self._path = path

    async def iter_any(self):
        while True:
            news = self._store.news
            for version, collection, kind, item in list(self._store.log):
                mine = split(collection)[1] == self._resource and (
                    not self._key or item["metadata"].get("labels", {}).get(self._key) == self._value
                )
                if version > self._seen and mine:
                    item["metadata"]["resourceVersion"] = str(version)
                    yield json.dumps({"type": kind, "object": item}).encode() + b"\n"
                self._seen = max(self._seen, version)
            if self._store.faults[self._path]:
                raise aiohttp.ServerDisconnectedError
            await news.wait()


EXPIRED = RefusedError(410, {}, b"{}")
FORBIDDEN = RefusedError(403, {}, json.dumps({"message": 'User "u" cannot watch resource "networkpolicies"'}).encode())


def namespace(name, **labels):
    return "/api/v1/namespaces", {"metadata": {"name": name, "labels": {**labels, "kubernetes.io/metadata.name": name}}}


def policy(name, *allowed, of="prod", app="db", **spec):
    """A policy that lets nobody in to ``app`` but pods with the ``allowed`` values of the label app, of the same
    namespace.
    """
    peers = [{"podSelector": {"matchLabels": {"app": each}}} for each in allowed]
    rules = [{"from": peers}] if peers else []
    made = {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": ["Ingress"], "ingress": rules, **spec}
    return f"/apis/networking.k8s.io/v1/namespaces/{of}/networkpolicies", {
        "metadata": {"name": name, "namespace": of},
        "spec": made,
    }


def pod(name, app, *addresses):
    place = name.partition("/")[0]
    return Endpoint(name, EndpointKind.POD, place, {"app": app}, tuple(map(ip_address, addresses)), node="node-1")


WORKLOADS = (
    pod("dev/api-1", "api", "10.1.0.1"),
    pod("prod/db-1", "db", "10.1.0.2"),
    pod("prod/web-1", "web", "10.1.0.3"),
)
PROBES = tuple(
    ProbePod(f"{one.namespace}/{one.labels['app']}", one.namespace, one.labels, (), "", (one.name,))
    for one in WORKLOADS
)
NAMES = tuple(probe.name for probe in PROBES)


def world(*objects):
    return LivingStore(namespace("dev", team="dev"), namespace("prod", team="prod"), *objects)


def versions(store):
    return {question.path: str(store._version) for question in (POLICIES, NAMESPACES)}


def snapshot(endpoints, policies=()):
    return Snapshot({name: Namespace.of(name, {"team": name}) for name in ("dev", "prod")}, endpoints, tuple(policies))


def live(store, **changes):
    """A LiveCluster with one probe pod for each of the workloads."""
    stand_ins = tuple(Endpoint(probe.name, EndpointKind.POD, probe.namespace, probe.labels) for probe in PROBES)
    said = {
        "snapshot": snapshot(stand_ins),
        "workloads": snapshot(WORKLOADS),
        "probes": PROBES,
        "versions": versions(store),
        **changes,
    }
    return LiveCluster(store, RUN, Deployment(**said), NoProgress(), str)


def ours(store):
    """What of a run's objects is there."""
    return [
        path
        for path, item in store.objects.items()
        if item["metadata"].get("labels", {}).get("netpol-audit/run") == RUN
    ]


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - whatever the condition is
            await asyncio.sleep(0.001)
