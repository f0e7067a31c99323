"""What depends on labels that are not in the input: of namespaces without an object, and those that controllers give.

A selector that asks for such a label may match or not. Whatever the labels are, each verdict lies between two extremes:
peers in doubt are none and policies in doubt isolate without allowing anything, or peers in doubt all count and
policies in doubt allow what they can without isolating anything. The extremes are ordinary snapshots, whose policies
say so by a label that no object can have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from auditor.model.admin_policy import AdminPeer, AdminPolicy
from auditor.model.labels import NAMESPACE_NAME_LABEL, LabelSelector, Operator, Requirement
from auditor.model.policy import Direction, NetworkPolicy, Peer, Rule
from auditor.model.snapshot import Endpoint, Namespace, Snapshot
from auditor.model.words import in_brief

OWN_NAME = "=name"
"""No label of Kubernetes begins with =."""


def may_match(selector: LabelSelector, labels: Mapping[str, str], is_unknown: Callable[[str], bool]) -> bool | None:
    """Whether ``selector`` matches; None where it may, depending on labels that ``is_unknown``."""
    conditions = [Requirement(key, Operator.IN, (value,)) for key, value in selector.match_labels]
    maybe = False
    for condition in (*conditions, *selector.match_expressions):
        if condition.key not in labels and is_unknown(condition.key):
            maybe = True
        elif not condition.meets(labels):
            return False
    return None if maybe else True


def namespace_may_match(selector: LabelSelector, namespace: Namespace) -> bool | None:
    """``may_match`` of a namespace."""
    return may_match(selector, namespace.labels, lambda _: not namespace.known)


def pod_may_match(selector: LabelSelector, pod: Endpoint) -> bool | None:
    """``may_match`` of a pod."""
    return may_match(selector, pod.labels, pod.unknown_labels.__contains__)


@dataclass(frozen=True, slots=True)
class LabelExtremes:
    """The least and the most that is allowed, and whose labels are in question, in words."""

    least: Snapshot
    most: Snapshot
    about: tuple[str, ...]

    @property
    def why(self) -> str:
        """What makes verdicts that differ between the two doubtful."""
        return f"depends on labels that are not in the input: of {in_brief(self.about, MOST_NAMED)}"


MOST_NAMED = 3


def label_extremes(snapshot: Snapshot) -> LabelExtremes | None:
    """Both extremes of ``snapshot``; None where no policy asks for a label that is not known."""
    if all(namespace.known for namespace in snapshot.namespaces.values()) and not any(
        endpoint.unknown_labels for endpoint in snapshot.endpoints
    ):
        return None
    return _Extremes(snapshot).both()


class _Extremes:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        named = {endpoint.namespace for endpoint in snapshot.endpoints if endpoint.selectable}
        self._namespaces = [each for name, each in snapshot.namespaces.items() if not each.known and name in named]
        self._pods = [each for each in snapshot.endpoints if each.selectable and each.unknown_labels]
        self._unknown = frozenset[str]().union(*(each.unknown_labels for each in self._pods))
        self._unsure: dict[tuple[str, LabelSelector], tuple[str, ...]] = {}

    def both(self) -> LabelExtremes | None:
        least = [each for policy in self._snapshot.policies for each in self._least(policy)]
        self._ask_admin_policies()
        if not any(self._unsure.values()):
            return None
        most = [each for policy in self._snapshot.policies for each in self._most(policy)]
        about = dict.fromkeys(f"{kind} {name}" for (kind, _), names in self._unsure.items() for name in names)
        return LabelExtremes(self._with(least), self._with(most), tuple(about))

    def _ask_admin_policies(self) -> None:
        """Note whose labels they are unsure of. They stay as they are: their tiers know what that means."""
        for policy in self._snapshot.admin_policies:
            peers = (peer for direction in Direction for rule in policy.rules(direction) for peer in rule.peers)
            parts: list[AdminPolicy | AdminPeer] = [policy, *peers]
            for part in parts:
                if part.namespace_selector is not None:
                    self._unsure_namespaces(part.namespace_selector)
                if part.pod_selector is not None:
                    self._unsure_pods(part.pod_selector)

    def _with(self, policies: Sequence[NetworkPolicy]) -> Snapshot:
        """The snapshot with ``policies``, for which all labels are known."""
        namespaces = {name: replace(each, known=True) for name, each in self._snapshot.namespaces.items()}
        endpoints = tuple(
            replace(each, labels={**each.labels, OWN_NAME: each.name}, unknown_labels=frozenset())
            if each.unknown_labels
            else each
            for each in self._snapshot.endpoints
        )
        return replace(self._snapshot, namespaces=namespaces, endpoints=endpoints, policies=tuple(policies))

    def _unsure_namespaces(self, selector: LabelSelector) -> tuple[str, ...]:
        key = ("namespace", selector)
        if key not in self._unsure:
            self._unsure[key] = tuple(
                each.name for each in self._namespaces if namespace_may_match(selector, each) is None
            )
        return self._unsure[key]

    def _unsure_pods(self, selector: LabelSelector) -> tuple[str, ...]:
        key = ("pod", selector)
        if self._unknown.isdisjoint(selector.keys):
            return ()
        if key not in self._unsure:
            self._unsure[key] = tuple(each.name for each in self._pods if pod_may_match(selector, each) is None)
        return self._unsure[key]

    def _least(self, policy: NetworkPolicy) -> Iterator[NetworkPolicy]:
        subjects = self._unsure_subjects(policy)
        certain = _without(policy.pod_selector, OWN_NAME, subjects)
        yield replace(self._rewritten(policy, self._least_peers), pod_selector=certain)
        if subjects:
            yield replace(policy, pod_selector=_only(OWN_NAME, subjects), ingress=(), egress=())

    def _most(self, policy: NetworkPolicy) -> Iterator[NetworkPolicy]:
        subjects = self._unsure_subjects(policy)
        open_wide = self._rewritten(policy, self._most_peers)
        yield replace(open_wide, pod_selector=_without(policy.pod_selector, OWN_NAME, subjects))
        for direction in Direction:
            isolated = [name for name in subjects if name in self._isolated[direction]]
            if isolated and direction in policy.directions:
                yield replace(open_wide, pod_selector=_only(OWN_NAME, isolated), directions=frozenset({direction}))

    def _unsure_subjects(self, policy: NetworkPolicy) -> list[str]:
        here = f"{policy.namespace}/"
        return [name for name in self._unsure_pods(policy.pod_selector) if name.startswith(here)]

    @cached_property
    def _isolated(self) -> Mapping[Direction, frozenset[str]]:
        """Of the pods with unknown labels, those that a policy isolates whatever these are."""
        return {
            direction: frozenset(
                pod.name
                for pod in self._pods
                for policy in self._snapshot.policies
                if direction in policy.directions
                and policy.namespace == pod.namespace
                and pod_may_match(policy.pod_selector, pod)
            )
            for direction in Direction
        }

    def _rewritten(self, policy: NetworkPolicy, peers_of: Callable[[Peer], Iterable[Peer]]) -> NetworkPolicy:
        def rules(given: tuple[Rule, ...]) -> tuple[Rule, ...]:
            return tuple(
                replace(rule, peers=tuple(each for peer in rule.peers for each in peers_of(peer))) for rule in given
            )

        return replace(policy, ingress=rules(policy.ingress), egress=rules(policy.egress))

    def _least_peers(self, peer: Peer) -> Iterator[Peer]:
        namespaces, pods = peer.namespace_selector, peer.pod_selector
        if namespaces is not None:
            namespaces = _without(namespaces, NAMESPACE_NAME_LABEL, self._unsure_namespaces(namespaces))
        if pods is not None:
            pods = _without(pods, OWN_NAME, self._unsure_pods(pods))
        yield replace(peer, namespace_selector=namespaces, pod_selector=pods)

    def _most_peers(self, peer: Peer) -> Iterator[Peer]:
        namespaces: list[LabelSelector | None] = [peer.namespace_selector]
        pods: list[LabelSelector | None] = [peer.pod_selector]
        if peer.namespace_selector is not None and (unsure := self._unsure_namespaces(peer.namespace_selector)):
            namespaces.append(_only(NAMESPACE_NAME_LABEL, unsure))
        if peer.pod_selector is not None and (unsure := self._unsure_pods(peer.pod_selector)):
            pods.append(_only(OWN_NAME, unsure))
        for of_namespaces, of_pods in product(namespaces, pods):
            yield replace(peer, namespace_selector=of_namespaces, pod_selector=of_pods)


def _only(key: str, values: Iterable[str]) -> LabelSelector:
    return LabelSelector((), (Requirement(key, Operator.IN, tuple(sorted(values))),))


def _without(selector: LabelSelector, key: str, values: Sequence[str]) -> LabelSelector:
    if not values:
        return selector
    but = Requirement(key, Operator.NOT_IN, tuple(sorted(values)))
    return replace(selector, match_expressions=(*selector.match_expressions, but))
