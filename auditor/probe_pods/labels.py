"""The fewest of a pod's labels that make policies treat a probe pod as they treat the pod, under enforcers that err
about namespaces, too.

Fewer labels mean less harm: what finds pods by their labels (Services, controllers, budgets, monitoring) is less likely
to find a probe pod. Dropping a label is not always safe, even where no selector demands it: NotIn and DoesNotExist
match where a key is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache

from auditor.model.labels import Labels, LabelSelector
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.policy.traits import admin_selectors, peers_in_force

TOOL_KEYS = (
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "batch.kubernetes.io/job-completion-index",
    "controller-uid",
    "job-name",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "chart",
    "heritage",
)
"""Labels that controllers and packaging tools put on pods for themselves: dropped first."""
TOOL_PREFIXES = ("helm.sh/", "argocd.argoproj.io/", "kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/")


class PodSelectors:
    """The pod selectors by which policies in force can tell pods apart: all of them together are a pod's policy
    signature.

    An enforcer that overlooks a namespaceSelector, or that a podSelector alone means the policy's own namespace, holds
    selectors against pods that they can't reach. ``in_any_reading`` has these too, so that a probe pod meets the fault
    as its workload would. The same goes for the selectors ``misread``, whatever the fault makes of a selector.
    """

    def __init__(self, snapshot: Snapshot, misread: Iterable[LabelSelector] = ()) -> None:
        self._namespaces = snapshot.namespaces
        self._own: dict[str, set[LabelSelector]] = {}
        self._elsewhere: dict[LabelSelector, set[LabelSelector]] = {}
        self._peers: set[LabelSelector] = set(misread)
        self._besides: set[LabelSelector] = set()
        for policy in snapshot.policies:
            own = self._own.setdefault(policy.namespace, set())
            own.add(policy.pod_selector)
            for peer in peers_in_force([policy]):
                if peer.pod_selector is not None:
                    self._peers.add(peer.pod_selector)
                    found = (
                        own
                        if peer.namespace_selector is None
                        else self._elsewhere.setdefault(peer.namespace_selector, set())
                    )
                    found.add(peer.pod_selector)
                    self._besides |= set() if peer.namespace_selector is None else {peer.namespace_selector}
        for namespaces, pods, is_peer in admin_selectors(snapshot.admin_policies):
            self._elsewhere.setdefault(namespaces, set()).add(pods)
            if is_peer:
                self._peers.add(pods)
                self._besides.add(namespaces)
        for unknown in snapshot.unknown:
            if unknown.pod_selector is not None and not unknown.namespace:
                everywhere = unknown.namespace_selector or LabelSelector()
                self._elsewhere.setdefault(everywhere, set()).add(unknown.pod_selector)
            elif unknown.pod_selector is not None:
                self._own.setdefault(unknown.namespace, set()).add(unknown.pod_selector)
        every = self._peers.union(*self._own.values(), *self._elsewhere.values())
        self._keys = frozenset(key for selector in every for key in selector.keys)
        self.of = cache(self._of)
        self.in_any_reading = cache(self._in_any_reading)
        self._found = cache(self._matched)
        self._found_besides = cache(self._matched_besides)

    def _of(self, namespace: str) -> frozenset[LabelSelector]:
        """The selectors that are held against the labels of pods in ``namespace``."""
        labels = self._namespaces[namespace].labels
        reaching = [pods for namespaces, pods in self._elsewhere.items() if namespaces.matches(labels)]
        return frozenset(self._own.get(namespace, ())).union(*reaching)

    def _in_any_reading(self, namespace: str) -> frozenset[LabelSelector]:
        """Those of ``of`` and every peer's, whatever namespaces it means."""
        return self.of(namespace) | self._peers

    def matching(self, endpoint: Endpoint) -> int:
        """How many selectors ``in_any_reading`` match the labels of ``endpoint``."""
        return len(self._matching(endpoint))

    def mistakable(self, endpoint: Endpoint) -> frozenset[tuple[str, LabelSelector]]:
        """The selectors by which an enforcer that errs about namespaces may take ``endpoint`` for a peer: those for
        pods that match its labels, whatever namespace they mean, and those for namespaces that match its namespace's,
        whatever pods they mean there.
        """
        for_pods = {("pods", selector) for selector in self._matching(endpoint) if selector in self._peers}
        return self._found_besides(endpoint.namespace) | for_pods

    def _matching(self, endpoint: Endpoint) -> frozenset[LabelSelector]:
        return self._found(
            endpoint.namespace, frozenset((key, value) for key, value in endpoint.labels.items() if key in self._keys)
        )

    def _matched(self, namespace: str, labels: frozenset[tuple[str, str]]) -> frozenset[LabelSelector]:
        known = dict(labels)
        return frozenset(selector for selector in self.in_any_reading(namespace) if selector.matches(known))

    def _matched_besides(self, namespace: str) -> frozenset[tuple[str, LabelSelector]]:
        labels = self._namespaces[namespace].labels
        return frozenset(("namespaces", selector) for selector in self._besides if selector.matches(labels))

    def signature(self, namespace: str, labels: Labels) -> frozenset[LabelSelector]:
        """Those that match ``labels`` on a pod in ``namespace``. Pods of a namespace with equal signatures are alike to
        policies, but for their addresses and named ports.
        """
        return frozenset(selector for selector in self.of(namespace) if selector.matches(labels))


def fewest_labels(
    selectors: Collection[LabelSelector], labels: Labels, avoid: Sequence[LabelSelector] = ()
) -> dict[str, str]:
    """A smallest part of ``labels`` that the same of ``selectors`` match: no single label of it can be dropped.

    Among such parts it is one that few of ``avoid`` match.
    """
    order = sorted(labels, key=lambda key: (not is_for_tools(key), key))
    first = _drop_in_order(selectors, labels, order)
    hit = [selector for selector in avoid if selector.matches(first)]
    if not hit:
        return first
    unwelcome = [key for key in order if any(reads(selector, key) for selector in hit)]
    orders = [[key, *order] for key in unwelcome] + [[*unwelcome, *order]]
    answers = [first, *(_drop_in_order(selectors, labels, list(dict.fromkeys(keys))) for keys in orders)]
    return min(answers, key=lambda answer: (sum(selector.matches(answer) for selector in avoid), len(answer)))


def is_for_tools(key: str) -> bool:
    """Whether controllers and packaging tools keep this label for themselves."""
    return key in TOOL_KEYS or key.startswith(TOOL_PREFIXES)


def reads(selector: LabelSelector, key: str) -> bool:
    """Whether ``selector`` has a condition on the label ``key``."""
    return any(key == read for read, _ in selector.match_labels) or any(
        key == item.key for item in selector.match_expressions
    )


def _drop_in_order(selectors: Collection[LabelSelector], labels: Labels, order: Sequence[str]) -> dict[str, str]:
    """Drop each label of ``order`` that can go; again, until none can: a label may become free once another
    has gone.
    """
    reading = {key: [selector for selector in selectors if reads(selector, key)] for key in order}
    kept = dict(labels)
    before = -1
    while len(kept) != before:
        before = len(kept)
        for key in order:
            if key in kept and _can_go(key, kept, reading[key]):
                del kept[key]
    return kept


def _can_go(key: str, labels: Labels, reading: Collection[LabelSelector]) -> bool:
    without = {other: value for other, value in labels.items() if other != key}
    return all(selector.matches(without) == selector.matches(labels) for selector in reading)
