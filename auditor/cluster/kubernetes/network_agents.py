"""Which images the cluster's network runs: an update of it is a frequent reason for what changes overnight.

Told by the names of the DaemonSets that projects ship, as they are; a network under another name is not guessed at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

import msgspec

from auditor.cluster.kubernetes.client.api_types import Metadata, Record
from auditor.model.night import NETWORK_AGENT

AGENTS = frozenset(
    {
        "anetd",
        "antrea-agent",
        "aws-node",
        "azure-cns",
        "azure-npm",
        "calico-node",
        "canal",
        "cilium",
        "kindnet",
        "kube-flannel-ds",
        "kube-ovn-cni",
        "kube-router",
        "netd",
        "ovnkube-node",
        "ovs-ovn",
        "rke2-canal",
        "weave-net",
    }
)
"""The DaemonSets of the networks that enforce policies, and of Flannel."""
MARK = b'"DaemonSet"'


class _Container(Record, frozen=True):
    image: str = ""


class _Spec(Record, frozen=True):
    containers: list[_Container] = msgspec.field(default_factory=list)


class _AgentPod(Record, frozen=True):
    """Of a v1 Pod, whose it is and what it runs."""

    metadata: Metadata
    spec: _Spec = _Spec()


def note_agents(images: defaultdict[str, set[str]], pods: Iterable[msgspec.Raw]) -> None:
    """Add to ``images`` those of each known DaemonSet among the owners of ``pods``, by what it is a version of."""
    for raw in pods:
        if MARK not in bytes(raw):
            continue
        pod = msgspec.json.decode(raw, type=_AgentPod)
        for owner in pod.metadata.owner_references:
            if owner.controller and owner.kind == "DaemonSet" and owner.name in AGENTS:
                name = f"{NETWORK_AGENT}{pod.metadata.namespace}/{owner.name}"
                images[name] |= {container.image for container in pod.spec.containers if container.image}


def in_words(images: Mapping[str, Collection[str]]) -> dict[str, str]:
    """``images`` with each once, and commas between."""
    return {name: ", ".join(sorted(found)) for name, found in sorted(images.items()) if found}
