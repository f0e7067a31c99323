"""An audit that dies at any moment leaves nothing that a clean-up, or the cluster itself, can't remove; and two never
meet.
"""

from __future__ import annotations

import random
import time

import pytest

from tests.e2e import world
from tests.e2e.auditing import MANAGED, RUN_LABEL, Running, audit, in_cluster, left_behind
from tests.marking import slow


@pytest.mark.parametrize("deaths", [4, slow(10)])
def test_killed_at_random_moments(deaths, spec, kubectl, image):
    began = time.monotonic()
    with Running(kubectl, image) as whole:
        assert whole.end()[0] == 0
    length = time.monotonic() - began
    moments = sorted(random.uniform(0.1, 0.9) * length for _ in range(deaths))
    littered = 0
    for moment in moments:
        with Running(kubectl, image) as running:
            time.sleep(moment)
            running.kill()
        littered += bool(in_cluster(kubectl))
        clean_up(kubectl)
        assert left_behind(kubectl) == [], f"killed after {moment:.2f} of {length:.2f} s"
    assert littered, "it was never killed while there was anything to leave behind"


def clean_up(kubectl):
    """What a person would do: each run by its id, since its Lease may still count as alive."""
    found = kubectl.items("pods,configmaps,leases", "--all-namespaces", "-l", MANAGED)
    for run in sorted({item["metadata"]["labels"][RUN_LABEL] for item in found}):
        done = audit(kubectl, "cleanup", "--run", run)
        assert done.returncode == 0, done.stderr


def test_the_garbage_collector_alone_removes_what_a_lease_owns(spec, kubectl, image):
    with Running(kubectl, image) as running:
        running.until("probing")
        running.kill()
    assert any(item.startswith("Pod ") for item in in_cluster(kubectl))
    for lease in kubectl.items("leases", "--all-namespaces", "-l", MANAGED):
        kubectl.run("delete", "lease", "-n", lease["metadata"]["namespace"], lease["metadata"]["name"])
    for resource in ("pods", "configmaps"):
        kubectl.run("wait", "--for=delete", resource, "-l", MANAGED, "--all-namespaces", "--timeout=60s")
    assert left_behind(kubectl) == []


def test_a_second_audit_is_refused_with_the_name_of_the_first(spec, kubectl, image):
    with Running(kubectl, image) as first:
        first.until("starting probe pods")
        second = audit(kubectl, "run", "-n", world.PROD, "--image", image)
        assert second.returncode == 4
        assert f"process {first.pid}, run " in second.stderr
        code, report, told = first.end()
    assert code == 0, told
    assert report["summary"]["inconclusive"] == 0
    assert left_behind(kubectl) == []
