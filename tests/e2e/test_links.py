"""A probe pod that loses its network during a run: nothing that its silence looks like is ever reported."""

from __future__ import annotations

import pytest

from tests.e2e.auditing import RUN_LABEL, Running, left_behind
from tests.e2e.enforcers import nftables
from tests.e2e.kubectl import Kubectl, Object

LOST = "over its network link"
TAKE_DOWN = "dev=$(ip -o route get {0} | sed 's/.* dev \\([^ ]*\\).*/\\1/'); ip link set \"$dev\" down"


def take_down(kubectl: Kubectl, pod: Object) -> None:
    """Take down the node's end of the link of ``pod``, as if its CNI had forgotten it."""
    agents = kubectl.items("pods", "-n", nftables.NAMESPACE)
    agent = next(one["metadata"]["name"] for one in agents if one["spec"]["nodeName"] == pod["spec"]["nodeName"])
    command = TAKE_DOWN.format(pod["status"]["podIP"])
    kubectl.run("exec", "-n", nftables.NAMESPACE, agent, "--", "chroot", "/host", "sh", "-c", command)


@pytest.mark.parametrize(
    ("enforcers", "phase"),
    # Where nothing is enforced nothing is silent, so that no silence is tried again.
    [((), "probing"), ((), "trying silence again"), (("enforces-nothing",), "probing")],
    ids=["spec", "spec-later", "enforces-nothing"],
)
def test_a_probe_pod_whose_link_goes_down_is_never_denied(faulty, kubectl, image, enforcers, phase):
    faulty.use(*enforcers)
    faulty.settle()
    with Running(kubectl, image, "--settle", "1") as running:
        running.until(phase)
        probes = kubectl.items("pods", "--all-namespaces", "-l", RUN_LABEL)
        victim = min(probes, key=lambda pod: (pod["metadata"]["namespace"], pod["metadata"]["name"]))
        take_down(kubectl, victim)
        code, report, told = running.end()
    (name,) = (one["name"] for one in report["endpoints"] if victim["status"]["podIP"] in one["addresses"])
    mine = [
        cell
        for cell in report["cells"]
        if name in (cell["source"], cell["destination"]) and cell["source"] != cell["destination"]
    ]
    assert mine
    silent = [cell for cell in mine if cell["observed"] in ("dropped", "refused")]
    assert silent == [], told
    lost = [cell for cell in mine if cell["result"] == "inconclusive"]
    assert lost, told
    assert all(LOST in cell["outcome"] for cell in lost), {cell["outcome"] for cell in lost}
    assert {cell["result"] for cell in report["cells"] if cell not in mine} <= (
        {"match", "leak"} if enforcers else {"match"}
    )
    assert code == (1 if enforcers else 3), told
    assert left_behind(kubectl) == []
