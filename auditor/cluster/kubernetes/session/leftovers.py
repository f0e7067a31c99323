"""What runs have left in a cluster, and which of them are still going on.

Whoever may create objects in a namespace can give them our label and our names, and a Lease any run. So whether a run
is alive is asked for each namespace by itself, of its Lease there: in another, the same Lease neither protects nor
condemns anything for long. What carries our label and a name of ours, and is owned by no Lease of ours, is named and
never touched.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from auditor.cluster.kubernetes.admin_policies import RESOURCES, ServedKind, served_kinds
from auditor.cluster.kubernetes.client.api_types import NamespaceRecord, Record
from auditor.cluster.kubernetes.client.creation import foreign_finalizers
from auditor.cluster.kubernetes.client.listing import decode, read_list
from auditor.cluster.kubernetes.client.server import ApiServer, ForbiddenError, Question
from auditor.cluster.kubernetes.objects import LONGEST_LEASE_SECONDS, NAME, RUN_LABEL, anchor_name, lease_name
from auditor.cluster.kubernetes.preflight.other_policy_kinds import api_groups
from auditor.cluster.kubernetes.reading import read_namespace
from auditor.cluster.kubernetes.session.lease_liveness import LeaseRecord, server_time
from auditor.cluster.kubernetes.session.scratch_namespaces import is_named_after, namespace_prefix
from auditor.model.admin_policy import NAMED_DEFAULT
from auditor.model.errors import ClusterError
from auditor.parsing.admin_policy import GROUP

LEASE, NAMESPACE = "Lease", "Namespace"
KINDS: Mapping[str, tuple[str, str, str]] = {
    LEASE: ("/apis/coordination.k8s.io/v1", "leases", "leases.coordination.k8s.io"),
    "ConfigMap": ("/api/v1", "configmaps", "configmaps"),
    "Pod": ("/api/v1", "pods", "pods"),
    **{kind: ("", resource, f"{resource}.{GROUP}") for resource, kind in RESOURCES.items()},
    NAMESPACE: ("/api/v1", "namespaces", "namespaces"),
}
"""By kind: the path of its API group, its resource, and that as RBAC names it. Leases own the rest, and only runs of
``audit conformance`` have namespaces of their own, and policies of administrators, whose path depends on the version
that is served."""
OF_ADMINISTRATORS = frozenset(RESOURCES.values())

Place = tuple[str, str]
"""A namespace and a run."""


class OwnerReference(Record, frozen=True):
    """metav1 OwnerReference."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    controller: bool = False

    def is_lease_of(self, run_id: str) -> bool:
        names = (NAME, lease_name(run_id, locks=False), anchor_name(run_id))
        return (
            self.controller
            and self.kind == LEASE
            and self.api_version.startswith("coordination.k8s.io/")
            and self.name in names
        )

    def is_namespace_of(self, run_id: str) -> bool:
        return (self.api_version, self.kind) == ("v1", NAMESPACE) and is_named_after(self.name, run_id)


class LeftMetadata(Record, frozen=True):
    """metav1 ObjectMeta of what may be ours."""

    name: str
    uid: str
    resource_version: str
    creation_timestamp: datetime
    namespace: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()
    deletion_timestamp: datetime | None = None


class LeftObject(Record, frozen=True):
    """An object of any kind."""

    metadata: LeftMetadata


@dataclass(frozen=True, slots=True)
class Leftover:
    """One object of the run ``run_id``. ``version`` is the resourceVersion that it must still have to be deleted, empty
    for any.

    ``ending`` is since when it has been on its way out, ``kept_by`` names the finalizers of somebody else that keep it.
    ``group`` is the path of its API group where ``KINDS`` has none.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    run_id: str
    created: datetime
    version: str = ""
    ending: datetime | None = None
    kept_by: str = ""
    group: str = ""

    @property
    def place(self) -> str:
        """The namespace that it is in, or is; of what stands in none, that of the run that owns it."""
        return namespace_prefix(self.run_id) if self.kind in OF_ADMINISTRATORS else self.namespace or self.name

    @property
    def judged_by(self) -> Place:
        """The namespace whose Lease shows whether it is still in use, and the run. Namespaces of our own have one Lease
        for all.
        """
        return namespace_prefix(self.run_id) if is_named_after(self.place, self.run_id) else self.place, self.run_id

    @property
    def is_sign_of_life(self) -> bool:
        return self.kind == LEASE and self.name != anchor_name(self.run_id)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What was found. ``holders`` are by namespace and run, as are those ``alive``: still going on there, or so it must
    be taken.

    ``strangers`` are lines about what only looks like ours. ``now`` is the API server's time, ``unseen`` the
    namespaces, with what could not be listed there.
    """

    objects: tuple[Leftover, ...]
    holders: Mapping[Place, str]
    alive: frozenset[Place]
    now: datetime
    unseen: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()

    def chosen(self, run_id: str | None, older_than: float) -> tuple[Leftover, ...]:
        """What to delete: of one run if it is named, else of all that aren't alive; only what is older than so many
        seconds.
        """
        return tuple(
            item if run_id is None else replace(item, version="")
            for item in self.objects
            if (item.judged_by not in self.alive if run_id is None else item.run_id == run_id)
            and (self.now - item.created).total_seconds() >= older_than
        )


