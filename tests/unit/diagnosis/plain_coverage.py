"""The definition of coverage, written down plainly: each part taken away, and every verdict compared. Slow; for small
inputs.

A part is exercised when some observed cell would have another verdict without it. What is not exercised may be broken
without anybody noticing, so it is said, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from auditor.diagnosis.cells import Cells
from auditor.diagnosis.evidence import is_telling
from auditor.diagnosis.filters import Filters
from auditor.model.diagnosis import Unexercised
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.reasons import place, policy_place
from auditor.model.report import CellResult
from auditor.model.snapshot import Snapshot

OTHERS = {Direction.INGRESS: "source", Direction.EGRESS: "destination"}
NO_DIFFERENCE = "other rules, or the filter at the other end, decide the same for every connection observed"


def unexercised(snapshot: Snapshot, results: Sequence[CellResult]) -> tuple[Unexercised, ...]:
    """The parts of policies that none of the telling cells among ``results`` exercises, in the order of policies.

    A cell whose verdict would be no fault whatever it is exercises nothing: that of a hostNetwork pod, say.
    """
    filters = Filters(Cells(snapshot, [result.cell for result in results if is_telling(result)]))
    found: list[Unexercised] = []
    for policy in snapshot.policies:
        for direction in (direction for direction in Direction if direction in policy.directions):
            found += _Side.of(filters, policy, direction).unexercised()
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Side:
    """One policy in one direction: the cells that it isolates, and what the others isolate and allow."""

    filters: Filters
    policy: NetworkPolicy
    direction: Direction
    isolated: int
    isolated_by_others: int
    passing_by_others: int

    @classmethod
    def of(cls, filters: Filters, policy: NetworkPolicy, direction: Direction) -> _Side:
        isolated, passing = 0, filters.unfiltered()
        for other in filters.policies:
            if other is not policy and direction in other.directions:
                subjects = filters.isolated(other, direction)
                isolated |= subjects
                passing |= subjects & _allowed(filters, other.namespace, other.rules(direction), direction)
        return cls(filters, policy, direction, filters.isolated(policy, direction), isolated, passing)

    def unexercised(self) -> list[Unexercised]:
        where = policy_place(self.policy)
        if not self.isolated:
            everything = f"all of its {self.direction.lower()}"
            return [
                Unexercised(
                    self.policy.full_name,
                    where,
                    everything,
                    "no connection observed has a pod that it selects at this end",
                )
            ]
        found = []
        if not self._matters(None):
            open_to_all = self._allowed(self.policy.rules(self.direction)) == self.isolated
            reason = "its own rules allow every connection observed" if open_to_all else NO_DIFFERENCE
            found.append(Unexercised(self.policy.full_name, where, f"isolation for {self.direction.lower()}", reason))
        for number, rule in enumerate(self.policy.rules(self.direction)):
            found += self._in_rule(number, rule)
        return found

    def _in_rule(self, number: int, rule: Rule) -> Iterator[Unexercised]:
        where = place(self.policy, self.direction, number)
        if not self._matters_with(number, ()):
            yield Unexercised(self.policy.full_name, where, "the rule", self._why_rule(rule))
            return
        for what, changed, reason in (*self._changed_peers(rule), *self._changed_ports(rule)):
            if not self._matters_with(number, (changed,) if changed is not None else ()):
                yield Unexercised(self.policy.full_name, where, what, reason)

    def _why_rule(self, rule: Rule) -> str:
        namespace = self.policy.namespace
        peers = [self.filters.peer(namespace, peer, self.direction) & self.isolated for peer in rule.peers]
        if rule.peers and not any(peers):
            return f"no {OTHERS[self.direction]} observed is one of its peers"
        if rule.ports and not any(self.filters.port(port) & self.isolated for port in rule.ports):
            return "no connection observed is on one of its ports"
        if not self.filters.rule(namespace, rule, self.direction) & self.isolated:
            return "no connection observed has one of its peers and one of its ports"
        return NO_DIFFERENCE

    def _changed_peers(self, rule: Rule) -> Iterator[tuple[str, Rule | None, str]]:
        """Each peer taken away, and each except taken away: what, the rule without it, and why no cell may show it."""
        for index, peer in enumerate(rule.peers):
            if len(rule.peers) > 1:
                rest = (*rule.peers[:index], *rule.peers[index + 1 :])
                nobody = not self.filters.peer(self.policy.namespace, peer, self.direction)
                reason = f"no {OTHERS[self.direction]} observed is one" if nobody else NO_DIFFERENCE
                yield f"peer {peer}", replace(rule, peers=rest), reason
            yield from self._changed_excepts(rule, index, peer)

    def _changed_excepts(self, rule: Rule, index: int, peer: Peer) -> Iterator[tuple[str, Rule, str]]:
        block = peer.ip_block
        for position, network in enumerate(block.excepts if block is not None else ()):
            assert block is not None
            rest = (*block.excepts[:position], *block.excepts[position + 1 :])
            without = replace(peer, ip_block=replace(block, excepts=rest))
            inside = Peer(ip_block=replace(block, cidr=network, excepts=()))
            empty = not self.filters.peer(self.policy.namespace, inside, self.direction)
            reason = f"no {OTHERS[self.direction]} observed is inside it" if empty else NO_DIFFERENCE
            peers = (*rule.peers[:index], without, *rule.peers[index + 1 :])
            yield f"except {network}", replace(rule, peers=peers), reason

    def _changed_ports(self, rule: Rule) -> Iterator[tuple[str, Rule, str]]:
        """Each port item taken away, the whole list ignored, and each endPort ignored."""
        for index, port in enumerate(rule.ports):
            if len(rule.ports) > 1:
                rest = (*rule.ports[:index], *rule.ports[index + 1 :])
                yield f"port {port}", replace(rule, ports=rest), self._why_port(port)
            if port.end_port is not None and port.end_port != port.number:
                first = replace(port, end_port=None)
                later = self.filters.port(port) & ~self.filters.port(first)
                ports = (*rule.ports[:index], first, *rule.ports[index + 1 :])
                reason = (
                    NO_DIFFERENCE if later & self.isolated else "no connection observed is on a later port of the range"
                )
                yield f"endPort of {port}", replace(rule, ports=ports), reason
        if rule.ports:
            unlimited = replace(rule, ports=())
            more = self._allowed((unlimited,)) & ~self._allowed((rule,))
            reason = NO_DIFFERENCE if more else "no connection observed is with one of its peers on another port"
            yield "its restriction to these ports", unlimited, reason

    def _why_port(self, port: PolicyPort) -> str:
        return NO_DIFFERENCE if self.filters.port(port) else "no connection observed is on it"

    def _matters_with(self, number: int, instead: Iterable[Rule]) -> bool:
        """Whether any verdict changes with ``instead`` in place of the rule."""
        rules = self.policy.rules(self.direction)
        return self._matters((*rules[:number], *instead, *rules[number + 1 :]))

    def _matters(self, rules: Sequence[Rule] | None) -> bool:
        """Whether any verdict changes when the policy has these rules instead; None: when it doesn't isolate at all."""
        everything = self.filters.cells.everything
        now = self._passing(self.policy.rules(self.direction))
        then = self.passing_by_others | everything & ~self.isolated_by_others if rules is None else self._passing(rules)
        opposite = Direction.EGRESS if self.direction is Direction.INGRESS else Direction.INGRESS
        return bool((now ^ then) & self.filters.passing(opposite))

    def _passing(self, rules: Iterable[Rule]) -> int:
        free = self.filters.cells.everything & ~(self.isolated | self.isolated_by_others)
        return self.passing_by_others | self._allowed(rules) | free

    def _allowed(self, rules: Iterable[Rule]) -> int:
        return self.isolated & _allowed(self.filters, self.policy.namespace, rules, self.direction)


def _allowed(filters: Filters, namespace: str, rules: Iterable[Rule], direction: Direction) -> int:
    mask = 0
    for rule in rules:
        mask |= filters.rule(namespace, rule, direction)
    return mask
