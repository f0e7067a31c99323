"""Whole lists, page by page (API concepts page, "Retrieving large results sets in chunks").

They are of the whole cluster or, where that is not granted, of those namespaces that matter as far as they may be read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from auditor.cluster.kubernetes.client.api_types import RawList, Record
from auditor.cluster.kubernetes.client.server import ApiServer, ExpiredError, ForbiddenError, NotFoundError, Question
from auditor.loop.apart import apart
from auditor.model.errors import ClusterError

PAGE = 500
"""Items per page: what kubectl asks for."""
STARTS = 4
"""How often a list is begun before we say that it can't be had. etcd forgets a list after 5 minutes, or when it is
compacted.
"""

Decoded = TypeVar("Decoded")
Item = TypeVar("Item")


async def read_list(
    api: ApiServer, question: Question, *, page: int = PAGE, parameters: Mapping[str, str] | None = None
) -> tuple[list[msgspec.Raw], str]:
    """Every item of the list that ``question`` asks for, not decoded, and the list's resourceVersion.

    ``parameters`` choose among the items: a labelSelector, say.

    Raises what ``ApiServer.get`` raises; ClusterError, too, for an answer that is not a list, and one that expires
    again and again.
    """
    return await read_decoded(api, question, list, page=page, parameters=parameters)


async def read_decoded(
    api: ApiServer,
    question: Question,
    decoded: Callable[[Sequence[msgspec.Raw]], Sequence[Item]],
    *,
    page: int = PAGE,
    parameters: Mapping[str, str] | None = None,
) -> tuple[list[Item], str]:
    """As ``read_list``, with each page ``decoded`` beside the event loop as soon as it is there: of what is not decoded
    no more than a page is kept.
    """
    for _ in range(STARTS - 1):
        try:
            return await _read_once(api, question, decoded, page, parameters or {})
        except ExpiredError:
            continue
    return await _read_once(api, question, decoded, page, parameters or {})


async def _read_once(
    api: ApiServer,
    question: Question,
    decoded: Callable[[Sequence[msgspec.Raw]], Sequence[Item]],
    page: int,
    chosen: Mapping[str, str],
) -> tuple[list[Item], str]:
    items: list[Item] = []
    parameters: dict[str, str | int] = {**chosen, "limit": page}
    seen: set[str] = set()
    while True:
        answer = decode(await api.get(question, parameters), RawList, api, question)
        items += await apart(decoded, answer.items or ())
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


CORE = "/api/v1"

AnyRecord = TypeVar("AnyRecord", bound=Record)


class WideReading:
    """Reads for ``namespaces``. ``remarks`` say what could not be read there; of what is ``narrow``, nothing was read
    elsewhere.
    """

    def __init__(self, api: ApiServer, namespaces: Sequence[str]) -> None:
        self._api = api
        self._namespaces = namespaces
        self.remarks: list[str] = []
        self.narrow: set[str] = set()

    async def read(self, group: str, resource: str, kind: type[AnyRecord]) -> list[AnyRecord]:
        """The objects of ``resource`` in the whole cluster or, where that is not granted, in our namespaces as far as
        it is there.
        """
        try:
            return await self.listed(Question(f"{group}/{resource}", "list", resource, " in all namespaces"), kind)
        except ForbiddenError:
            self.narrow.add(resource)
        single = resource == "namespaces"
        lists = []
        for namespace in self._namespaces:
            path = f"{group}/namespaces/{namespace}" + ("" if single else f"/{resource}")
            question = Question(path, "get" if single else "list", resource, f" in namespace {namespace}")
            lists.append(self._get(question, kind) if single else self.listed(question, kind))
        found = await asyncio.gather(*lists, return_exceptions=True)
        refusals = [item for item in found if isinstance(item, BaseException)]
        for item in refusals:
            if not isinstance(item, (ForbiddenError, NotFoundError)):
                raise item
        if refusals:
            self.remarks.append(f"{resource} could not be read: what they say was not taken into account")
        return [item for items in found if not isinstance(items, BaseException) for item in items]

    async def listed(self, question: Question, kind: type[AnyRecord]) -> list[AnyRecord]:
        items, _ = await read_list(self._api, question)
        return await apart(lambda: [decode(item, kind, self._api, question) for item in items])

    async def _get(self, question: Question, kind: type[AnyRecord]) -> list[AnyRecord]:
        return [decode(await self._api.get(question), kind, self._api, question)]
