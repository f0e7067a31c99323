"""Policies of administrators that a run of ``audit conformance`` makes for its own pods.

They stand in no namespace, so one of the run's own namespaces owns each of them: they go with it, by the cluster's own
garbage collection, whoever deletes it, also after a crash. A Lease can't own them, since it stands in a namespace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import repeat
from typing import Any

from auditor.cluster.kubernetes.admin_policies import ServedKind
from auditor.cluster.kubernetes.admin_policy_manifests import admin_policy_manifest
from auditor.cluster.kubernetes.client.creation import all_of, create, delete_options
from auditor.cluster.kubernetes.client.listing import decode, read_list
from auditor.cluster.kubernetes.client.server import ApiServer, ConflictError, NotFoundError, Question
from auditor.cluster.kubernetes.objects import MANAGED_BY_LABEL, NAME, RUN_LABEL
from auditor.cluster.kubernetes.session.leftovers import LeftObject, is_admin_policy_of
from auditor.cluster.kubernetes.session.scratch_namespaces import NAMESPACES, PAUSE, TAKEN_WITHIN, namespace_prefix
from auditor.model.admin_policy import AdminPolicy
from auditor.model.errors import ClusterError


class ScratchAdminPolicies:
    """Those of the run ``run_id``, of the kinds ``served``, by name; the run's first namespace owns them."""

    def __init__(self, api: ApiServer, run_id: str, served: Mapping[str, ServedKind]) -> None:
        self._api = api
        self._run_id = run_id
        self._served = served
        self._owner: Mapping[str, Any] = {}

    async def put(self, policies: Iterable[AdminPolicy]) -> None:
        """Create ``policies``. Raises ClusterError, also where one of such a name is there already."""
        self._owner = self._owner or await self._find_owner()
        await all_of(map(self._create, policies))

    async def _create(self, policy: AdminPolicy) -> None:
        served = self._served[policy.kind]
        listed = served.question
        labels = {MANAGED_BY_LABEL: NAME, RUN_LABEL: self._run_id}
        manifest = admin_policy_manifest(policy, served, labels, [self._owner])
        await create(self._api, Question(listed.path, "create", listed.resource), manifest)

    async def _find_owner(self) -> Mapping[str, Any]:
        name = namespace_prefix(self._run_id)
        items, _ = await read_list(self._api, NAMESPACES, parameters=self._selection)
        for item in items:
            metadata = decode(item, LeftObject, self._api, NAMESPACES).metadata
            if metadata.name == name:
                return {"apiVersion": "v1", "kind": "Namespace", "name": name, "uid": metadata.uid}
        raise ClusterError(f"{self._api.place}: namespace {name} of this run is gone")

    @property
    def _selection(self) -> Mapping[str, str]:
        return {"labelSelector": f"{RUN_LABEL}={self._run_id}"}

    async def take_back(self, seconds: float = TAKEN_WITHIN) -> list[str]:
        """Delete all of them; the names of those that are still there after that many seconds. Raises ClusterError."""
        left: list[str] = []
        for pause in (0.0, *repeat(PAUSE, round(seconds / PAUSE))):
            await asyncio.sleep(pause)
            left = sorted([name for served in self._served.values() for name in await self._delete_all(served)])
            if not left:
                break
        return left

    async def _delete_all(self, served: ServedKind) -> list[str]:
        """Have those of the kind ``served`` that are there deleted; which these are."""
        listed = served.question
        items, _ = await read_list(self._api, listed, parameters=self._selection)
        found = [decode(item, LeftObject, self._api, listed).metadata for item in items]
        ours = [each for each in found if is_admin_policy_of(each, served.kind, self._run_id)]
        for each in ours:
            question = Question(f"{listed.path}/{each.name}", "delete", listed.resource, f" {each.name}")
            with suppress(NotFoundError, ConflictError):
                await self._api.send("DELETE", question, delete_options(uid=each.uid))
        return [f"{served.kind} {each.name}" for each in ours]
