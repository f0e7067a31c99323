"""What the status of a pod says: how it starts, why it doesn't, and which image its agent really ran in. A tag may name
another one tomorrow, or on another node today.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
    """v1 PodStatus, as far as it shows how a pod starts."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class StartingPod(Record, frozen=True):
    """v1 Pod, as far as it shows how it starts."""

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


@dataclass(frozen=True, slots=True)
class RanImage:
    """What ran on ``node``: ``image_id`` as the kubelet reports it, ``NAME@sha256:…`` or, of local images,
    ``sha256:…``.
    """

    node: str
    image_id: str


def image_facts(image: str, ran: Iterable[RanImage]) -> Iterator[str]:
    """What a reader of the report should know of the agents' image, which was asked for as ``image``; nothing if by its
    digest.
    """
    by_digest: dict[str, set[str]] = {}
    for each in ran:
        if each.image_id:
            by_digest.setdefault(each.image_id.rpartition("://")[2], set()).add(each.node)
    if "@" in image or not by_digest:
        return
    (first, *others) = sorted(by_digest)
    pinned = next((digest for _, at, digest in (each.partition("@") for each in sorted(by_digest)) if at), "")
    pin = (
        f"--image {_untagged(image)}@{pinned} uses just that one"
        if pinned
        else "it came from no registry, so it has no digest to pin it by"
    )
    if not others:
        yield f"agents ran in image {image}, which was {_digest(first)}: {pin}"
        return
    which = "; ".join(f"{_digest(each)} on {', '.join(sorted(nodes))}" for each, nodes in sorted(by_digest.items()))
    advice = f": --image {_untagged(image)}@{pinned} uses one of them everywhere" if pinned else ""
    yield f"image {image} is not the same on all nodes: {which}{advice}"


def _digest(image_id: str) -> str:
    return image_id.rpartition("@")[2]


def _untagged(image: str) -> str:
    """``image`` without its tag; a port of the registry is not a tag."""
    before, colon, tag = image.rpartition(":")
    return before if colon and "/" not in tag else image
