"""Whether any Service sends traffic to a pod that must not get any: read from the EndpointSlices, which the data plane
follows.
"""

from __future__ import annotations

from collections.abc import Collection

from auditor.cluster.kubernetes.client.api_types import Metadata, Record
from auditor.cluster.kubernetes.client.creation import all_of
from auditor.cluster.kubernetes.client.listing import decode, read_list
from auditor.cluster.kubernetes.client.server import ApiServer, Question


class TargetReference(Record, frozen=True):
    """v1 ObjectReference."""

    kind: str = ""
    name: str = ""


class EndpointConditions(Record, frozen=True):
    """discovery.k8s.io/v1 EndpointConditions."""

    ready: bool | None = None


class SliceEndpoint(Record, frozen=True):
    """discovery.k8s.io/v1 Endpoint."""

    conditions: EndpointConditions = EndpointConditions()
    target_ref: TargetReference = TargetReference()

    @property
    def pod(self) -> str:
        return self.target_ref.name if self.target_ref.kind == "Pod" else ""

    @property
    def takes_traffic(self) -> bool:
        """Unknown readiness counts as ready (discovery/v1 EndpointConditions)."""
        return self.conditions.ready is not False


class EndpointSlice(Record, frozen=True):
    """discovery.k8s.io/v1 EndpointSlice."""

    metadata: Metadata
    endpoints: list[SliceEndpoint] | None = None

    @property
    def service(self) -> str:
        return self.metadata.labels.get("kubernetes.io/service-name", self.metadata.name)


async def exposed(api: ApiServer, pods: Collection[tuple[str, str]]) -> dict[str, str]:
    """The namespaces in which a Service sends traffic to any of ``pods`` (namespace and name), sorted, each with the
    first such Service.
    """
    namespaces = sorted({namespace for namespace, _ in pods})
    found = await all_of(_exposed(api, namespace, pods) for namespace in namespaces)
    return {namespace: min(services) for namespace, services in zip(namespaces, found, strict=True) if services}


async def _exposed(api: ApiServer, namespace: str, pods: Collection[tuple[str, str]]) -> list[str]:
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    question = Question(path, "list", "endpointslices.discovery.k8s.io", f" in namespace {namespace}")
    items, _ = await read_list(api, question)
    return [
        f"{namespace}/{piece.service}"
        for piece in (decode(item, EndpointSlice, api, question) for item in items)
        if any(endpoint.takes_traffic and (namespace, endpoint.pod) in pods for endpoint in piece.endpoints or ())
    ]
