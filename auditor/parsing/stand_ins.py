"""Which workloads are in the input twice: once as themselves, and once as their real pods or as the workload that owns
them.

A cluster's dump has both, and a workload whose pods are there must not give endpoints of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from auditor.parsing.pods import PodObject, Workload

MADE_BY = {
    "ReplicaSet": ("Deployment", "Rollout"),
    "Job": ("CronJob",),
    "ReplicationController": ("DeploymentConfig",),
}
"""The kind between a workload and its pods, and the kinds that the workload may be of. That object in between may be
missing from the input.
"""


class StandIns:
    """The pods and workloads of an input, by what they stand for."""

    def __init__(self, pods: Sequence[PodObject], workloads: Sequence[Workload]) -> None:
        self._workloads = {(workload.kind, workload.namespace, workload.name) for workload in workloads}
        self._owners: set[tuple[str, str, str]] = set()
        self._between: dict[tuple[str, str], list[PodObject]] = defaultdict(list)
        for pod in pods:
            # A finished pod of a Deployment, evicted say, has a successor; one of a Job has done what was wanted.
            if pod.owner is None or (pod.finished and pod.owner.kind != "Job"):
                continue
            namespace = pod.endpoint.namespace
            self._owners.add((pod.owner.kind, namespace, pod.owner.name))
            for kind in MADE_BY.get(pod.owner.kind, ()):
                self._between[kind, namespace].append(pod)

    def stand_for(self, workload: Workload) -> bool:
        """Whether real pods of ``workload`` are there, or the workload that owns it."""
        owner = workload.owner
        if owner is not None and (owner.kind, workload.namespace, owner.name) in self._workloads:
            return True
        if (workload.kind, workload.namespace, workload.name) in self._owners:
            return True
        return any(_made(pod, workload) for pod in self._between[workload.kind, workload.namespace])


def _made(pod: PodObject, workload: Workload) -> bool:
    """Whether ``pod``, made by an object in between, looks like one of ``workload``: by its labels, or its maker's name
    without any.
    """
    if workload.selector:
        return workload.selector.items() <= pod.endpoint.labels.items()
    return pod.owner is not None and pod.owner.name.startswith(f"{workload.name}-")
