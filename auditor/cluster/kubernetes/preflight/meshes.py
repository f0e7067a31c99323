"""Pods whose connections a service mesh takes over.

Its proxy completes every handshake beside the pod, whatever becomes of it further on. Who tries from inside such a pod
meets the proxy, and not the network: each connection would look allowed. Probe pods are kept out of meshes; pods that
are probed in place can't be.
"""

from __future__ import annotations

from collections.abc import Iterator

from auditor.cluster.kubernetes.reading import LiveSnapshot
from auditor.model.labels import Labels
from auditor.model.snapshot import Namespace, Snapshot

PROXIES = frozenset(
    {"istio-proxy", "linkerd-proxy", "kuma-sidecar", "consul-dataplane", "envoy-sidecar", "envoy", "nginx-mesh-sidecar"}
)
"""What meshes call the containers of their proxies."""
AMBIENT = "istio.io/dataplane-mode"
"""The label, of pods and namespaces, by which Istio takes connections without a container in the pod."""
PROXIED = (
    "a service mesh takes the connections of its pods, so what is tried from inside them says nothing about the network"
)


def proxied_pods(live: LiveSnapshot) -> frozenset[str]:
    """The names of the pods whose connections a mesh takes over, as far as that shows."""
    return frozenset((*_with_proxies(live), *_captured(live.snapshot)))


def _with_proxies(live: LiveSnapshot) -> Iterator[str]:
    for manifest in live.manifests:
        if manifest["kind"] == "Pod":
            spec, metadata = manifest.get("spec", {}), manifest["metadata"]
            containers = (*(spec.get("containers") or ()), *spec.get("initContainers", ()))
            if any(container.get("name") in PROXIES for container in containers):
                yield f"{metadata['namespace']}/{metadata['name']}"


def _captured(snapshot: Snapshot) -> Iterator[str]:
    for endpoint in snapshot.endpoints:
        if endpoint.selectable and is_captured(endpoint.labels, snapshot.namespaces[endpoint.namespace]):
            yield endpoint.name


def is_captured(labels: Labels, namespace: Namespace) -> bool:
    """Whether the connections of a pod with ``labels`` in ``namespace`` are taken over on its node. The pod's own label
    decides.
    """
    return labels.get(AMBIENT, namespace.labels.get(AMBIENT)) == "ambient"
