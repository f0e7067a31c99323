"""What an audit in place would meet, found out before anything is put into a pod."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from auditor.cluster.kubernetes.client.server import ApiServer
from auditor.cluster.kubernetes.preflight.checks import Preflight, in_lines
from auditor.cluster.kubernetes.preflight.permissions import JOINING, as_rules, missing_rights
from auditor.cluster.kubernetes.session.lease_liveness import occupants


async def preflight_in_place(
    api: ApiServer, members: Mapping[str, tuple[str, str]], absent: Mapping[str, str]
) -> Preflight:
    """Find out which of ``members``, namespace and name of a pod by the name of its probe pod, can be joined.

    Of the ``absent`` ones, which stand for audited pods too, it is known why they can't. Raises ClusterError when the
    API server can't be reached.
    """
    namespaces = sorted({namespace for namespace, _ in members.values()})
    missing, held = await asyncio.gather(missing_rights(api, namespaces, JOINING), occupants(api, namespaces))
    rights = {
        namespace: f"may not join pods; missing permission: {as_rules(rights)}" for namespace, rights in missing.items()
    }
    closed = {**held, **rights}
    refused = {
        name: f"namespace {namespace}: {closed[namespace]}"
        for name, (namespace, _) in members.items()
        if namespace in closed
    }
    lines = in_lines(closed)
    if refused.keys() >= members.keys():
        reasons = dict.fromkeys([*refused.values(), *absent.values()])
        return Preflight(refused, tuple(f"no pod can be joined: {reason}" for reason in reasons), closed=closed)
    return Preflight(refused, closed=closed, left_out=tuple(f"left out: {line}" for line in lines))
