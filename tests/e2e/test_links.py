"""A probe pod that loses its network during a run: nothing that its silence looks like is ever reported. And one that
its own node alone does not reach.
"""

from __future__ import annotations

import pytest

from tests.e2e import world
from tests.e2e.auditing import RUN_LABEL, Running, left_behind, run_audit
from tests.e2e.enforcers import nftables
from tests.e2e.kubectl import Kubectl, Object
from tests.marking import slow

LOST = "over its network link"
TAKE_DOWN = "dev=$(ip -o route get {0} | sed 's/.* dev \\([^ ]*\\).*/\\1/'); ip link set \"$dev\" down"


def at_node(kubectl: Kubectl, node: str, *command: str) -> None:
    """Run ``command`` in the network namespace of ``node``."""
    agents = kubectl.items("pods", "-n", nftables.NAMESPACE)
    agent = next(one["metadata"]["name"] for one in agents if one["spec"]["nodeName"] == node)
    kubectl.run("exec", "-n", nftables.NAMESPACE, agent, "--", *command)


def take_down(kubectl: Kubectl, pod: Object) -> None:
    """Take down the node's end of the link of ``pod``, as if its CNI had forgotten it."""
    command = TAKE_DOWN.format(pod["status"]["podIP"])
    at_node(kubectl, pod["spec"]["nodeName"], "chroot", "/host", "sh", "-c", command)


FROM_THE_NODE = """table inet own_node {
 chain out {
  type filter hook output priority filter;
  tcp dport 10011 ct state new drop
 }
}"""


def test_a_node_that_is_kept_from_its_own_pods_is_a_finding_of_its_own(spec, kubectl, image):
    node = kubectl.items("pods", "-n", world.PROD, "-l", "app=web")[0]["spec"]["nodeName"]
    at_node(kubectl, node, "nft", FROM_THE_NODE)
    try:
        audited = run_audit(kubectl, image)
    finally:
        at_node(kubectl, node, "nft", "delete table inet own_node")
    own = {cell: one["result"] for cell, one in audited.results().items() if cell.source.startswith("node/")}
    assert {cell.source for cell, result in own.items() if result == "outage"} == {f"node/{node}"}
    assert {result for cell, result in own.items() if cell.source != f"node/{node}"} <= {"match"}
    (finding,) = audited.report["findings"]
    assert finding["expected_by"] == ["a pod and its own node"]
    assert audited.code == 1
    assert left_behind(kubectl) == []


@pytest.mark.parametrize(
    ("enforcers", "phase"),
    # Where nothing is enforced nothing is silent, so that no silence is tried again.
    [slow((), "probing"), ((), "trying silence again"), (("enforces-nothing",), "probing")],
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
