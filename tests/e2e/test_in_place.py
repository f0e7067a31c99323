"""Probing from inside the shop's own pods, to their own listeners, on a network that enforces nothing."""

from __future__ import annotations

import json

from tests.e2e import world
from tests.e2e.auditing import audit
from tests.e2e.kubectl import Kubectl


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
    after = kubectl.items("pods", "-n", world.PROD)
    assert {pod["metadata"]["uid"] for pod in after} == before
    joined = [status for pod in after for status in pod["status"].get("ephemeralContainerStatuses", ())]
    assert joined
    assert all("terminated" in status["state"] for status in joined), joined
    assert not kubectl.items("leases", "-A", "-l", "app.kubernetes.io/managed-by=netpol-audit")
