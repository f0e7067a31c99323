"""What goes wrong in clusters while an audit runs: a right answer or none, a clear line, and nothing left behind."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

from tests.e2e import world
from tests.e2e.auditing import MANAGED, Running, audit, left_behind

NO_VERDICT, TROUBLE = 3, 4
FAULTS = ("leaks", "outages", "unstable", "misdelivered")


def told_wrongly(report):
    """The faults that ``report`` has, where there are none."""
    return {fault: report["summary"][fault] for fault in FAULTS if report["summary"][fault]}


def reasons(report):
    """Why cells have no verdict."""
    return {cell["outcome"] for cell in report["cells"] if cell["result"] == "inconclusive"}


@pytest.fixture(autouse=True)
def leaves_nothing(spec, kubectl):
    """Whatever happens in a test, an audit takes all of its own away again."""
    yield
    assert left_behind(kubectl) == []


@contextmanager
def applied(kubectl, item):
    """``item`` in the cluster for a while."""
    kubectl.apply([item])
    try:
        yield
    finally:
        metadata = item["metadata"]
        kubectl.run("delete", "--ignore-not-found", "-n", metadata["namespace"], item["kind"].lower(), metadata["name"])


def test_a_probe_pod_is_deleted(kubectl, image):
    with Running(kubectl, image) as running:
        running.until("probing")
        pods = kubectl.items("pods", "-n", world.PROD, "-l", f"{MANAGED},app=api")
        kubectl.run("delete", "pod", "-n", world.PROD, "--wait=false", pods[0]["metadata"]["name"])
        code, report, told = running.end()
    assert told_wrongly(report) == {}, told
    assert code == NO_VERDICT, told
    assert any("e2e-prod/api" in reason for reason in reasons(report)), reasons(report)


def test_a_policy_changes(kubectl, image, spec):
    opened = world.policy(world.PROD, "opened", {"app": "db"}, ingress=[{}])
    with Running(kubectl, image) as running:
        running.until("probing")
        with applied(kubectl, opened):
            code, report, told = running.end()
    spec.settle()
    assert told_wrongly(report) == {}, told
    assert code in (0, NO_VERDICT), told


def test_a_policy_goes(kubectl, image, spec):
    gone = next(item for item in world.policies() if item["metadata"]["name"] == "allow-metrics")
    try:
        with Running(kubectl, image) as running:
            running.until("probing")
            kubectl.run("delete", "networkpolicy", "-n", world.PROD, gone["metadata"]["name"])
            code, report, told = running.end()
    finally:
        kubectl.apply([gone])
    spec.settle()
    assert told_wrongly(report) == {}, told
    assert code in (0, NO_VERDICT), told


def test_a_quota_is_too_small(kubectl, image):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"namespace": world.PROD, "name": "full"},
        "spec": {"hard": {"pods": "5"}},
    }
    with applied(kubectl, quota):
        kubectl.run(
            "wait", "-n", world.PROD, "resourcequota/full", "--for=jsonpath={.status.used.pods}=5", "--timeout=30s"
        )
        done = audit(kubectl, "run", "-n", world.PROD, "--image", image, "-q")
    assert done.returncode == TROUBLE
    assert "quota" in done.stderr
    assert world.PROD in done.stderr


def test_the_image_is_missing(kubectl):
    done = audit(kubectl, "run", "-n", world.PROD, "--image", "audit-e2e/absent:1", "--start-timeout", "25", "-q")
    assert done.returncode == TROUBLE
    assert "audit-e2e/absent:1" in done.stderr


def test_a_namespace_is_being_deleted(kubectl, image):
    held = {"namespace": "e2e-leaving", "name": "held", "finalizers": ["e2e.audit/held"]}
    pod = world.workload("e2e-leaving", "held", image)[0]["spec"]["template"]["spec"]
    kubectl.apply([world.namespace("e2e-leaving")])
    kubectl.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": held, "spec": pod}])
    kubectl.run("wait", "-n", "e2e-leaving", "--for=condition=Ready", "pod/held", "--timeout=60s")
    try:
        kubectl.run("delete", "namespace", "e2e-leaving", "--wait=false")
        done = audit(kubectl, "run", "-n", "e2e-leaving", "--image", image, "-q")
    finally:
        kubectl.run(
            "patch",
            "pod",
            "-n",
            "e2e-leaving",
            "held",
            "--type=merge",
            "-p",
            json.dumps({"metadata": {"finalizers": None}}),
        )
        kubectl.delete_namespaces(["e2e-leaving"])
    assert done.returncode in (NO_VERDICT, TROUBLE)
    assert "e2e-leaving" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_rights_to_exec_are_missing(kubectl, image, tmp_path):
    may = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    rules = [
        {**may, "verbs": ["get", "list", "watch", "update"]},
        {**may, "verbs": ["create", "delete", "deletecollection"], "resources": ["pods", "configmaps", "leases"]},
    ]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "e2e-no-exec"},
        "rules": rules,
    }
    kubectl.apply([role])
    try:
        kubectl.run("create", "clusterrolebinding", "e2e-no-exec", "--clusterrole=e2e-no-exec", "--user=e2e-no-exec")
        done = audit(kubectl, "run", "-n", world.PROD, "--image", image, "--as", "e2e-no-exec", "-q")
    finally:
        kubectl.run("delete", "--ignore-not-found", "clusterrole,clusterrolebinding", "e2e-no-exec")
    assert done.returncode == TROUBLE
    assert "pods/exec" in done.stderr
