"""What belongs to somebody else costs the namespace that it is in, at most, and is reported."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event, Thread

import pytest

from tests.e2e import world
from tests.e2e.auditing import MANAGED, RUN_LABEL, Running, audit, in_cluster
from tests.e2e.kubectl import Kubectl, KubectlError, Object
from tests.e2e.recording import PODS, Recording

GUARDED = "e2e-guarded"
LOCK = "netpol-audit"
FOR_EVER = 2**31 - 1
COUNT, LIMIT = 14, 12


@pytest.fixture
def guarded(kubectl: Kubectl, image: str) -> Iterator[None]:
    """A namespace whose only policy selects a database that must never lose a second pod, beside a client."""
    kubectl.delete_namespaces([GUARDED])
    kubectl.apply([world.namespace(GUARDED)])
    parts = [*world.workload(GUARDED, "db", image), *world.workload(GUARDED, "client", image)]
    selector = {"matchLabels": {"app": "db"}}
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"namespace": GUARDED, "name": "db"},
    }
    only_policy = world.policy(GUARDED, "db", {"app": "db"}, ingress=[{"ports": [world.tcp(8080)]}])
    kubectl.apply([item for item in parts if item["kind"] != "PodDisruptionBudget"])
    kubectl.apply([{**budget, "spec": {"maxUnavailable": 1, "selector": selector}}, only_policy])
    kubectl.run(
        "wait", "-n", GUARDED, "--for=condition=Available", "deployment", "--all", "--timeout=120s", patience=150
    )
    yield
    kubectl.delete_namespaces([GUARDED])


def test_a_policy_whose_pods_are_all_kept_out_by_a_budget_is_no_pass(
    guarded: None, kubectl: Kubectl, image: str
) -> None:
    arguments = ("run", "-n", GUARDED, "--from", GUARDED, "--to", GUARDED, "--image", image, "--settle", "1", "-q")
    done = audit(kubectl, *arguments)
    assert done.returncode == 3, done.stdout + done.stderr
    assert f"{GUARDED}/db" in done.stdout.splitlines()[0]
    accepted = audit(kubectl, *arguments, "--accept-untested", f"{GUARDED}/db")
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert f"{GUARDED}/db" in accepted.stdout


@pytest.fixture
def numbered(shop: None, kubectl: Kubectl, image: str) -> Iterator[None]:
    """Pods of a tenant that nobody starts, and a policy of theirs that tells each from the others."""
    numbers = [str(number) for number in range(COUNT)]
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"numbered-{number}", "namespace": world.OTHER, "labels": {"number": number}},
            "spec": {"schedulingGates": [{"name": "example.com/never"}], "containers": [{"name": "c", "image": image}]},
        }
        for number in numbers
    )
    rules = [
        {"from": [{"namespaceSelector": {}, "podSelector": {"matchExpressions": [in_values("number", [number])]}}]}
        for number in numbers
    ]
    kubectl.apply([world.policy(world.OTHER, "numbered", {"app": "web"}, ingress=rules)])
    yield
    kubectl.run("delete", "networkpolicy", "-n", world.OTHER, "numbered")
    kubectl.run("delete", "pods", "-n", world.OTHER, "-l", "number", "--force", "--grace-period=0")


def in_values(key: str, values: list[str]) -> Object:
    return {"key": key, "operator": "In", "values": values}


def test_a_policy_that_makes_too_many_probe_pods_is_named_and_nothing_is_created(
    numbered: None, kubectl: Kubectl, image: str
) -> None:
    with Recording(kubectl, PODS) as recording:
        for command in (("run", "-q"), ("preflight",)):
            done = audit(
                kubectl, *command, "-n", world.OTHER, "--image", image, "--everything", "--max-probe-pods", str(LIMIT)
            )
            assert done.returncode != 0, done.stdout
            said = done.stdout + done.stderr
            assert f"--max-probe-pods {LIMIT}" in said, said
            assert world.OTHER in said, said
            assert "number" in said, said
    assert not [pod for pod in recording.latest(PODS) if RUN_LABEL in pod["metadata"].get("labels", {})]
    assert in_cluster(kubectl) == []


def lock(namespace: str, run_id: str, seconds: int) -> Object:
    """The Lease by which an audit would lock ``namespace``, made by somebody else."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"namespace": namespace, "name": LOCK, "labels": {RUN_LABEL: run_id, **dict([MANAGED.split("=")])}},
        "spec": {"holderIdentity": "a tenant", "leaseDurationSeconds": seconds},
    }


