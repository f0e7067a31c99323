"""What happens to policies, namespaces and labels while a run goes on: each state of the cluster, as a snapshot.

A verdict is about one state of the policies. So from the moment at which they were read they are watched, and whoever
judges can ask what changed since. A watch that the API server has forgotten is replaced by a new list, which is
compared with what was known. Asking always fetches such a list, so that a watch that lags behind, or may not be had,
does not look like a cluster at rest. What says the same in such a list and yet was written since may have said anything
in between: it changed there and back.

Pods may be relabelled, too, by a person or by an operator that takes a probe pod for one of its own. The expectation is
computed from the labels that a pod had when it started. Once it has others that policies read, what is seen of it
belongs to no expectation at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

import msgspec

from auditor.cluster.kubernetes.admin_policies import kind_at
from auditor.cluster.kubernetes.client.creation import all_of
from auditor.cluster.kubernetes.client.listing import decode, read_list
from auditor.cluster.kubernetes.client.server import ApiServer, ExpiredError, Question
from auditor.cluster.kubernetes.client.watch import watch
from auditor.cluster.kubernetes.objects import keys_read
from auditor.cluster.kubernetes.session.history import StateHistory, Told
from auditor.loop.apart import apart
from auditor.model.errors import ClusterError
from auditor.model.labels import Labels
from auditor.model.snapshot import Snapshot

POLICIES = Question(
    "/apis/networking.k8s.io/v1/networkpolicies", "watch", "networkpolicies.networking.k8s.io", " in all namespaces"
)
NAMESPACES = Question("/api/v1/namespaces", "watch", "namespaces")

FORGOTTEN = "the API server forgot a part of what changed in {} during the run: what came and went in it is not known"


class Changes:
    """The states of a cluster since ``snapshot``, while entered. ``versions`` are the resourceVersions of the lists it
    was read from.
    """

    def __init__(self, api: ApiServer, snapshot: Snapshot, versions: Mapping[str, str]) -> None:
        self._api = api
        self._versions = versions
        self._history = StateHistory(snapshot)
        self._turn = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        served = [kind for path in versions if (kind := kind_at(path)) is not None]
        self._questions = (POLICIES, NAMESPACES, *(replace(each.question, verb="watch") for each in served))
        self.trouble = ""

    async def __aenter__(self) -> Self:
        self._tasks += [asyncio.create_task(self._follow(question)) for question in self._questions]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def take_states(self) -> Sequence[Snapshot]:
        """The states since the last call, oldest first, up to the one right now if that can be read."""
        try:
            await all_of(self._list_anew(question) for question in self._questions)
        except ClusterError as error:
            self._note(error)
        async with self._turn:
            return self._history.take_states()

    def _note(self, error: ClusterError) -> None:
        self.trouble = self.trouble or f"changes during the run could not be followed: {error}"

    async def _follow(self, question: Question) -> None:
        version = self._versions.get(question.path, "")
        try:
            while True:
                with suppress(ExpiredError):
                    async with aclosing(watch(self._api, question, version)) as events:
                        async for event in events:
                            if event.kind in ("ADDED", "MODIFIED", "DELETED"):
                                async with self._turn:
                                    await apart(self._take, question, event.object, deleted=event.kind == "DELETED")
                self.trouble = self.trouble or FORGOTTEN.format(question.resource.partition(".")[0])
                version = await self._list_anew(question)
        except ClusterError as error:
            self._note(error)

    async def _list_anew(self, question: Question) -> str:
        listed, version = await read_list(self._api, replace(question, verb="list"))
        async with self._turn:
            await apart(self._compare, question, listed)
        return version

    def _take(self, question: Question, item: msgspec.Raw, *, deleted: bool) -> None:
        served = kind_at(question.path)
        self._history.note(Told.of(decode(item, dict, self._api, question), deleted=deleted, served=served))

    def _compare(self, question: Question, listed: Sequence[msgspec.Raw]) -> None:
        served = kind_at(question.path)
        told = (Told.of(decode(item, dict, self._api, question), served=served) for item in listed)
        self._history.compare(told, of_policies=question is not NAMESPACES, served=served)


class LabelDrift:
    """Watches over the labels that ``snapshot`` knows of; ``look`` is given the labels as they are now."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._read: set[str] = set()
        self.take(snapshot)

    def take(self, state: Snapshot) -> None:
        """The policies of ``state`` are, or were, in force, too."""
        self._read |= keys_read((*state.policies, *state.admin_policies, *state.unknown))

    def look(self, before: Mapping[str, Labels], now: Mapping[str, Labels]) -> dict[str, str]:
        """Those of ``before``, labels by endpoint name, that differ ``now`` to any policy so far, with the reason not
        to judge them.
        """
        changed = {name: _differing(labels, now[name]) & self._read for name, labels in before.items() if name in now}
        return {
            name: f"somebody changed the label {', '.join(sorted(keys))} of its pod during the run, and with it "
            "what policies take it for"
            for name, keys in changed.items()
            if keys
        }


def _differing(one: Labels, other: Labels) -> set[str]:
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