async def find_leftovers(api: ApiServer, namespaces: Sequence[str] = ()) -> Leftovers:
    """Everything of ours in ``namespaces`` (none: wherever we may look).

    Raises UsageError for a namespace that is not there, ClusterError when the API server can't be reached.
    """
    await asyncio.gather(*(_check_name(api, namespace) for namespace in namespaces))
    kinds = [kind for kind in KINDS if kind != LEASE and kind not in OF_ADMINISTRATORS]
    others = dict(zip(kinds, await asyncio.gather(*(_list(api, kind, namespaces) for kind in kinds)), strict=True))
    tiers = await _list_admin_policies(api)
    # Leases last: a run has one before it has anything else, so that of whatever was found there is one to be seen.
    leases, blind = await _list(api, LEASE, namespaces)
    objects, strangers = _sorted_out(api, {LEASE: leases, **{kind: items for kind, (items, _) in others.items()}})
    for served, items in tiers.items():
        found, odd = _sorted_out(api, {served.kind: items}, served)
        objects += [item for item in found if not namespaces or item.place in namespaces]
        strangers += [] if namespaces else odd
    signs, unseen_homes = await _list_homes(api, objects, namespaces)
    now = await server_time(api)
    records = [decode(item, LeaseRecord, api, listing(LEASE, "")) for item in (*leases, *signs)]
    # Where two Leases speak of one run, the living one counts: adding a dead one ends nobody's run.
    by_life = sorted(records, key=lambda lease: lease.is_alive(now))
    known = {(lease.metadata.namespace, lease.run_id): lease for lease in by_life if lease.run_id}
    unknown = {item.judged_by for item in objects} - known.keys()
    unknown = {place for place in unknown if place[0] in blind or place[0] in unseen_homes}
    holders = {place: lease.spec.holder_identity for place, lease in known.items()}
    holders |= {(namespace, run_id): f"run {run_id}, whose Lease may not be listed" for namespace, run_id in unknown}
    lines = [line for _, unseen in others.values() for line in unseen.values()]
    return Leftovers(
        tuple(objects),
        holders,
        frozenset(_alive(objects, known, now) | unknown),
        now,
        tuple(dict.fromkeys([*blind.values(), *lines])),
        tuple(strangers),
    )


def _alive(objects: Iterable[Leftover], leases: Mapping[Place, LeaseRecord], now: datetime) -> set[Place]:
    """Where runs are going on: where their Lease says so.

    A run that gives a sign of life in another namespace has for some time longer to give one here: one of many renewals
    may be late.
    """
    alive = {place for place, lease in leases.items() if lease.is_alive(now)}
    elsewhere = {run_id for _, run_id in alive}
    age: dict[Place, float] = defaultdict(lambda: float("inf"))
    for item in objects:
        age[item.judged_by] = min(age[item.judged_by], (now - item.created).total_seconds())
    for place, seconds in age.items():
        silence = leases[place].silence(now) if place in leases else seconds
        if place[1] in elsewhere and silence <= LONGEST_LEASE_SECONDS:
            alive.add(place)
    return alive


def _sorted_out(
    api: ApiServer, listed: Mapping[str, Iterable[msgspec.Raw]], served: ServedKind | None = None
) -> tuple[list[Leftover], list[str]]:
    """What is ours of each kind, and a line about each thing that only looks like it. ``served``: the one kind that it
    is, of policies of administrators.
    """
    group = "" if served is None else served.question.path.rpartition("/")[0]
    objects, strangers = [], []
    for kind, items in listed.items():
        for item in items:
            metadata = decode(item, LeftObject, api, listing(kind, "")).metadata
            found = _named_like_ours(kind, metadata)
            if found is None:
                continue
            if _is_owned(kind, metadata, found.run_id):
                objects.append(replace(found, group=group))
            else:
                owner = "namespace" if served is not None else "Lease"
                strangers.append(
                    f"{found} has the label and the name of an audit, but no {owner} of one owns it: left alone"
                )
    return objects, strangers


def _is_owned(kind: str, metadata: LeftMetadata, run_id: str) -> bool:
    """Whether something of the run ``run_id`` owns it, as far as that is to be expected of its ``kind``."""
    owners = metadata.owner_references
    if kind in OF_ADMINISTRATORS:
        return any(owner.is_namespace_of(run_id) for owner in owners)
    return kind in (LEASE, NAMESPACE) or any(owner.is_lease_of(run_id) for owner in owners)


