"""Whom the API server of a live cluster calls: the Services of its webhooks and of its aggregated APIs.

Only lint asks, and goes on without them where they may not be listed: no verdict hangs on them, and an account that
reads policies need not have rights beyond.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from auditor.cluster.kubernetes.client.listing import read_list
from auditor.cluster.kubernetes.client.server import ApiServer, ForbiddenError, NotFoundError, Question
from auditor.cluster.kubernetes.reading import LiveSnapshot
from auditor.model.snapshot import ApiServerCall
from auditor.parsing.api_server_calls import AGGREGATED, GROUPS, WEBHOOKS, api_server_calls

RESOURCES = {kind: f"{kind.lower()}s" for kind in (*WEBHOOKS, AGGREGATED)}


async def with_api_server_calls(api: ApiServer, live: LiveSnapshot) -> LiveSnapshot:
    """``live`` with what the API server calls, and a note about what may not be listed.

    Raises ClusterError when the API server can't be reached.
    """
    calls: list[ApiServerCall] = []
    lacking: list[str] = []
    for kind, resource in RESOURCES.items():
        group = GROUPS[kind]
        question = Question(f"/apis/{group}/v1/{resource}", "list", f"{resource}.{group}")
        try:
            items, _ = await read_list(api, question)
        except ForbiddenError:
            lacking.append(question.resource)
            continue
        except NotFoundError:
            continue
        for item in items:
            calls += api_server_calls(kind, group, msgspec.json.decode(item))
    note = (
        f"closed-to-api-server is checked in part: list of {', '.join(lacking)} is not granted; a ClusterRole with it "
        "is enough"
    )
    snapshot = replace(live.snapshot, api_server_calls=tuple(dict.fromkeys(calls)))
    return replace(live, snapshot=snapshot, notes=(*live.notes, note) if lacking else live.notes)
