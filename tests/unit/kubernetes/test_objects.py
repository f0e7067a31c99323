from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from auditor.cluster.kubernetes.objects import (
    MANAGED_BY_LABEL,
    MESH_LABELS,
    NAME,
    RUN_LABEL,
    WAIT,
    Anchor,
    PodOptions,
    config_map_manifest,
    keys_read,
    lease_manifest,
    pod_manifest,
    pod_name,
)
from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.model.policy import NetworkPolicy, Peer, Rule
from auditor.model.ports import ContainerPort, Protocol
from auditor.model.probe_pod import ProbePod

PORTS = (ContainerPort(Protocol.TCP, 80, "http"), ContainerPort(Protocol.UDP, 53))


def probe(**changes):
    values = {
        "name": "prod/web",
        "namespace": "prod",
        "labels": {"app": "web"},
        "ports": PORTS,
        "node": "node-1",
        "stands_for": (),
    }
    return ProbePod(**{**values, **changes})


def manifest(**changes):
    options = {key: changes.pop(key) for key in ("user", "withheld") if key in changes}
    return pod_manifest(
        probe(**changes), 3, "0123abcd", Anchor("netpol-audit", "uid"), PodOptions(image="python:3"), **options
    )


def test_a_pod_carries_its_identity_its_run_and_its_owner():
    metadata = manifest()["metadata"]
    assert metadata["name"] == f"{NAME}-0123abcd-3-x"
    assert metadata["labels"] == {"app": "web", RUN_LABEL: "0123abcd", MANAGED_BY_LABEL: NAME, **MESH_LABELS}
    owner = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "name": NAME, "uid": "uid"}
    assert metadata["ownerReferences"] == [{**owner, "controller": True, "blockOwnerDeletion": False}]
    config_map = config_map_manifest("prod", "0123abcd", Anchor(NAME, "uid"), "source")
    assert config_map["metadata"]["ownerReferences"] == metadata["ownerReferences"]
    assert lease_manifest("prod", "netpol-audit", "0123abcd", "me", "now")["metadata"]["name"] == owner["name"]


@pytest.mark.parametrize("key", [MANAGED_BY_LABEL, "sidecar.istio.io/inject"])
def test_a_label_of_ours_that_policies_read_is_left_to_the_identity(key):
    assert key not in manifest(withheld={key})["metadata"]["labels"]
    assert manifest(labels={key: "theirs"}, withheld={key})["metadata"]["labels"][key] == "theirs"
    assert manifest(withheld={RUN_LABEL})["metadata"]["labels"][RUN_LABEL] == "0123abcd"


def test_it_never_gets_ready_and_ends_by_itself():
    spec = manifest()["spec"]
    assert spec["readinessGates"] == [{"conditionType": "netpol-audit/never"}]
    assert spec["activeDeadlineSeconds"] == 900
    assert spec["restartPolicy"] == "Never"


def test_it_is_restricted():
    """Every control of the Pod Security Standard "restricted", and what goes beyond it."""
    spec = manifest()["spec"]
    (container,) = spec["containers"]
    assert not {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"} & spec.keys()
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["securityContext"]["sysctls"] == [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert all("hostPort" not in port for port in container["ports"])
    assert [set(volume) for volume in spec["volumes"]] == [{"name", "configMap"}]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False


@pytest.mark.parametrize(("user", "fields"), [(65532, {"runAsUser": 65532, "runAsGroup": 65532}), (None, {})])
def test_the_user_is_left_to_namespaces_that_assign_one(user, fields):
    security = manifest(user=user)["spec"]["securityContext"]
    assert {key: value for key, value in security.items() if key in ("runAsUser", "runAsGroup")} == fields


def test_ports_are_mirrored_with_their_names():
    (container,) = manifest()["spec"]["containers"]
    assert container["ports"] == [
        {"name": "http", "containerPort": 80, "protocol": "TCP"},
        {"containerPort": 53, "protocol": "UDP"},
    ]


def test_a_node_is_asked_for_through_the_scheduler():
    spec = manifest()["spec"]
    (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}
    assert spec["tolerations"] == [{"operator": "Exists", "effect": "NoSchedule"}]
    assert "nodeName" not in spec
    assert not {"affinity", "tolerations"} & manifest(node="")["spec"].keys()


def test_the_keys_that_policies_read_are_those_of_every_pod_selector():
    def selector(key):
        return LabelSelector(((f"{key}-label", "x"),), (Requirement(f"{key}-expression", Operator.DOES_NOT_EXIST),))

    rules = [
        (Rule((Peer(pod_selector=selector(name), namespace_selector=selector("namespace")), Peer())),)
        for name in ("in", "out")
    ]
    policy = NetworkPolicy("prod", "p", selector("own"), frozenset(), *rules)
    assert keys_read([policy]) == {
        f"{name}-{kind}" for name in ("own", "in", "out") for kind in ("label", "expression")
    }


def test_the_first_process_ends_well_when_told():
    # Blocked from the start, so that it does not matter how soon the signal comes.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    waiting = subprocess.Popen([sys.executable, "-ISc", WAIT.replace("REACHED", "0")])
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    try:
        waiting.send_signal(signal.SIGTERM)
        assert waiting.wait(20) == 0
    finally:
        waiting.kill()
        waiting.wait()


def test_no_autoscaler_adds_a_node_for_it_or_keeps_one():
    annotations = pod_manifest(probe(), 0, "0123abcd", Anchor("netpol-audit", "uid"), PodOptions(lifetime=600))[
        "metadata"
    ]["annotations"]
    prefix = "cluster-autoscaler.kubernetes.io/"
    told = {key.removeprefix(prefix): value for key, value in annotations.items() if key.startswith(prefix)}
    assert told == {"safe-to-evict": "true", "pod-scale-up-delay": "600s"}


def as_some_enforcers_see_it(name):
    """The AWS VPC CNI keys what it enforces by a pod's name without its last part, so that pods of one workload share
    their rules.
    """
    return name.replace(".", "_").rpartition("-")[0] or name


def test_the_name_of_a_probe_pod_is_unique_without_its_last_part():
    names = [pod_name("0123abcd", number) for number in range(1200)]
    assert len({as_some_enforcers_see_it(name) for name in names}) == len(names)
    assert not any("." in name or len(name) > 63 for name in names)
