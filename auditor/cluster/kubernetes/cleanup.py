"""What runs have left in a cluster, found and deleted: after a crash, or when somebody else's run is to end.

Only objects that carry our label *and* the name that we give are touched, each with its uid as a precondition, so that nothing that took
its place is hit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from auditor.cluster.kubernetes.api import ApiServer, ConflictError, ForbiddenError, NotFoundError, Question
from auditor.cluster.kubernetes.objects import NAME, RUN_LABEL
from auditor.cluster.kubernetes.pages import decode, read_list
from auditor.cluster.kubernetes.reading import read_namespace
from auditor.cluster.kubernetes.records import NamespaceRecord, Record
from auditor.cluster.kubernetes.signs_of_life import LeaseRecord, server_time
from auditor.cluster.kubernetes.stage import is_named_after
from auditor.model.errors import ClusterError

LEASE, NAMESPACE = "Lease", "Namespace"
KINDS: Mapping[str, tuple[str, str, str]] = {
    LEASE: ("/apis/coordination.k8s.io/v1", "leases", "leases.coordination.k8s.io"),
    "ConfigMap": ("/api/v1", "configmaps", "configmaps"),
    "Pod": ("/api/v1", "pods", "pods"),
    NAMESPACE: ("/api/v1", "namespaces", "namespaces"),
}
"""By kind: the path of its API group, its resource, and that as RBAC names it. In the order of deletion: Leases own the rest, and only
runs of ``audit conformance`` have namespaces of their own."""
LOOK_AGAIN_EVERY = 0.3


class LeftMetadata(Record, frozen=True):
    """metav1 ObjectMeta of what may be ours."""

    name: str
    uid: str
    resource_version: str
    creation_timestamp: datetime
    namespace: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class LeftObject(Record, frozen=True):
    """An object of any kind."""

    metadata: LeftMetadata


@dataclass(frozen=True, slots=True)
class Leftover:
    """One object of the run ``run_id``. ``version`` is the resourceVersion that it must still have to be deleted, empty for any."""

    kind: str
    namespace: str
    name: str
    uid: str
    run_id: str
    created: datetime
    version: str = ""

    @property
    def place(self) -> str:
        """The namespace that it is in, or is."""
        return self.namespace or self.name

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Leftovers:
    """``objects`` in the order of deletion. ``holders`` are by run id; ``alive`` are the runs that are still going on, or may be. ``now``
    is the API server's time, ``unseen`` the namespaces, with what could not be listed there.
    """

    objects: tuple[Leftover, ...]
    holders: Mapping[str, str]
    alive: frozenset[str]
    now: datetime
    unseen: tuple[str, ...] = ()

    def chosen(self, run_id: str | None, older_than: float) -> tuple[Leftover, ...]:
        """What to delete: of one run if it is named, else of all that aren't alive; only what is older than so many seconds."""
        return tuple(
            item if run_id is None else replace(item, version="")
            for item in self.objects
            if (item.run_id not in self.alive if run_id is None else item.run_id == run_id)
            and (self.now - item.created).total_seconds() >= older_than
        )


async def find_leftovers(api: ApiServer, namespaces: Sequence[str] = ()) -> Leftovers:
    """Everything of ours in ``namespaces`` (none: wherever we may look).

    Raises UsageError for a namespace that is not there, ClusterError when the API server can't be reached.
    """
    await asyncio.gather(*(_check_name(api, namespace) for namespace in namespaces))
    others = await asyncio.gather(*(_list(api, kind, namespaces) for kind in KINDS if kind != LEASE))
    # Leases last: a run has one before it has anything else, so that of whatever was found there is one to be seen.
    listed = [await _list(api, LEASE, namespaces), *others]
    now = await server_time(api)
    objects: list[Leftover] = []
    holders: dict[str, str] = {}
    alive: set[str] = set()
    for kind, (items, _) in zip(KINDS, listed, strict=True):
        for item in items:
            question = _listing(kind, "")
            found = _ours(kind, decode(item, LeftObject, api, question).metadata)
            if found is None:
                continue
            objects.append(found)
            if kind == LEASE:
                lease = decode(item, LeaseRecord, api, question)
                holders[found.run_id] = lease.spec.holder_identity
                alive |= {found.run_id} if lease.is_alive(now) else set()
    blind = listed[0][1]
    unknown = {item.run_id for item in objects if item.run_id not in holders and item.namespace in blind}
    holders |= {run_id: f"run {run_id}, whose Lease may not be listed" for run_id in unknown}
    unseen = dict.fromkeys(line for _, lines in listed for line in lines.values())
    return Leftovers(tuple(objects), holders, frozenset(alive | unknown), now, tuple(unseen))


def _ours(kind: str, metadata: LeftMetadata) -> Leftover | None:
    run_id = metadata.labels.get(RUN_LABEL, "")
    is_ours = (f"{metadata.name}-").startswith(f"{NAME}-{run_id}-") or (kind == LEASE and metadata.name == NAME)
    if kind == NAMESPACE:
        is_ours = is_named_after(metadata.name, run_id)
    if not run_id or not is_ours:
        return None
    version = metadata.resource_version if kind == LEASE else ""
    return Leftover(kind, metadata.namespace, metadata.name, metadata.uid, run_id, metadata.creation_timestamp, version)


