"""The probe pods of one run: created, waited for, and removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from auditor.cluster.kubernetes.api import ApiServer, Question
from auditor.cluster.kubernetes.creation import RefusedHereError, all_of, create
from auditor.cluster.kubernetes.objects import RUN_LABEL, USER, PodOptions, config_map_manifest, keys_read, pod_manifest, pod_name
from auditor.cluster.kubernetes.pages import decode, read_list
from auditor.cluster.kubernetes.records import PodRecord
from auditor.cluster.kubernetes.starting import StartingPod
from auditor.cluster.kubernetes.watching import watch
from auditor.model.policy import NetworkPolicy
from auditor.model.probe_pod import ProbePod
from auditor.model.snapshot import Endpoint

PATIENCE_FOR_REMOVAL = 20.0
"""Seconds that pods get to end by themselves before they are removed by force: the kubelet of a dead node never says that they ended."""


class ProbePods:
    """The probe pods ``probes`` of the run ``run_id``.

    ``started`` has, by the name of the ProbePod, the endpoint that runs now; ``failed`` why there is none.
    """

    def __init__(self, api: ApiServer, run_id: str, probes: Sequence[ProbePod], options: PodOptions) -> None:
        self._api = api
        self._run_id = run_id
        self._probes = probes
        self._options = options
        self._by_place = {(probe.namespace, pod_name(run_id, number)): probe for number, probe in enumerate(probes)}
        self.place_of = {probe.name: place for place, probe in self._by_place.items()}
        self.started: dict[str, Endpoint] = {}
        self.failed: dict[str, str] = {}

    @property
    def namespaces(self) -> list[str]:
        """Where there are any, sorted."""
        return sorted({probe.namespace for probe in self._probes})

    async def create(
        self, leases: Mapping[str, str], agent: str, policies: Iterable[NetworkPolicy], users: Mapping[str, int | None]
    ) -> None:
        """Create them all, with the ConfigMap that holds the source ``agent``; ``leases`` has the uid of each namespace's Lease.

        A pod that is refused is ``failed``; what isn't about one pod raises ClusterError.
        """
        await all_of(self._create_config_map(namespace, leases[namespace], agent) for namespace in self.namespaces)
        withheld = keys_read(policies)
        await all_of(
            self._create(number, probe, leases[probe.namespace], withheld, users.get(probe.namespace, USER))
            for number, probe in enumerate(self._probes)
            if probe.name not in self.failed
        )

    async def _create_config_map(self, namespace: str, lease: str, agent: str) -> None:
        question = Question(f"/api/v1/namespaces/{namespace}/configmaps", "create", "configmaps", f" in namespace {namespace}")
        try:
            await create(self._api, question, config_map_manifest(namespace, self._run_id, lease, agent))
        except RefusedHereError as error:
            for probe in self._probes:
                if probe.namespace == namespace:
                    self.failed[probe.name] = f"namespace {namespace}: {error}"

    async def _create(self, number: int, probe: ProbePod, lease: str, withheld: Collection[str], user: int | None) -> None:
        manifest = pod_manifest(probe, number, self._run_id, lease, self._options, user=user, withheld=withheld)
        question = Question(f"/api/v1/namespaces/{probe.namespace}/pods", "create", "pods", f" in namespace {probe.namespace}")
        try:
            await create(self._api, question, manifest)
        except RefusedHereError as error:
            self.failed[probe.name] = f"its probe pod was refused: {error}"

    async def wait(self, seconds: float, advance: Callable[[int], None]) -> None:
        """Wait until every pod runs or has failed, at most ``seconds``; ``advance`` is told of each that runs."""
        last: dict[str, str] = {}
        try:
            async with asyncio.timeout(seconds):
                async for item in self._states():
                    name = self._judge(item, last)
                    advance(name in self.started)
                    if len(self.started) + len(self.failed) >= len(self._probes):
                        return
        except TimeoutError:
            for probe in self._probes:
                if probe.name not in self.started and probe.name not in self.failed:
                    self.failed[probe.name] = f"its probe pod did not start within {seconds:g} s: {last.get(probe.name, 'no word of it')}"

    async def _states(self) -> AsyncIterator[msgspec.Raw]:
        """Every state of every pod of the run, from now on, for ever."""
        question = self._listing()
        items, version = await read_list(self._api, question, parameters=self._selection)
        for item in items:
            yield item
        async for event in watch(self._api, question, version, parameters=self._selection):
            if event.kind in ("ADDED", "MODIFIED", "DELETED"):
                yield event.object

    def _listing(self) -> Question:
        return Question("/api/v1/pods", "list", "pods", " in all namespaces")

    @property
    def _selection(self) -> Mapping[str, str]:
        return {"labelSelector": f"{RUN_LABEL}={self._run_id}"}

    def _judge(self, item: msgspec.Raw, last: dict[str, str]) -> str:
        """Take in one state of one pod; the name of the ProbePod that just started, or none."""
        pod = decode(item, StartingPod, self._api, self._listing())
        probe = self._by_place.get((pod.metadata.namespace, pod.metadata.name))
        if probe is None or probe.name in self.started or probe.name in self.failed:
            return ""
        last[probe.name] = pod.state
        if pod.hopeless:
            self.failed[probe.name] = f"its probe pod can't run: {pod.hopeless}"
        elif pod.is_running:
            endpoint = decode(item, PodRecord, self._api, self._listing()).value().endpoint
            if endpoint.addresses:
                self.started[probe.name] = endpoint
                return probe.name
        return ""

    async def remove(self) -> list[str]:
        """Remove what there is, and wait until it is gone; what had to be forced, or is still there, in words."""
        await all_of(self._delete(namespace) for namespace in self.namespaces)
        remarks: list[str] = []
        try:
            async with asyncio.timeout(PATIENCE_FOR_REMOVAL):
                await self._gone()
        except TimeoutError:
            left = await self._left()
            await all_of(self._delete(namespace, force=True) for namespace in {namespace for namespace, _ in left})
            remarks.append(
                f"{len(left)} probe pods did not end within {PATIENCE_FOR_REMOVAL:g} s and were removed by force: is their node alive?"
            )
        return remarks

    async def _delete(self, namespace: str, *, force: bool = False) -> None:
        question = Question(f"/api/v1/namespaces/{namespace}/pods", "deletecollection", "pods", f" in namespace {namespace}")
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            **({"gracePeriodSeconds": 0} if force else {}),
        }
        await self._api.send("DELETE", question, body, self._selection)

    async def _left(self) -> set[tuple[str, str]]:
        items, _ = await read_list(self._api, self._listing(), parameters=self._selection)
        pods = [decode(item, StartingPod, self._api, self._listing()) for item in items]
        return {(pod.metadata.namespace, pod.metadata.name) for pod in pods}

    async def _gone(self) -> None:
        items, version = await read_list(self._api, self._listing(), parameters=self._selection)
        left = {decode(item, StartingPod, self._api, self._listing()).metadata.name for item in items}
        if not left:
            return
        async for event in watch(self._api, self._listing(), version, parameters=self._selection):
            name = decode(event.object, StartingPod, self._api, self._listing()).metadata.name if event.kind == "DELETED" else ""
            left.discard(name)
            if not left:
                return
