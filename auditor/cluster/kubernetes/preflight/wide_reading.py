"""Lists of the whole cluster or, where that is not granted, of those namespaces that matter, as far as they may be
read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from auditor.cluster.kubernetes.client.api_types import Record
from auditor.cluster.kubernetes.client.listing import decode, read_list
from auditor.cluster.kubernetes.client.server import ApiServer, ForbiddenError, NotFoundError, Question
from auditor.loop.apart import apart

CORE = "/api/v1"

AnyRecord = TypeVar("AnyRecord", bound=Record)


class WideReading:
    """Reads for ``namespaces``. ``remarks`` tell what could not be read there; of what is ``narrow``, nothing was read
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
