"""The ways in which one direction of an administrators' policy could be ignored or misread: those of the dialects, and
for each part of it as it is written, that this one part is overlooked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from auditor.choice.misreadings import (
    MOST_ITEMS,
    NOBODY,
    items_read_otherwise,
    looser,
    other_ports,
    told_apart,
    without,
)
from auditor.diagnosis.dialects import SPECS
from auditor.model.admin_policy import Action, AdminPeer, AdminPolicy, AdminRule
from auditor.model.dialect import OF_TIERS
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction


@dataclass(frozen=True, slots=True)
class AdminReading:
    """One direction of a policy as somebody reads it: for which pods it has which rules. All without any are equal."""

    namespaces: LabelSelector
    pods: LabelSelector
    rules: tuple[AdminRule, ...]

    @classmethod
    def of(cls, policy: AdminPolicy | None, direction: Direction) -> AdminReading:
        """``policy`` as it is written; None: nobody takes notice of it."""
        if policy is None or not policy.rules(direction):
            return cls(NOBODY, NOBODY, ())
        return cls(policy.namespace_selector, policy.pod_selector, policy.rules(direction))

    def put_into(self, policy: AdminPolicy, direction: Direction) -> AdminPolicy:
        """``policy`` read so in ``direction``, without the other one."""
        ingress, egress = (self.rules, ()) if direction is Direction.INGRESS else ((), self.rules)
        return replace(
            policy, namespace_selector=self.namespaces, pod_selector=self.pods, ingress=ingress, egress=egress
        )


@dataclass(frozen=True, slots=True)
class AdminMisreading:
    """``what`` is wrong, in words, with the ``reading`` of a policy."""

    what: str
    reading: AdminReading


def admin_misreadings(policy: AdminPolicy, direction: Direction) -> Iterator[AdminMisreading]:
    """Those of ``policy`` in ``direction``; none where it has no rules for that."""
    ways = (*_by_dialects(policy), *_by_parts(policy, direction))
    readings = ((what, AdminReading.of(changed, direction)) for what, changed in ways)
    for what, reading in told_apart(AdminReading.of(policy, direction), readings):
        yield AdminMisreading(what, reading)


def _by_dialects(policy: AdminPolicy) -> Iterator[tuple[str, AdminPolicy | None]]:
    for dialect, spec in SPECS.items():
        if dialect in OF_TIERS and spec.admin is not None:
            yield spec.phrase, next(iter(spec.admin([policy])), None)


def _by_parts(policy: AdminPolicy, direction: Direction) -> Iterator[tuple[str, AdminPolicy]]:
    for what, selector in looser(policy.namespace_selector, "subject.namespaceSelector"):
        yield what, replace(policy, namespace_selector=selector)
    for what, selector in looser(policy.pod_selector, "subject.podSelector"):
        yield what, replace(policy, pod_selector=selector)
    rules = policy.rules(direction)
    for number, rule in enumerate(rules[:MOST_ITEMS]):
        for what, changed in _rules_read_otherwise(rule, direction, f"{direction.lower()}[{number}]"):
            new = (*rules[:number], *changed, *rules[number + 1 :])
            yield what, policy.with_rules(direction, new)


def _rules_read_otherwise(
    rule: AdminRule, direction: Direction, where: str
) -> Iterator[tuple[str, Sequence[AdminRule]]]:
    """What is wrong, and the rules that ``rule``, which stands at ``where``, is taken for."""
    yield f"{where} is overlooked", ()
    if rule.unknown:  # fails closed, whatever else it says
        return
    for action in (Action.ACCEPT, Action.DENY) if rule.action is Action.PASS else ():
        yield f"{where}: Pass is taken for {action}", (replace(rule, action=action),)
    peers = f"{where}.{'from' if direction is Direction.INGRESS else 'to'}"
    if rule.peers:
        yield f"{peers} is overlooked", (replace(rule, peers=()),)
    if rule.ports:
        yield f"{where}.ports is overlooked", (replace(rule, ports=()),)
    for what, several in items_read_otherwise(rule.peers, _other_peers, peers):
        yield what, (replace(rule, peers=several),)
    for what, some in items_read_otherwise(rule.ports, other_ports, f"{where}.ports"):
        yield what, (replace(rule, ports=some),)


def _other_peers(peer: AdminPeer, where: str) -> Iterator[tuple[str, AdminPeer]]:
    for number, network in enumerate(peer.networks[:MOST_ITEMS] if len(peer.networks) > 1 else ()):
        yield f"{where}: network {network} is overlooked", replace(peer, networks=without(peer.networks, number))
    if peer.nodes is not None:
        for what, selector in looser(peer.nodes, f"{where}.nodes"):
            yield what, replace(peer, nodes=selector)
    if peer.namespace_selector is not None:
        for what, selector in looser(peer.namespace_selector, f"{where}.namespaceSelector"):
            yield what, replace(peer, namespace_selector=selector)
    if peer.pod_selector is not None:
        for what, selector in looser(peer.pod_selector, f"{where}.podSelector"):
            yield what, replace(peer, pod_selector=selector)
