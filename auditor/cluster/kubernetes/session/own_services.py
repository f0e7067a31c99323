"""Services of the run's own: each selects one probe pod of the run by labels that nobody else's pods have.

They publish addresses that are not ready, for a probe pod never is, and go with the run's Lease, which owns them.
No Service of anybody else ever lists a probe pod.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditor.cluster.kubernetes.client.api_types import Metadata, Record, ServiceRecord
from auditor.cluster.kubernetes.client.creation import RefusedHereError, all_of, create
from auditor.cluster.kubernetes.client.listing import decode, read_list
from auditor.cluster.kubernetes.client.server import ApiServer, Question
from auditor.cluster.kubernetes.objects import (
    MANAGED_BY_LABEL,
    NAME,
    NUMBER_LABEL,
    RUN_LABEL,
    Anchor,
    owned_by,
)
from auditor.model.service_seen import OwnService, Way
from auditor.model.snapshot import Service

LISTED_SECONDS = 10.0
"""How long EndpointSlices are waited for: their controller may be busy."""
LOOK_AGAIN = 0.2
SERVICE_NAME = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class Backend:
    """The probe pod behind a Service: its namespace, its number in the run, and how many families it has."""

    namespace: str
    number: int
    families: int
    anchor: Anchor


class ListedEndpoint(Record, frozen=True):
    """discovery.k8s.io/v1 Endpoint."""

    addresses: tuple[str, ...] = ()


class ListingSlice(Record, frozen=True):
    """discovery.k8s.io/v1 EndpointSlice."""

    metadata: Metadata
    address_type: str = ""
    endpoints: tuple[ListedEndpoint, ...] | None = None


def service_manifest(name: str, run_id: str, own: OwnService, backend: Backend) -> dict[str, Any]:
    """The Service that ``own`` is."""
    node_ports = own.way is not Way.CLUSTER_IP
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": backend.namespace,
            "labels": {MANAGED_BY_LABEL: NAME, RUN_LABEL: run_id},
            "ownerReferences": owned_by(backend.anchor),
        },
        "spec": {
            "type": "NodePort" if node_ports else "ClusterIP",
            **(
                {"externalTrafficPolicy": "Local" if own.way is Way.NODE_PORT_LOCAL else "Cluster"}
                if node_ports
                else {}
            ),
            "ipFamilyPolicy": "PreferDualStack",
            "publishNotReadyAddresses": True,
            "selector": {RUN_LABEL: run_id, NUMBER_LABEL: str(backend.number)},
            "ports": [
                {
                    "name": f"port-{port.number}",
                    "protocol": str(port.protocol),
                    "port": port.number,
                    "targetPort": port.target,
                }
                for port in own.ports
            ],
        },
    }


class OwnServices:
    """The Services of the run ``run_id``. ``refused`` has a line for each that could not be made."""

    def __init__(self, api: ApiServer, run_id: str) -> None:
        self._api = api
        self._run_id = run_id
        self.refused: list[str] = []

    async def make(self, wanted: Sequence[OwnService], backends: Mapping[str, Backend]) -> list[Service | None]:
        """Make the Services ``wanted`` in front of ``backends``, by the names of endpoints, and wait until they lead
        there; those that prove something once all others do. Raises ClusterError.
        """
        made: dict[int, Service] = {}
        for proof in (False, True):
            chosen = [(number, own) for number, own in enumerate(wanted) if own.proof is proof]
            found = await all_of(self._make(number, own, backends.get(own.backend)) for number, own in chosen)
            several = {number: service for (number, _), service in zip(chosen, found, strict=True) if service}
            listed = await self._wait_until_listed(several, {n: backends[wanted[n].backend] for n in several})
            made |= {number: service for number, service in several.items() if number in listed}
        return [made.get(number) for number in range(len(wanted))]

    async def _make(self, number: int, own: OwnService, backend: Backend | None) -> Service | None:
        if backend is None:
            return None
        name = f"{NAME}-{self._run_id}-s{number}"
        where = f" in namespace {backend.namespace}"
        question = Question(f"/api/v1/namespaces/{backend.namespace}/services", "create", "services", where)
        try:
            answer = await create(self._api, question, service_manifest(name, self._run_id, own, backend))
        except RefusedHereError as error:
            self.refused.append(f"no {own.way} was made for {own.backend}: {error}")
            return None
        if not answer:
            self.refused.append(f"no {own.way} was made for {own.backend}: the API server's answer was lost")
            return None
        return decode(answer, ServiceRecord, self._api, question).value()

    async def _wait_until_listed(self, made: Mapping[int, Service], backends: Mapping[int, Backend]) -> set[int]:
        """Those of ``made`` for which EndpointSlices list their backend in each family that both have."""
        loop = asyncio.get_running_loop()
        until = loop.time() + LISTED_SECONDS
        while True:
            listed = await self._listed({service.namespace for service in made.values()})
            there = {
                number
                for number, service in made.items()
                if listed.get(service.name, 0) >= min(len(service.cluster_ips), backends[number].families)
            }
            if len(there) == len(made) or loop.time() >= until:
                self.refused += [
                    f"{made[number].full_name} led nowhere within {LISTED_SECONDS:g} s: no EndpointSlice lists its pod"
                    for number in sorted(made.keys() - there)
                ]
                return there
            await asyncio.sleep(LOOK_AGAIN)

    async def _listed(self, namespaces: set[str]) -> dict[str, int]:
        """In how many families EndpointSlices have an address for each of our Services, by its name."""
        counts: defaultdict[str, int] = defaultdict(int)
        for pieces in await all_of(self._slices(namespace) for namespace in sorted(namespaces)):
            for piece in pieces:
                counts[piece.metadata.labels.get(SERVICE_NAME, "")] += any(
                    endpoint.addresses for endpoint in piece.endpoints or ()
                )
        return counts

    async def _slices(self, namespace: str) -> list[ListingSlice]:
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        question = Question(path, "list", "endpointslices.discovery.k8s.io", f" in namespace {namespace}")
        items, _ = await read_list(self._api, question, parameters={"labelSelector": f"{RUN_LABEL}={self._run_id}"})
        return [decode(item, ListingSlice, self._api, question) for item in items]
