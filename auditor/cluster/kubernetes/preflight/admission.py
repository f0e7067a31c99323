"""What admission makes, or would make, of probe pods.

One with a foreign container or another identity would measure something else than what was asked. And one with another
readiness gate may do harm: controllers of cloud load balancers put theirs on the pods that they are to send traffic to,
and send it before the pod is ready, since it is that traffic's health which opens their gate. Ours, which never opens,
does not stop them.

Beforehand each kind of probe pod is created once as a server-side dry run. That asks Pod Security, quotas, LimitRanges,
webhooks and policy engines all at once, and shows what webhooks would change.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from auditor.cluster.kubernetes.client.api_types import Record
from auditor.cluster.kubernetes.client.listing import decode
from auditor.cluster.kubernetes.client.server import ApiServer, Question
from auditor.cluster.kubernetes.objects import CONTAINER, NAME, NEVER, Anchor, PodOptions, pod_manifest
from auditor.model.errors import ClusterError
from auditor.model.probe_pod import ProbePod


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
    """v1 PodSpec, as far as admission may change what is measured or who is harmed."""

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
            f"an admission webhook adds the container {', '.join(foreign)}: exclude pods that a mesh is "
            "configured to skip"
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


NO_LEASE = Anchor(NAME, "00000000-0000-0000-0000-000000000000")
"""The uid of no object: in a dry run the owner isn't there yet."""


@dataclass(frozen=True, slots=True)
class AdmissionDryRun:
    """``refused`` are the names of probe pods with the reason that they share; ``remarks`` are lines for people."""

    refused: tuple[tuple[tuple[str, ...], str], ...]
    remarks: tuple[str, ...]


async def dry_run(  # noqa: PLR0913 - what probe pods are made of
    api: ApiServer,
    probes: Sequence[ProbePod],
    run_id: str,
    options: PodOptions,
    *,
    users: Mapping[str, int | None],
    withheld: Collection[str],
) -> AdmissionDryRun:
    """Create each kind of ``probes`` once, for show: those of a namespace that have the same label keys, and a node or
    none.
    """
    kinds: dict[object, list[ProbePod]] = defaultdict(list)
    for probe in probes:
        kinds[probe.namespace, frozenset(probe.labels), bool(probe.node)].append(probe)
    first = [alike[0] for alike in kinds.values()]
    manifests = [
        pod_manifest(probe, 0, run_id, NO_LEASE, options, user=users[probe.namespace], withheld=withheld)
        for probe in first
    ]
    tried = await asyncio.gather(*(_try(api, manifest, withheld) for manifest in manifests))
    names = [tuple(probe.name for probe in alike) for alike in kinds.values()]
    refused = tuple((alike, reason) for alike, (reason, _) in zip(names, tried, strict=True) if reason)
    return AdmissionDryRun(refused, tuple(dict.fromkeys(remark for _, remark in tried if remark)))


async def _try(api: ApiServer, manifest: Mapping[str, Any], read: Collection[str]) -> tuple[str, str]:
    """Why the pod can't be created, and a remark; each empty if there is none. ``read`` are the label keys that
    policies look at.
    """
    namespace = manifest["metadata"]["namespace"]
    question = Question(f"/api/v1/namespaces/{namespace}/pods", "create", "pods", f" in namespace {namespace}")
    try:
        answer = await api.send("POST", question, manifest, {"dryRun": "All"})
    except ClusterError as error:
        said = str(error).removeprefix(f"{api.place}: ")
        if "does not support dry run" in said:
            return "", f"namespace {namespace}: admission could not be asked beforehand: {said}"
        return said, ""
    admitted = decode(answer, AdmittedPod, api, question)
    return changed_by_admission(admitted, manifest, read), _preempts(admitted, namespace)


def _preempts(admitted: AdmittedPod, namespace: str) -> str:
    if admitted.spec.priority <= 0 or admitted.spec.preemption_policy == "Never":
        return ""
    return (
        f"namespace {namespace}: the cluster's default priority class gives probe pods priority "
        f"{admitted.spec.priority}: "
        "on a full node they could displace pods of lower priority"
    )
