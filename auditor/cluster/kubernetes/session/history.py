"""The states that policies and namespaces go through, from what is reported of them: events of watches, and whole lists
now and then.

Nothing here waits for anything, and nothing grows with more than what was reported: it is done beside the event loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from auditor.cluster.kubernetes.admin_policies import ServedKind, read_live_admin_policy
from auditor.cluster.kubernetes.policies import read_live_policy, unknown_policy
from auditor.model.admin_policy import AdminPolicy
from auditor.model.policy import NetworkPolicy, UnknownPolicy
from auditor.model.snapshot import Namespace, Snapshot

MOST_STATES = 64
"""States kept between two questions. Beyond that, older ones are merged into one that knows nothing of what was
different in them.
"""
UNFOLLOWED = "changed too often during the run to be followed"

_ADMIN = "="
Key = tuple[str, str]
Policy = NetworkPolicy | AdminPolicy | UnknownPolicy


class Told(NamedTuple):
    """One object as a list or an event has it. ``mark`` is another one after each change of it; ``value`` None: it is
    gone.
    """

    key: Key
    mark: str
    value: Policy | Namespace | None

    @classmethod
    def of(cls, item: Mapping[str, Any], *, deleted: bool = False, served: ServedKind | None = None) -> Told:
        """The NetworkPolicy or, where it stands in no namespace, the Namespace that ``item`` is; or a policy of the
        kind ``served``.
        """
        metadata = item.get("metadata") or {}
        namespace, name = key = str(metadata.get("namespace", "")), str(metadata.get("name", ""))
        # The API server counts the changes of a policy's spec, but not those of labels.
        mark = f"{metadata.get('uid')} {metadata.get('generation') or metadata.get('resourceVersion')}"
        if served is not None:
            key = _ADMIN + served.kind, name
        if deleted:
            return cls(key, mark, None)
        if served is not None:
            found = read_live_admin_policy(item, served)
            return cls(key, mark, found if isinstance(found, AdminPolicy) else unknown_policy(found))
        if not namespace:
            return cls(key, mark, Namespace.of(name, metadata.get("labels") or {}))
        policy = read_live_policy(item)
        return cls(key, mark, policy if isinstance(policy, NetworkPolicy) else unknown_policy(policy))


class StateHistory:
    """The states since ``snapshot``, oldest first; ``states`` are those that nobody has asked for yet."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        policies: list[Policy] = [*snapshot.policies, *snapshot.admin_policies, *snapshot.unknown]
        self._policies = {_key(policy): policy for policy in policies}
        self._namespaces = dict(snapshot.namespaces)
        self._marks: dict[Key, str] = {}
        self.states: list[Snapshot] = []

    def take_states(self) -> Sequence[Snapshot]:
        """The states since the last call."""
        states, self.states = self.states, []
        return states

    def note(self, told: Told) -> None:
        """Take in one change."""
        self._marks[told.key] = told.mark
        if self._take(told):
            self._keep(self._state())

    def compare(self, listed: Iterable[Told], *, of_policies: bool, served: ServedKind | None = None) -> None:
        """Take in all that there is of a kind, ``served`` for policies of administrators. What says the same as before
        and yet was written since, changed there and back.
        """
        found = {told.key: told for told in listed}
        known = [key for key in self._policies if _is_of(key, served)] if of_policies else []
        gone = [Told(key, "", None) for key in known if key not in found]
        before, changes, back = self._snapshot, gone, set()
        for key, told in found.items():
            mark = self._marks.get(key)
            self._marks[key] = told.mark
            if self._says_more(told):
                changes.append(told)
            elif mark not in (None, told.mark):
                back.add(key)
        for told in changes:
            self._take(told)
            if len(changes) <= MOST_STATES:
                self._keep(self._state())
        if len(changes) > MOST_STATES:
            after = self._state()
            self._keep(merged(before, after))
            self._keep(after)
        if back:
            self._there_and_back(back)

    def _says_more(self, told: Told) -> bool:
        """Whether ``told`` is not what is known already."""
        namespace, name = told.key
        return told.value != (self._policies.get(told.key) if namespace else self._namespaces.get(name))

    def _take(self, told: Told) -> bool:
        """Know ``told`` from now on; whether it is news."""
        namespace, name = told.key
        # Endpoints of a namespace that is gone still need its labels; nothing reaches them any more.
        if not self._says_more(told) or (told.value is None and not namespace):
            return False
        if isinstance(told.value, Namespace):
            self._namespaces[name] = told.value
        elif told.value is None:
            del self._policies[told.key]
        else:
            self._policies[told.key] = told.value
        return True

    def _there_and_back(self, keys: set[Key]) -> None:
        """Keep the state between two that are the same: what these policies, or the labels of these namespaces, said in
        it is not known.
        """
        now = self._snapshot
        between = replace(
            now,
            policies=tuple(policy for policy in now.policies if _key(policy) not in keys),
            admin_policies=tuple(policy for policy in now.admin_policies if _key(policy) not in keys),
            namespaces={name: each for name, each in now.namespaces.items() if ("", name) not in keys},
        )
        for state in (merged(between, now), now):
            self._keep(state)

    def _state(self) -> Snapshot:
        policies = [self._policies[key] for key in sorted(self._policies)]
        return replace(
            self._snapshot,
            namespaces=dict(self._namespaces),
            policies=tuple(policy for policy in policies if isinstance(policy, NetworkPolicy)),
            admin_policies=tuple(policy for policy in policies if isinstance(policy, AdminPolicy)),
            unknown=tuple(policy for policy in policies if isinstance(policy, UnknownPolicy)),
        )

    def _keep(self, state: Snapshot) -> None:
        self._snapshot = state
        self.states.append(state)
        if len(self.states) > MOST_STATES:
            self.states[-3:-1] = [merged(*self.states[-3:-1])]


