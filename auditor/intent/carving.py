"""Peers of a rule without some that are meant denied: what is left allows all that it allowed, but for these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_network

from auditor.intent.notation import EVERY_POD, common_labels, split_labels
from auditor.intent.unseen import pod_network
from auditor.model.addresses import EVERYTHING, IPNetwork
from auditor.model.labels import NAMESPACE_NAME_LABEL, LabelSelector, Operator, Requirement
from auditor.model.policy import IPBlock, Peer, Rule
from auditor.model.snapshot import Snapshot
from auditor.policy.selection import select

OPPOSITE = {
    Operator.IN: Operator.NOT_IN,
    Operator.NOT_IN: Operator.IN,
    Operator.EXISTS: Operator.DOES_NOT_EXIST,
    Operator.DOES_NOT_EXIST: Operator.EXISTS,
}


class Carver:
    """Takes endpoints out of rules. ``texts`` are selections of an intent: those that are meant denied."""

    def __init__(self, snapshot: Snapshot, texts: Sequence[str]) -> None:
        self._snapshot = snapshot
        self._pods: list[tuple[str, LabelSelector]] = []
        self._hosts: list[IPNetwork] = []
        for text in texts:
            self._take(text)

    def _take(self, text: str) -> None:
        if (split := split_labels(text)) is not None:
            self._pods.append(split)
        elif text in self._snapshot.namespaces:
            self._pods.append((text, EVERY_POD))
        else:
            for endpoint in select(self._snapshot.endpoints, text, self._snapshot.services):
                if endpoint.selectable:
                    self._pods.append((endpoint.namespace, common_labels([endpoint])))
                else:
                    self._hosts += [ip_network(address) for address in endpoint.addresses]

    def carved(self, rule: Rule, namespace: str) -> Rule | None:
        """``rule`` of a policy in ``namespace`` without them; None where nothing is left."""
        peers = [left for peer in (rule.peers or self._everybody()) for left in self._left(peer, namespace)]
        return replace(rule, peers=tuple(dict.fromkeys(peers))) if peers else None

    @property
    def assumption(self) -> str:
        """What everybody but some is taken for, to be said with it; empty where nothing is assumed."""
        inside = pod_network(self._snapshot) or () if self._pods else ()
        return f", with {' and '.join(map(str, inside))} taken for the addresses of pods" if inside else ""

    def _everybody(self) -> tuple[Peer, ...]:
        """Every peer, as peers: all pods, and addresses outside as far as they are not those of pods."""
        pods = Peer(None, EVERY_POD)
        if not self._pods:
            return (pods, *(Peer(ip_block=IPBlock(whole)) for whole in EVERYTHING.values()))
        inside = pod_network(self._snapshot) or ()
        return (pods, *(Peer(ip_block=IPBlock(EVERYTHING[each.version], (each,))) for each in inside))

    def _left(self, peer: Peer, namespace: str) -> list[Peer]:
        if peer.ip_block is not None:
            return list(self._of_block(peer.ip_block))
        left = [peer]
        for gone in self._pods:
            left = [part for each in left for part in _without(each, gone, namespace)]
        return left

    def _of_block(self, block: IPBlock) -> Iterator[Peer]:
        excepts = [
            host
            for host in self._hosts
            if host.version == block.cidr.version
            and host.network_address in block.cidr
            and not any(host.network_address in each for each in block.excepts)
        ]
        if block.cidr not in excepts:
            yield Peer(ip_block=replace(block, excepts=tuple(dict.fromkeys((*block.excepts, *excepts)))))


def _without(peer: Peer, gone: tuple[str, LabelSelector], namespace: str) -> list[Peer]:
    """``peer``, of a policy in ``namespace``, without the pods ``gone``: a namespace (empty: any) and labels."""
    where, labels = gone
    others: list[Peer] = []
    here = peer
    if where and peer.namespace_selector is not None:
        others = [replace(peer, namespace_selector=narrowed(peer.namespace_selector, _name(Operator.NOT_IN, where)))]
        here = replace(peer, namespace_selector=narrowed(peer.namespace_selector, _name(Operator.IN, where)))
    elif where and where != namespace:
        return [peer]
    pods = peer.pod_selector or EVERY_POD
    return others + [replace(here, pod_selector=narrowed(pods, but)) for but in opposites(labels)]


def _name(operator: Operator, namespace: str) -> Requirement:
    return Requirement(NAMESPACE_NAME_LABEL, operator, (namespace,))


def narrowed(selector: LabelSelector, also: Requirement) -> LabelSelector:
    """``selector`` that demands ``also``, too."""
    if also in selector.match_expressions:
        return selector
    return replace(selector, match_expressions=(*selector.match_expressions, also))


def opposites(selector: LabelSelector) -> list[Requirement]:
    """What pods have at least one of that ``selector`` does not match."""
    conditions = [Requirement(key, Operator.IN, (value,)) for key, value in selector.match_labels]
    return [
        Requirement(each.key, OPPOSITE[each.operator], each.values)
        for each in (*conditions, *selector.match_expressions)
    ]
