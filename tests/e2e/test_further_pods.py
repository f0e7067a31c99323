import pytest

from auditor.model.dialect import Enforcement
from tests.e2e import world
from tests.e2e.auditing import run_audit, wrong


@pytest.mark.slow
def test_a_further_probe_pod_tells_one_node_from_the_cluster_and_from_a_policy(faulty, kubectl, image):
    """What one pod alone receives, though it should not, is held against what another one like it receives."""
    prometheus = f"{world.OTHER}/prometheus"
    node = kubectl.items("pods", "-n", world.OTHER, "-l", "app=prometheus")[0]["spec"]["nodeName"]
    faulty.use(f"enforces-nothing@{node}")
    only = ("--from", world.MONITORING, "--to", prometheus, "--ports", "TCP/9100", "--late-isolation", "1")
    audited = run_audit(kubectl, image, *only, namespace=world.OTHER)
    assert audited.code == 1, audited.complaints
    assert wrong(kubectl, audited, Enforcement.parse((f"enforces-nothing@{node}",))) == []
    (told,) = [fact for fact in audited.report["facts"] if "came to find the cause" in fact]
    assert f"{prometheus}@" in told
    diagnosis = audited.report["diagnosis"]
    said = [diagnosis["title"], *(other["title"] for other in diagnosis["alternatives"])]
    assert all(f"node {node}" in title or f"pod {prometheus}" in title for title in said), said
