"""Many probe pods, while somebody else clears up all the time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from threading import Event, Thread
from typing import Self

import pytest

from tests.e2e import world
from tests.e2e.auditing import Running, audit, left_behind
from tests.e2e.kubectl import Kubectl
from tests.e2e.recording import PODS, Recording
from tests.marking import slow

NAMES = ("e2e-crowd-0", "e2e-crowd-1", "e2e-crowd-2")
RUN_LABEL = "netpol-audit/run"


@pytest.fixture(params=[24, slow(60)])
def crowd(request: pytest.FixtureRequest, kubectl: Kubectl, image: str) -> Iterator[int]:
    """So many pods that nobody starts, each of which asks for a probe pod of its own: what they are stood in for does
    not depend on them.
    """
    kubectl.delete_namespaces(NAMES)
    kubectl.apply(map(world.namespace, NAMES))
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"pod-{number}",
                "namespace": NAMES[number % len(NAMES)],
                "labels": {"pod": str(number)},
            },
            "spec": {"schedulingGates": [{"name": "example.com/never"}], "containers": [{"name": "c", "image": image}]},
        }
        for number in range(request.param)
    )
    yield request.param
    kubectl.delete_namespaces(NAMES)


class ClearingUp(Thread):
    """``audit cleanup`` by somebody else, again and again from entering to leaving it."""

    def __init__(self, kubectl: Kubectl) -> None:
        super().__init__()
        self._kubectl = kubectl
        self._over = Event()
        self.said: list[str] = []

    def run(self) -> None:
        while not self._over.wait(1.0):
            done = audit(self._kubectl, "cleanup")
            self.said.append(f"{done.returncode}: {done.stdout}{done.stderr}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def test_many_probe_pods_survive_everybody_s_clearing_up(crowd: int, kubectl: Kubectl, image: str) -> None:
    chosen = [word for name in NAMES for word in ("-n", name, "--from", name, "--to", name)]
    command = (
        "--debug",
        "run",
        *chosen,
        "--all-pods",
        "--ports",
        "TCP/80",
        "--image",
        image,
        "--start-timeout",
        "200",
        "-o",
        "json",
    )
    with (
        ClearingUp(kubectl) as clearing,
        Recording(kubectl, PODS) as recording,
        Running.of(kubectl, *command) as running,
    ):
        code, report, told = running.end()
    assert code == 0, told
    (longest,) = [line for line in told.splitlines() if line.startswith("debug: at most, the event loop was ")]
    print(longest)
    assert report["summary"]["cells"] == crowd * crowd
    assert report["summary"]["allowed"] == crowd * crowd
    assert len(clearing.said) > 3
    assert not [said for said in clearing.said if not said.startswith("0: ")]
    assert not [said for said in clearing.said if "deleted" in said], json.dumps(clearing.said)
    probes = [pod for pod in recording.latest(PODS) if RUN_LABEL in pod["metadata"].get("labels", {})]
    assert len(probes) >= crowd
    assert left_behind(kubectl) == []