@contextmanager
def renewed(kubectl: Kubectl, namespace: str) -> Iterator[None]:
    """The Lease there is renewed all the time."""
    over = Event()

    def renew() -> None:
        while not over.wait(1.0):
            spec = {"spec": {"renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}}
            try:
                kubectl.run("patch", "lease", "-n", namespace, LOCK, "--type=merge", "-p", json.dumps(spec))
            except KubectlError:
                continue

    renewing = Thread(target=renew)
    renewing.start()
    try:
        yield
    finally:
        over.set()
        renewing.join()


@contextmanager
def locked_by_tenants(kubectl: Kubectl) -> Iterator[None]:
    """Two namespaces that tenants hold: with a Lease that is said to last for ever, and with renewals."""
    kubectl.apply([lock(world.OTHER, "66666666", FOR_EVER), lock(world.MONITORING, "77777777", 30)])
    try:
        with renewed(kubectl, world.MONITORING):
            yield
    finally:
        for namespace in (world.OTHER, world.MONITORING):
            kubectl.run("delete", "lease", "-n", namespace, LOCK, "--ignore-not-found")


def test_leases_of_tenants_cost_their_own_namespaces_and_shield_nothing_elsewhere(
    spec: object, kubectl: Kubectl, image: str
) -> None:
    a_dead_run(kubectl, image)
    with locked_by_tenants(kubectl):
        done = audit(kubectl, "cleanup")
        assert done.returncode == 0, done.stdout + done.stderr
        assert until_gone(kubectl, f" {world.PROD}/") == []
        done = audit(kubectl, "run", "-A", "--image", image, "--settle", "1", "-o", "json", "-q")
        assert done.returncode in (0, 3), done.stdout + done.stderr
        report = json.loads(done.stdout)
        told = json.dumps(report["facts"]) + done.stderr
        for namespace in (world.OTHER, world.MONITORING):
            assert f"namespace {namespace}" in told, told
            assert {cell["result"] for cell in report["cells"] if cell["source"].startswith(f"{namespace}/")} <= {
                "skipped"
            }
        probed = {cell["source"].split("/")[0] for cell in report["cells"] if cell["result"] == "match"}
        assert world.PROD in probed, probed
        assert until_gone(kubectl, "Pod ") == []


def until_gone(kubectl: Kubectl, part: str) -> list[str]:
    """Whatever of ours has ``part`` in its name and stays."""
    end = time.monotonic() + 20
    while (found := [item for item in in_cluster(kubectl) if part in item]) and time.monotonic() < end:
        time.sleep(0.5)
    return found


def a_dead_run(kubectl: Kubectl, image: str) -> None:
    """Leave everything of a run whose Leases have run out."""
    with Running(kubectl, image) as running:
        running.until("probing")
        running.kill()
    leases = kubectl.items("leases", "-A", "-l", MANAGED)
    for lease in leases:
        place = ("-n", lease["metadata"]["namespace"], lease["metadata"]["name"])
        kubectl.run("patch", "lease", *place, "--type=merge", "-p", '{"spec": {"leaseDurationSeconds": 1}}')
    time.sleep(4.0)  # a second that they last, and the rounding of the API server's clock
    assert any(item.startswith(f"Pod {world.PROD}/") for item in in_cluster(kubectl))
