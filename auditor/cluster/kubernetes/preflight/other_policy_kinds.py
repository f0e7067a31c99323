"""Policies of other kinds than NetworkPolicy: noticed and counted, since they change what the cluster allows and are
not evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from auditor.cluster.kubernetes.client.api_types import Group, GroupList, ResourceList
from auditor.cluster.kubernetes.client.listing import decode, read_list
from auditor.cluster.kubernetes.client.server import ApiServer, Question
from auditor.model.errors import ClusterError
from auditor.parsing.manifests import GROUPS

OTHER_KINDS: Mapping[str, Mapping[str, str]] = {
    "cilium.io": {
        "ciliumnetworkpolicies": "CiliumNetworkPolicy",
        "ciliumclusterwidenetworkpolicies": "CiliumClusterwideNetworkPolicy",
    },
    "crd.projectcalico.org": {"networkpolicies": "NetworkPolicy", "globalnetworkpolicies": "GlobalNetworkPolicy"},
    "projectcalico.org": {"networkpolicies": "NetworkPolicy", "globalnetworkpolicies": "GlobalNetworkPolicy"},
    "crd.antrea.io": {"networkpolicies": "NetworkPolicy", "clusternetworkpolicies": "ClusterNetworkPolicy"},
    "networking.k8s.aws": {"clusternetworkpolicies": "ClusterNetworkPolicy"},
}
"""By API group, the resources that hold policies, with their kinds."""
SHADOWS = {"projectcalico.org": "crd.projectcalico.org"}
"""Groups that show the same objects as another one does."""


async def api_groups(api: ApiServer) -> list[Group]:
    """The API groups that there are. Raises ClusterError when the API server can't say."""
    question = Question("/apis", "get", "API groups")
    return decode(await api.get(question), GroupList, api, question).groups


async def count_other_kinds(api: ApiServer, served: Sequence[Group]) -> tuple[dict[str, int], list[str]]:
    """How many policies of other kinds the whole cluster has, by kind as ``Snapshot.ignored`` names it; none where
    there are none. ``served`` are all API groups.

    And a line for each kind that is served but can't be counted.
    """
    groups = {group.name: group.preferred_version.version for group in served}
    counts: dict[str, int] = {}
    notes: list[str] = []
    for group in sorted(OTHER_KINDS.keys() & groups.keys()):
        if SHADOWS.get(group) not in groups:
            await _count_group(api, group, groups[group], counts, notes)
    return {kind: count for kind, count in counts.items() if count}, notes


async def _count_group(api: ApiServer, group: str, version: str, counts: dict[str, int], notes: list[str]) -> None:
    path, kinds = f"/apis/{group}/{version}", OTHER_KINDS[group]
    try:
        question = Question(path, "get", f"resources of {group}/{version}")
        served = {resource.name for resource in decode(await api.get(question), ResourceList, api, question).resources}
    except ClusterError as error:
        notes.append(f"policies of {group} can't be counted: {error}")
        return
    for resource in sorted(served & kinds.keys()):
        kind = kinds[resource]
        name = f"{kind} ({group}/{version})" if kind in GROUPS else kind
        if name in counts:
            name = f"{kind} ({group}/{version})"
        try:
            items, _ = await read_list(
                api, Question(f"{path}/{resource}", "list", f"{resource}.{group}", " in all namespaces")
            )
        except ClusterError as error:
            notes.append(f"{kind} can't be counted: {error}")
        else:
            counts[name] = len(items)
