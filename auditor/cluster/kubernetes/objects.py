"""The objects that a run creates in a cluster: a Lease, a ConfigMap and probe pods, as manifests.

They carry labels of production workloads, so everything here is chosen to keep them harmless. A ``controller``
reference to the run's Lease keeps ReplicaSets from adopting a probe pod and lets the garbage collector remove it with
the Lease, also after a crash. A readiness gate that nobody ever opens keeps Services from sending it traffic. It meets
the Pod Security Standard "restricted" and asks for no more than a small part of a processor, so that a node gives way
to everybody else first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from auditor.model.admin_policy import AdminPolicy
from auditor.model.labels import Labels, LabelSelector
from auditor.model.policy import NetworkPolicy, UnknownPolicy
from auditor.model.ports import LAST_PORT, ContainerPort
from auditor.model.probe_pod import ProbePod

NAME = "netpol-audit"
"""The name of the Lease that locks a namespace, and how every other name begins."""
RUN_LABEL = "netpol-audit/run"
NUMBER_LABEL = "netpol-audit/number"
"""What tells the probe pods of a run apart, for Services of its own to select one."""
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
NEVER = "netpol-audit/never"
"""The readiness gate that nobody opens."""
CONTAINER = "agent"
AGENT_DIRECTORY = "/netpol-audit"
AGENT_FILE = "agent.py"
DEFAULT_IMAGE = "docker.io/library/python:3.13-slim"
USER = 65532
"""Whom the agent runs as, where the namespace does not assign users itself: no account of any image is expected to have
this number.
"""
LEASE_SECONDS = 30
LONGEST_LEASE_SECONDS = 4 * LEASE_SECONDS
"""What a Lease is believed at most when it says how long it lasts: some for other versions of this program, and none
for ever.
"""

MESH_LABELS: Labels = {
    "sidecar.istio.io/inject": "false",
    "istio.io/dataplane-mode": "none",
    "linkerd.io/inject": "disabled",
    "kuma.io/sidecar-injection": "disabled",
}
MESH_ANNOTATIONS: Labels = {
    "sidecar.istio.io/inject": "false",
    "linkerd.io/inject": "disabled",
    "kuma.io/sidecar-injection": "disabled",
    "consul.hashicorp.com/connect-inject": "false",
}
"""What keeps a mesh's sidecar out: some meshes read the label, some the annotation, some either, by their version."""

REACHED_PORT = 10011
"""Where the first process of a probe pod's container listens, for the kubelet alone, unless that port is tried."""
WAIT = """import os, signal, socket, threading, time
def listen():
    try:
        return socket.create_server(("", REACHED), family=socket.AF_INET6, dualstack_ipv6=True)
    except (OSError, ValueError):
        return socket.create_server(("", REACHED))
def let_in():
    try:
        listener = listen()
    except OSError:
        return
    while True:
        try:
            listener.accept()[0].close()
        except OSError:
            time.sleep(0.1)
signal.pthread_sigmask(0, {15})
threading.Thread(target=let_in, daemon=True).start()
signal.sigwait({15})
os._exit(0)"""
"""A container's first process ignores SIGTERM unless it asks for it; this one waits for nothing else, so that a pod
ends at once. Beside that it lets the kubelet in, which shows that packets cross the pod's network link, whatever
policies say. ``REACHED`` stands for the port."""


@dataclass(frozen=True, slots=True)
class PodOptions:
    """What a user can say about probe pods. ``cpu``, ``cpu_limit`` and ``memory`` (request and limit) are quantities of
    Kubernetes, ``lifetime`` the seconds after which the kubelet ends a pod that nobody removed. ``reached_port`` is
    where the kubelet reaches it: no port that is tried. ``numbered``: each has a label with its number in the run.
    ``names``: each looks names up as workloads do.
    """

    image: str = DEFAULT_IMAGE
    cpu: str = "50m"
    cpu_limit: str = "500m"
    memory: str = "96Mi"
    lifetime: int = 900
    reached_port: int = REACHED_PORT
    numbered: bool = False
    names: bool = False

    def apart_from(self, tried: Collection[int]) -> PodOptions:
        """These options with a ``reached_port`` that is none of the TCP ports ``tried``."""
        return replace(self, reached_port=next(port for port in range(REACHED_PORT, LAST_PORT) if port not in tried))


