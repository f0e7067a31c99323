"""The probe pods of one run: created, waited for, and removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

import msgspec

from auditor.cluster.kubernetes.client.api_types import PodRecord, Record
from auditor.cluster.kubernetes.client.creation import (
    HELD_PATIENCE,
    RefusedHereError,
    all_of,
    create,
    delete_options,
    foreign_finalizers,
    kept,
)
from auditor.cluster.kubernetes.client.listing import decode, read_list
from auditor.cluster.kubernetes.client.server import ApiServer, ExpiredError, Question
from auditor.cluster.kubernetes.client.watch import watch
from auditor.cluster.kubernetes.objects import (
    CONTAINER,
    RUN_LABEL,
    USER,
    Anchor,
    PodOptions,
    config_map_manifest,
    pod_manifest,
    pod_name,
)
from auditor.cluster.kubernetes.preflight.admission import AdmittedPod, changed_by_admission
from auditor.cluster.kubernetes.session.first_tries import TRY
from auditor.cluster.kubernetes.session.pod_status import RanImage, StartingPod
from auditor.cluster.kubernetes.session.reached import ReachedPod
from auditor.model.labels import Labels
from auditor.model.probe_pod import ProbePod
from auditor.model.snapshot import Endpoint
from auditor.model.words import pluralize
from auditor.probing.sites import Contact

ALL_PODS = Question("/api/v1/pods", "list", "pods", " in all namespaces")
DELETED = "its probe pod was deleted by someone before it ran"
PATIENCE_FOR_REMOVAL = 20.0
"""Seconds that pods get to end by themselves before they are removed by force: the kubelet of a dead node never says
that they ended.
"""


class EndingMetadata(Record, frozen=True):
    """metav1 ObjectMeta, as far as it shows what keeps an object that was deleted."""

    name: str
    namespace: str
    finalizers: tuple[str, ...] = ()
    deletion_timestamp: str = ""


class EndingPod(Record, frozen=True):
    """v1 Pod."""

    metadata: EndingMetadata


class ProbePods:
    """The probe pods ``probes`` of the run ``run_id``, numbered from ``first`` on.

    ``started`` has, by the name of the ProbePod, the endpoint that runs now, ``reached`` what its status said about its
    network link, and ``failed`` why there is none.
    """

    def __init__(
        self, api: ApiServer, run_id: str, probes: Sequence[ProbePod], options: PodOptions, first: int = 0
    ) -> None:
        self._api = api
        self._run_id = run_id
        self._probes = probes
        self._options = options
        self._first = first
        self._by_place = {
            (probe.namespace, pod_name(run_id, number)): probe for number, probe in enumerate(probes, first)
        }
        self.place_of = {probe.name: place for place, probe in self._by_place.items()}
        self.started: dict[str, Endpoint] = {}
        self.reached: dict[str, ReachedPod] = {}
        self.failed: dict[str, str] = {}
        self.images: list[RanImage] = []

    @property
    def namespaces(self) -> list[str]:
        """Where there are any, sorted."""
        return sorted({probe.namespace for probe in self._probes})

    async def create(
        self, anchors: Mapping[str, Anchor], agent: str, withheld: Collection[str], users: Mapping[str, int | None]
    ) -> None:
        """Create them all, with the ConfigMap that holds the source ``agent``; ``anchors`` are the Leases by namespace,
        ``withheld`` the label keys that policies in force read.

        A pod that is refused is ``failed``; what isn't about one pod raises ClusterError.
        """
        await all_of(self._create_config_map(namespace, anchors[namespace], agent) for namespace in self.namespaces)
        await self.create_pods(anchors, withheld, users, {})

    async def create_pods(
        self,
        anchors: Mapping[str, Anchor],
        withheld: Collection[str],
        users: Mapping[str, int | None],
        first_tries: Mapping[str, Sequence[str]],
    ) -> None:
        """As ``create``, where the ConfigMap is there. By the name of the ProbePod, ``first_tries`` has what its first
        process is told to do from its start on.
        """
        await all_of(
            self._create(
                pod_manifest(
                    probe,
                    number,
                    self._run_id,
                    anchors[probe.namespace],
                    self._options,
                    user=users.get(probe.namespace, USER),
                    withheld=withheld,
                ),
                probe,
                withheld,
                first_tries.get(probe.name, ()),
            )
            for number, probe in enumerate(self._probes, self._first)
            if probe.name not in self.failed
        )

    async def _create_config_map(self, namespace: str, anchor: Anchor, agent: str) -> None:
        question = Question(
            f"/api/v1/namespaces/{namespace}/configmaps", "create", "configmaps", f" in namespace {namespace}"
        )
        try:
            await create(self._api, question, config_map_manifest(namespace, self._run_id, anchor, agent))
        except RefusedHereError as error:
            for probe in self._probes:
                if probe.namespace == namespace:
                    self.failed[probe.name] = f"namespace {namespace}: {error}"

    async def _create(
        self, manifest: dict[str, Any], probe: ProbePod, withheld: Collection[str], first_tries: Sequence[str]
    ) -> None:
        if first_tries:
            (container,) = manifest["spec"]["containers"]
            *python, wait = container["command"]
            container["command"] = [*python, TRY + wait, *first_tries]
        question = Question(
            f"/api/v1/namespaces/{probe.namespace}/pods", "create", "pods", f" in namespace {probe.namespace}"
        )
        try:
            answer = await create(self._api, question, manifest)
        except RefusedHereError as error:
            self.failed[probe.name] = f"its probe pod was refused: {error}"
            return
        # The dry run had one pod of several, and a webhook may decide by what differs between them.
        changed = answer and changed_by_admission(decode(answer, AdmittedPod, self._api, question), manifest, withheld)
        if changed:
            self.failed[probe.name] = f"{changed}: it was removed at once"
            await self._delete(probe.namespace, name=manifest["metadata"]["name"])

    async def wait(self, seconds: float, has_started: Callable[[str], None]) -> None:
        """Wait until every pod runs or has failed, at most ``seconds``; ``has_started`` gets the name of the ProbePod
        that does.
        """
        last: dict[str, str] = {}
        try:
            async with asyncio.timeout(seconds):
                await self._settled(last, has_started)
        except TimeoutError:
            for probe in self._waiting:
                self.failed[probe.name] = (
                    f"its probe pod did not start within {seconds:g} s: {last.get(probe.name, 'no word of it')}"
                )

    async def _settled(self, last: dict[str, str], has_started: Callable[[str], None]) -> None:
        """Wait until every pod runs or has failed; ``last`` gets, by the name of the ProbePod, how far it has come."""
        while True:
            items, version = await read_list(self._api, ALL_PODS, parameters=self._selection)
            for item in items:
                self._judge(item, last, has_started)
            listed = {self._place(item) for item in items}
            self.failed |= {probe.name: DELETED for probe in self._waiting if self.place_of[probe.name] not in listed}
            with suppress(ExpiredError):
                async with aclosing(watch(self._api, ALL_PODS, version, parameters=self._selection)) as events:
                    while self._waiting:
                        event = await anext(events)
                        if event.kind in ("ADDED", "MODIFIED", "DELETED"):
                            self._judge(event.object, last, has_started, deleted=event.kind == "DELETED")
                    return

    @property
    def _waiting(self) -> list[ProbePod]:
        """Those that neither run nor have failed."""
        return [probe for probe in self._probes if probe.name not in self.started and probe.name not in self.failed]

    @property
    def _selection(self) -> Mapping[str, str]:
        return {"labelSelector": f"{RUN_LABEL}={self._run_id}"}

    def _judge(
        self, item: msgspec.Raw, last: dict[str, str], has_started: Callable[[str], None], *, deleted: bool = False
    ) -> None:
        """Take in one state of one pod; ``deleted``: its last."""
        pod = decode(item, StartingPod, self._api, ALL_PODS)
        probe = self._by_place.get((pod.metadata.namespace, pod.metadata.name))
        if probe is None or probe.name in self.started or probe.name in self.failed:
            return
        last[probe.name] = pod.state
        if deleted:
            self.failed[probe.name] = DELETED
        elif pod.hopeless:
            self.failed[probe.name] = f"its probe pod can't run: {pod.hopeless}"
        elif pod.is_running:
            endpoint = decode(item, PodRecord, self._api, ALL_PODS).value().endpoint
            if endpoint.addresses:
                self.started[probe.name] = endpoint
                self.images.append(RanImage(endpoint.node, pod.image_id(CONTAINER)))
                self.reached[probe.name] = decode(item, ReachedPod, self._api, ALL_PODS)
                has_started(probe.name)

    def take_in(self, further: ProbePods) -> None:
        """Count ``further`` pods of this run among these from now on."""
        self._probes = (*self._probes, *further._probes)
        self._by_place |= further._by_place
        self.place_of |= further.place_of
        self.started |= further.started
        self.reached |= further.reached
        self.failed |= further.failed
        self.images += further.images

    async def take_away(self, namespace: str, why: str) -> None:
        """Remove those in ``namespace`` at once; they have ``failed`` from then on."""
        for probe in self._probes:
            if probe.namespace == namespace and probe.name in self.started:
                del self.started[probe.name]
                self.failed[probe.name] = why
        await self._delete(namespace)

    async def heard(self, names: Collection[str]) -> dict[str, Contact]:
        """Which of the probes called ``names`` the kubelet reaches. Raises ClusterError."""
        items, _ = await read_list(self._api, ALL_PODS, parameters=self._selection)
        contacts: dict[str, Contact] = {}
        for item in items:
            probe = self._by_place.get(self._place(item))
            contact = decode(item, ReachedPod, self._api, ALL_PODS).contact
            if probe is not None and probe.name in names and contact is not None:
                contacts[probe.name] = contact
        return contacts

    async def labels(self) -> dict[str, Labels]:
        """The labels of those that are there now, by the name of the ProbePod. Raises ClusterError."""
        items, _ = await read_list(self._api, ALL_PODS, parameters=self._selection)
        pods = [decode(item, StartingPod, self._api, ALL_PODS).metadata for item in items]
        return {probe.name: pod.labels for pod in pods if (probe := self._by_place.get((pod.namespace, pod.name)))}

    async def remove(self) -> list[str]:
        """Remove what there is, and wait until it is gone; what had to be forced and what somebody keeps, in words."""
        await all_of(self._delete(namespace) for namespace in self.namespaces)
        try:
            async with asyncio.timeout(PATIENCE_FOR_REMOVAL) as limit:
                await self._gone(limit)
        except TimeoutError:
            left, _ = await self._left()
            return [*await self._force(place for place, keeping in left.items() if not keeping), *_kept(left)]
        return []

    async def _force(self, places: Iterable[tuple[str, str]]) -> list[str]:
        """Remove what doesn't end by itself."""
        left = list(places)
        await all_of(self._delete(namespace, force=True) for namespace in sorted({namespace for namespace, _ in left}))
        pods = pluralize(len(left), "probe pod")
        told = (
            f"{pods} did not end within {PATIENCE_FOR_REMOVAL:g} s and had to be removed by force: is every node alive?"
        )
        return [told] if left else []

    async def _delete(self, namespace: str, *, force: bool = False, name: str = "") -> None:
        """Delete the pods of the run in ``namespace``, or the one of them called ``name``."""
        question = Question(
            f"/api/v1/namespaces/{namespace}/pods", "deletecollection", "pods", f" in namespace {namespace}"
        )
        which = {**self._selection, **({"fieldSelector": f"metadata.name={name}"} if name else {})}
        await self._api.send("DELETE", question, delete_options(force=force), which)

    async def _left(self) -> tuple[dict[tuple[str, str], str], str]:
        """Namespace and name of each pod that is there, with the finalizers that keep it, and the resourceVersion of
        that list.
        """
        items, version = await read_list(self._api, ALL_PODS, parameters=self._selection)
        return dict(map(self._keeping, items)), version

    async def _gone(self, limit: asyncio.Timeout) -> None:
        """Wait until no pod is there. Where somebody keeps all that are left, ``limit`` is brought forward."""
        loop = asyncio.get_running_loop()
        while True:
            left, version = await self._left()
            with suppress(ExpiredError):
                async with aclosing(watch(self._api, ALL_PODS, version, parameters=self._selection)) as events:
                    while left:
                        if all(left.values()):
                            limit.reschedule(min(limit.when() or 0.0, loop.time() + HELD_PATIENCE))
                        event = await anext(events)
                        if event.kind in ("MODIFIED", "DELETED"):
                            place, keeping = self._keeping(event.object)
                            if left.pop(place, None) is not None and event.kind == "MODIFIED":
                                left[place] = keeping
                    return

    def _keeping(self, item: msgspec.Raw) -> tuple[tuple[str, str], str]:
        """Namespace and name of a pod, and what keeps it though it has been deleted."""
        pod = decode(item, EndingPod, self._api, ALL_PODS).metadata
        return (pod.namespace, pod.name), foreign_finalizers(pod.finalizers) if pod.deletion_timestamp else ""

    def _place(self, item: msgspec.Raw) -> tuple[str, str]:
        return self._keeping(item)[0]


def _kept(left: Mapping[tuple[str, str], str]) -> list[str]:
    return [kept(f"Pod {namespace}/{name}", keeping) for (namespace, name), keeping in sorted(left.items()) if keeping]
