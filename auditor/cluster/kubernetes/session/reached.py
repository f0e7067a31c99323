"""What a pod's status says about packets on its network link: its node's addresses, and whether the kubelet reaches it.

The kubelet connects to the pod's first address for readiness probes of some kinds, and NetworkPolicies may not keep a
node from its own pods. A container without such a probe is "ready" as soon as it runs, which says nothing.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import msgspec

from auditor.cluster.kubernetes.client.api_types import PodIP, Record
from auditor.model.addresses import IPAddress
from auditor.model.snapshot import Family
from auditor.parsing.pods import one_per_family
from auditor.probing.sites import Contact

STATUS_SECONDS = 2.0
"""How long the news of a probe may take from the kubelet to the API server."""


class KubeletTarget(Record, frozen=True):
    """v1 TCPSocketAction, HTTPGetAction and GRPCAction, as far as they agree. ``host``: not the pod, but
    this is asked.
    """

    host: str = ""


class Probe(Record, frozen=True):
    """v1 Probe."""

    tcp_socket: KubeletTarget | None = None
    http_get: KubeletTarget | None = None
    grpc: KubeletTarget | None = None
    period_seconds: int = 10
    timeout_seconds: int = 1
    failure_threshold: int = 3

    @property
    def crosses_link(self) -> bool:
        """Whether the kubelet reaches for the pod's own address."""
        target = self.tcp_socket or self.http_get or self.grpc
        return target is not None and not target.host

    @property
    def seconds(self) -> float:
        """How long it takes at most until a pod that is reached no longer is said to be so."""
        return self.period_seconds * self.failure_threshold + self.timeout_seconds + STATUS_SECONDS


class ProbedContainer(Record, frozen=True):
    """v1 Container."""

    name: str = ""
    readiness_probe: Probe | None = None


class ReachedSpec(Record, frozen=True):
    """v1 PodSpec."""

    containers: tuple[ProbedContainer, ...] = ()
    host_network: bool = False


class ReadyStatus(Record, frozen=True):
    """v1 ContainerStatus. ``state`` has the key "running" while it runs."""

    name: str = ""
    ready: bool = False
    state: dict[str, Any] = msgspec.field(default_factory=dict)


class ReachedStatus(Record, frozen=True):
    """v1 PodStatus."""

    pod_ip: str = msgspec.field(default="", name="podIP")
    host_ip: str = msgspec.field(default="", name="hostIP")
    host_ips: tuple[PodIP, ...] = msgspec.field(default=(), name="hostIPs")
    container_statuses: tuple[ReadyStatus, ...] = ()


class ReachedPod(Record, frozen=True):
    """v1 Pod, as far as it concerns packets on its link."""

    spec: ReachedSpec = ReachedSpec()
    status: ReachedStatus = ReachedStatus()

    @property
    def node_addresses(self) -> tuple[IPAddress, ...]:
        """The addresses of its node, one for each family; older API servers report only the first."""
        listed = [each.ip for each in self.status.host_ips if each.ip] or (
            [self.status.host_ip] if self.status.host_ip else []
        )
        return one_per_family([ip_address(text) for text in listed])

    @property
    def watched(self) -> frozenset[Family]:
        """Over which family the kubelet keeps reaching for it, if it does."""
        return (
            frozenset({Family(ip_address(self.status.pod_ip).version)})
            if self.status.pod_ip and self._probes()
            else frozenset()
        )

    @property
    def contact(self) -> Contact | None:
        """That the kubelet reaches it, if that is so."""
        ready = {
            each.name for each in self.status.container_statuses if each.ready and each.state.get("running") is not None
        }
        seconds = [probe.seconds for name, probe in self._probes().items() if name in ready]
        return Contact(self.watched, min(seconds)) if seconds and self.watched else None

    def _probes(self) -> dict[str, Probe]:
        probed = {
            container.name: container.readiness_probe
            for container in self.spec.containers
            if not self.spec.host_network
        }
        return {name: probe for name, probe in probed.items() if probe is not None and probe.crosses_link}
