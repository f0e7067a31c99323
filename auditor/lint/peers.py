"""Checks of peers made of selectors: whom they match, when that is nobody or more than was likely meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from operator import or_

from auditor.lint.area import Area
from auditor.lint.finding import Check, Remark, peer_place
from auditor.lint.hints import labels_seen, looks_misspelt, names_a_namespace, namespace_hint
from auditor.lint.listing import listed
from auditor.lint.policy_index import IndexedRule, PolicyIndex
from auditor.model.labels import NAMESPACE_NAME_LABEL, LabelSelector
from auditor.model.lint import Place, Severity
from auditor.model.notation import peer_yaml
from auditor.model.policy import NetworkPolicy, Peer
from auditor.model.words import pluralize
from auditor.policy.bits import without_each

BEHAVIOUR_OF_PEERS = (
    "https://kubernetes.io/docs/concepts/services-networking/network-policies/#behavior-of-to-and-from-selectors"
)
PUT_BY_THE_SYSTEM = ("network.openshift.io/", "policy-group.network.openshift.io/")
"""Labels that OpenShift itself puts on namespaces."""
BY_NAME = "https://kubernetes.io/docs/concepts/services-networking/network-policies/#targeting-a-namespace-by-its-name"


def _peers(policy_index: PolicyIndex) -> Iterator[tuple[IndexedRule, int, Peer, int]]:
    """Every peer in force that is made of selectors, with its rule, number and reach."""
    for indexed in policy_index.rules:
        for number, (peer, reach) in enumerate(zip(indexed.rule.peers, indexed.reach, strict=True)):
            if peer.ip_block is None:
                yield indexed, number, peer, reach


def _place(indexed: IndexedRule, number: int) -> Place:
    return peer_place(indexed.policy, indexed.direction, indexed.number, number)


def _without_namespace(policy_index: PolicyIndex) -> Iterator[tuple[Peer, LabelSelector, Place]]:
    """The peers whose namespaceSelector matches no known namespace."""
    for indexed, number, peer, _ in _peers(policy_index):
        selector = peer.namespace_selector
        if selector is not None and not policy_index.namespaces_matching(selector):
            yield peer, selector, _place(indexed, number)


def namespace_name_missing(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Peers that ask for a namespace by a name that no namespace has; none where others may exist."""
    for peer, selector, place in _without_namespace(policy_index) if policy_index.complete else ():
        if selector.keys == {NAMESPACE_NAME_LABEL}:
            hint = namespace_hint(policy_index, peer, selector)
            yield Remark(place, f"no namespace is called as {selector} says", hint, str(selector))