def is_admin_policy_of(metadata: LeftMetadata, kind: str, run_id: str) -> bool:
    """Whether what ``metadata`` is about, a policy of administrators of this ``kind``, is one of the run ``run_id``."""
    found = _named_like_ours(kind, metadata)
    return found is not None and found.run_id == run_id and _is_owned(kind, metadata, run_id)


def _named_like_ours(kind: str, metadata: LeftMetadata) -> Leftover | None:
    run_id = metadata.labels.get(RUN_LABEL, "")
    is_ours = (f"{metadata.name}-").startswith(f"{NAME}-{run_id}-") or (kind == LEASE and metadata.name == NAME)
    if kind == NAMESPACE:
        is_ours = is_named_after(metadata.name, run_id)
    if kind == NAMED_DEFAULT:
        is_ours = metadata.name == "default"
    if not run_id or not is_ours:
        return None
    return Leftover(
        kind,
        metadata.namespace,
        metadata.name,
        metadata.uid,
        run_id,
        metadata.creation_timestamp,
        metadata.resource_version if kind == LEASE else "",
        metadata.deletion_timestamp,
        foreign_finalizers(metadata.finalizers),
    )


async def _list(api: ApiServer, kind: str, namespaces: Sequence[str]) -> tuple[list[msgspec.Raw], dict[str, str]]:
    """Every object with our label, and for each namespace where that can't be listed a line."""
    if kind == NAMESPACE:
        return await _list_namespaces(api, namespaces), {}
    if not namespaces:
        try:
            return await list_labelled(api, listing(kind, "")), {}
        except ForbiddenError:
            namespaces = await _all_namespaces(api)
    items: list[msgspec.Raw] = []
    unseen: dict[str, str] = {}
    for namespace in namespaces:
        try:
            items += await list_labelled(api, listing(kind, namespace))
        except ForbiddenError:
            unseen[namespace] = f"namespace {namespace}: may not list {KINDS[kind][2]} there"
    return items, unseen


async def _list_homes(
    api: ApiServer, objects: Iterable[Leftover], namespaces: Collection[str]
) -> tuple[list[msgspec.Raw], Collection[str]]:
    """The Leases of runs with namespaces of their own that stand outside ``namespaces``, and where these can't be
    listed.
    """
    homes = {item.judged_by[0] for item in objects} - set(namespaces)
    return await _list(api, LEASE, sorted(homes)) if namespaces and homes else ([], ())


async def _check_name(api: ApiServer, namespace: str) -> None:
    """Raise UsageError for a namespace that is not there; a user who may not see that is believed."""
    with suppress(ForbiddenError):
        await read_namespace(api, namespace)


async def _list_namespaces(api: ApiServer, namespaces: Sequence[str]) -> list[msgspec.Raw]:
    """The namespaces with our label; a user who may list none has made none."""
    question = listing(NAMESPACE, "")
    try:
        items = await list_labelled(api, question)
    except ForbiddenError:
        return []
    return [
        item for item in items if not namespaces or decode(item, LeftObject, api, question).metadata.name in namespaces
    ]


async def _list_admin_policies(api: ApiServer) -> dict[ServedKind, list[msgspec.Raw]]:
    """The policies of administrators with our label, of each kind that is served; a user who may list none has made
    none.
    """
    found = {}
    for served in await served_kinds(api, await api_groups(api)):
        with suppress(ForbiddenError):
            found[served] = await list_labelled(api, served.question)
    return found


async def _all_namespaces(api: ApiServer) -> list[str]:
    question = Question("/api/v1/namespaces", "list", "namespaces")
    try:
        items, _ = await read_list(api, question)
    except ForbiddenError as error:
        raise ClusterError(f"{error}; or say where to look with -n") from error
    return [decode(item, NamespaceRecord, api, question).metadata.name for item in items]


async def list_labelled(api: ApiServer, question: Question) -> list[msgspec.Raw]:
    """Every object of the list that ``question`` asks for that has our label."""
    items, _ = await read_list(api, question, parameters={"labelSelector": RUN_LABEL})
    return items


def listing(kind: str, namespace: str, of_group: str = "") -> Question:
    """The question for the objects of ``kind`` in ``namespace``, empty for all; ``of_group`` where ``KINDS`` has no
    path.
    """
    group, resource, named = KINDS[kind]
    group = of_group or group
    path = f"{group}/namespaces/{namespace}/{resource}" if namespace else f"{group}/{resource}"
    return Question(path, "list", named, f" in namespace {namespace}" if namespace else " in all namespaces")