def merged(one: Snapshot, other: Snapshot) -> Snapshot:
    """A state with which every verdict that ``one`` or ``other`` gives is possible, and certain only where both give
    it.

    A policy that is not the same in both is unknown; so is one that looks at labels of namespaces, where these differ.
    """
    moved = one.namespaces != other.namespaces
    here = {_key(policy): policy for policy in _readable(one)}
    certain = {
        _key(policy)
        for policy in _readable(other)
        if here.get(_key(policy)) == policy and not (moved and _reads_namespaces(policy))
    }
    uncertain = {_key(policy): policy for policy in (*_readable(one), *_readable(other)) if _key(policy) not in certain}
    blurred = tuple(map(_blurred, (uncertain[key] for key in sorted(uncertain))))
    unknown = {policy for policy in (*one.unknown, *other.unknown) if _key(policy) not in uncertain}
    return replace(
        other,
        policies=tuple(policy for policy in other.policies if _key(policy) in certain),
        admin_policies=tuple(policy for policy in other.admin_policies if _key(policy) in certain),
        unknown=(*sorted(unknown, key=lambda policy: (policy.full_name, policy.why)), *blurred),
    )


def _readable(state: Snapshot) -> tuple[NetworkPolicy | AdminPolicy, ...]:
    return (*state.policies, *state.admin_policies)


def _blurred(policy: NetworkPolicy | AdminPolicy) -> UnknownPolicy:
    if isinstance(policy, AdminPolicy):
        return UnknownPolicy("", policy.full_name, None, UNFOLLOWED, policy.tier)
    return UnknownPolicy(policy.namespace, policy.name, None, UNFOLLOWED)


def _is_of(key: Key, served: ServedKind | None) -> bool:
    """Whether what has ``key`` is a policy of the kind ``served``, or a NetworkPolicy."""
    return not key[0].startswith(_ADMIN) if served is None else key[0] == _ADMIN + served.kind


def _reads_namespaces(policy: NetworkPolicy | AdminPolicy) -> bool:
    if isinstance(policy, AdminPolicy):
        return True
    rules = (*policy.ingress, *policy.egress)
    return any(peer.namespace_selector is not None for rule in rules for peer in rule.peers)


def _key(policy: Policy) -> Key:
    """Its namespace and name; for a policy of administrators its kind instead, as no namespace can be called."""
    if isinstance(policy, AdminPolicy):
        return _ADMIN + policy.kind, policy.name
    if not policy.namespace:
        kind, _, name = policy.name.partition(" ")
        return _ADMIN + kind, name
    return policy.namespace, policy.name
