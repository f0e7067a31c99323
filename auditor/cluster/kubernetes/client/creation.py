"""Creating objects and deleting them, and doing many such things side by side.

What has been deleted may be kept all the same by a finalizer that somebody else has set: only they can let it go, so
that is said and not waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from auditor.cluster.kubernetes.client.errors import (
    AdmissionError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from auditor.cluster.kubernetes.client.server import ApiServer, Question
from auditor.model.errors import ClusterError

Result = TypeVar("Result")


class RefusedHereError(ClusterError):
    """Something can't be created at this place, which does not concern the cluster as a whole."""


async def create(api: ApiServer, question: Question, manifest: Mapping[str, Any]) -> bytes:
    """Create the object that ``manifest`` is; the API server's answer.

    It is created already when an earlier request arrived and only its answer was lost. Raises RefusedHereError when it
    is refused.
    """
    try:
        return await api.send("POST", question, manifest)
    except ConflictError as error:
        if error.after_lost_answer:
            return b""
        raise RefusedHereError(str(error)) from error
    except (AdmissionError, ForbiddenError, InvalidError, NotFoundError) as error:
        raise RefusedHereError(str(error)) from error


def delete_options(*, uid: str | None = None, version: str = "", force: bool = False) -> dict[str, Any]:
    """The body of a DELETE (meta/v1 DeleteOptions): of the object that has ``uid`` (None: any) and, where it is given,
    ``version``, and of no other; at once if ``force``. What it owns is left to the garbage collector.
    """
    preconditions = {"uid": uid, **({"resourceVersion": version} if version else {})}
    return {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        **({"preconditions": preconditions} if uid is not None else {}),
        **({"gracePeriodSeconds": 0} if force else {}),
    }


async def all_of(work: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """The results of ``work``, done side by side; if any fails, the first failure once all have ended."""
    results = await asyncio.gather(*work, return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures:
        raise failures[0]
    return [result for result in results if not isinstance(result, BaseException)]


OF_THE_CLUSTER = frozenset({"foregroundDeletion", "orphan"})
"""Finalizers that the garbage collector sets and takes away itself (Garbage Collection page)."""
HELD_PATIENCE = 5.0
"""Seconds that the owner of a finalizer gets to take it away again, as most do."""


def foreign_finalizers(finalizers: Iterable[str]) -> str:
    """Those that somebody has put there, in words, empty for none: we put none anywhere."""
    return ", ".join(sorted(set(finalizers) - OF_THE_CLUSTER))


def kept(what: object, finalizers: str) -> str:
    """That ``what`` is kept by ``finalizers``, as a line for people."""
    return f"{what} is deleted, and kept by the finalizer {finalizers}, which is not ours: its owner has to remove it"
