"""An ephemeral container in a real pod, in which an agent can be started: it shares the pod's network namespace and so
its identity.

Kubernetes has no way to remove one. It ends when the run does or, should nobody end it, after its lifetime; that it was
there stays written in the pod until the pod is replaced (Ephemeral Containers page).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec

from auditor.cluster.kubernetes.client.api_types import Metadata, Record
from auditor.cluster.kubernetes.client.exec import ExecStream, open_exec
from auditor.cluster.kubernetes.client.listing import decode
from auditor.cluster.kubernetes.client.server import (
    AdmissionError,
    ApiServer,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    Question,
)
from auditor.cluster.kubernetes.objects import NAME, USER, PodOptions
from auditor.cluster.kubernetes.session.pod_status import ContainerState
from auditor.cluster.kubernetes.session.reached import ReachedPod
from auditor.model.errors import ClusterError
from auditor.model.labels import Labels

MERGE = "application/strategic-merge-patch+json"
WAIT = "import signal; signal.pthread_sigmask(0, {{15}}); signal.sigtimedwait({{15}}, {lifetime})"
BOOT = """import os
def take(n):
    b = b""
    while len(b) < n:
        c = os.read(0, n - len(b))
        if not c:
            os._exit(1)
        b += c
    return b
exec(compile(take(int(take(8))), "agent.py", "exec"), {"__name__": "__main__"})"""
"""The agent can't be mounted into a pod that is there already, so it comes over the stream: its length in 8 digits,
then its source.
"""
END = """import os
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) != os.getpid():
        try:
            with open("/proc/" + name + "/cmdline", "rb") as f:
                words = f.read()
            if {marker!r} in words and b"sigtimedwait" in words:
                os.kill(int(name), 15)
        except OSError:
            pass"""
PAUSE = 0.25
END_SECONDS = 10.0


class NamedStatus(Record, frozen=True):
    """v1 ContainerStatus."""

    name: str
    image_id: str = msgspec.field(default="", name="imageID")
    state: ContainerState = ContainerState()


class EphemeralStatus(Record, frozen=True):
    """v1 PodStatus, as far as it concerns ephemeral containers."""

    ephemeral_container_statuses: tuple[NamedStatus, ...] = ()


class HostPod(Record, frozen=True):
    """v1 Pod, as far as it concerns ephemeral containers."""

    metadata: Metadata
    status: EphemeralStatus = EphemeralStatus()

    def of(self, container: str) -> NamedStatus:
        return next(
            (each for each in self.status.ephemeral_container_statuses if each.name == container),
            NamedStatus(container),
        )


class EphemeralContainer:
    """The ephemeral container of the run ``run_id`` in one pod.

    ``listed``: whether the pod lists it, or may do so. ``image_id``: what the kubelet calls the image that it runs.
    """

    def __init__(self, api: ApiServer, run_id: str, namespace: str, pod: str, options: PodOptions) -> None:
        self._api = api
        self._namespace = namespace
        self._pod = pod
        self._options = options
        self._name = f"{NAME}-{run_id}"
        self.listed = False
        self.image_id = ""

    async def start(self, seconds: float) -> None:
        """Put it into the pod and wait until it runs, at most ``seconds``. Raises ClusterError when it doesn't."""
        question = self._question("patch", "pods/ephemeralcontainers", "/ephemeralcontainers")
        body = {"spec": {"ephemeralContainers": [self._manifest()]}}
        self.listed = True
        try:
            await self._api.send("PATCH", question, body, content_type=MERGE)
        except (AdmissionError, ForbiddenError, InvalidError, NotFoundError):
            self.listed = False
            raise
        try:
            async with asyncio.timeout(seconds):
                while not await self._runs():  # noqa: ASYNC110 - it is the API server that is asked
                    await asyncio.sleep(PAUSE)
        except TimeoutError:
            raise ClusterError(f"its ephemeral container did not start within {seconds:g} s") from None

    async def _runs(self) -> bool:
        question = self._question("get", "pods")
        status = decode(await self._api.get(question), HostPod, self._api, question).of(self._name)
        if status.state.hopeless:
            raise ClusterError(f"its ephemeral container can't run: {status.state.hopeless}")
        self.image_id = status.image_id
        return status.state.running is not None

    async def labels(self) -> Labels | None:
        """The labels that the pod has now; None when it is gone. Raises ClusterError."""
        question = self._question("get", "pods")
        try:
            return decode(await self._api.get(question), HostPod, self._api, question).metadata.labels
        except NotFoundError:
            return None

    async def pod(self) -> ReachedPod:
        """What the pod's status says about its network link; nothing when it is gone. Raises ClusterError."""
        question = self._question("get", "pods")
        try:
            return decode(await self._api.get(question), ReachedPod, self._api, question)
        except NotFoundError:
            return ReachedPod()

    async def open(self, agent: bytes) -> ExecStream:
        """Start an agent, whose source is ``agent``, in it."""
        stream = await self._exec(BOOT)
        try:
            await stream.send(b"%08d" % len(agent) + agent)
        except BaseException:
            await stream.close()
            raise
        return stream

    async def end(self) -> None:
        """End it. Raises ClusterError when it can't be reached; it then ends by itself."""
        stream = await self._exec(END.format(marker=self._name.encode()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await stream.receive()
        await stream.close()

    async def _exec(self, program: str) -> ExecStream:
        return await open_exec(self._api, self._namespace, self._pod, self._name, ("python3", "-ISc", program))

    def _question(self, verb: str, resource: str, below: str = "") -> Question:
        path = f"/api/v1/namespaces/{self._namespace}/pods/{self._pod}{below}"
        return Question(path, verb, resource, f" in pod {self._namespace}/{self._pod}")

    def _manifest(self) -> dict[str, Any]:
        return {
            "name": self._name,
            "image": self._options.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-ISc", WAIT.format(lifetime=self._options.lifetime), self._name],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }
