"""Pods that are not in the input, as peers of a comparison: what rules are sure to open to them, and what they may.

Such a pod has the labels that a selector asks for; all its others, those of its namespace if that is not in the input,
and its addresses are not known. The policies on its own side are not known either and don't count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

from auditor.model.admin_policy import AdminPolicy, AdminTier
from auditor.model.labels import NAMESPACE_NAME_LABEL, LabelSelector, Operator
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import EVERY_PORT, FIRST_PORT, LAST_PORT
from auditor.model.reasons import place
from auditor.model.snapshot import Endpoint, Namespace, Snapshot
from auditor.policy.atoms import PortAtoms
from auditor.policy.bits import union
from auditor.policy.doubt import Unreadable
from auditor.policy.exposure import peer_in_words, peers_without_pods
from auditor.policy.groups import Groups
from auditor.policy.traits import admin_selects
from auditor.policy.unknown_labels import may_match, namespace_may_match, pod_may_match


@dataclass(frozen=True, slots=True)
class AbsentPeer:
    """Any pod that ``peer`` selects; ``namespace`` is that of its policy, empty where the peer says which itself."""

    peer: Peer
    namespace: str

    def __str__(self) -> str:
        return peer_in_words(self.peer, self.namespace)


@dataclass(frozen=True, slots=True)
class Opening:
    """What is open to a peer, as port atoms: ``certain`` and, with it, ``possible``; the rules that are sure to open
    some, in words. Everything is where no policy isolates. ``beneath`` is what NetworkPolicies may open, be it decided
    by ``administrators`` or not.
    """

    certain: int
    possible: int
    rules: tuple[tuple[int, str], ...] = ()
    beneath: int = 0
    administrators: tuple[AdminPolicy, ...] = ()


def absent_peers(snapshots: Sequence[Snapshot]) -> list[tuple[AbsentPeer, Direction]]:
    """The peers of rules that no pod of one of ``snapshots`` is sure to match, each with the direction of its rules."""
    found = {
        (_peer(policy, peer), direction)
        for snapshot in snapshots
        for policy, direction, peer, _, _ in peers_without_pods(snapshot, Groups.by_labels(snapshot))
    }
    return sorted(found, key=lambda each: (str(each[0]), each[1]))


def _peer(policy: NetworkPolicy, peer: Peer) -> AbsentPeer:
    return AbsentPeer(peer, policy.namespace if peer.namespace_selector is None else "")


class _Selecting:
    """Which of ``policies`` select a pod, found by its labels and not by asking each of them."""

    def __init__(self, policies: Iterable[NetworkPolicy]) -> None:
        self._by_label: dict[tuple[str, str, str], list[tuple[int, NetworkPolicy]]] = {}
        for number, policy in enumerate(policies):
            key, value = next(iter(policy.pod_selector.match_labels), ("", ""))
            self._by_label.setdefault((policy.namespace, key, value), []).append((number, policy))

    def of(self, pod: Endpoint) -> list[tuple[NetworkPolicy, bool | None]]:
        """Those that select ``pod``, in their order, each with True, or None where labels decide that nobody knows."""
        labels = [("", ""), *pod.labels.items()]
        found = [each for label in labels for each in self._by_label.get((pod.namespace, *label), ())]
        if pod.unknown_labels:
            for (where, key, _), policies in self._by_label.items():
                if where == pod.namespace and key in pod.unknown_labels and key not in pod.labels:
                    found += policies
        answers = ((policy, pod_may_match(policy.pod_selector, pod)) for _, policy in sorted(found, key=itemgetter(0)))
        return [(policy, sure) for policy, sure in answers if sure is not False]


class Admission:
    """What the policies of one snapshot say of absent peers, in sets of ``atoms``."""

    def __init__(self, snapshot: Snapshot, atoms: PortAtoms) -> None:
        self._snapshot = snapshot
        self._atoms = atoms
        self._unreadable = Unreadable(snapshot)
        self._selecting = _Selecting(snapshot.policies)
        self._isolating: dict[tuple[AbsentPeer, Direction], tuple[NetworkPolicy, ...]] = {}

    def between(self, pod: Endpoint, peer: AbsentPeer, direction: Direction) -> Opening:
        """What may come to ``pod`` from ``peer``, or go to it from ``pod``."""
        selecting = [(each, sure) for each, sure in self._selecting.of(pod) if direction in each.directions]
        network = self._by_network_policies(pod, peer, direction, selecting)
        others = [each for each in self._snapshot.admin_policies if each.rules(direction)]
        if any(sure for _, sure in selecting):
            others = [each for each in others if each.tier is AdminTier.ADMIN]
        others = [each for each in others if admin_selects(each, self._snapshot.namespaces, pod)]
        # Nobody asks these policies about pods that are not there: what they may decide is in doubt.
        theirs = union(self._named_by(each, pod, direction) for each in others)
        certain = network.certain & ~theirs
        return replace(
            network,
            certain=certain,
            possible=network.possible | theirs,
            rules=tuple((mask, words) for mask, words in network.rules if mask & certain),
            beneath=network.possible,
            administrators=tuple(others),
        )

    def _named_by(self, policy: AdminPolicy, pod: Endpoint, direction: Direction) -> int:
        """The atoms that any rule of ``policy`` may decide on."""
        destination = pod if direction is Direction.INGRESS else None
        rules = policy.rules(direction)
        if any(rule.unknown for rule in rules):
            return self._atoms.everything
        return union(mask for rule in rules for mask in self._ports(rule.ports, destination))

    def _by_network_policies(
        self,
        pod: Endpoint,
        peer: AbsentPeer,
        direction: Direction,
        selecting: Sequence[tuple[NetworkPolicy, bool | None]],
    ) -> Opening:
        everything = self._atoms.everything
        if self._unreadable.touches([pod]) or any(sure is None for _, sure in selecting):
            return Opening(0, everything)
        isolating = [each for each, sure in selecting if sure]
        if not isolating or not pod.selectable:
            return Opening(everything, everything)
        certain = possible = 0
        rules: list[tuple[int, str]] = []
        for policy in isolating:
            for number, rule in enumerate(policy.rules(direction)):
                sure, maybe = self._opened(
                    rule, policy.namespace, peer, pod if direction is Direction.INGRESS else None
                )
                certain, possible = certain | sure, possible | sure | maybe
                if sure:
                    rules.append((sure, f"{direction.lower()}: {place(policy, direction, number)}: {_words(rule)}"))
        return Opening(certain, possible, tuple(rules))

    def verdicts(self, pod: Endpoint, peer: AbsentPeer, direction: Direction) -> tuple[int, int]:
        """The atoms that are allowed between ``pod`` and ``peer`` by what is known, and those that are in doubt: the
        rules of ``pod`` hang on what nobody knows of the peer, or policies of the input may isolate the peer.
        """
        opening = self.between(pod, peer, direction)
        closing = opening.certain if self.isolating(peer, direction.opposite) else 0
        return opening.certain, (opening.possible & ~opening.certain) | closing

    def isolating(self, peer: AbsentPeer, direction: Direction) -> tuple[NetworkPolicy, ...]:
        """The policies that may isolate pods that ``peer`` selects, in the direction that counts on their side."""
        key = (peer, direction)
        if key not in self._isolating:
            self._isolating[key] = tuple(
                each
                for each in self._snapshot.policies
                if direction in each.directions and self._may_be_isolated(peer, each)
            )
        return self._isolating[key]

    def _may_be_isolated(self, peer: AbsentPeer, policy: NetworkPolicy) -> bool:
        namespace = self._snapshot.namespaces.get(policy.namespace, Namespace.of(policy.namespace, known=False))
        asked = peer.peer.namespace_selector
        here = policy.namespace == peer.namespace if asked is None else namespace_may_match(asked, namespace)
        labels = dict((peer.peer.pod_selector or LabelSelector()).match_labels)
        return here is not False and may_match(policy.pod_selector, labels, lambda _: True) is not False

    def _opened(self, rule: Rule, namespace: str, peer: AbsentPeer, destination: Endpoint | None) -> tuple[int, int]:
        """The atoms that ``rule`` is sure to open to ``peer``, and those that it may."""
        admitted = [self._admits(each, namespace, peer) for each in rule.peers] or [True]
        if all(each is False for each in admitted):
            return 0, 0
        sure, maybe = self._ports(rule.ports, destination)
        return (sure, maybe) if True in admitted else (0, sure | maybe)

    def _ports(self, ports: Sequence[PolicyPort], destination: Endpoint | None) -> tuple[int, int]:
        """Atoms of ``ports``; what a name means to pods that nobody knows may be any."""
        if not ports:
            return self._atoms.everything, 0
        sure = self._atoms.numbered(ports)
        if destination is not None:
            return sure | self._atoms.named(ports, destination), 0
        of_names = {port.protocol for port in ports if port.name is not None}
        return sure, union(self._atoms.mask(protocol, FIRST_PORT, LAST_PORT) for protocol in of_names)

    def _admits(self, item: Peer, namespace: str, peer: AbsentPeer) -> bool | None:
        """Whether ``item``, of a policy in ``namespace``, matches every pod that ``peer`` does; None where it may."""
        if item.ip_block is not None:
            return None
        answers = (self._namespace_fits(item, namespace, peer), _pods_fit(item.pod_selector, peer.peer.pod_selector))
        return False if False in answers else None if None in answers else True

    def _namespace_fits(self, item: Peer, namespace: str, peer: AbsentPeer) -> bool | None:
        asked = peer.peer.namespace_selector
        if asked is None:
            if item.namespace_selector is None:
                return namespace == peer.namespace
            there = self._snapshot.namespaces.get(peer.namespace)
            labels = there.labels if there else {NAMESPACE_NAME_LABEL: peer.namespace}
            return may_match(item.namespace_selector, labels, lambda _: there is None or not there.known)
        if item.namespace_selector is not None:
            return _fits(item.namespace_selector, asked)
        named = _labels(asked).get(NAMESPACE_NAME_LABEL)
        return None if named is None else named == namespace


def _pods_fit(wanted: LabelSelector | None, asked: LabelSelector | None) -> bool | None:
    return True if wanted is None else _fits(wanted, asked or LabelSelector())


def _fits(wanted: LabelSelector, asked: LabelSelector) -> bool | None:
    """Whether ``wanted`` matches whatever ``asked`` does; None where it may."""
    if wanted == asked:
        return True
    return may_match(wanted, _labels(asked), lambda _: True)


def _labels(asked: LabelSelector) -> dict[str, str]:
    """The labels that everything has that ``asked`` matches."""
    single = {
        each.key: each.values[0]
        for each in asked.match_expressions
        if each.operator is Operator.IN and len(each.values) == 1
    }
    return {**single, **dict(asked.match_labels)}


def _words(rule: Rule) -> str:
    ports = ", ".join(map(str, rule.ports)) or EVERY_PORT
    return f"{', '.join(map(str, rule.peers)) or 'every peer'}, {ports}"
