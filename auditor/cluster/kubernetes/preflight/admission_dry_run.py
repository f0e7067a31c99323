"""What admission would make of probe pods: each kind of them is created once as a server-side dry run.

That asks Pod Security, quotas, LimitRanges, webhooks and policy engines all at once, and shows what webhooks would
change. A pod with a foreign container or another identity would measure something else than what was asked.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditor.cluster.kubernetes.client.listing import decode
from auditor.cluster.kubernetes.client.server import ApiServer, Question
from auditor.cluster.kubernetes.objects import NAME, Anchor, PodOptions, pod_manifest
from auditor.cluster.kubernetes.preflight.admission import AdmittedPod, changed_by_admission
from auditor.model.errors import ClusterError
from auditor.model.probe_pod import ProbePod

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