def apart(name: str) -> str:
    """``name`` as a pod's that shares its beginning with no other.

    Some enforcers key what they enforce by a pod's name without its last part (the AWS VPC CNI does): all that went by
    NAME-0, NAME-1 would have one set of rules on each node. Nor may there be a dot in it.
    """
    return f"{name}-x"


def pod_name(run_id: str, number: int) -> str:
    """The name of the probe pod with this ``number`` in its run."""
    return apart(f"{NAME}-{run_id}-{number}")


def keys_read(policies: Iterable[NetworkPolicy | AdminPolicy | UnknownPolicy]) -> frozenset[str]:
    """The keys of all pod labels that any of ``policies`` looks at, as far as that is known."""
    selectors: list[LabelSelector | None] = []
    for policy in policies:
        selectors.append(policy.pod_selector)
        if isinstance(policy, UnknownPolicy):
            continue
        for rule in (*policy.ingress, *policy.egress):
            selectors += [peer.pod_selector for peer in rule.peers]
    return frozenset(key for selector in selectors if selector is not None for key in selector.keys)


class Anchor(NamedTuple):
    """The Lease that owns what a run creates in one namespace."""

    name: str
    uid: str


def lease_name(run_id: str, *, locks: bool) -> str:
    """The name of a run's Lease in a namespace: the one that there can only be one of where it ``locks``
    the namespace.
    """
    return NAME if locks else f"{NAME}-{run_id}"


def anchor_name(run_id: str) -> str:
    """The name of the Lease that owns the pods of ``audit conformance`` in one of its namespaces, and that says nothing
    else.
    """
    return f"{NAME}-{run_id}-owner"


def anchor_manifest(namespace: str, run_id: str) -> dict[str, Any]:
    """The Lease of this name. Nobody renews it: a run has one sign of life, however many namespaces are its own."""
    labels = {MANAGED_BY_LABEL: NAME, RUN_LABEL: run_id}
    metadata = {"name": anchor_name(run_id), "namespace": namespace, "labels": labels}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}


def lease_manifest(  # noqa: PLR0913, PLR0917 - what a Lease is made of
    namespace: str, name: str, run_id: str, holder: str, now: str, seconds: int = LEASE_SECONDS
) -> dict[str, Any]:
    """The Lease (coordination.k8s.io/v1) that owns what a run creates in ``namespace``; ``now`` is a MicroTime.

    Unless renewed, it lasts for ``seconds``.
    """
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace, "labels": {MANAGED_BY_LABEL: NAME, RUN_LABEL: run_id}},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds, "acquireTime": now, "renewTime": now},
    }


def config_map_name(run_id: str) -> str:
    """The name of the ConfigMap of a run, the same in each namespace."""
    return f"{NAME}-{run_id}"


def config_map_manifest(namespace: str, run_id: str, anchor: Anchor, agent_source: str) -> dict[str, Any]:
    """The ConfigMap that probe pods mount the agent from."""
    metadata = {
        "name": config_map_name(run_id),
        "namespace": namespace,
        "labels": {MANAGED_BY_LABEL: NAME, RUN_LABEL: run_id},
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**metadata, "ownerReferences": owned_by(anchor)},
        "immutable": True,
        "data": {AGENT_FILE: agent_source},
    }


