"""Policies of other kinds than NetworkPolicy: noticed and counted, since they change what the cluster allows and are
not evaluated; where it can be read which pods they are for, what they may decide is in doubt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from auditor.cluster.kubernetes.client.api_types import Group, GroupList, ResourceList
from auditor.cluster.kubernetes.client.listing import decode, read_list
from auditor.cluster.kubernetes.client.server import ApiServer, Question
from auditor.model.errors import ClusterError
from auditor.model.policy import UnknownPolicy
from auditor.parsing.manifests import GROUPS
from auditor.parsing.other_policies import other_policy

OTHER_KINDS: Mapping[str, Mapping[str, str]] = {
    "cilium.io": {
        "ciliumnetworkpolicies": "CiliumNetworkPolicy",
        "ciliumclusterwidenetworkpolicies": "CiliumClusterwideNetworkPolicy",
    },
    "crd.projectcalico.org": {"networkpolicies": "NetworkPolicy", "globalnetworkpolicies": "GlobalNetworkPolicy"},
    "projectcalico.org": {"networkpolicies": "NetworkPolicy", "globalnetworkpolicies": "GlobalNetworkPolicy"},
    "crd.antrea.io": {"networkpolicies": "NetworkPolicy", "clusternetworkpolicies": "ClusterNetworkPolicy"},
    "networking.k8s.aws": {
        "clusternetworkpolicies": "ClusterNetworkPolicy",
        "applicationnetworkpolicies": "ApplicationNetworkPolicy",
    },
}
"""By API group, the resources that hold policies, with their kinds."""
SHADOWS = {"projectcalico.org": "crd.projectcalico.org"}
"""Groups that show the same objects as another one does."""


async def api_groups(api: ApiServer) -> list[Group]:
    """The API groups that there are. Raises ClusterError when the API server can't say."""
    question = Question("/apis", "get", "API groups")
    return decode(await api.get(question), GroupList, api, question).groups


@dataclass(frozen=True, slots=True)
class OtherPolicies:
    """Policies of other kinds: their ``counts`` by kind as ``Snapshot.ignored`` names it; those of which it can be read
    whom they are for; and a line for each kind that is served but can't be counted.
    """

    counts: dict[str, int] = field(default_factory=dict)
    policies: list[UnknownPolicy] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def read_other_kinds(api: ApiServer, served: Sequence[Group]) -> OtherPolicies:
    """Those of the whole cluster. ``served`` are all API groups."""
    groups = {group.name: group.preferred_version.version for group in served}
    found = OtherPolicies()
    for group in sorted(OTHER_KINDS.keys() & groups.keys()):
        if SHADOWS.get(group) not in groups:
            await _read_group(api, group, groups[group], found)
    return found


async def _read_group(api: ApiServer, group: str, version: str, found: OtherPolicies) -> None:
    path, kinds = f"/apis/{group}/{version}", OTHER_KINDS[group]
    try:
        question = Question(path, "get", f"resources of {group}/{version}")
        served = {resource.name for resource in decode(await api.get(question), ResourceList, api, question).resources}
    except ClusterError as error:
        found.notes.append(f"policies of {group} can't be counted: {error}")
        return
    for resource in sorted(served & kinds.keys()):
        kind = kinds[resource]
        name = f"{kind} ({group}/{version})" if kind in GROUPS else kind
        if name in found.counts:
            name = f"{kind} ({group}/{version})"
        try:
            question = Question(f"{path}/{resource}", "list", f"{resource}.{group}", " in all namespaces")
            items, _ = await read_list(api, question)
        except ClusterError as error:
            found.notes.append(f"{kind} can't be counted: {error}")
            continue
        if items:
            found.counts[name] = len(items)
        values = (other_policy(group, kind, msgspec.json.decode(item)) for item in items)
        found.policies.extend(policy for policy in values if policy is not None)
