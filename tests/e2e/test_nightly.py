"""The CronJob as it is shipped, in the cluster and with its own rights: what comes of a night, disturbed or not."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e import world
from tests.e2e.auditing import PATIENCE, in_cluster, left_behind
from tests.e2e.kubectl import Kubectl, Object

DEPLOY = Path(__file__).parents[2] / "deploy" / "kustomize"
HOME = "netpol-audit"
HISTORY_PATH = "/var/lib/netpol-audit"
SOON = 1
"""Seconds in which policies that nothing enforces are waited for."""
HISTORY = "  - ../../components/history # takes a default StorageClass; ../../components/history-configmap takes none\n"


def overlay(folder: Path, image: str) -> Path:
    """A copy of the overlay for namespaces, for the shop and ``image``; without a volume, which a cluster may lack."""
    shutil.copytree(DEPLOY, folder)
    chosen = folder / "overlays" / "namespaces"
    name, _, tag = image.rpartition(":")
    text = (chosen / "kustomization.yaml").read_text(encoding="utf-8")
    assert HISTORY in text
    text = text.replace(f"components:\n{HISTORY}", "").replace("registry.example/netpol-audit", name)
    (chosen / "kustomization.yaml").write_text(text.replace("newTag: 0.1.0", f'newTag: "{tag}"'), encoding="utf-8")
    binding, *_ = (chosen / "bindings.yaml").read_text(encoding="utf-8").split("---\n")
    bindings = [binding.replace("namespace: prod", f"namespace: {place}") for place in world.NAMESPACES]
    assert len(set(bindings)) == len(world.NAMESPACES)
    (chosen / "bindings.yaml").write_text("---\n".join(bindings), encoding="utf-8")
    (chosen / "options").write_text(f"--namespace {world.PROD}\n--settle {SOON}\n", encoding="utf-8")
    return chosen


@pytest.fixture(scope="module")
def nightly(
    request: pytest.FixtureRequest, shop: None, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """The CronJob, which nothing but the tests starts."""
    image = request.config.getoption("--e2e-audit-image")
    if not image:
        pytest.skip("needs --e2e-audit-image IMAGE; tests/e2e/cluster/build-audit-image makes one")
    rendered = kubectl.run("kustomize", str(overlay(tmp_path_factory.mktemp("nightly") / "kustomize", image)))
    kubectl.run("apply", "-f", "-", text=rendered.replace("suspend: false", "suspend: true"))
    yield
    kubectl.run("delete", "-f", "-", "--ignore-not-found", text=rendered)


def begin(
    kubectl: Kubectl,
    name: str,
    *options: str,
    deadline: int = 600,
    change: Callable[[Object], None] = lambda _pod: None,
) -> None:
    """A Job of the CronJob that may last ``deadline`` seconds, with further ``options`` of the audit, and with whatever
    ``change`` does to its pod.
    """
    job = json.loads(
        kubectl.run("create", "job", "-n", HOME, f"--from=cronjob/{HOME}", name, "--dry-run=client", "-o", "json")
    )
    job["spec"]["activeDeadlineSeconds"] = deadline
    pod = job["spec"]["template"]["spec"]
    pod["containers"][0]["args"] += options
    change(pod)
    kubectl.apply([job])


def with_a_full_volume(pod: Object) -> None:
    """Give ``pod`` a history whose volume has no byte left."""
    (audit,) = pod["containers"]
    pod["volumes"].append({"name": "history", "emptyDir": {"medium": "Memory", "sizeLimit": "64Ki"}})
    audit["volumeMounts"].append({"name": "history", "mountPath": HISTORY_PATH})
    fill = f"open('{HISTORY_PATH}/full', 'wb', 0).write(bytes(1 << 20))"
    pod["initContainers"] = [{**audit, "name": "fill", "command": ["python3", "-c", fill], "args": []}]


def until_it_probes(kubectl: Kubectl) -> None:
    until = time.monotonic() + PATIENCE
    while not any(found.startswith("Pod") for found in in_cluster(kubectl)):
        assert time.monotonic() < until, "no probe pod was created"
        time.sleep(0.2)


def end(kubectl: Kubectl, name: str) -> tuple[Object, list[Object]]:
    """The Job's status once it has ended, and its pods."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        (job,) = kubectl.items("jobs", "-n", HOME, "--field-selector", f"metadata.name={name}")
        if {"Complete", "Failed"} & {each["type"] for each in job["status"].get("conditions", ())}:
            return job["status"], kubectl.items("pods", "-n", HOME, "-l", f"job-name={name}")
        time.sleep(1)
    raise AssertionError(f"the Job {name} did not end")


