"""A copy of the cluster's pods, namespaces, nodes and policies that follows every change within milliseconds.

Each kind is listed, then watched from there; when a watch ends, for whatever reason, the kind is listed anew.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase

import msgspec

from auditor.cluster.kubernetes.client.api_types import NamespaceRecord, NodeRecord, PodRecord
from auditor.cluster.kubernetes.policies import read_live_policy
from auditor.model.policy import NetworkPolicy
from auditor.model.snapshot import Snapshot
from auditor.parsing.manifests import Objects, assemble
from tests.e2e.kubectl import Kubectl, Object, stop

PATHS = {
    "nodes": "/api/v1/nodes",
    "namespaces": "/api/v1/namespaces",
    "pods": "/api/v1/pods",
    "networkpolicies": "/apis/networking.k8s.io/v1/networkpolicies",
}
PAUSE = 0.3
"""Seconds between two attempts to list what could not be had."""


class Mirror:
    """The copy. ``changed`` is called after each change of anything that matters to an enforcer."""

    def __init__(self, kubectl: Kubectl, changed: Callable[[], None]) -> None:
        self._kubectl = kubectl
        self._changed = changed
        self._objects: dict[str, dict[str, Object]] = {kind: {} for kind in PATHS}
        self._complete: set[str] = set()

    async def follow(self) -> None:
        """Keep the copy up to date until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for kind in PATHS:
                tasks.create_task(self._follow(kind))

    @property
    def complete(self) -> bool:
        """Whether every kind has been listed."""
        return self._complete == set(PATHS)

    def has(self, versions: Mapping[str, Mapping[str, str]]) -> bool:
        """Whether it has all these objects in these versions, or later ones, by kind and ``NAMESPACE/NAME``.

        An object may have changed since somebody looked, and then never comes in that very version.
        """
        return all(
            key in self._objects[kind] and int(self._objects[kind][key]["metadata"]["resourceVersion"]) >= int(version)
            for kind, expected in versions.items()
            for key, version in expected.items()
        )

    def policies(self, namespaces: Collection[str]) -> tuple[NetworkPolicy, ...]:
        """The policies in ``namespaces``, which may be patterns, that can be read, by name."""
        found = [read_live_policy(item) for _, item in sorted(self._objects["networkpolicies"].items())]
        return tuple(
            policy for policy in found if isinstance(policy, NetworkPolicy) and _matches(policy.namespace, namespaces)
        )

    def snapshot(self) -> Snapshot:
        """Everything but policies."""
        objects = Objects()
        for item in self._objects["namespaces"].values():
            record = msgspec.convert(item, NamespaceRecord)
            objects.namespaces[record.metadata.name] = record.value()
        objects.nodes += [msgspec.convert(item, NodeRecord).value() for item in self._objects["nodes"].values()]
        objects.pods += [msgspec.convert(item, PodRecord).value() for _, item in sorted(self._objects["pods"].items())]
        return assemble(objects, replicas=0, hosts={})

    def uid(self, pod: str) -> str | None:
        """The uid of the pod ``NAMESPACE/NAME``; None when it has gone."""
        found = self._objects["pods"].get(pod)
        return found and str(found["metadata"]["uid"])

    async def _follow(self, kind: str) -> None:
        while True:
            version = await self._list(kind)
            if version is None:
                await asyncio.sleep(PAUSE)
            else:
                await self._watch(kind, version)

    async def _list(self, kind: str) -> str | None:
        process = await self._kubectl.start("get", "--raw", PATHS[kind])
        output, _ = await process.communicate()
        if process.returncode != 0:
            return None
        answer = json.loads(output)
        self._objects[kind] = {_key(item): item for item in answer["items"]}
        self._complete.add(kind)
        self._changed()
        return str(answer["metadata"]["resourceVersion"])

    async def _watch(self, kind: str, version: str) -> None:
        process = await self._kubectl.start("get", "--raw", f"{PATHS[kind]}?watch=1&resourceVersion={version}")
        assert process.stdout is not None
        try:
            while line := await process.stdout.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                self._take(kind, event["type"], event["object"])
        finally:
            await stop(process)

    def _take(self, kind: str, change: str, item: Object) -> None:
        known, key = self._objects[kind], _key(item)
        if change == "DELETED":
            known.pop(key, None)
        else:
            known[key] = item
        if kind != "nodes":  # a node's heartbeats are no news
            self._changed()


def _matches(name: str, patterns: Collection[str]) -> bool:
    return name in patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _key(item: Object) -> str:
    metadata = item["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}".removeprefix("/")
