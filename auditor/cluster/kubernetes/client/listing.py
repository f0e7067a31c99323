"""Whole lists, page by page (API concepts page, "Retrieving large results sets in chunks")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from auditor.cluster.kubernetes.client.api_types import RawList
from auditor.cluster.kubernetes.client.server import ApiServer, ExpiredError, Question
from auditor.model.errors import ClusterError

PAGE = 500
"""Items per page: what kubectl asks for."""
STARTS = 4
"""How often a list is begun before we say that it can't be had. etcd forgets a list after 5 minutes, or when it is
compacted.
"""

Decoded = TypeVar("Decoded")


async def read_list(
    api: ApiServer, question: Question, *, page: int = PAGE, parameters: Mapping[str, str] | None = None
) -> tuple[list[msgspec.Raw], str]:
    """Every item of the list that ``question`` asks for, not decoded, and the list's resourceVersion.

    ``parameters`` choose among the items: a labelSelector, say.

    Raises what ``ApiServer.get`` raises; ClusterError, too, for an answer that is no list, and one that expires again
    and again.
    """
    for _ in range(STARTS - 1):
        try:
            return await _read_once(api, question, page, parameters or {})
        except ExpiredError:
            continue
    return await _read_once(api, question, page, parameters or {})


async def _read_once(
    api: ApiServer, question: Question, page: int, chosen: Mapping[str, str]
) -> tuple[list[msgspec.Raw], str]:
    items: list[msgspec.Raw] = []
    parameters: dict[str, str | int] = {**chosen, "limit": page}
    seen: set[str] = set()
    while True:
        answer = decode(await api.get(question, parameters), RawList, api, question)
        items += answer.items or ()
        following = answer.metadata.continue_token
        if not following:
            return items, answer.metadata.resource_version
        if following in seen:
            raise ClusterError(f"{api.connection.server}: gives the same page again and again, asked to {question}")
        seen.add(following)
        parameters["continue"] = following


def decode(body: bytes | msgspec.Raw, kind: type[Decoded], api: ApiServer, question: Question) -> Decoded:
    """``body`` as ``kind``; ClusterError when it isn't one."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        where = f"{api.connection.server} (context {api.connection.context})"
        raise ClusterError(f"{where}: gave an answer that is not Kubernetes', asked to {question}: {error}") from error