def pod_manifest(  # noqa: PLR0913 - what one pod depends on
    probe: ProbePod,
    number: int,
    run_id: str,
    anchor: Anchor,
    options: PodOptions,
    *,
    user: int | None = USER,
    withheld: Collection[str] = (),
) -> dict[str, Any]:
    """The pod that stands for ``probe``. ``user`` None leaves it to the namespace's admission to choose one
    (OpenShift).

    No label with a key in ``withheld`` (what ``keys_read`` gives) is added to the identity, for such a label would
    change it.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(run_id, number),
            "namespace": probe.namespace,
            "labels": {
                **added_labels(run_id, withheld),
                **({NUMBER_LABEL: str(number)} if options.numbered else {}),
                **probe.labels,
            },
            "annotations": {**MESH_ANNOTATIONS, **_for_autoscalers(options.lifetime)},
            "ownerReferences": owned_by(anchor),
        },
        "spec": {
            **_placement(probe.node),
            "readinessGates": [{"conditionType": NEVER}],
            "restartPolicy": "Never",
            "activeDeadlineSeconds": options.lifetime,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "dnsPolicy": "ClusterFirst" if options.names else "Default",
            "securityContext": _pod_security(user),
            "containers": [_container(probe.ports, options)],
            "volumes": [{"name": "agent", "configMap": {"name": config_map_name(run_id)}}],
        },
    }


def added_labels(run_id: str, withheld: Collection[str]) -> dict[str, str]:
    """The labels that a probe pod has besides its identity."""
    ours = {MANAGED_BY_LABEL: NAME, **MESH_LABELS}
    return {RUN_LABEL: run_id, **{key: value for key, value in ours.items() if key not in withheld}}


def _for_autoscalers(lifetime: int) -> dict[str, str]:
    """What keeps the cluster autoscaler from adding a node for a pod that finds no room, and lets it remove one that
    the pod is on.
    """
    prefix = "cluster-autoscaler.kubernetes.io"
    return {f"{prefix}/safe-to-evict": "true", f"{prefix}/pod-scale-up-delay": f"{lifetime}s"}


def owned_by(anchor: Anchor) -> list[Mapping[str, Any]]:
    """The reference by which the Lease ``anchor`` owns something."""
    """The ownerReferences of what goes with the Lease ``anchor``."""
    owner = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "name": anchor.name, "uid": anchor.uid}
    return [{**owner, "controller": True, "blockOwnerDeletion": False}]


def _placement(node: str) -> dict[str, Any]:
    """Where the pod may run. It is left to the scheduler even for one node: it alone knows what is still free there."""
    if not node:
        return {"nodeSelector": {"kubernetes.io/os": "linux"}}
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    return {
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "affinity": affinity,
        "tolerations": [{"operator": "Exists", "effect": "NoSchedule"}],
    }


def _pod_security(user: int | None) -> dict[str, Any]:
    """Pod Security Standards page, "Restricted"; the sysctl is among those that the page calls safe."""
    return {
        "runAsNonRoot": True,
        **({} if user is None else {"runAsUser": user, "runAsGroup": user}),
        "seccompProfile": {"type": "RuntimeDefault"},
        "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
    }


def _container(ports: tuple[ContainerPort, ...], options: PodOptions) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": options.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-ISc", WAIT.replace("REACHED", str(options.reached_port))],
        "ports": [_port(port) for port in ports],
        "readinessProbe": _reached_by_the_kubelet(options.reached_port),
        "resources": {
            "requests": {"cpu": options.cpu, "memory": options.memory},
            "limits": {"cpu": options.cpu_limit, "memory": options.memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "agent", "mountPath": AGENT_DIRECTORY, "readOnly": True}],
    }


def _reached_by_the_kubelet(port: int) -> dict[str, Any]:
    """The container is ready while the kubelet reaches the pod; the pod itself never is, for its readiness gate stays
    shut.

    The delay saves an event about a probe that failed while Python was starting.
    """
    once = {
        "initialDelaySeconds": 1,
        "periodSeconds": 1,
        "timeoutSeconds": 1,
        "failureThreshold": 1,
        "successThreshold": 1,
    }
    return {"tcpSocket": {"port": port}, **once}


def _port(port: ContainerPort) -> dict[str, Any]:
    named = {"name": port.name} if port.name else {}
    return {**named, "containerPort": port.number, "protocol": str(port.protocol)}
