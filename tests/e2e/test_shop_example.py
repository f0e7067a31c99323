"""The example of docs/testing.md on a cluster: its tests as users run them, with faults, after a killed session."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.e2e.auditing import MANAGED, in_cluster, left_behind
from tests.e2e.kubectl import Kubectl

SHOP = Path(__file__).parents[2] / "examples" / "shop"
NAMESPACES = ("shop", "edge")
LEASE_SECONDS = 35
"""Seconds after which the Lease of a session that was killed certainly is over."""


def runnable(item, image):
    """``item`` with ``image`` for all containers, which sleep."""
    template = item["spec"].get("jobTemplate", item)["spec"].get("template") if "spec" in item else None
    if template is not None:
        for container in template["spec"]["containers"]:
            command = ["python3", "-c", "import time; time.sleep(3600)"]
            container |= {"image": image, "imagePullPolicy": "IfNotPresent", "command": command}
        template["spec"]["terminationGracePeriodSeconds"] = 0
    return item


@pytest.fixture(scope="module")
def shop(kubectl: Kubectl, image: str):
    """The example's own manifests, running, and one backup under way."""
    for path in ("namespaces", "services", "policies", "workloads"):
        items = yaml.safe_load_all((SHOP / "manifests" / "app" / f"{path}.yaml").read_text())
        kubectl.apply(runnable(item, image) for item in items)
    kubectl.run("create", "job", "-n", "shop", "--from=cronjob/backup", "backup-now")
    for namespace in NAMESPACES:
        kubectl.run("wait", "pod", "--all", "-n", namespace, "--for=condition=Ready", "--timeout=90s")
    yield
    kubectl.delete_namespaces(NAMESPACES)


@pytest.fixture
def enforced(shop, enforcer):
    enforcer.use()
    enforcer.settle()
    return enforcer


def session(kubectl, image, *more, tests="test_cluster.py"):
    """pytest on the example, as a process."""
    words = [sys.executable, "-m", "pytest", "-p", "pytest_netpol", "-p", "no:cacheprovider", "-c", os.devnull]
    words += ["--rootdir", str(SHOP), "--netpol-kubeconfig", kubectl.kubeconfig, "--netpol-image", image]
    return [*words, "--netpol-namespace", "shop", *more, str(SHOP / tests) if tests else ""]


def run(kubectl, image, *more, **rest):
    words = [word for word in session(kubectl, image, *more, **rest) if word]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=200)


def test_green_for_four_workers_with_one_audit_and_nothing_stays(enforced, kubectl, image, tmp_path):
    done = run(kubectl, image, "-n", "4", f"--junitxml={tmp_path}/out.xml")
    assert done.returncode == 0, done.stdout
    root = ET.parse(tmp_path / "out.xml").getroot()  # noqa: S314 - pytest wrote it
    runs = {each.get("value") for each in root.iter("property") if each.get("name") == "netpol-run"}
    assert len(runs) == 1, runs
    assert left_behind(kubectl) == []


def test_red_for_a_dialect_with_its_cause_and_for_a_namespace_that_is_missing(enforced, kubectl, image):
    enforced.use("ignores-ingress")
    done = run(kubectl, image)
    assert done.returncode == 1
    for part in (
        "edge/status -> shop/web TCP/8080 must be denied",
        "observed: allowed",
        "cause: ",
        "reproduce: audit run",
    ):
        assert part in done.stdout
    enforced.use()
    done = run(kubectl, image, "--netpol-namespace", "gone")
    assert done.returncode == 1
    assert " passed" not in done.stdout, done.stdout
    assert "there is no namespace 'gone'" in done.stdout
    assert left_behind(kubectl) == []


@pytest.mark.slow
def test_red_for_an_image_that_is_missing(enforced, kubectl):
    done = run(kubectl, "audit-e2e/missing:1")
    assert done.returncode == 1
    assert " passed" not in done.stdout, done.stdout
    assert "ImagePull" in done.stdout, done.stdout
    assert left_behind(kubectl) == []


def test_ctrl_c_while_the_audit_runs_leaves_nothing(enforced, kubectl, image):
    words = [word for word in session(kubectl, image) if word]
    interrupted = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    until(lambda: in_cluster(kubectl))
    interrupted.send_signal(signal.SIGINT)
    shown, _ = interrupted.communicate(timeout=100)
    assert interrupted.returncode == pytest.ExitCode.INTERRUPTED, shown
    assert " passed" not in shown
    assert left_behind(kubectl) == []
    assert in_cluster(kubectl) == []


APPLIED = """
import pytest

def test_applied(netpol):
    with netpol.applied("policy.yaml"):
        assert netpol("shop/web").reaches("shop/api", 9091)
    assert not netpol("shop/web").reaches("shop/api", 9091)
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: more, namespace: shop}
spec:
  podSelector: {}
  ingress: [{ports: [{protocol: TCP, port: 9091}]}]
  egress: [{ports: [{protocol: TCP, port: 9091}]}]
  policyTypes: [Ingress, Egress]
"""


def test_applied_policies_and_a_killed_session(enforced, kubectl, image, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_applied.py").write_text(APPLIED)
    (tmp_path / "policy.yaml").write_text(POLICY)
    own = [word for word in session(kubectl, image, "test_applied.py", tests="") if word]
    killed = subprocess.Popen(own, stdout=subprocess.PIPE, text=True)
    until(lambda: "more" in kubectl.run("get", "netpol", "-n", "shop", "-o", "name"))
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    at = time.monotonic()
    assert in_cluster(kubectl)
    time.sleep(max(0.0, at + LEASE_SECONDS - time.monotonic()))
    done = subprocess.run(own, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout
    assert "more" not in kubectl.run("get", "netpol", "-n", "shop", "-o", "name")
    assert left_behind(kubectl) == []
    assert kubectl.items("networkpolicies", "-n", "shop", "-l", MANAGED) == []


def until(condition):
    for _ in range(200):
        if condition():
            return
        time.sleep(0.3)
    raise AssertionError("it never was so")
