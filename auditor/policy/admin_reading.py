"""One connection held against the policies of one admin tier: the rule that decides, and those that come before it.

This asks the rules one by one, on purpose without the bitsets of ``auditor.policy.tier_admin``; the tests hold the two
against each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from auditor.model.admin_policy import Action, AdminPeer, AdminPolicy, AdminRule, AdminTier
from auditor.model.policy import Direction, PolicyPort
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot
from auditor.model.verdict import Cell
from auditor.model.words import pluralize
from auditor.policy.plain_reading import is_in_block, is_port
from auditor.policy.tiers import Decider, Judgement, TierAnswer

MOST_BEFORE = 3
ANSWERS = {Action.ACCEPT: TierAnswer.ACCEPT, Action.DENY: TierAnswer.DENY, Action.PASS: TierAnswer.NEXT}


def judge(
    tier: AdminTier, policies: Sequence[AdminPolicy], snapshot: Snapshot, cell: Cell, direction: Direction
) -> Judgement:
    """What ``policies``, those of ``tier`` in order, say of ``cell``. KeyError for a name that no endpoint has."""
    if not policies:
        return Judgement(tier, TierAnswer.NEXT)
    source, destination = snapshot.endpoint(cell.source), snapshot.endpoint(cell.destination)
    ends = (destination, source) if direction is Direction.INGRESS else (source, destination)
    return _Question(tier, snapshot, cell, direction, *ends).judge(policies)


@dataclass(frozen=True, slots=True)
class _Question:
    tier: AdminTier
    snapshot: Snapshot
    cell: Cell
    direction: Direction
    pod: Endpoint
    other: Endpoint

    def judge(self, policies: Sequence[AdminPolicy]) -> Judgement:
        selecting = [policy for policy in policies if self._selects(policy)]
        before: list[str] = []
        for policy in selecting:
            for number, rule in enumerate(policy.rules(self.direction)):
                lacks = self._lacks(rule)
                if not lacks:
                    return self._decided(policy, number, rule, before, selecting)
                before.append(f"{self._word}: {policy.place(self.direction, number)}: {lacks}")
        if not before:
            return Judgement(self.tier, TierAnswer.NEXT)
        nothing = f"{self._word}: {self.tier}: none of {pluralize(len(before), 'rule')} for {self.pod.name} matches"
        return Judgement(self.tier, TierAnswer.NEXT, (nothing, *_first(before, self._word)))

    @property
    def _word(self) -> str:
        return self.direction.lower()

    def _decided(
        self,
        policy: AdminPolicy,
        number: int,
        rule: AdminRule,
        before: Sequence[str],
        selecting: Sequence[AdminPolicy],
    ) -> Judgement:
        action = Action.DENY if rule.unknown else rule.action
        why = self._why(rule)
        deciding = f"{self._word}: {policy.place(self.direction, number)}: {self.tier} {action}: {why}"
        passed = (f"{self._word}: it passes the connection on to the next tier",) if action is Action.PASS else ()
        tie = tuple(self._ties(policy, action, selecting))
        decider = Decider(policy.full_name, policy.file, rule.line, f"spec.{self._word}[{number}]")
        lines = (deciding, *passed, *tie, *_first(before, self._word))
        return Judgement(self.tier, ANSWERS[action], lines, decider=None if action is Action.PASS else decider)

    def _why(self, rule: AdminRule) -> str:
        if rule.unknown:
            return f"fails closed, as {rule.unknown} is not a field that is known here"
        peer = next((str(peer) for peer in rule.peers if self._is_peer(peer)), "every peer")
        port = next((str(port) for port in rule.ports if self._is_port(port)), "every port")
        return f"{peer}, {port}"

    def _ties(self, decided: AdminPolicy, action: Action, selecting: Sequence[AdminPolicy]) -> Iterator[str]:
        """The policies with the same priority that say otherwise: no one can tell which comes first."""
        for policy in selecting:
            if policy.priority == decided.priority and policy is not decided:
                rules = policy.rules(self.direction)
                first = next((n for n, rule in enumerate(rules) if not self._lacks(rule)), None)
                if first is not None and (Action.DENY if rules[first].unknown else rules[first].action) is not action:
                    yield (
                        f"{self._word}: undefined: {policy.place(self.direction, first)}: {rules[first].action} has "
                        f"the same priority, {policy.priority}, as {decided.full_name}"
                    )

    def _selects(self, policy: AdminPolicy) -> bool:
        return self._is_pod_of(self.pod, policy)

    def _is_pod_of(self, end: Endpoint, part: AdminPolicy | AdminPeer) -> bool:
        if end.kind is not EndpointKind.POD or end.host_network:
            return False
        namespaces, pods = part.namespace_selector, part.pod_selector
        labels = self.snapshot.namespaces[end.namespace].labels
        return (namespaces is None or namespaces.matches(labels)) and (pods is None or pods.matches(end.labels))

    def _lacks(self, rule: AdminRule) -> str:
        """Why ``rule`` does not match; empty where it does."""
        if rule.unknown:
            return "an Accept that fails closed matches nothing" if rule.action is Action.ACCEPT else ""
        lacks = []
        if rule.peers and not any(map(self._is_peer, rule.peers)):
            lacks.append(f"{self.other.name} is not among {' or '.join(map(str, rule.peers))}")
        if rule.ports and not any(map(self._is_port, rule.ports)):
            ports = dict.fromkeys(port.name or str(port) for port in rule.ports)
            lacks.append(f"{self.cell.protocol}/{self.cell.port} is not {' or '.join(ports)}")
        return "; ".join(lacks)

    def _is_peer(self, peer: AdminPeer) -> bool:
        if peer.namespace_selector is not None:
            return self._is_pod_of(self.other, peer)
        if peer.nodes is not None:
            address = self.other.address(self.cell.family)
            return address is not None and any(
                address in node.addresses
                for node in self.snapshot.endpoints
                if node.kind is EndpointKind.NODE and peer.nodes.matches(node.labels)
            )
        return any(is_in_block(block, self.other, self.cell.family) for block in peer.networks)

    def _is_port(self, port: PolicyPort) -> bool:
        destination = self.pod if self.direction is Direction.INGRESS else self.other
        return is_port(port, self.cell.protocol, self.cell.port, destination)


def _first(before: Sequence[str], word: str) -> list[str]:
    """The rules that were asked before, no more than a person reads."""
    shown = list(before[:MOST_BEFORE])
    more = len(before) - len(shown)
    return [*shown, f"{word}: and {pluralize(more, 'more rule')} before it"] if more else shown
