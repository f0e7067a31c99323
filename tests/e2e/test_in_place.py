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


def joined_elsewhere(kubectl: Kubectl) -> list[str]:
    """The containers that were put into pods outside the shop's own namespace, as ``NAMESPACE/POD/CONTAINER``."""
    pods = [
        (pod["metadata"], pod["spec"])
        for pod in kubectl.items("pods", "-A")
        if pod["metadata"]["namespace"] != world.PROD
    ]
    return sorted(
        f"{of['namespace']}/{of['name']}/{one['name']}"
        for of, spec in pods
        for one in spec.get("ephemeralContainers", ())
    )


def test_a_dry_run_says_in_whose_pods_a_container_would_be_left(plain: None, kubectl: Kubectl, image: str) -> None:
    done = audit(kubectl, "run", "-n", world.PROD, "--image", image, "--in-place", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would put an ephemeral container into " in done.stderr
    assert "would create a probe pod" not in done.stderr
    places = [
        line.split(" into ")[1]
        for line in done.stderr.splitlines()
        if line.startswith("would put an ephemeral container into ")
    ]
    assert all(place.startswith(f"pod {world.PROD}/") for place in places), places
    assert not joined(kubectl)


def test_real_pods_reach_what_the_policies_deny_and_nothing_goes_on_running(
    plain: None, kubectl: Kubectl, image: str
) -> None:
    elsewhere = joined_elsewhere(kubectl)
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
    assert joined_elsewhere(kubectl) == elsewhere
    deadline = monotonic() + KUBELET
    while (running := [state for state in joined(kubectl) if "terminated" not in state]) and monotonic() < deadline:
        sleep(0.5)
    assert not running
    assert not kubectl.items("leases", "-A", "-l", "app.kubernetes.io/managed-by=netpol-audit")