async def _list(api: ApiServer, kind: str, namespaces: Sequence[str]) -> tuple[list[msgspec.Raw], dict[str, str]]:
    """Every object with our label, and for each namespace where that can't be listed a line."""
    if kind == NAMESPACE:
        return await _list_namespaces(api, namespaces), {}
    if not namespaces:
        try:
            return await _list_labelled(api, _listing(kind, "")), {}
        except ForbiddenError:
            namespaces = await _all_namespaces(api)
    items: list[msgspec.Raw] = []
    unseen: dict[str, str] = {}
    for namespace in namespaces:
        try:
            items += await _list_labelled(api, _listing(kind, namespace))
        except ForbiddenError:
            unseen[namespace] = f"namespace {namespace}: may not list {KINDS[kind][2]} there"
    return items, unseen


async def _check_name(api: ApiServer, namespace: str) -> None:
    """Raise UsageError for a namespace that is not there; whoever may not see that is believed."""
    with suppress(ForbiddenError):
        await read_namespace(api, namespace)


async def _list_namespaces(api: ApiServer, namespaces: Sequence[str]) -> list[msgspec.Raw]:
    """The namespaces with our label; whoever may list none has made none."""
    question = _listing(NAMESPACE, "")
    try:
        items = await _list_labelled(api, question)
    except ForbiddenError:
        return []
    return [item for item in items if not namespaces or decode(item, LeftObject, api, question).metadata.name in namespaces]


async def _all_namespaces(api: ApiServer) -> list[str]:
    question = Question("/api/v1/namespaces", "list", "namespaces")
    try:
        items, _ = await read_list(api, question)
    except ForbiddenError as error:
        raise ClusterError(f"{error}; or say where to look with -n") from error
    return [decode(item, NamespaceRecord, api, question).metadata.name for item in items]


async def _list_labelled(api: ApiServer, question: Question) -> list[msgspec.Raw]:
    items, _ = await read_list(api, question, parameters={"labelSelector": RUN_LABEL})
    return items


def _listing(kind: str, namespace: str) -> Question:
    group, resource, named = KINDS[kind]
    path = f"{group}/namespaces/{namespace}/{resource}" if namespace else f"{group}/{resource}"
    return Question(path, "list", named, f" in namespace {namespace}" if namespace else " in all namespaces")


async def delete_leftovers(api: ApiServer, objects: Sequence[Leftover], *, patience: float = 60.0) -> tuple[str, ...]:
    """Delete ``objects`` and wait until they are gone, at most ``patience`` seconds. A line for each that is still there."""
    failed: dict[str, str] = {}
    living: set[str] = set()
    for kind in KINDS:
        same = [item for item in objects if item.kind == kind and item.run_id not in living]
        for item, error in zip(same, await asyncio.gather(*(_delete(api, item) for item in same)), strict=True):
            if isinstance(error, ConflictError):
                failed[item.uid] = f"{item} was renewed or replaced meanwhile: run {item.run_id} is left alone"
                living.add(item.run_id)
            elif error is not None:
                failed[item.uid] = f"{item} could not be deleted: {error}"
    waited_for = {item.uid: item for item in objects if item.uid not in failed and item.run_id not in living}
    still = await _wait(api, waited_for, patience)
    return (*failed.values(), *(f"{item} was deleted and is still there after {patience:g} s" for item in still))


async def _delete(api: ApiServer, item: Leftover) -> ClusterError | None:
    """Delete ``item``; why it could not be. Whatever took its place is no reason, unless its version counts."""
    group, resource, named = KINDS[item.kind]
    path = f"{group}/namespaces/{item.namespace}/{resource}/{item.name}" if item.namespace else f"{group}/{resource}/{item.name}"
    question = Question(path, "delete", named, f" in namespace {item.namespace}" if item.namespace else f" {item.name}")
    preconditions = {"uid": item.uid, **({"resourceVersion": item.version} if item.version else {})}
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background", "preconditions": preconditions}
    try:
        with suppress(NotFoundError):
            await api.send("DELETE", question, options)
    except ClusterError as error:
        return None if isinstance(error, ConflictError) and not item.version else error
    return None


async def _wait(api: ApiServer, objects: Mapping[str, Leftover], patience: float) -> Iterable[Leftover]:
    """Those of ``objects``, by uid, that are still there at the end."""
    places = sorted({(item.kind, item.namespace) for item in objects.values()})
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while True:
        listed = await asyncio.gather(*(_list_labelled(api, _listing(kind, namespace)) for kind, namespace in places))
        there = {decode(item, LeftObject, api, _listing("Pod", "")).metadata.uid for items in listed for item in items}
        still = [item for uid, item in objects.items() if uid in there]
        if not still or loop.time() >= deadline:
            return still
        await asyncio.sleep(LOOK_AGAIN_EVERY)