def log_of(kubectl: Kubectl, pod: Object) -> str:
    return kubectl.run("logs", "-n", HOME, pod["metadata"]["name"])


def exit_code(pod: Object) -> int:
    code: int = pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]
    return code


def reasons(status: Object) -> set[str]:
    return {each["reason"] for each in status["conditions"]}


def test_findings_fail_the_job_which_is_not_tried_again(plain, nightly, kubectl):
    begin(kubectl, "findings")
    status, (pod,) = end(kubectl, "findings")
    assert (status["failed"], reasons(status), exit_code(pod)) == (1, {"PodFailurePolicy"}, 1)
    text = log_of(kubectl, pod)
    place = f"pod {HOME}/{pod['metadata']['name']} on {pod['spec']['nodeName']}"
    assert text.startswith(f"running in {place} as system:serviceaccount:{HOME}:{HOME}\n")
    assert "\nFAIL  " in text
    phases = text[: text.index("\nFAIL")].splitlines()
    assert not [line for line, after in pairwise(phases) if line == after]
    assert left_behind(kubectl) == []


def test_a_full_volume_costs_the_record_and_not_the_run(plain, nightly, kubectl):
    begin(kubectl, "full", "--history", HISTORY_PATH, change=with_a_full_volume)
    status, (pod,) = end(kubectl, "full")
    assert (reasons(status), exit_code(pod)) == ({"PodFailurePolicy"}, 1)
    text = log_of(kubectl, pod)
    said = f"warning: --history {HISTORY_PATH}: no space left on device; no record of this run is kept\nFAIL  "
    assert text.count("warning: ") == 1
    assert said in text
    assert left_behind(kubectl) == []


def test_an_eviction_leaves_nothing_and_counts_as_no_failure(plain, nightly, kubectl):
    begin(kubectl, "evicted")
    until_it_probes(kubectl)
    (pod,) = kubectl.items("pods", "-n", HOME, "-l", "job-name=evicted")
    name = pod["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": HOME}}
    path = f"/api/v1/namespaces/{HOME}/pods/{name}/eviction"
    kubectl.run("create", "--raw", path, "-f", "-", text=json.dumps(eviction))
    status, pods = end(kubectl, "evicted")
    assert name not in [other["metadata"]["name"] for other in pods if exit_code(other) == 1]
    assert (status["failed"], reasons(status)) == (1, {"PodFailurePolicy"})
    assert left_behind(kubectl) == []


def test_the_deadline_ends_a_night_cleanly(plain, nightly, kubectl):
    begin(kubectl, "late", "--settle", "300", deadline=30)
    until_it_probes(kubectl)
    status, _ = end(kubectl, "late")
    assert reasons(status) == {"DeadlineExceeded"}
    assert left_behind(kubectl) == []


def test_a_second_run_waits_for_its_turn(plain, nightly, kubectl):
    for name in ("one", "two"):
        begin(kubectl, name)
    codes = [exit_code(pod) for name in ("one", "two") for pod in end(kubectl, name)[1]]
    assert codes.count(1) == 2
    assert set(codes) <= {1, 4}
    assert left_behind(kubectl) == []


def test_a_night_on_which_policies_are_enforced_is_complete(spec, nightly, kubectl):
    begin(kubectl, "passing", "--settle", "5")
    status, (pod,) = end(kubectl, "passing")
    assert exit_code(pod) == 0, log_of(kubectl, pod)
    assert status["succeeded"] == 1
    assert left_behind(kubectl) == []
