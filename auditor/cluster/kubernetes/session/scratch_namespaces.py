"""Namespaces of our own in a live cluster, with pods and policies that are nobody's but ours.

Nothing here touches what is not ours, so there is little to be careful about but the leaving: every namespace carries
the run's label and a name that begins with the run's own, and one of them has nothing in it but the Lease that says
whether the run is alive. Pods take the agent over the exec stream, as those that are joined in place do: a pod without
a volume starts faster, and a hundred ConfigMaps are saved.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import aclosing, suppress
from dataclasses import replace
from importlib.resources import files
from itertools import repeat
from typing import Any

import msgspec

from auditor.cluster.kubernetes.client.api_types import PodRecord, Record
from auditor.cluster.kubernetes.client.creation import RefusedHereError, all_of, create, delete_options
from auditor.cluster.kubernetes.client.errors import ForbiddenError
from auditor.cluster.kubernetes.client.exec import ExecStream, open_exec
from auditor.cluster.kubernetes.client.listing import decode, read_list
from auditor.cluster.kubernetes.client.server import ApiServer, ConflictError, ExpiredError, NotFoundError, Question
from auditor.cluster.kubernetes.client.watch import watch
from auditor.cluster.kubernetes.objects import (
    AGENT_FILE,
    CONTAINER,
    MANAGED_BY_LABEL,
    NAME,
    RUN_LABEL,
    Anchor,
    PodOptions,
    anchor_manifest,
    anchor_name,
    apart,
    keys_read,
    pod_manifest,
)
from auditor.cluster.kubernetes.policies import policy_manifest
from auditor.cluster.kubernetes.session.ephemeral import BOOT
from auditor.cluster.kubernetes.session.first_tries import ASK, TRY, as_arguments, read_tries
from auditor.cluster.kubernetes.session.kept_agents import KeptAgents
from auditor.cluster.kubernetes.session.lease_liveness import LeaseRecord
from auditor.cluster.kubernetes.session.own_services import Backend, OwnServices
from auditor.cluster.kubernetes.session.pod_status import RanImage, StartingPod
from auditor.cluster.kubernetes.session.reached import ReachedPod
from auditor.model.addresses import IPAddress
from auditor.model.errors import ClusterError
from auditor.model.labels import NAMESPACE_NAME_LABEL, Labels
from auditor.model.policy import NetworkPolicy
from auditor.model.probe_pod import AfterStart, ProbePod
from auditor.model.service_seen import OwnService
from auditor.model.snapshot import Endpoint, Namespace, Service
from auditor.probing.sites import AgentChannel, Contact

PREFIX = "netpol-conf"
PODS = Question("/api/v1/pods", "list", "pods", " in all namespaces")
NAMESPACES = Question("/api/v1/namespaces", "list", "namespaces")
LEASES, LEASE = "/apis/coordination.k8s.io/v1", "leases.coordination.k8s.io"
MERGE = "application/merge-patch+json"
REQUESTS = {"cpu": "2m", "memory": "8Mi"}
"""What a pod asks for: there are hundreds of them for a minute or two, and each does next to nothing."""
ACCOUNT_TRIES, ACCOUNT_PAUSE = 20, 0.5
"""A new namespace refuses pods until its service account is there."""
STARTING_AT_ONCE = 48
"""Nodes that are asked for a hundred pods at once thrash."""
TAKEN_WITHIN = 30.0
PAUSE = 0.5
ASK_SECONDS = 10.0


def namespace_prefix(run_id: str) -> str:
    """How the names of all namespaces of a run begin; as a whole, the name of the one with its Lease."""
    return f"{PREFIX}-{run_id}"


def is_named_after(name: str, run_id: str) -> bool:
    """Whether a namespace is called ``name`` as those of the run are."""
    return f"{name}-".startswith(f"{namespace_prefix(run_id)}-")


def place_of(pod: str) -> tuple[str, str]:
    """The namespace of the endpoint called ``pod`` and the name that its pod has there."""
    namespace, _, name = pod.partition("/")
    return namespace, apart(name)


class _Starting:
    """Pods called ``names`` on their way to running. ``failed`` gets why one doesn't, ``gate`` has a place for each
    that may start now.
    """

    def __init__(
        self, api: ApiServer, names: AbstractSet[str], failed: dict[str, str], advance: Callable[[int], None]
    ) -> None:
        self._api = api
        self._names = {place_of(name): name for name in names}
        self._failed = failed
        self._advance = advance
        self._last: dict[str, str] = {}
        self._news = asyncio.Event()
        self.gate = asyncio.Semaphore(STARTING_AT_ONCE)
        self.running: dict[str, Endpoint] = {}
        self.images: list[RanImage] = []
        self.reached: dict[str, ReachedPod] = {}

    def take(self, item: msgspec.Raw) -> None:
        """Take in one state of one pod."""
        pod = decode(item, StartingPod, self._api, PODS)
        name = self._names.get((pod.metadata.namespace, pod.metadata.name))
        if name is None or name in self.running or name in self._failed:
            return
        self._last[name] = pod.state
        if pod.hopeless:
            self._failed[name] = f"its pod can't run: {pod.hopeless}"
            self.give_up()
        elif pod.is_running and (endpoint := decode(item, PodRecord, self._api, PODS).value().endpoint).addresses:
            self.running[name] = replace(endpoint, name=name)
            self.reached[name] = decode(item, ReachedPod, self._api, PODS)
            self.images.append(RanImage(endpoint.node, pod.image_id(CONTAINER)))
            self._advance(1)
            self.give_up()

    @property
    def _on_the_way(self) -> set[str]:
        return set(self._names.values()) - self.running.keys() - self._failed.keys()

    def give_up(self) -> None:
        """Make room for the next: one pod is no longer on its way."""
        self.gate.release()
        self._news.set()

    async def wait(self, seconds: float, tasks: Sequence[asyncio.Future[None]]) -> None:
        """Wait until no pod is on its way, for at most that many seconds. Raises what any of ``tasks``, which bring the
        news, has failed with.
        """
        try:
            async with asyncio.timeout(seconds):
                while self._on_the_way:
                    self._news.clear()
                    news = asyncio.ensure_future(self._news.wait())
                    awaited: list[asyncio.Future[Any]] = [news, *(task for task in tasks if not task.done())]
                    await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
                    news.cancel()
                    for task in tasks:
                        if task.done():
                            task.result()
        except TimeoutError:
            for name in self._on_the_way:
                self._failed[name] = (
                    f"its pod did not start within {seconds:g} s: {self._last.get(name, 'no word of it')}"
                )


class _Metadata(Record, frozen=True):
    """metav1 ObjectMeta."""

    name: str
    deletion_timestamp: str | None = None


class _ScratchNamespace(Record, frozen=True):
    """v1 Namespace."""

    metadata: _Metadata


class ScratchNamespaces:
    """What the run ``run_id`` puts into its own namespaces.

    By endpoint name, ``failed`` has why a pod doesn't run, and ``reached`` what was known of the network link of one
    when it started; ``images`` ran. ``first_targets`` may be given what a pod that is to come tries from its start on.
    """

    def __init__(self, api: ApiServer, run_id: str, options: PodOptions) -> None:
        self._api = api
        self._run_id = run_id
        self._options = options
        self._agent = files("probes").joinpath(AGENT_FILE).read_bytes()
        self._ours = {MANAGED_BY_LABEL: NAME, RUN_LABEL: run_id}
        self._anchors: dict[str, Anchor] = {}
        self._numbers: dict[str, int] = {}
        self._services = OwnServices(api, run_id)
        self.failed: dict[str, str] = {}
        self.images: list[RanImage] = []
        self.reached: dict[str, ReachedPod] = {}
        self.first_targets: dict[str, Sequence[tuple[IPAddress, int]]] = {}
        self._agents = KeptAgents()
        self._stands_for: dict[str, str] = {}

    def let_stand_for(self, pod: str, endpoint: str) -> None:
        """Take the pod of the endpoint called ``pod`` for that of the one called ``endpoint``, too."""
        self._stands_for[endpoint] = pod
        self.reached[endpoint] = self.reached[pod]

    def _place(self, endpoint: str) -> tuple[str, str]:
        return place_of(self._stands_for.get(endpoint, endpoint))

    async def create_namespaces(self, namespaces: Iterable[Namespace]) -> None:
        """Create them, with our labels beside their own."""
        question = Question("/api/v1/namespaces", "create", "namespaces")

        def manifest(namespace: Namespace) -> dict[str, Any]:
            labels = {key: value for key, value in namespace.labels.items() if key != NAMESPACE_NAME_LABEL}
            return {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": namespace.name, "labels": {**self._ours, **labels}},
            }

        await all_of(create(self._api, question, manifest(namespace)) for namespace in namespaces)

    async def start_pods(
        self,
        pods: Sequence[Endpoint],
        policies: Iterable[NetworkPolicy],
        seconds: float,
        advance: Callable[[int], None],
    ) -> dict[str, Endpoint]:
        """Create a pod for each of ``pods``, on its node; those that run within that many seconds, by name, as they
        really are.

        The others are ``failed``. No label of ours is one that ``policies`` read.
        """
        withheld = keys_read(policies)
        await all_of(map(self._take_anchor, sorted({pod.namespace for pod in pods} - self._anchors.keys())))
        starting = _Starting(self._api, {pod.name for pod in pods}, self.failed, advance)

        async def create_one(pod: Endpoint) -> None:
            await starting.gate.acquire()
            await self._create_pod(pod, withheld)
            if pod.name in self.failed:
                starting.give_up()

        async def watch_them() -> None:
            async with aclosing(self._states()) as states:
                async for item in states:
                    starting.take(item)

        tasks = [asyncio.ensure_future(watch_them()), *(asyncio.ensure_future(create_one(pod)) for pod in pods)]
        try:
            await starting.wait(seconds, tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.images += starting.images
        self.reached |= starting.reached
        return starting.running

    @property
    def refused_services(self) -> Sequence[str]:
        """Why Services could not be made, a line for each."""
        return self._services.refused

    async def expose(self, wanted: Sequence[OwnService], pods: Mapping[str, Endpoint]) -> list[Service | None]:
        """Make Services that each lead to one of ``pods``, by the names of their endpoints; they go with its namespace.
        None, for all, where the user may not see whether they lead there. Raises ClusterError.
        """
        backends = {
            name: Backend(pod.namespace, self._numbers[name], len(pod.families), self._anchors[pod.namespace])
            for name, pod in pods.items()
        }
        try:
            return await self._services.make(wanted, backends)
        except ForbiddenError as error:
            self._services.refused.append(str(error))
            return [None] * len(wanted)

    async def _take_anchor(self, namespace: str) -> None:
        """Create what owns the pods in ``namespace``: some enforcers pass over pods without a controller, and others
        may adopt them.
        """
        question = Question(f"{LEASES}/namespaces/{namespace}/leases", "create", LEASE, f" in namespace {namespace}")
        answer = await create(self._api, question, anchor_manifest(namespace, self._run_id))
        if not answer:
            question = replace(question, path=f"{question.path}/{anchor_name(self._run_id)}", verb="get")
            answer = await self._api.get(question)
        metadata = decode(answer, LeaseRecord, self._api, question).metadata
        self._anchors[namespace] = Anchor(metadata.name, metadata.uid)

    async def _create_pod(self, pod: Endpoint, withheld: frozenset[str]) -> None:
        probe = ProbePod(pod.name, pod.namespace, pod.labels, pod.ports, pod.node, (pod.name,))
        number = self._numbers.setdefault(pod.name, len(self._numbers))
        anchor = self._anchors[pod.namespace]
        manifest = pod_manifest(probe, number, self._run_id, anchor, self._options, withheld=withheld)
        manifest["metadata"]["name"] = place_of(pod.name)[1]
        spec = manifest["spec"]
        del spec["volumes"]
        (container,) = spec["containers"]
        del container["volumeMounts"]
        container["resources"]["requests"] = REQUESTS
        if targets := self.first_targets.get(pod.name):
            *python, wait = container["command"]
            container["command"] = [*python, TRY + wait, *as_arguments(targets)]
        spec["containers"] = _containers(container)
        question = Question(
            f"/api/v1/namespaces/{pod.namespace}/pods", "create", "pods", f" in namespace {pod.namespace}"
        )
        for tries_left in reversed(range(ACCOUNT_TRIES)):
            try:
                await create(self._api, question, manifest)
            except RefusedHereError as error:
                if not tries_left or "serviceaccount" not in str(error):
                    self.failed[pod.name] = f"its pod was refused: {error}"
                    return
                await asyncio.sleep(ACCOUNT_PAUSE)
            else:
                return

    async def _states(self) -> AsyncGenerator[msgspec.Raw, None]:
        while True:
            items, version = await read_list(self._api, PODS, parameters=self._selection)
            for item in items:
                yield item
            with suppress(ExpiredError):
                async with aclosing(watch(self._api, PODS, version, parameters=self._selection)) as events:
                    async for event in events:
                        if event.kind in ("ADDED", "MODIFIED"):
                            yield event.object

    @property
    def _selection(self) -> Mapping[str, str]:
        return {"labelSelector": f"{RUN_LABEL}={self._run_id}"}

    async def heard(self, names: Collection[str]) -> dict[str, Contact]:
        """Which of the pods of the endpoints called ``names`` the kubelet reaches. Raises ClusterError."""
        items, _ = await read_list(self._api, PODS, parameters=self._selection)
        wanted = {self._place(name): name for name in names}
        contacts: dict[str, Contact] = {}
        for item in items:
            metadata = decode(item, StartingPod, self._api, PODS).metadata
            name = wanted.get((metadata.namespace, metadata.name))
            contact = decode(item, ReachedPod, self._api, PODS).contact
            if name is not None and contact is not None:
                contacts[name] = contact
        return contacts

    async def open(self, pod: str) -> AgentChannel:
        """The agent in the pod of the endpoint called ``pod``: the one that is there since it was last opened, or a new
        one.
        """
        name = self._stands_for.get(pod, pod)
        return self._agents.lend(name) or self._agents.lent(name, await self._start_agent(name))

    async def _start_agent(self, pod: str) -> ExecStream:
        stream = await open_exec(self._api, *place_of(pod), CONTAINER, ("python3", "-ISc", BOOT))
        try:
            await stream.send(b"%08d" % len(self._agent) + self._agent)
        except BaseException:
            await stream.close()
            raise
        return stream

    async def first_tries(self, pod: str) -> list[AfterStart]:
        """What the pod of the endpoint called ``pod`` has seen so far of each of its first targets; empty where it
        can't be asked.
        """
        try:
            stream = await open_exec(self._api, *place_of(pod), CONTAINER, ("python3", "-ISc", ASK))
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    return read_tries(await stream.receive(), len(as_arguments(self.first_targets.get(pod, ()))))
            finally:
                await stream.close()
        except (ClusterError, OSError, TimeoutError):
            return []

    async def put_policies(self, before: Sequence[NetworkPolicy], after: Sequence[NetworkPolicy]) -> None:
        """Have the policies ``after`` in force in the place of ``before``: create, replace and delete what differs."""
        old, new = ({(policy.namespace, policy.name): policy for policy in several} for several in (before, after))
        changed = [policy for key, policy in new.items() if old.get(key) != policy]
        gone = [policy for key, policy in old.items() if key not in new]
        await all_of(
            [
                *(self._put_policy(policy, there=(policy.namespace, policy.name) in old) for policy in changed),
                *(self._delete_policy(policy) for policy in gone),
            ]
        )

    async def _put_policy(self, policy: NetworkPolicy, *, there: bool) -> None:
        manifest = policy_manifest(policy, self._ours)
        if there:
            await self._api.send("PUT", _policies(policy, "update", f"/{policy.name}"), manifest)
        else:
            await create(self._api, _policies(policy, "create"), manifest)

    async def _delete_policy(self, policy: NetworkPolicy) -> None:
        await self._api.send("DELETE", _policies(policy, "delete", f"/{policy.name}"))

    async def relabel_pod(self, pod: str, before: Labels, after: Labels) -> None:
        """Give the pod of the endpoint called ``pod`` the labels ``after`` in the place of ``before``."""
        namespace, name = self._place(pod)
        question = Question(
            f"/api/v1/namespaces/{namespace}/pods/{name}", "patch", "pods", f" in namespace {namespace}"
        )
        await self._relabel(question, before, after)

    async def relabel_namespace(self, name: str, before: Labels, after: Labels) -> None:
        """Give the namespace ``name`` the labels ``after`` in the place of ``before``."""
        await self._relabel(Question(f"/api/v1/namespaces/{name}", "patch", "namespaces", f" {name}"), before, after)

    async def delete_pods(self, pods: Collection[str], seconds: float) -> None:
        """Delete the pods of the endpoints called ``pods`` and wait until they are gone. Raises ClusterError where they
        aren't within that many seconds.
        """
        places = set(map(place_of, pods))
        await self._agents.end(pods)

        async def delete(namespace: str, name: str) -> None:
            path = f"/api/v1/namespaces/{namespace}/pods/{name}"
            with suppress(NotFoundError):
                await self._api.send("DELETE", Question(path, "delete", "pods", f" in namespace {namespace}"))

        await all_of(delete(*place) for place in places)
        left = places
        try:
            async with asyncio.timeout(seconds):
                while left := left & await self._places():  # noqa: ASYNC110 - somebody else's doing
                    await asyncio.sleep(PAUSE)
        except TimeoutError:
            raise ClusterError(
                f"pod {'/'.join(min(left))} was deleted and is still there after {seconds:g} s"
            ) from None

    async def _places(self) -> set[tuple[str, str]]:
        """Namespace and name of each pod of the run that is there."""
        items, _ = await read_list(self._api, PODS, parameters=self._selection)
        found = [decode(item, StartingPod, self._api, PODS).metadata for item in items]
        return {(metadata.namespace, metadata.name) for metadata in found}

    async def _relabel(self, question: Question, before: Labels, after: Labels) -> None:
        labels: dict[str, str | None] = {**dict.fromkeys(before.keys() - after.keys()), **after}
        await self._api.send("PATCH", question, {"metadata": {"labels": labels}}, content_type=MERGE)

    async def remove(self, namespaces: Iterable[str]) -> None:
        """Have ``namespaces`` deleted, with all that is in them; this does not wait for it."""

        async def delete(name: str) -> None:
            with suppress(NotFoundError, ConflictError):
                await self._api.send(
                    "DELETE",
                    Question(f"/api/v1/namespaces/{name}", "delete", "namespaces", f" {name}"),
                    delete_options(),
                )

        await all_of(map(delete, namespaces))

    async def clear(self, seconds: float = TAKEN_WITHIN, *, but: str = "") -> tuple[list[str], list[str]]:
        """End all agents, and have the cluster delete every namespace of the run, except ``but``: the namespaces that
        are still there but being deleted, and those of which the cluster would not take it within that many seconds.

        What the cluster has begun to delete it goes on with, so that is not waited for.
        """
        await self._agents.end()
        going: list[str] = []
        left: list[str] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for pause in (0.0, *repeat(PAUSE, round(seconds / PAUSE))):
                    there = await self._present()
                    going = sorted(name for name in there.keys() - {but} if there[name])
                    left = sorted(there.keys() - {but, *going})
                    if not left:
                        break
                    await self.remove(left)
                    await asyncio.sleep(pause)
        return going, left

    async def _present(self) -> dict[str, bool]:
        """The namespaces of the run that are there, and whether they are being deleted."""
        items, _ = await read_list(self._api, NAMESPACES, parameters=self._selection)
        found = [decode(item, _ScratchNamespace, self._api, NAMESPACES).metadata for item in items]
        # Labels get copied. Nothing goes without the name, too.
        return {
            each.name: each.deletion_timestamp is not None for each in found if is_named_after(each.name, self._run_id)
        }


def _containers(container: dict[str, Any]) -> list[dict[str, Any]]:
    """``container``, and as many more as it takes for each of its ports to have a name that no other port of its
    container has.
    """
    several: list[list[dict[str, Any]]] = [[]]
    for port in container["ports"]:
        names = ({other.get("name", other["containerPort"]) for other in ports} for ports in several)
        place = next(
            (number for number, there in enumerate(names) if port.get("name", port["containerPort"]) not in there),
            len(several),
        )
        several[place:place] = [[]] if place == len(several) else []
        several[place].append(port)
    return [
        {**container, "name": f"{CONTAINER}-{number}" if number else CONTAINER, "ports": ports}
        for number, ports in enumerate(several)
    ]


def _policies(policy: NetworkPolicy, verb: str, rest: str = "") -> Question:
    path = f"/apis/networking.k8s.io/v1/namespaces/{policy.namespace}/networkpolicies{rest}"
    return Question(path, verb, "networkpolicies.networking.k8s.io", f" in namespace {policy.namespace}")
