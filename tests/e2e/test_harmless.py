"""An audit among production workloads disturbs none of them: every object is compared before and after, and watched in
between.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.e2e import world
from tests.e2e.auditing import run_audit
from tests.e2e.kubectl import Kubectl
from tests.e2e.recording import EVENTS, PODS, SLICES, Recording

COUNTS_PODS = ("PodDisruptionBudget", "EndpointSlice", "Endpoints")
"""Their controllers write down how many pods there are, ready or not: these must be as before once the probe pods have
gone.
"""
PROBE_POD = "netpol-audit-"


def everything(kubectl: Kubectl) -> dict[tuple[str, str, str], object]:
    """What makes up each object of the shop, events left out."""
    kinds = kubectl.run("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    wanted = ",".join(kind for kind in kinds if not kind.startswith("events") and not kind.endswith("metrics.k8s.io"))
    with ThreadPoolExecutor(len(world.NAMESPACES)) as executor:
        found = executor.map(lambda namespace: kubectl.items(wanted, "-n", namespace), world.NAMESPACES)
        return {_key(item): _essence(item) for items in found for item in items}


def _key(item):
    return item["kind"], item["metadata"]["namespace"], item["metadata"]["name"]


def _essence(item):
    metadata = item["metadata"]
    if item["kind"] not in COUNTS_PODS:
        return metadata["uid"], metadata["resourceVersion"]
    ends = (
        sorted((end["addresses"], end["conditions"]) for end in item.get("endpoints") or ())
        if item["kind"] == "EndpointSlice"
        else ()
    )
    return metadata["uid"], metadata.get("labels"), item.get("spec"), item.get("subsets"), ends


def test_nothing_is_disturbed(spec, kubectl, image):
    before = everything(kubectl)
    assert {kind for kind, _, _ in before} >= {"Deployment", "ReplicaSet", "Pod", "Service", *COUNTS_PODS}
    with Recording(kubectl, PODS, EVENTS, SLICES) as recording:
        already = {event["metadata"]["uid"] for event in kubectl.items("events", "--all-namespaces")}
        audited = run_audit(kubectl, image)
    assert audited.code == 0, audited.complaints
    after = everything(kubectl)
    assert after == before

    events = [event for event in recording.latest(EVENTS) if event["metadata"]["uid"] not in already]
    concerned = {
        (event["involvedObject"]["kind"], event["involvedObject"]["name"]) for event in events if _in_shop(event)
    }
    assert {name for kind, name in concerned if kind != "Pod" or not name.startswith(PROBE_POD)} == set()
    assert any(name.startswith(PROBE_POD) for _, name in concerned), "the watch saw nothing"


def _in_shop(item):
    return item["metadata"]["namespace"] in world.NAMESPACES


def test_no_service_takes_a_probe_pod_for_a_backend_and_nobody_adopts_one(spec, kubectl, image):
    with Recording(kubectl, PODS, SLICES) as recording:
        run_audit(kubectl, image)
    probes = [
        change.item for change in recording.changes(PODS) if change.item["metadata"]["name"].startswith(PROBE_POD)
    ]
    assert probes
    owners = {
        (owner["kind"], owner.get("controller")) for pod in probes for owner in pod["metadata"]["ownerReferences"]
    }
    assert owners == {("Lease", True)}
    listed = [
        end
        for change in recording.changes(SLICES)
        for end in change.item.get("endpoints") or ()
        if end.get("targetRef", {}).get("name", "").startswith(PROBE_POD)
    ]
    assert listed, "no Service selects a probe pod, so this shows nothing"
    assert [end for end in listed if end["conditions"].get("ready") or end["conditions"].get("serving")] == []
