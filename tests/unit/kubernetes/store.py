"""An API server in memory, behind the interface of ApiServer: objects with uids and versions, owners, dry runs,
admission and RBAC.
"""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from auditor.cluster.kubernetes.client.errors import refusal

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubject"
TIERS = "policy.networking.k8s.io"
GROUPS = {"coordination.k8s.io", "policy", "discovery.k8s.io", "networking.k8s.io"}


def stamp(time):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """``now`` is the server's clock. ``denied``: (verb, resource, namespace) that RBAC refuses, "" for cluster-wide
    alone. ``admit`` may raise or change a pod in a dry run. ``requests`` are (method, path), ``broken`` paths answer
    with 500. ``serves`` has, by version, the resources of administrators' policies that are installed."""

    def __init__(self, *objects):
        self.now = datetime(2026, 1, 1, 12, tzinfo=UTC)
        self.objects = {}
        self.denied = set()
        self.admit = lambda pod: pod
        self.broken = set()
        self.requests = []
        self.before = lambda method, path: None
        self.calls = self.received = 0
        self.qps = 50.0
        self.place = "https://server (context test)"
        self.connection = SimpleNamespace(server="https://server", context="test")
        self.serves = {}
        self._version = 0
        for collection, item in objects:
            self.put(collection, item)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    def pass_time(self, **duration):
        self.now += timedelta(**duration)

    def put(self, collection, item):
        """Adds ``item`` to the collection at this path; returns it as stored."""
        self._version += 1
        item = copy.deepcopy(item)
        metadata = item["metadata"]
        metadata.setdefault("uid", f"uid-{self._version}")
        metadata.setdefault("creationTimestamp", stamp(self.now))
        self._touch(metadata)
        self.objects[f"{collection}/{metadata['name']}"] = item
        return item

    def names(self, resource):
        return sorted(path.rpartition("/")[2] for path in self.objects if f"/{resource}/" in path)

    def remove(self, path):
        """Deletes what is at ``path``, as far as no finalizer keeps it."""
        self.discard(path)
        self.collect_garbage()

    def collect_garbage(self):
        uids = {item["metadata"]["uid"] for item in self.objects.values()}
        for path, item in list(self.objects.items()):
            owners = item["metadata"].get("ownerReferences", [])
            if owners and path in self.objects and not uids & {owner["uid"] for owner in owners}:
                self.discard(path)

    def discard(self, path):
        """Deletes what is at ``path`` unless a finalizer keeps it, which is marked then."""
        item = copy.deepcopy(self.objects[path])
        if not item["metadata"].get("finalizers"):
            del self.objects[path]
        elif "deletionTimestamp" not in item["metadata"]:
            item["metadata"]["deletionTimestamp"] = stamp(self.now)
            self.objects[path] = item

    def _touch(self, metadata):
        self._version += 1
        metadata["resourceVersion"] = str(self._version)
        metadata["managedFields"] = [{"manager": "x", "time": stamp(self.now)}]

    async def get(self, question, parameters=None):
        return await self.send("GET", question, parameters=parameters)

    async def send(self, method, question, body=None, parameters=None):
        self.requests.append((method, question.path))
        self.calls += 1
        self.before(method, question.path)
        status, answer = self._answer(method, question, body or {}, parameters or {})
        if status >= 400:
            reason, message = answer
            told = json.dumps({"kind": "Status", "reason": reason, "message": message}).encode()
            raise refusal(self.place, question, status, told)
        return json.dumps(answer).encode()

    def _answer(self, method, question, body, parameters):
        path = question.path
        if path in self.broken:
            return 500, ("InternalError", "out of order")
        if path == "/apis":
            versions = [{"groupVersion": f"{TIERS}/{each}", "version": each} for each in self.serves]
            groups = [{"name": TIERS, "versions": versions, "preferredVersion": first} for first in versions[:1]]
            return 200, {"kind": "APIGroupList", "groups": groups}
        if path.startswith(f"/apis/{TIERS}/") and (version := path.rpartition("/")[2]) in self.serves:
            return 200, {"resources": [{"name": each} for each in self.serves[version]]}
        if path.startswith(REVIEWS):
            return 201, self._review(path, body)
        if path.endswith("/selfsubjectreviews"):
            return 201, {"metadata": {"creationTimestamp": stamp(self.now)}}
        namespace, resource = split(path)
        if (question.verb, resource, namespace) in self.denied:
            return 403, ("Forbidden", f'User "u" cannot {question.verb} resource "{resource}" in API group ""')
        if method == "POST":
            return self._create(path, resource, body, parameters)
        if method == "GET" and (question.verb == "list" or resource == "namespaces"):
            return self._list(path, namespace, resource, parameters)
        if path not in self.objects:
            return 404, ("NotFound", f"{path} not found")
        return self._one(method, path, body)

    def _create(self, path, resource, body, parameters):
        body = copy.deepcopy(body)
        if resource == "pods":
            body = self.admit(body)
            if isinstance(body, tuple):
                return body
        if f"{path}/{body['metadata']['name']}" in self.objects:
            return 409, ("AlreadyExists", "already exists")
        return 201, body if parameters.get("dryRun") else self.put(path, body)

    def _list(self, path, namespace, resource, parameters):
        selector = parameters.get("labelSelector", "")
        key, _, value = selector.partition("=")
        items = []
        for place, item in self.objects.items():
            labels = item["metadata"].get("labels", {})
            home, kind = split(place.rpartition("/")[0])
            here = kind == resource and (namespace in {"", home} or resource == "namespaces")
            if here and (not key or (key in labels and value in ("", labels[key]))):
                items.append(item)
        if namespace and resource == "namespaces":
            found = [item for item in items if item["metadata"]["name"] == namespace]
            return (200, found[0]) if found else (404, ("NotFound", "no such namespace"))
        return 200, {"metadata": {"resourceVersion": "1"}, "items": copy.deepcopy(items)}

    def _one(self, method, path, body):
        item = self.objects[path]
        if method == "GET":
            return 200, copy.deepcopy(item)
        wanted = body.get("preconditions", {}) if method == "DELETE" else body["metadata"]
        for field in ("uid", "resourceVersion"):
            if field in wanted and wanted[field] != item["metadata"][field]:
                return 409, ("Conflict", f"the {field} is another one")
        if method == "DELETE":
            self.remove(path)
            return 200, {"kind": "Status"}
        item.update({key: copy.deepcopy(value) for key, value in body.items() if key != "metadata"})
        self._touch(item["metadata"])
        return 200, copy.deepcopy(item)

    def _review(self, path, body):
        if path.endswith("rulesreviews"):
            return {"status": {"resourceRules": [], "incomplete": True}}
        asked = body["spec"]["resourceAttributes"]
        resource = asked["resource"] + (f"/{asked['subresource']}" if asked["subresource"] else "")
        return {"status": {"allowed": (asked["verb"], resource, asked["namespace"]) not in self.denied}}


def split(path):
    """Namespace and resource of a path; the namespace is "" for what stands in none."""
    parts = path.strip("/").split("/")
    parts = parts[3:] if parts[0] == "apis" else parts[2:]
    if parts[0] == "namespaces" and len(parts) > 2:
        return parts[1], parts[2]
    return (parts[1] if len(parts) > 1 else ""), parts[0]
