"""Policies of administrators in a live cluster: which kinds it serves, and its objects, read as strictly as files.

Where their CRDs are not installed, nothing is asked. Where they may not be listed, what they decide is unknown, and so
is every verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditor.cluster.kubernetes.client.api_types import Group, ResourceList
from auditor.cluster.kubernetes.client.listing import decode
from auditor.cluster.kubernetes.client.server import ApiServer, Question
from auditor.cluster.kubernetes.policies import UnreadablePolicy
from auditor.model.admin_policy import AdminPolicy, AdminTier
from auditor.model.errors import Problem
from auditor.model.policy import UnknownPolicy
from auditor.parsing.admin_policy import GROUP, KINDS, UNKNOWN_PEER, read_admin_policy
from auditor.parsing.documents import Document
from auditor.parsing.fields import Fields
from auditor.parsing.unreadable import SOMEWHERE, subject_of, tier_of

PREFIX = f"/apis/{GROUP}/"
RESOURCES: Mapping[str, str] = {
    "clusternetworkpolicies": "ClusterNetworkPolicy",
    "adminnetworkpolicies": "AdminNetworkPolicy",
    "baselineadminnetworkpolicies": "BaselineAdminNetworkPolicy",
}


@dataclass(frozen=True, slots=True)
class ServedKind:
    """A kind that the API server has, in the version to ask for."""

    kind: str
    version: str

    @property
    def question(self) -> Question:
        """Its list in the whole cluster."""
        resource = next(resource for resource, kind in RESOURCES.items() if kind == self.kind)
        return Question(f"{PREFIX}{self.version}/{resource}", "list", f"{resource}.{GROUP}")


def kind_at(path: str) -> ServedKind | None:
    """The kind whose list is at ``path``; None for a list of anything else."""
    version, _, resource = path.removeprefix(PREFIX).partition("/")
    kind = RESOURCES.get(resource) if path.startswith(PREFIX) else None
    return None if kind is None else ServedKind(kind, version)


async def served_kinds(api: ApiServer, groups: Sequence[Group]) -> list[ServedKind]:
    """The kinds that are installed, each in the first of the versions that can be read; ``groups`` are all that the API
    server has. Raises ClusterError when it can't say what it serves.
    """
    versions = {each.version for group in groups if group.name == GROUP for each in group.served}
    found: dict[str, ServedKind] = {}
    for version in dict.fromkeys(known for dialect in KINDS.values() for known in dialect.versions):
        if version in versions:
            asked = Question(f"/apis/{GROUP}/{version}", "get", f"resources of {GROUP}/{version}")
            for resource in decode(await api.get(asked), ResourceList, api, asked).resources:
                kind = RESOURCES.get(resource.name)
                if kind is not None and version in KINDS[kind].versions:
                    found.setdefault(kind, ServedKind(kind, version))
    return list(found.values())


def read_live_admin_policy(item: Mapping[str, Any], served: ServedKind) -> AdminPolicy | UnreadablePolicy:
    """The policy that ``item`` of a list of ``served`` is. One that the API server has let pass with a peer that nobody
    here knows fails closed, as the API asks for, and can be read.
    """
    metadata = item.get("metadata")
    name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
    problems: list[Problem] = []
    value = {**item, "apiVersion": f"{GROUP}/{served.version}", "kind": served.kind}
    fields = Fields(Document(f"{served.kind} {name}", value, lambda _: 0), problems, (), value)
    policy = read_admin_policy(fields, "", name)
    if all(problem.message.startswith(UNKNOWN_PEER) for problem in problems):
        return policy
    namespaces, pods = subject_of(fields)
    tier = tier_of(fields, served.kind)
    return UnreadablePolicy("", f"{served.kind} {name}", tuple(problems), pods, tier, namespaces)


def unlisted(served: ServedKind, why: str) -> UnknownPolicy:
    """What a kind that may not be listed may have: anything."""
    tier = AdminTier.BASELINE if served.kind.startswith("Baseline") else AdminTier.ADMIN
    return UnknownPolicy("", f"{served.kind} {SOMEWHERE}", None, f"may be there, and can't be read: {why}", tier)


def saved_admin_policy(item: Mapping[str, Any], served: ServedKind) -> dict[str, Any]:
    """``item`` as a manifest."""
    metadata = item.get("metadata") or {}
    head = {"apiVersion": f"{GROUP}/{served.version}", "kind": served.kind}
    return {**head, "metadata": {"name": metadata.get("name")}, "spec": item.get("spec")}
