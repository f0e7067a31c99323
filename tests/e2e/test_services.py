"""Through Services on a real cluster, with kube-proxy's own rules: nothing differs under an enforcer of the
specification, no object of anybody's changes, whatever is tried beside the matrix, and what is killed leaves nothing.
"""

from __future__ import annotations

import json
import time

import pytest

from tests.e2e import world
from tests.e2e.auditing import MANAGED, RUN_LABEL, Running, audit, left_behind, run_arguments, through_services
from tests.e2e.enforcers.nftables import NAMESPACE
from tests.e2e.recording import PODS, SLICES, Recording
from tests.e2e.test_harmless import PROBE_POD, everything

BESIDE = ("--dns", "--service", f"{world.PROD}/api")
"""All else that is tried beside the matrix."""


def services_left(kubectl, patience=20):
    """Services and EndpointSlices of ours that stay, once the garbage collector has had its time."""
    until = time.monotonic() + patience
    while found := kubectl.items("services,endpointslices", "--all-namespaces", "-l", MANAGED):
        if time.monotonic() > until:
            break
        time.sleep(0.5)
    return [f"{item['kind']} {item['metadata']['name']}" for item in found]


def test_under_the_specification_nothing_differs_and_nobody_is_disturbed_whatever_is_tried(spec, kubectl, image):
    before, around = everything(kubectl), of_users(kubectl)
    with Recording(kubectl, PODS, SLICES) as recording:
        done = audit(kubectl, *run_arguments(image, "--services", *BESIDE))
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    cells = through_services(report)
    assert {
        each["result"] for part in (report["dns"]["lookups"], report["reached"]["connections"]) for each in part
    } == {"match"}
    assert {each["observed"] for each in report["reached"]["names"]} == {"allowed"}
    assert done.returncode == 0, report["findings"]
    assert any(cell["expected"] == "denied" and cell["observed"] == "dropped" for cell in cells)
    itself = [cell for cell in cells if cell["source"] == cell["backend"] and cell["way"] == "cluster-ip"]
    assert itself
    assert {cell["observed"] for cell in itself} == {"allowed"}

    assert services_left(kubectl) == []
    assert left_behind(kubectl) == []
    assert everything(kubectl) == before
    assert of_users(kubectl) == around
    listing = {
        change.item["metadata"]["labels"]["kubernetes.io/service-name"]
        for change in recording.changes(SLICES)
        for end in change.item.get("endpoints") or ()
        if (end.get("targetRef") or {}).get("name", "").startswith(PROBE_POD)
        and (end.get("conditions") or {}).get("ready")
    }
    assert listing
    assert {name for name in listing if not name.startswith("netpol-audit-")} == set()


def of_users(kubectl):
    """The versions of what people have in any namespace and in none that a run could come near. What the suite's own
    enforcer and the cluster itself do with their pods is their business.
    """
    kinds = "services,configmaps,networkpolicies,ingresses,deployments,daemonsets,pods,namespaces,ingressclasses"
    return {
        (item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]): item["metadata"]["resourceVersion"]
        for item in kubectl.items(kinds, "--all-namespaces")
        if not item["metadata"].get("namespace", "").startswith((NAMESPACE, "kube-"))
    }


@pytest.mark.parametrize("phase", ["through Services", "looking names up"])
def test_what_is_killed_while_services_are_there_is_cleaned_up_with_them(phase, spec, kubectl, image):
    with Running(kubectl, image, "--services", *BESIDE) as running:
        running.until(phase)
        made = kubectl.items("services", "--all-namespaces", "-l", MANAGED)
        running.kill()
    assert made
    done = audit(kubectl, "cleanup", "--run", made[0]["metadata"]["labels"][RUN_LABEL])
    assert done.returncode == 0, done.stderr
    assert services_left(kubectl, 60) == []
    assert left_behind(kubectl) == []
