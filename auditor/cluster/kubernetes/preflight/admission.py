"""What admission made of a probe pod: one with a foreign container or another identity would measure something else
than what was asked.

And one with another readiness gate may do harm. Controllers of cloud load balancers put theirs on the pods that they
are to send traffic to, and send it before the pod is ready, since it is that traffic's health which opens their gate:
ours, which never opens, stops them not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from auditor.cluster.kubernetes.client.api_types import Record
from auditor.cluster.kubernetes.objects import CONTAINER, NEVER


class Labelled(Record, frozen=True):
    """metav1 ObjectMeta of a pod."""

    labels: dict[str, str] = msgspec.field(default_factory=dict)


class NamedContainer(Record, frozen=True):
    """v1 Container."""

    name: str


class Gate(Record, frozen=True):
    """v1 PodReadinessGate."""

    condition_type: str


class AdmittedSpec(Record, frozen=True):
    """v1 PodSpec, as far as admission may change what is measured or whom it harms."""

    containers: tuple[NamedContainer, ...] = ()
    init_containers: tuple[NamedContainer, ...] = ()
    readiness_gates: tuple[Gate, ...] = ()
    host_network: bool = False
    priority: int = 0
    preemption_policy: str = ""


class AdmittedPod(Record, frozen=True):
    """v1 Pod."""

    metadata: Labelled = Labelled()
    spec: AdmittedSpec = AdmittedSpec()


def changed_by_admission(admitted: AdmittedPod, wanted: Mapping[str, Any], read: Collection[str]) -> str:
    """How admission changed what the manifest ``wanted`` is; empty when it left alone what counts. ``read`` are the
    label keys that policies look at.
    """
    spec, labels, own = admitted.spec, admitted.metadata.labels, wanted["metadata"]["labels"]
    foreign = [container.name for container in (*spec.init_containers, *spec.containers) if container.name != CONTAINER]
    if foreign:
        return (
            f"an admission webhook adds the container {', '.join(foreign)}: exclude pods that a mesh is told to "
            "leave alone"
        )
    changed = sorted(key for key in own.keys() | set(read) if labels.get(key) != own.get(key))
    if changed:
        return f"an admission webhook changes its label {', '.join(changed)}, and with it what policies take it for"
    gates = [gate.condition_type for gate in spec.readiness_gates]
    if NEVER not in gates:
        return "an admission webhook takes out the readiness gate that keeps traffic of Services away"
    if len(gates) > 1:
        gate = next(gate for gate in gates if gate != NEVER)
        return f"an admission webhook adds the readiness gate {gate}: its load balancer would take it for a backend"
    return "an admission webhook puts it on its node's network" if spec.host_network else ""
