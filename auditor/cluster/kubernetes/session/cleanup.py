"""Deleting what runs have left in a cluster: after a crash, or when somebody else's run is to end.

Each object is deleted with its uid as a precondition, so that nothing that took its place is hit, and the Lease of a
run that was taken for dead only as it was seen. What a finalizer of somebody else keeps has been deleted as far as that
is ours to do: it is reported and is not a failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from auditor.cluster.kubernetes.client.creation import HELD_PATIENCE, delete_options, foreign_finalizers, kept
from auditor.cluster.kubernetes.client.listing import decode
from auditor.cluster.kubernetes.client.server import ApiServer, ConflictError, NotFoundError, Question
from auditor.cluster.kubernetes.session.leftovers import (
    KINDS,
    NAMESPACE,
    LeftObject,
    Leftover,
    Place,
    list_labelled,
    listing,
)
from auditor.model.errors import ClusterError

LOOK_AGAIN_EVERY = 0.3


@dataclass(frozen=True, slots=True)
class Deletion:
    """Lines about what went wrong, and about what was deleted and is ``kept`` by somebody else."""

    failures: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


async def delete_leftovers(api: ApiServer, objects: Sequence[Leftover], *, patience: float = 60.0) -> Deletion:
    """Delete ``objects`` and wait until they are gone, at most ``patience`` seconds; for what somebody keeps, no longer
    than a moment.
    """
    failed: dict[str, str] = {}
    living: set[Place] = set()
    held = [item for item in objects if item.ending and (item.kept_by or item.kind == NAMESPACE)]
    for several in _in_order(item for item in objects if item not in held):
        same = [item for item in several if item.judged_by not in living]
        for item, error in zip(same, await asyncio.gather(*(_delete(api, item) for item in same)), strict=True):
            if isinstance(error, ConflictError):
                failed[item.uid] = f"{item} was renewed or replaced meanwhile: run {item.run_id} is left alone"
                living.add(item.judged_by)
            elif error is not None:
                failed[item.uid] = f"{item} could not be deleted: {error}"
    waited_for = {
        item.uid: item
        for item in objects
        if item.uid not in failed and item.judged_by not in living and item not in held
    }
    still = await _wait(api, waited_for, patience)
    left = [item for item in still if not item.kept_by]
    others = sorted([*held, *(item for item in still if item.kept_by)], key=lambda item: list(KINDS).index(item.kind))
    lines = (f"{item} was deleted and is still there after {patience:g} s" for item in left)
    return Deletion((*failed.values(), *lines), tuple(map(_keeping, others)))


def _in_order(objects: Iterable[Leftover]) -> list[list[Leftover]]:
    """``objects`` in the order of deletion. First what shows that a run is alive: if that has changed, nothing of it is
    touched.
    """
    items = list(objects)
    signs = [item for item in items if item.is_sign_of_life]
    return [signs, *([item for item in items if item.kind == kind and not item.is_sign_of_life] for kind in KINDS)]


def _keeping(item: Leftover) -> str:
    if not item.kept_by:
        return (
            f"{item} has been on its way out since {item.ending:%Y-%m-%d %H:%M:%S} UTC: its conditions say what "
            "keeps it"
        )
    return kept(item, item.kept_by)


async def _delete(api: ApiServer, item: Leftover) -> ClusterError | None:
    """Delete ``item``; why it could not be. Whatever took its place is no reason, unless its version counts."""
    listed = listing(item.kind, item.namespace, item.group)
    where = listed.where if item.namespace else f" {item.name}"
    question = Question(f"{listed.path}/{item.name}", "delete", listed.resource, where)
    try:
        with suppress(NotFoundError):
            await api.send("DELETE", question, delete_options(uid=item.uid, version=item.version))
    except ClusterError as error:
        return None if isinstance(error, ConflictError) and not item.version else error
    return None


async def _wait(api: ApiServer, objects: Mapping[str, Leftover], patience: float) -> Iterable[Leftover]:
    """Those of ``objects``, by uid, that are still there at the end, with what keeps them then."""
    places = sorted({(item.kind, item.namespace, item.group) for item in objects.values()})
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        listed = await asyncio.gather(*(list_labelled(api, listing(*place)) for place in places))
        there = [decode(item, LeftObject, api, listing("Pod", "")).metadata for items in listed for item in items]
        still = [
            replace(objects[each.uid], kept_by=foreign_finalizers(each.finalizers))
            for each in there
            if each.uid in objects
        ]
        bound = patience if any(not item.kept_by for item in still) else min(patience, HELD_PATIENCE)
        if not still or loop.time() - began >= bound:
            return still
        await asyncio.sleep(LOOK_AGAIN_EVERY)