def namespace_label_missing(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Peers whose namespaceSelector asks for labels that no namespace has: none at all, or not the one that it names
    and that is in the input with its labels.
    """
    for peer, selector, place in _without_namespace(policy_index):
        if selector.keys != {NAMESPACE_NAME_LABEL} and _is_certain(policy_index, selector):
            message = f"namespaceSelector {selector} matches no namespace"
            yield Remark(place, message, namespace_hint(policy_index, peer, selector), str(selector))


def namespace_label_unknown(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Peers whose namespaceSelector asks for labels that no namespace of the input has, while others may exist."""
    for _, selector, place in _without_namespace(policy_index):
        if selector.keys != {NAMESPACE_NAME_LABEL} and not (
            _is_certain(policy_index, selector) or any(key.startswith(PUT_BY_THE_SYSTEM) for key in selector.keys)
        ):
            yield Remark(
                place,
                f"namespaceSelector {selector} matches no namespace of the input",
                f"Kubernetes sets only {NAMESPACE_NAME_LABEL}; make sure that all other labels are put on the "
                "namespace.",
                str(selector),
            )


def _is_certain(policy_index: PolicyIndex, selector: LabelSelector) -> bool:
    return policy_index.complete or (policy_index.has_final_namespaces and names_a_namespace(policy_index, selector))


def pod_label_in_namespace_selector(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Peers with a label in their namespaceSelector that pods, not namespaces, carry.

    Told where a namespace meets all of the selector but one label, doesn't have that label, and has pods that do.
    """
    carrying = _namespaces_by_pod_label(policy_index)
    told: dict[LabelSelector, list[tuple[str, str, list[str]]]] = {}
    for indexed, number, peer, _ in _peers(policy_index):
        selector = peer.namespace_selector
        if selector is None or len(selector.match_labels) + len(selector.match_expressions) < 2:
            continue
        if selector not in told:
            told[selector] = list(_labels_of_pods(policy_index, selector, carrying))
        for key, value, meant in told[selector]:
            rest = LabelSelector(
                tuple(pair for pair in selector.match_labels if pair != (key, value)), selector.match_expressions
            )
            message = (
                f"{key}={value} is asked of namespaces; {listed(meant)} has no such label, but pods in it do, "
                "and these are not matched"
            )
            own = peer.pod_selector or LabelSelector()
            pods = LabelSelector(tuple(sorted({**dict(own.match_labels), key: value}.items())), own.match_expressions)
            instead = f"If the label is one of pods:\n{peer_yaml(Peer(pods, rest))}"
            yield Remark(_place(indexed, number), message, instead)


def _labels_of_pods(
    policy_index: PolicyIndex, selector: LabelSelector, carrying: Mapping[tuple[str, str], AbstractSet[str]]
) -> Iterator[tuple[str, str, list[str]]]:
    """The labels of ``selector`` that pods have instead, each with the namespaces of these pods that meet all else of
    ``selector``.
    """
    if not any(carrying.get(pair) for pair in selector.match_labels):
        return
    known = policy_index.namespace_labels
    others = without_each(list(known.conditions(selector)), known.everything)
    for (key, value), rest in zip(selector.match_labels, others, strict=False):
        there = carrying.get((key, value))
        lacking = policy_index.numbered_namespaces(rest & ~known.with_key(key)) if there else ()
        meant = [namespace.name for namespace in lacking if there and namespace.name in there]
        if meant:
            yield key, value, meant


def _namespaces_by_pod_label(policy_index: PolicyIndex) -> dict[tuple[str, str], set[str]]:
    """For the labels that namespaceSelectors ask for: the namespaces of the pods that have them."""
    selectors = (peer.namespace_selector for _, _, peer, _ in _peers(policy_index))
    found: dict[tuple[str, str], set[str]] = {
        pair: set() for selector in selectors if selector for pair in selector.match_labels
    }
    for endpoint in policy_index.snapshot.endpoints if found else ():
        for pair in endpoint.labels.items():
            if pair in found and endpoint.selectable:
                found[pair].add(endpoint.namespace)
    return found


def peer_matches_nothing(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Peers that match no pod and look like a slip, or no pod but some with hostNetwork."""
    told = cache(lambda: {_rule_of(remark.place) for remark in two_peers_one_dash(policy_index)})
    for policy, selector, peer, where, place in _unmatched(policy_index):
        on_nodes = policy_index.on_host_network(selector, where)
        hint = _elsewhere(policy_index, policy, peer)
        if on_nodes:
            message = (
                f"{peer} matches only pods with hostNetwork ({listed(on_nodes)}), which are their nodes to "
                "most network plugins: it opens nothing for them"
            )
            advice = "Write an ipBlock with the addresses of the nodes."
            yield Remark(place, message, advice, str(peer), str(peer))
        elif (hint or looks_misspelt(policy_index, selector, where)) and _rule_of(place) not in told():
            yield Remark(
                place, f"{peer} matches no pod of {where}", hint or labels_seen(selector, where), str(peer), str(peer)
            )


def peer_not_there_yet(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Peers that match no pod, and may be for pods that come later."""
    for policy, selector, peer, where, place in _unmatched(policy_index):
        if (
            policy_index.has_its_pods(policy.namespace)
            and not policy_index.on_host_network(selector, where)
            and not _elsewhere(policy_index, policy, peer)
            and not looks_misspelt(policy_index, selector, where)
        ):
            message = f"{peer} matches none of the present pods of {where}"
            yield Remark(place, message, labels_seen(selector, where), str(peer), str(peer))


def _rule_of(place: Place) -> tuple[str, str]:
    return place.subject, place.path.rpartition(".")[0]


def _unmatched(policy_index: PolicyIndex) -> Iterator[tuple[NetworkPolicy, LabelSelector, Peer, Area, Place]]:
    """The peers with a podSelector that match no pod of the pod network, with the namespaces that they mean.

    Left out are those of which no such namespace exists, or none with known pods, and those that ask for labels which
    nobody can know.
    """
    for indexed, number, peer, reach in _peers(policy_index):
        selector, policy = peer.pod_selector, indexed.policy
        if not reach and selector is not None and policy_index.unknown_labels.isdisjoint(selector.keys):
            where = policy_index.area(policy.namespace if peer.namespace_selector is None else peer.namespace_selector)
            if where.has_pods:
                yield policy, selector, peer, where, _place(indexed, number)


def _elsewhere(policy_index: PolicyIndex, policy: NetworkPolicy, peer: Peer) -> str:
    """Where the pods are that a podSelector without namespaceSelector might have meant; empty when there are none."""
    if peer.pod_selector is None or peer.namespace_selector is not None or not policy_index.is_placed(policy.namespace):
        return ""
    found = policy_index.namespaces_of(policy_index.groups.with_labels(peer.pod_selector))
    namespaces = [name for name in found if policy_index.is_placed(name)]
    if not namespaces:
        return ""
    fixed = Peer(peer.pod_selector, LabelSelector(((NAMESPACE_NAME_LABEL, namespaces[0]),)))
    return (
        "A podSelector alone means the policy's own namespace. Pods with these labels are in "
        f"{listed(namespaces)}:\n{peer_yaml(fixed)}"
    )


def two_peers_one_dash(policy_index: PolicyIndex) -> Iterator[Remark]:
    """A podSelector and a namespaceSelector as two neighbouring peers, which together admit more than one peer with
    both would.

    Only where pods exist that meet both, which is what tells a slip from two peers that are meant: a podSelector that
    no pod of the selected namespaces meets can't have been meant for these.
    """
    for indexed in policy_index.rules:
        peers = indexed.rule.peers
        admitted_otherwise: list[int] = []
        for number in range(len(peers) - 1):
            pair = (peers[number], peers[number + 1])
            pods = next((peer for peer in pair if _only_pods(peer)), None)
            spaces = next((peer for peer in pair if _only_namespaces(peer)), None)
            if pods is None or spaces is None:
                continue
            both = Peer(pods.pod_selector, spaces.namespace_selector)
            meant = policy_index.reach(indexed.policy, both)
            admitted_otherwise = admitted_otherwise or without_each(indexed.reach, 0, or_, width=2)
            extra = (indexed.reach[number] | indexed.reach[number + 1]) & ~meant & ~admitted_otherwise[number]
            if policy_index.count(indexed.subjects) == 1:
                extra &= ~indexed.subjects  # a pod reaches itself anyway
            if meant and extra:
                yield _dash_remark(
                    policy_index,
                    indexed.policy,
                    peer_place(indexed.policy, indexed.direction, indexed.number, number + 1),
                    both,
                    extra,
                )


def _dash_remark(policy_index: PolicyIndex, policy: NetworkPolicy, place: Place, both: Peer, extra: int) -> Remark:
    number = policy_index.count(extra)
    pods = (
        f"pods with {both.pod_selector} of namespace {policy.namespace}, and every pod of namespaces with "
        f"{both.namespace_selector}"
        if both.namespace_selector and not both.namespace_selector.is_empty
        else "every pod of every namespace"
    )
    message = (
        f"two items, so either one is enough: {pods}. One item with both would admit "
        f"{pluralize(number, 'pod')} fewer: {policy_index.names(extra)}"
    )
    return Remark(place, message, f"If both must hold, write one item, with one dash:\n{peer_yaml(both)}")


def _only_pods(peer: Peer) -> bool:
    return peer.namespace_selector is None and peer.pod_selector is not None and not peer.pod_selector.is_empty


def _only_namespaces(peer: Peer) -> bool:
    return peer.pod_selector is None and peer.namespace_selector is not None


CHECKS = (
    Check(
        "two-peers-one-dash",
        Severity.WARNING,
        "podSelector and namespaceSelector as two peers where one was likely meant",
        "Items of from and to are alternatives; only selectors inside one item must both match. One dash too many "
        "turns 'the API pods of "
        "production' into 'the API pods here, and everything in production'.",
        two_peers_one_dash,
        BEHAVIOUR_OF_PEERS,
    ),
    Check(
        "namespace-label-missing",
        Severity.WARNING,
        "A namespaceSelector that matches no namespace",
        "A namespaceSelector reads labels of the Namespace object, not its name. Only kubernetes.io/metadata.name "
        "is there by itself; a "
        "label such as name=prod must have been put there by someone. A peer that matches no namespace opens nothing.",
        namespace_label_missing,
        BY_NAME,
    ),
    Check(
        "namespace-name-missing",
        Severity.WARNING,
        "A namespaceSelector for a name that no namespace has",
        "The peer opens nothing: no namespace has this name. It may be misspelt, deleted, or not created yet.",
        namespace_name_missing,
        BY_NAME,
    ),
    Check(
        "namespace-label-unknown",
        Severity.INFO,
        "A namespaceSelector that matches no namespace of the input",
        "A namespaceSelector reads labels of the Namespace object, not its name. The namespace that is meant is not in "
        "the input, and only kubernetes.io/metadata.name is there by itself: any other label must have been put there "
        "by someone, or the peer opens nothing.",
        namespace_label_unknown,
        BY_NAME,
    ),
    Check(
        "pod-label-in-namespace-selector",
        Severity.WARNING,
        "A pod's label in a namespaceSelector",
        "namespaceSelector reads the labels of namespaces, podSelector those of pods. A pod's label among those of "
        "the namespace makes the "
        "peer miss the pods that were meant.",
        pod_label_in_namespace_selector,
        BEHAVIOUR_OF_PEERS,
    ),
    Check(
        "peer-matches-nothing",
        Severity.WARNING,
        "A peer that matches no pod",
        "The rule opens nothing for this peer. Either a label is misspelt; or the podSelector stands alone, and so "
        "means the policy's own "
        "namespace, while the pods are in another; or the pods that have these labels use their node's network.",
        peer_matches_nothing,
        BEHAVIOUR_OF_PEERS,
    ),
    Check(
        "peer-not-there-yet",
        Severity.INFO,
        "A peer that matches no pod at present",
        "The rule opens nothing for this peer until there are such pods. That is as it should be where they come "
        "later: those of a job "
        "that runs at night, or of something that is not installed yet. Otherwise a label is misspelt.",
        peer_not_there_yet,
        BEHAVIOUR_OF_PEERS,
    ),
)
