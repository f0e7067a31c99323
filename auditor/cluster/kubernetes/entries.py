"""What leads into a live cluster from outside: its Ingresses, the routes of its Gateways, and who serves them.

No verdict between endpoints hangs on these, so whoever may not list them is told so and goes on; where the Gateway API
is not installed, nothing is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from auditor.cluster.kubernetes.client.api_types import ResourceList
from auditor.cluster.kubernetes.client.listing import decode, read_list
from auditor.cluster.kubernetes.client.server import ApiServer, ForbiddenError, NotFoundError, Question
from auditor.cluster.kubernetes.preflight.other_policy_kinds import api_groups
from auditor.cluster.kubernetes.reading import LiveSnapshot
from auditor.model.errors import ClusterError
from auditor.parsing.entries import GATEWAY, NETWORKING, Entry, entries_of, kept, read_entries

OF_INGRESS: Mapping[str, str] = {"ingresses": "Ingress", "ingressclasses": "IngressClass"}
OF_GATEWAYS: Mapping[str, str] = {
    "gateways": "Gateway",
    "gatewayclasses": "GatewayClass",
    "referencegrants": "ReferenceGrant",
    "httproutes": "HTTPRoute",
    "grpcroutes": "GRPCRoute",
    "tlsroutes": "TLSRoute",
    "tcproutes": "TCPRoute",
    "udproutes": "UDPRoute",
}
IN_NO_NAMESPACE = ("ingressclasses", "gatewayclasses")


async def with_entries(api: ApiServer, live: LiveSnapshot, namespaces: Sequence[str] = ()) -> LiveSnapshot:
    """``live`` with what leads into ``namespaces`` (none: all of them), and notes about what could not be read.

    Raises ClusterError when the API server can't say what it serves.
    """
    found: list[Entry] = []
    manifests: list[Mapping[str, Any]] = []
    lacking: list[str] = []
    notes: list[str] = []
    for path, resource, kind, group in await _served(api):
        for question in _questions(path, resource, group, namespaces):
            try:
                items, _ = await read_list(api, question)
            except NotFoundError:
                continue
            except ForbiddenError:
                # Who is granted single namespaces alone has no say in what is in none.
                lacking += [f"{resource}.{group}"] if not (namespaces and resource in IN_NO_NAMESPACE) else []
                continue
            except ClusterError as error:
                notes.append(f"what leads in from outside is known in part: {error}")
                continue
            values = sorted((msgspec.json.decode(item) for item in items), key=_place)
            for value in values:
                found += read_entries(kind, value, "")
                manifests.append(kept(kind, f"{group}/{path.rpartition('/')[2]}", value))
    if lacking:
        told = ", ".join(dict.fromkeys(lacking))
        notes.append(
            f"what leads in from outside is known in part: list {told} is not granted; a ClusterRole with it will do"
        )
    snapshot = replace(live.snapshot, entries=entries_of(found))
    return replace(live, snapshot=snapshot, manifests=(*live.manifests, *manifests), notes=(*live.notes, *notes))


async def _served(api: ApiServer) -> list[tuple[str, str, str, str]]:
    """The path of the group's version, the resource, its kind and group, of each that is installed: in the first
    version, from the preferred one on, that has it.
    """
    found = {kind: (f"/apis/{NETWORKING}/v1", resource, kind, NETWORKING) for resource, kind in OF_INGRESS.items()}
    versions = [each.version for group in await api_groups(api) if group.name == GATEWAY for each in group.served]
    for version in dict.fromkeys(versions):
        path = f"/apis/{GATEWAY}/{version}"
        question = Question(path, "get", f"resources of {GATEWAY}/{version}")
        for resource in decode(await api.get(question), ResourceList, api, question).resources:
            if (kind := OF_GATEWAYS.get(resource.name)) is not None:
                found.setdefault(kind, (path, resource.name, kind, GATEWAY))
    return list(found.values())


def _questions(path: str, resource: str, group: str, namespaces: Sequence[str]) -> Iterator[Question]:
    named = f"{resource}.{group}"
    if not namespaces or resource in IN_NO_NAMESPACE:
        yield Question(f"{path}/{resource}", "list", named)
        return
    for name in namespaces:
        yield Question(f"{path}/namespaces/{name}/{resource}", "list", named, f" in namespace {name}")


def _place(value: Mapping[str, Any]) -> tuple[str, str]:
    metadata = value.get("metadata") or {}
    return str(metadata.get("namespace", "")), str(metadata.get("name", ""))
