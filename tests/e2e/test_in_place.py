"""Probing from inside the shop's own pods, to their own listeners, on a network that enforces nothing."""

from __future__ import annotations

import json
from time import monotonic, sleep

from tests.e2e import world
from tests.e2e.auditing import audit
from tests.e2e.kubectl import Kubectl, Object

KUBELET = 30.0
"""Seconds that a kubelet gets to tell that a container has ended."""


def joined(kubectl: Kubectl) -> list[Object]:
    """The states of the ephemeral containers in the shop's pods."""
    pods = kubectl.items("pods", "-n", world.PROD)
    return [status["state"] for pod in pods for status in pod["status"].get("ephemeralContainerStatuses", ())]


def test_real_pods_reach_what_the_policies_deny_and_nothing_goes_on_running(plain: None, kubectl: Kubectl, image: str) -> None:
    before = {pod["metadata"]["uid"] for pod in kubectl.items("pods", "-n", world.PROD)}
    done = audit(kubectl, "run", "-n", world.PROD, "--image", image, "--in-place", "--settle", "1", "-o", "json", "-q")
    assert done.returncode == 1, done.stderr
    assert "Kubernetes can't take it out again" in done.stderr
    report = json.loads(done.stdout)
    leaks = [cell for cell in report["cells"] if cell["result"] == "leak"]
    assert leaks
    assert {cell["outcome"] for cell in leaks} == {"connected"}
    assert not [cell for cell in report["cells"] if cell["result"] == "outage"]
    assert {pod["metadata"]["uid"] for pod in kubectl.items("pods", "-n", world.PROD)} == before
    assert joined(kubectl)
    deadline = monotonic() + KUBELET
    while (running := [state for state in joined(kubectl) if "terminated" not in state]) and monotonic() < deadline:
        sleep(0.5)
    assert not running
    assert not kubectl.items("leases", "-A", "-l", "app.kubernetes.io/managed-by=netpol-audit")
