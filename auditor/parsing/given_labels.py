"""Labels that controllers give to all pods of a workload alike: known ones, and those that nobody can know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

JOB_NAMES = ("job-name", "batch.kubernetes.io/job-name")
JOB_UIDS = frozenset({"controller-uid", "batch.kubernetes.io/controller-uid"})
KNATIVE = "serving.knative.dev"
KNATIVE_UNKNOWN = frozenset({f"{KNATIVE}/revision", f"{KNATIVE}/revisionUID", "app", "pod-template-hash"})
UNKNOWN: Mapping[str, frozenset[str]] = {
    "CronJob": JOB_UIDS.union(JOB_NAMES),
    "Deployment": frozenset({"pod-template-hash"}),
    "Rollout": frozenset({"rollouts-pod-template-hash"}),
    "StatefulSet": frozenset({"controller-revision-hash"}),
    "DaemonSet": frozenset({"controller-revision-hash", "pod-template-generation"}),
    "CloneSet": frozenset({"controller-revision-hash", "pod-template-hash", "apps.kruise.io/cloneset-instance-id"}),
}
"""Hashes of templates and the like, by the kind whose controller makes them."""


@dataclass(frozen=True, slots=True)
class GivenLabels:
    """Labels with their values, and keys of those whose values depend on the cluster."""

    known: Mapping[str, str] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()


def given_labels(version: str, kind: str, name: str) -> GivenLabels:
    """What the controller of the workload ``name`` gives to all of its pods alike (well-known labels reference)."""
    group = version.rpartition("/")[0]
    if kind == "Job":
        return GivenLabels(dict.fromkeys(JOB_NAMES, name), JOB_UIDS)
    if kind == "DeploymentConfig":
        return GivenLabels({"deploymentconfig": name}, frozenset({"deployment"}))
    if kind == "Service" and group == KNATIVE:
        return GivenLabels({f"{KNATIVE}/service": name, f"{KNATIVE}/configuration": name}, KNATIVE_UNKNOWN)
    return GivenLabels(unknown=UNKNOWN.get(kind, frozenset()))
