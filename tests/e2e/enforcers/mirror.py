"""A copy of the cluster's pods, namespaces, nodes and policies that follows every change within milliseconds.

Each kind is listed, then watched from there; when a watch ends, for whatever reason, the kind is listed anew.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase

import msgspec

from auditor.cluster.kubernetes.admin_policies import ServedKind, read_live_admin_policy
from auditor.cluster.kubernetes.client.api_types import NamespaceRecord, NodeRecord, PodRecord
from auditor.cluster.kubernetes.policies import read_live_policy
from auditor.model.admin_policy import AdminPolicy
from auditor.model.policy import NetworkPolicy
from auditor.model.snapshot import Snapshot
from auditor.parsing.manifests import Objects, assemble
from tests.e2e.kubectl import Kubectl, Object, stop

DEFINITIONS = "customresourcedefinitions"
PATHS = {
    "nodes": "/api/v1/nodes",
    "namespaces": "/api/v1/namespaces",
    "pods": "/api/v1/pods",
    "networkpolicies": "/apis/networking.k8s.io/v1/networkpolicies",
    DEFINITIONS: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
}
TIERS = "policy.networking.k8s.io"
OF_ADMINISTRATORS = {
    f"clusternetworkpolicies.{TIERS}": ServedKind("ClusterNetworkPolicy", "v1beta1"),
    f"adminnetworkpolicies.{TIERS}": ServedKind("AdminNetworkPolicy", "v1alpha1"),
    f"baselineadminnetworkpolicies.{TIERS}": ServedKind("BaselineAdminNetworkPolicy", "v1alpha1"),
}
"""By the name of its definition, each kind of administrators' policies: followed where the cluster defines it."""
PAUSE = 0.3
"""Seconds between two attempts to list what could not be had."""


class Mirror:
    """The copy. ``changed`` is called after each change of anything that matters to an enforcer."""

    def __init__(self, kubectl: Kubectl, changed: Callable[[], None]) -> None:
        self._kubectl = kubectl
        self._changed = changed
        self._objects: dict[str, dict[str, Object]] = {kind: {} for kind in PATHS}
        self._complete: set[str] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._following: dict[str, asyncio.Task[None]] = {}

    async def follow(self) -> None:
        """Keep the copy up to date until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            for kind, path in PATHS.items():
                self._tasks.create_task(self._follow(kind, path))

    @property
    def complete(self) -> bool:
        """Whether every kind has been listed."""
        return self._complete >= {*PATHS, *self._following}

    def has(self, versions: Mapping[str, Mapping[str, str]]) -> bool:
        """Whether it has all these objects in these versions, or later ones, by kind and ``NAMESPACE/NAME``.

        An object may have changed since somebody looked, and then never comes in that very version.
        """
        known = {
            (kind, key): int(item["metadata"]["resourceVersion"])
            for kind in versions
            for key, item in self._objects.get(kind, {}).items()
        }
        return all(
            known.get((kind, key), -1) >= int(version)
            for kind, expected in versions.items()
            for key, version in expected.items()
        )

    def policies(self, namespaces: Collection[str]) -> tuple[NetworkPolicy, ...]:
        """The policies in ``namespaces``, which may be patterns, that can be read, by name."""
        found = [read_live_policy(item) for _, item in sorted(self._objects["networkpolicies"].items())]
        return tuple(
            policy for policy in found if isinstance(policy, NetworkPolicy) and _matches(policy.namespace, namespaces)
        )

    def admin_policies(self) -> tuple[AdminPolicy, ...]:
        """The administrators' policies that can be read."""
        found = [
            read_live_admin_policy(item, served)
            for kind, served in OF_ADMINISTRATORS.items()
            for _, item in sorted(self._objects.get(kind, {}).items())
        ]
        return tuple(policy for policy in found if isinstance(policy, AdminPolicy))

    def snapshot(self) -> Snapshot:
        """Everything but the policies of namespaces."""
        objects = Objects(admin_policies=[*self.admin_policies()])
        for item in self._objects["namespaces"].values():
            record = msgspec.convert(item, NamespaceRecord)
            objects.namespaces[record.metadata.name] = record.value()
        objects.nodes += [msgspec.convert(item, NodeRecord).value() for item in self._objects["nodes"].values()]
        objects.pods += [msgspec.convert(item, PodRecord).value() for _, item in sorted(self._objects["pods"].items())]
        return assemble(objects, replicas=0, hosts={})

    def pod_ranges(self, node: str) -> tuple[str, ...]:
        """The ranges that the addresses of pods on ``node`` are from."""
        spec = self._objects["nodes"].get(node, {}).get("spec", {})
        return tuple(spec.get("podCIDRs", ()))

    def uid(self, pod: str) -> str | None:
        """The uid of the pod ``NAMESPACE/NAME``; None when it has gone."""
        found = self._objects["pods"].get(pod)
        return found and str(found["metadata"]["uid"])

    async def _follow(self, kind: str, path: str) -> None:
        while True:
            version = await self._list(kind, path)
            if version is None:
                await asyncio.sleep(PAUSE)
            else:
                await self._watch(kind, f"{path}?watch=1&resourceVersion={version}")

    async def _list(self, kind: str, path: str) -> str | None:
        process = await self._kubectl.start("get", "--raw", path)
        output, _ = await process.communicate()
        if process.returncode != 0:
            return None
        answer = json.loads(output)
        self._objects[kind] = {_key(item): item for item in answer["items"]}
        self._complete.add(kind)
        self._note(kind)
        return str(answer["metadata"]["resourceVersion"])

    async def _watch(self, kind: str, path: str) -> None:
        process = await self._kubectl.start("get", "--raw", path)
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
            self._note(kind)

    def _note(self, kind: str) -> None:
        if kind == DEFINITIONS:
            self._follow_what_is_defined()
        self._changed()

    def _follow_what_is_defined(self) -> None:
        """Begin to follow the kinds of administrators' policies that have come, and forget those that have gone."""
        assert self._tasks is not None
        defined = {name for name, item in self._objects[DEFINITIONS].items() if _is_established(item)}
        for kind in (OF_ADMINISTRATORS.keys() & defined) - self._following.keys():
            path = OF_ADMINISTRATORS[kind].question.path
            self._following[kind] = self._tasks.create_task(self._follow(kind, path))
        for kind in self._following.keys() - defined:
            self._following.pop(kind).cancel()
            self._objects.pop(kind, None)
            self._complete.discard(kind)


def _is_established(definition: Object) -> bool:
    conditions = definition.get("status", {}).get("conditions") or []
    return any((each["type"], each["status"]) == ("Established", "True") for each in conditions)


def _matches(name: str, patterns: Collection[str]) -> bool:
    return name in patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _key(item: Object) -> str:
    metadata = item["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}".removeprefix("/")
