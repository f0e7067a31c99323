"""Workloads: what people think in, instead of the names that controllers make up for their pods."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from auditor.model.snapshot import Endpoint

TEMPLATE_HASHES: Mapping[str, str] = {"pod-template-hash": "Deployment", "rollouts-pod-template-hash": "Rollout"}
"""The labels that end the names of ReplicaSets, by the kind that makes these."""
DEPLOYMENT_CONFIG = "deploymentconfig"
KNATIVE_SERVICE = "serving.knative.dev/service"
SCHEDULED_JOB = re.compile(r"(.+)-\d{8,10}\Z")
"""The CronJob controller ends the name of each Job with the minute that it was scheduled for."""
WORKLOAD_LABEL = "netpol-audit/workload"
"""What the pods of Jobs with ever new names say that they are, so that they are the same from run to run."""


def workload_name(endpoint: Endpoint) -> str:
    """``NAMESPACE/WORKLOAD`` of a pod, or its own name where it has no controller or, as a mirror of a static pod, a
    node for one.

    Of the controller's name, what differs from one rollout or scheduled run to the next is left out. A Job's pod may
    say by a label what it is called.
    """
    kind, name = _made_from(endpoint)
    return endpoint.name if not name or kind == "Node" else f"{endpoint.namespace}/{name}"


def _made_from(endpoint: Endpoint) -> tuple[str, str]:
    """Kind and name of what people wrote that the pod comes from: of its controller, or of what made that; empty
    without any.
    """
    kind, _, name = endpoint.workload.partition("/")
    labels = endpoint.labels
    if kind == "ReplicaSet" and KNATIVE_SERVICE in labels and name.startswith(f"{labels[KNATIVE_SERVICE]}-"):
        return "Service", labels[KNATIVE_SERVICE]
    if kind == "ReplicaSet":
        for label, maker in TEMPLATE_HASHES.items():
            bare = name.removesuffix(f"-{labels.get(label)}")
            if bare != name:
                return maker, bare
    if kind == "ReplicationController" and re.fullmatch(rf"{re.escape(labels.get(DEPLOYMENT_CONFIG, '/'))}-\d+", name):
        return "DeploymentConfig", labels[DEPLOYMENT_CONFIG]
    if kind == "Job" and (told := labels.get(WORKLOAD_LABEL)):
        return "CronJob" if told != name else kind, told
    if kind == "Job" and (scheduled := SCHEDULED_JOB.match(name)):
        return "CronJob", scheduled[1]
    return kind, name


def workload_identity(endpoint: Endpoint) -> tuple[str, str, str] | None:
    """Namespace, kind and name of the workload that a pod belongs to, the same for files as for a live cluster, where a
    ReplicaSet or a Job stands between; None where it has none.
    """
    kind, name = _made_from(endpoint)
    return None if not name or kind == "Node" else (endpoint.namespace, kind, name)


KINDS: Mapping[str, frozenset[str]] = {
    name: frozenset(kinds)
    for names, kinds in (
        (("deploy", "deployment", "deployments"), ("Deployment", "ReplicaSet")),
        (("rs", "replicaset", "replicasets"), ("ReplicaSet",)),
        (("sts", "statefulset", "statefulsets"), ("StatefulSet",)),
        (("ds", "daemonset", "daemonsets"), ("DaemonSet",)),
        (("job", "jobs"), ("Job",)),
        (("cj", "cronjob", "cronjobs"), ("CronJob", "Job")),
        (("rollout", "rollouts"), ("Rollout", "ReplicaSet")),
        (("dc", "deploymentconfig", "deploymentconfigs"), ("DeploymentConfig", "ReplicationController")),
        (("ksvc",), ("Service", "ReplicaSet")),
    )
    for name in names
}
"""The kinds of controllers that pods may have which belong to a workload, by what kubectl calls its kind."""


def pods_of_workload(endpoints: Iterable[Endpoint], text: str) -> tuple[Endpoint, ...]:
    """The pods of the workload that ``text`` names: ``prod/web``, or, as kubectl does, ``deploy/web``, which may be in
    several namespaces, or ``deploy/prod/web``. None where it names no workload.
    """
    parts = text.split("/")
    pods = [each for each in endpoints if each.workload]
    if len(parts) == 2:
        found = tuple(pod for pod in pods if workload_name(pod) == text)
        if found:
            return found
    kinds = KINDS.get(parts[0].lower(), frozenset())
    wanted = "/".join(parts[1:])
    return tuple(
        pod
        for pod in pods
        if pod.workload.partition("/")[0] in kinds
        and wanted in (workload_name(pod), workload_name(pod).partition("/")[2])
    )
