"""Labels and names that controllers give to the pods that they make: known ones, and those that nobody can know."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from auditor.model.labels import LabelSelector
from auditor.model.policy import NetworkPolicy
from auditor.model.snapshot import Endpoint

if TYPE_CHECKING:
    from auditor.parsing.pods import Ordinals, Workload

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
JOB_INDEX = "batch.kubernetes.io/job-completion-index"
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


def values_asked_for(policies: Iterable[NetworkPolicy]) -> frozenset[str]:
    """The values by which ``policies`` ask for single pods of a StatefulSet, or of an Indexed Job."""
    selectors = {policy.pod_selector for policy in policies}
    selectors |= {
        peer.pod_selector
        for policy in policies
        for rule in (*policy.ingress, *policy.egress)
        for peer in rule.peers
        if peer.pod_selector is not None
    }
    return frozenset(value for selector in selectors for value in _values(selector))


def _values(selector: LabelSelector) -> Iterable[str]:
    keys = (POD_NAME, POD_INDEX, JOB_INDEX)
    yield from (value for key, value in selector.match_labels if key in keys)
    for requirement in selector.match_expressions:
        if requirement.key in keys:
            yield from requirement.values


def numbered_pods(workload: Workload, ordinals: Ordinals, most: int, asked: Collection[str]) -> list[Endpoint]:
    """The first ``most`` of the pods of ``workload``, and those that are ``asked`` for by name or number."""
    template, first = workload.template, ordinals.start
    total = workload.replicas or 0
    numbers = [
        number
        for number in range(first, first + min(total, MOST_NUMBERED))
        if number < first + most or {str(number), f"{workload.name}-{number}"} & set(asked)
    ]
    alone = len(numbers) == 1 and not ordinals.names_pods
    return [
        replace(
            template,
            name=template.name if alone else f"{template.name}-{number}",
            labels={**template.labels, **_own_labels(workload.name, ordinals, number)},
        )
        for number in numbers
    ]


MOST_NUMBERED = 10_000


def _own_labels(name: str, ordinals: Ordinals, number: int) -> Mapping[str, str]:
    if ordinals.names_pods:
        return {POD_NAME: f"{name}-{number}", POD_INDEX: str(number)}
    return {JOB_INDEX: str(number)}
