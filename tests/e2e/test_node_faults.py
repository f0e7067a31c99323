"""Parts of the cluster stop while an audit runs: a right answer or none, a clear line, and nothing left behind in the
end.
"""

from __future__ import annotations

import time
from threading import Thread

import pytest

from tests.e2e import world
from tests.e2e.auditing import MANAGED, RUN_LABEL, Running, audit, left_behind
from tests.e2e.test_faults import NO_VERDICT, TROUBLE, told_wrongly
from tests.marking import slow


@pytest.fixture
def worker(kubectl, spec):
    """A node with pods of the shop, which is no control plane."""
    control_planes = {
        node["metadata"]["name"] for node in kubectl.items("nodes", "-l", "node-role.kubernetes.io/control-plane")
    }
    homes = {pod["spec"]["nodeName"] for pod in kubectl.items("pods", "-n", world.PROD)}
    return min(homes - control_planes)


def clean_up(kubectl):
    """What is left where nodes were away: a pod can't be gone before its kubelet says so."""
    found = kubectl.items("pods,configmaps,leases", "--all-namespaces", "-l", MANAGED)
    for run in sorted({item["metadata"]["labels"][RUN_LABEL] for item in found}):
        done = audit(kubectl, "cleanup", "--run", run)
        assert done.returncode == 0, done.stderr
    assert left_behind(kubectl) == []


@pytest.mark.parametrize("what", ["stop-kubelet", slow("pause"), "stop"])
def test_a_worker_fails(worker, kubectl, image, nodes, what):
    with Running(kubectl, image) as running:
        running.until("probing")
        with nodes.while_(what, worker):
            code, report, told = running.end()
    assert "Traceback" not in told
    if report:
        assert told_wrongly(report) == {}, told
    assert code in (0, NO_VERDICT, TROUBLE), told
    clean_up(kubectl)


def controllers_are_back(kubectl):
    """Return when the garbage collector works again: controllers end when they can't renew their lease, and start anew
    after a pause.
    """

    def renewed():
        return kubectl.get("lease", "kube-controller-manager", "-n", "kube-system")["spec"]["renewTime"]

    before = renewed()
    for _ in range(240):
        time.sleep(0.5)
        if renewed() != before:
            return
    raise AssertionError("the controllers did not come back within two minutes")


def test_the_api_server_is_away_for_ten_seconds(spec, kubectl, image, nodes):
    with Running(kubectl, image) as running:
        running.until("probing")
        outage = Thread(target=nodes.do, args=("stop-apiserver", "10"))
        outage.start()
        try:
            code, report, told = running.end()
        finally:
            outage.join()
    assert report, told
    assert told_wrongly(report) == {}, told
    assert code in (0, NO_VERDICT), told
    controllers_are_back(kubectl)
    assert left_behind(kubectl, patience=60) == []
