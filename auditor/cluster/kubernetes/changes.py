"""What happens to policies and namespaces while a run goes on: each state that the cluster goes through, as a snapshot.

A verdict is about one state of the policies. So from the moment at which they were read they are watched, and whoever judges can ask
what changed since. A watch that the API server has forgotten is replaced by a new list, which is compared with what was known. Whoever
asks gets such a list, too, lest a watch that lags behind, or may not be had, look like a cluster at rest. What says the same in such a
list and yet was written since, may have said anything in between: it changed there and back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from auditor.cluster.kubernetes.api import ApiServer, ExpiredError, Question
from auditor.cluster.kubernetes.creation import all_of
from auditor.cluster.kubernetes.pages import decode, read_list
from auditor.cluster.kubernetes.policies import read_live_policy, unknown_policy
from auditor.cluster.kubernetes.watching import watch
from auditor.model.errors import ClusterError
from auditor.model.policy import NetworkPolicy, UnknownPolicy
from auditor.model.snapshot import Namespace, Snapshot

POLICIES = Question("/apis/networking.k8s.io/v1/networkpolicies", "watch", "networkpolicies.networking.k8s.io", " in all namespaces")
NAMESPACES = Question("/api/v1/namespaces", "watch", "namespaces")
MOST_STATES = 64
"""States kept between two questions. Beyond that, older ones are merged into one that knows nothing of what was different in them."""
UNFOLLOWED = "changed too often during the run to be followed"

FORGOTTEN = "the API server forgot a part of what changed in {} during the run: what came and went in it is not known"

Key = tuple[str, str]
Take = Callable[[dict[str, Any], bool], bool]


class Changes:
    """The states of a cluster since ``snapshot``, while entered. ``versions`` are the resourceVersions of the lists it was read from."""

    def __init__(self, api: ApiServer, snapshot: Snapshot, versions: Mapping[str, str]) -> None:
        self._api = api
        self._versions = versions
        self._snapshot = snapshot
        policies: list[NetworkPolicy | UnknownPolicy] = [*snapshot.policies, *snapshot.unknown]
        self._policies = {(policy.namespace, policy.name): policy for policy in policies}
        self._namespaces = dict(snapshot.namespaces)
        self._marks: dict[tuple[str, Key], str] = {}
        self._states: list[Snapshot] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.trouble = ""

    async def __aenter__(self) -> Self:
        self._tasks += [asyncio.create_task(self._follow(question, take)) for question, take in self._takers()]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def take_states(self) -> Sequence[Snapshot]:
        """The states since the last call, oldest first, up to the one right now if that can be read."""
        try:
            await all_of(self._list_anew(question, take) for question, take in self._takers())
        except ClusterError as error:
            self._note(error)
        states, self._states = self._states, []
        return states

    def _takers(self) -> Sequence[tuple[Question, Take]]:
        return (POLICIES, self._take_policy), (NAMESPACES, self._take_namespace)

    def _note(self, error: ClusterError) -> None:
        self.trouble = self.trouble or f"changes during the run could not be followed: {error}"

    async def _follow(self, question: Question, take: Take) -> None:
        version = self._versions.get(question.path, "")
        try:
            while True:
                with suppress(ExpiredError):
                    async with aclosing(watch(self._api, question, version)) as events:
                        async for event in events:
                            if event.kind in ("ADDED", "MODIFIED", "DELETED"):
                                item = decode(event.object, dict, self._api, question)
                                self._marks[question.path, _key(item)] = _mark(item)
                                take(item, event.kind == "DELETED")
                self.trouble = self.trouble or FORGOTTEN.format(question.resource.partition(".")[0])
                version = await self._list_anew(question, take)
        except ClusterError as error:
            self._note(error)

    async def _list_anew(self, question: Question, take: Take) -> str:
        listed, version = await read_list(self._api, replace(question, verb="list"))
        items = [decode(item, dict, self._api, question) for item in listed]
        present = {_key(item) for item in items}
        known = self._policies if question is POLICIES else {("", name): name for name in self._namespaces}
        for namespace, name in [key for key in known if key not in present]:
            take({"metadata": {"namespace": namespace, "name": name}}, True)
        for item in items:
            before, mark = self._marks.get((question.path, _key(item))), _mark(item)
            self._marks[question.path, _key(item)] = mark
            if not take(item, False) and before not in (None, mark):
                self._there_and_back(_key(item))
        return version

    def _there_and_back(self, key: Key) -> None:
        """Keep the state between two that are the same: what the policy, or the labels of the namespace, said in it is not known."""
        namespace, name = key
        now = self._snapshot
        if namespace:
            between = replace(now, policies=tuple(policy for policy in now.policies if (policy.namespace, policy.name) != key))
        else:
            between = replace(now, namespaces={other: each for other, each in now.namespaces.items() if other != name})
        for state in (merged(between, now), now):
            self._keep(state)

    def _take_policy(self, item: dict[str, Any], deleted: bool) -> bool:
        key = _key(item)
        if deleted:
            self._policies.pop(key, None)
        else:
            policy = read_live_policy(item)
            self._policies[key] = policy if isinstance(policy, NetworkPolicy) else unknown_policy(policy)
        return self._store()

    def _take_namespace(self, item: dict[str, Any], deleted: bool) -> bool:
        metadata = item["metadata"]
        namespace = Namespace.of(metadata["name"], metadata.get("labels") or {})
        # Endpoints of a namespace that is gone still need its labels; nothing reaches them any more.
        if deleted:
            return False
        self._namespaces[namespace.name] = namespace
        return self._store()

    def _store(self) -> bool:
        """Keep the state as it is now, if it differs from the last one; whether it did."""
        policies = [self._policies[key] for key in sorted(self._policies)]
        state = replace(
            self._snapshot,
            namespaces=dict(self._namespaces),
            policies=tuple(policy for policy in policies if isinstance(policy, NetworkPolicy)),
            unknown=tuple(policy for policy in policies if isinstance(policy, UnknownPolicy)),
        )
        changed = not same_rules(state, self._snapshot)
        if changed:
            self._keep(state)
        return changed

    def _keep(self, state: Snapshot) -> None:
        self._snapshot = state
        self._states.append(state)
        if len(self._states) > MOST_STATES:
            self._states[-3:-1] = [merged(*self._states[-3:-1])]


def merged(one: Snapshot, other: Snapshot) -> Snapshot:
    """A state with which every verdict that ``one`` or ``other`` gives is possible, and certain only where both give it.

    A policy that is not the same in both is unknown; so is one that looks at labels of namespaces, where these differ.
    """
    moved = one.namespaces != other.namespaces
    certain = {policy for policy in {*one.policies} & {*other.policies} if not (moved and _reads_namespaces(policy))}
    uncertain = {(policy.namespace, policy.name) for policy in {*one.policies, *other.policies} - certain}
    blurred = tuple(UnknownPolicy(*key, None, UNFOLLOWED) for key in sorted(uncertain))
    unknown = {policy for policy in (*one.unknown, *other.unknown) if (policy.namespace, policy.name) not in uncertain}
    return replace(
        other,
        policies=tuple(policy for policy in other.policies if policy in certain),
        unknown=(*sorted(unknown, key=lambda policy: (policy.full_name, policy.why)), *blurred),
    )


def _reads_namespaces(policy: NetworkPolicy) -> bool:
    rules = (*policy.ingress, *policy.egress)
    return any(peer.namespace_selector is not None for rule in rules for peer in rule.peers)


def same_rules(one: Snapshot, other: Snapshot) -> bool:
    """Whether policies and namespaces of the two say the same, in whichever order."""
    return one.namespaces == other.namespaces and set(one.policies) == set(other.policies) and set(one.unknown) == set(other.unknown)


def _key(item: Mapping[str, Any]) -> Key:
    metadata = item.get("metadata") or {}
    return str(metadata.get("namespace", "")), str(metadata.get("name", ""))


def _mark(item: Mapping[str, Any]) -> str:
    """What is another one after each change of an object: the API server counts those of a policy's spec, but not those of labels."""
    metadata = item.get("metadata") or {}
    return f"{metadata.get('uid')} {metadata.get('generation') or metadata.get('resourceVersion')}"
