"""Policies of administrators that are in a cluster already: where they are for pods of ours, what they decide would
look like the enforcer's doing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from auditor.cluster.kubernetes.admin_policies import read_live_admin_policy, served_kinds
from auditor.cluster.kubernetes.client.listing import decode, read_list
from auditor.cluster.kubernetes.client.server import ApiServer, ForbiddenError
from auditor.cluster.kubernetes.objects import RUN_LABEL
from auditor.cluster.kubernetes.preflight.other_policy_kinds import api_groups
from auditor.model.admin_policy import AdminPolicy
from auditor.model.errors import ClusterError
from auditor.model.snapshot import Namespace, Snapshot
from auditor.model.words import in_brief, pluralize
from auditor.policy.traits import admin_selects

MOST_NAMES = 3


async def keep_clear_of_administrators(api: ApiServer, snapshots: Sequence[Snapshot]) -> tuple[str, ...]:
    """What a reader must know of policies of administrators, before pods of ``snapshots`` are made.

    Raises ClusterError where one of them is for such pods, or may be.
    """
    facts: list[str] = []
    for served in await served_kinds(api, await api_groups(api)):
        try:
            items, _ = await read_list(api, served.question)
        except ForbiddenError as error:
            facts.append(f"whether a {served.kind} decides about these pods, too, could not be found out: {error}")
            continue
        decoded = [decode(item, dict, api, served.question) for item in items]
        policies = [read_live_admin_policy(item, served) for item in decoded]
        concerned = [policy.full_name for policy in policies if _is_for(policy, snapshots)]
        if concerned:
            number = pluralize(len(concerned), "policy", "policies")
            raise ClusterError(
                f"{api.place}: {number} of administrators would decide about conformance's own pods, too, so nobody "
                f"could tell what the enforcer does: {in_brief(concerned, MOST_NAMES)}; leave namespaces "
                f"with the label {RUN_LABEL} out of their subjects, or use a cluster without them"
            )
    return tuple(facts)


def _is_for(policy: object, snapshots: Iterable[Snapshot]) -> bool:
    """Whether ``policy`` is for any pod of ``snapshots``; one that can't be read may be."""
    return not isinstance(policy, AdminPolicy) or any(
        admin_selects(policy, _as_made(snapshot.namespaces), endpoint)
        for snapshot in snapshots
        for endpoint in snapshot.endpoints
    )


def _as_made(namespaces: Mapping[str, Namespace]) -> Mapping[str, Namespace]:
    """``namespaces`` with the label by which whoever writes such policies may leave them out."""
    return {
        name: replace(namespace, labels={**namespace.labels, RUN_LABEL: ""}) for name, namespace in namespaces.items()
    }
