"""How a pod starts, and why it doesn't, read from its status."""

from __future__ import annotations

from typing import Any

import msgspec

from auditor.cluster.kubernetes.client.api_types import Condition, Metadata, Record

HOPELESS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
"""Why a container waits when waiting longer won't help."""


class StateDetail(Record, frozen=True):
    """v1 ContainerStateWaiting and ContainerStateTerminated, as far as they agree."""

    reason: str = ""
    message: str = ""
    exit_code: int | None = None


class ContainerState(Record, frozen=True):
    """v1 ContainerState."""

    waiting: StateDetail | None = None
    running: dict[str, Any] | None = None
    terminated: StateDetail | None = None

    @property
    def hopeless(self) -> str:
        """Why the container will not run; empty while it may."""
        if self.waiting is not None and self.waiting.reason in HOPELESS:
            return _words(self.waiting.reason, self.waiting.message)
        if self.terminated is not None:
            return _words(f"it ended with exit code {self.terminated.exit_code}", self.terminated.message)
        return ""


class ContainerStatus(Record, frozen=True):
    """v1 ContainerStatus."""

    name: str = ""
    image_id: str = msgspec.field(default="", name="imageID")
    state: ContainerState = ContainerState()


class StartingStatus(Record, frozen=True):
    """v1 PodStatus, as far as it tells how a pod starts."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class StartingPod(Record, frozen=True):
    """v1 Pod, as far as it tells how it starts."""

    metadata: Metadata
    status: StartingStatus = StartingStatus()

    @property
    def is_running(self) -> bool:
        statuses = self.status.container_statuses
        return bool(statuses) and all(each.state.running is not None for each in statuses)

    def image_id(self, container: str) -> str:
        """What the kubelet calls the image that ``container`` runs; empty while it doesn't say."""
        return next((each.image_id for each in self.status.container_statuses if each.name == container), "")

    @property
    def hopeless(self) -> str:
        """Why it will not start; empty while it may."""
        if self.status.phase in ("Failed", "Succeeded"):
            return _words(self.status.reason or "it ended", self.status.message)
        return next((each.state.hopeless for each in self.status.container_statuses if each.state.hopeless), "")

    @property
    def state(self) -> str:
        """How far it has come."""
        for condition in self.status.conditions:
            if condition.type == "PodScheduled" and condition.status == "False":
                return _words(condition.reason, condition.message)
        reasons = [
            each.state.waiting.reason for each in self.status.container_statuses if each.state.waiting is not None
        ]
        return ", ".join([self.status.phase, *reasons])


def _words(reason: str, message: str) -> str:
    return " ".join(f"{reason}: {message}".split())[:300] if message else reason
