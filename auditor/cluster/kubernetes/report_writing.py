"""A run's report objects as a whole: that of the run first, which knows in which namespaces the others are, then these.

A run may no longer look at a namespace where an earlier one has left an object. That is no reason to delete anything:
it may be a run by hand that looks at less, and the object that of the night. So it stays, and is reported; after eight
days, when a run of every week would have come by, its results give way to a line that says so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from auditor.cluster.kubernetes.client.config import connect
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.client.server import ApiServer, NotFoundError
from auditor.cluster.kubernetes.report_objects import (
    ReportApi,
    check_place,
    installed,
    is_ours,
    read_object,
    write_object,
)
from auditor.model.errors import ClusterError
from auditor.model.report_object import BEGAN, ReportObject
from auditor.model.words import in_brief, pluralize

NAMESPACES = "netpol-audit/namespaces"
"""The annotation of the whole run's object with the namespaces that have an object of this name, each with when the run
began that wrote it.
"""
MOST_NAMED = 2000
"""Namespaces that the annotation has: annotations together take 256 KiB."""
LEFT_SECONDS = 8 * 86400
"""For so long the results of a namespace stay though no run looks there."""
AT_ONCE = 8
"""Objects that are written side by side."""
MOST_TOLD = 5


@dataclass(frozen=True, slots=True)
class Written:
    """Why each object that could not be written wasn't, and in a line what is left of earlier runs; empty without
    any.
    """

    failures: tuple[str, ...]
    left: str = ""


@dataclass(frozen=True, slots=True)
class _Left:
    """An object in a namespace at which no run looks any more, since one that ``began``. ``emptied``: just now."""

    namespace: str
    began: str
    emptied: bool = False


async def write_report_objects(options: ConnectionOptions, name: str, objects: Sequence[ReportObject]) -> Written:
    """Write ``objects``, that of the whole run first, as ``name``.

    Raises ClusterError where none can be: the API server can't be reached, or has no such objects, or that of the whole
    run is of a run that looked at more.
    """
    async with ApiServer(await connect(options)) as api:
        writer = _Writer(api, await installed(api), name)
        whole, *others = objects
        left = await writer.left_of(whole, {each.namespace for each in others})
        began = whole.annotations.get(BEGAN, "")
        named = {each.namespace: began for each in others if not each.optional}
        named |= {each.namespace: each.began for each in left if not each.emptied}
        told = replace(whole, annotations={**whole.annotations, NAMESPACES: _as_text(named)})
        failures = [await writer.put(told), *await asyncio.gather(*map(writer.put, others))]
        return Written(tuple(filter(None, failures)), writer.in_words(left))


class _Writer:
    """Writes objects of ``served`` called ``name``, a few at a time."""

    def __init__(self, api: ApiServer, served: ReportApi, name: str) -> None:
        self._api = api
        self._served = served
        self._name = name
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def put(self, told: ReportObject) -> str:
        """Write ``told``; why that failed, empty where it didn't."""
        async with self._turns:
            try:
                await write_object(self._api, self._served, self._name, told)
            except ClusterError as error:
                return str(error)
            return ""

    async def left_of(self, whole: ReportObject, covered: Iterable[str]) -> list[_Left]:
        """The objects in namespaces that are not ``covered``, of those that the object of the last run names; that of
        this one is to be ``whole``. Raises ClusterError where it may not take that place.
        """
        try:
            old = await read_object(self._api, self._served, self._name, "")
        except ClusterError:  # what is wrong there, writing says
            return []
        check_place(self._api, self._served, self._name, old, whole)
        if not is_ours(old):
            return []
        names = _of_text(old.get("annotations", {}).get(NAMESPACES, ""))
        seen = [self._look(namespace, began, whole) for namespace, began in names.items() if namespace not in covered]
        return [each for each in await asyncio.gather(*seen) if each is not None]

    async def _look(self, namespace: str, began: str, whole: ReportObject) -> _Left | None:
        """What is left in ``namespace``, None for nothing of ours. What is too old is emptied."""
        async with self._turns:
            try:
                old = await read_object(self._api, self._served, self._name, namespace)
                if not is_ours(old):
                    return None
                began = old.get("annotations", {}).get(BEGAN, began)
                if _age(began, whole) < LEFT_SECONDS:
                    return _Left(namespace, began)
                await write_object(self._api, self._served, self._name, _emptied(whole, namespace, began))
            except NotFoundError:
                return None
            except ClusterError:  # a right that was taken away, say: named until it would have been emptied
                return _Left(namespace, began) if _age(began, whole) < LEFT_SECONDS else None
            return _Left(namespace, began, emptied=True)

    def in_words(self, left: Sequence[_Left]) -> str:
        """What is left, how old it is and how to remove it, in one line; empty without any."""
        if not left:
            return ""
        resource = self._served.question("get", "x").resource
        each_named = [f"{each.namespace} ({each.began[:10]}{', emptied' * each.emptied})" for each in left]
        have = "has an object" if len(left) == 1 else "have objects"
        return (
            f"{pluralize(len(left), 'namespace')} at which this run doesn't look {have} of earlier runs: "
            f"{in_brief(each_named, MOST_TOLD)}; they are emptied {LEFT_SECONDS // 86400} days after the last run that "
            f"looked there, and 'kubectl delete {resource} {self._name} -n NAMESPACE' removes one"
        )


def _emptied(whole: ReportObject, namespace: str, began: str) -> ReportObject:
    said = f"no longer looked at: the last run that did began at {began}"
    annotations = {**whole.annotations, "netpol-audit/headline": said}
    return replace(
        whole,
        namespace=namespace,
        summary=dict.fromkeys(whole.summary, 0),
        results=(),
        annotations=annotations,
        optional=True,
    )


def _age(began: str, whole: ReportObject) -> float:
    """How many seconds before the end of this run a run began; for ever where nobody knows."""
    try:
        return whole.seconds - datetime.fromisoformat(began).timestamp()
    except ValueError:
        return float("inf")


def _as_text(named: Mapping[str, str]) -> str:
    return json.dumps(dict(sorted(named.items())[:MOST_NAMED]), separators=(",", ":"))


def _of_text(text: str) -> dict[str, str]:
    """What ``_as_text`` made; empty for anything else."""
    try:
        found: Any = json.loads(text)
    except ValueError:
        return {}
    return {str(name): str(began) for name, began in found.items()} if isinstance(found, dict) else {}
