"""Everything that happens to some kinds of objects while a test goes on, so that not even a moment can be missed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Thread
from types import TracebackType
from typing import Self

from tests.e2e.kubectl import Kubectl, Object

PODS = "/api/v1/pods"
EVENTS = "/api/v1/events"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"


@dataclass(frozen=True)
class Change:
    """One event of a watch: ``kind`` is ADDED, MODIFIED or DELETED."""

    kind: str
    item: Object


class Recording:
    """A watch of each of ``paths`` in the background, from entering to leaving it. What there is already begins it, as
    ADDED.
    """

    def __init__(self, kubectl: Kubectl, *paths: str) -> None:
        self._kubectl = kubectl
        self._paths = paths
        self._changes: dict[str, list[Change]] = {path: [] for path in paths}
        self._watches: list[subprocess.Popen[bytes]] = []
        self._readers: list[Thread] = []

    def changes(self, path: str) -> Sequence[Change]:
        """What has been seen of the objects at ``path``, in order."""
        return tuple(self._changes[path])

    def latest(self, path: str) -> Iterator[Object]:
        """Each object ever seen at ``path``, as it was last."""
        return iter({change.item["metadata"]["uid"]: change.item for change in self._changes[path]}.values())

    def __enter__(self) -> Self:
        for path in self._paths:
            argv = ["kubectl", "get", "--raw", f"{path}?watch=1"]
            watch = subprocess.Popen(
                argv, env=self._kubectl.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            reader = Thread(target=self._read, args=(path, watch))
            reader.start()
            self._watches.append(watch)
            self._readers.append(reader)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for watch in self._watches:
            watch.kill()
        for reader, watch in zip(self._readers, self._watches, strict=True):
            reader.join()
            watch.wait()
            assert watch.stdout is not None
            watch.stdout.close()

    def _read(self, path: str, watch: subprocess.Popen[bytes]) -> None:
        assert watch.stdout is not None
        for line in watch.stdout:
            if line.endswith(b"\n"):
                event = json.loads(line)
                self._changes[path].append(Change(event["type"], event["object"]))
