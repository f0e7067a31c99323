"""Which parts of which policies an audit could have caught being ignored, and which not.

A part is exercised when some observed cell would have another verdict without it. What is not exercised may be broken
without anybody noticing, so it is said, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import or_

from auditor.diagnosis.admin_coverage import unexercised_rules
from auditor.diagnosis.cells import Cells
from auditor.diagnosis.evidence import is_telling
from auditor.diagnosis.filters import Filters
from auditor.model.admin_policy import AdminTier
from auditor.model.diagnosis import Unexercised
from auditor.model.policy import Direction, NetworkPolicy, Peer, Rule
from auditor.model.reasons import place, policy_place
from auditor.model.report import CellResult
from auditor.model.snapshot import Snapshot
from auditor.policy.bits import union, without_each

OTHERS = {Direction.INGRESS: "source", Direction.EGRESS: "destination"}
NO_DIFFERENCE = "other rules, or the filter at the other end, decide the same for every connection observed"


def unexercised(snapshot: Snapshot, results: Sequence[CellResult]) -> tuple[Unexercised, ...]:
    """The parts of policies that none of the conclusive cells among ``results`` exercises, in the order of policies;
    those of administrators, of which whole rules are looked at, come last.

    A cell whose verdict would be no fault whatever it is exercises nothing: that of a hostNetwork pod, say. Takes time
    in proportion to the parts: what changes without one of them is what it has and all the others together have not.
    """
    filters = Filters(Cells(snapshot, [result.cell for result in results if is_telling(result)]))
    by_direction = {direction: _sides(filters, direction) for direction in Direction}
    found: list[Unexercised] = []
    for number, policy in enumerate(snapshot.policies):
        for direction in (direction for direction in Direction if direction in policy.directions):
            found += by_direction[direction][number].unexercised()
    return (*found, *unexercised_rules(filters))


def _sides(filters: Filters, direction: Direction) -> list[_PolicySide]:
    """Each policy's part in ``direction``, with what all others there make of the cells."""
    parts = filters.parts(direction)
    isolated = [0 if part is None else part.isolated for part in parts]
    isolated_by_others = without_each(isolated, 0, or_)
    admin = filters.decided(AdminTier.ADMIN, direction)
    beforehand = filters.unfiltered() | admin.accepted | admin.denied  # no NetworkPolicy has a say there
    passing_by_others = without_each([0 if part is None else part.allowed for part in parts], beforehand, or_)
    passing_opposite = filters.passing(direction.opposite)
    return [
        _PolicySide(
            filters, policy, direction, own, by_others, passing, own & ~passing & passing_opposite, passing_opposite
        )
        for policy, own, by_others, passing in zip(
            filters.policies, isolated, isolated_by_others, passing_by_others, strict=True
        )
    ]


@dataclass(frozen=True, slots=True)
class _PolicySide:
    """One policy in one direction: the cells that it isolates, and what the others isolate and allow.

    ``up_to_it`` are those of which nothing else decides: neither another policy nor the other end's.
    """

    filters: Filters
    policy: NetworkPolicy
    direction: Direction
    isolated: int
    isolated_by_others: int
    passing_by_others: int
    up_to_it: int
    passing_opposite: int

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
        rules = self.policy.rules(self.direction)
        masks = [self.filters.rule(self.policy.namespace, rule, self.direction) for rule in rules]
        if not self._isolation_matters(masks):
            open_to_all = not self.isolated & ~union(masks)
            reason = "its own rules allow every connection observed" if open_to_all else NO_DIFFERENCE
            found.append(Unexercised(self.policy.full_name, where, f"isolation for {self.direction.lower()}", reason))
        for number, (rule, mask, others) in enumerate(zip(rules, masks, without_each(masks, 0, or_), strict=True)):
            found += self._in_rule(number, rule, mask, self.up_to_it & ~others)
        return found

    def _isolation_matters(self, masks: Sequence[int]) -> bool:
        """Whether any verdict changes when the policy doesn't isolate at all: what is freed is what nobody else
        isolates.
        """
        denied_later = self.filters.decided(AdminTier.BASELINE, self.direction).denied
        freed = self.isolated & ~self.isolated_by_others & ~self.passing_by_others & ~denied_later
        return bool(freed & ~union(masks) & self.passing_opposite or self._allowed_alone(masks))

    def _allowed_alone(self, masks: Sequence[int]) -> int:
        """What passes because of its rules, and would be denied by others if it weren't there."""
        return self.up_to_it & self.isolated_by_others & union(masks)

    def _in_rule(self, number: int, rule: Rule, mask: int, up_to_it: int) -> Iterator[Unexercised]:
        """``up_to_it`` are the cells of which nothing but this rule decides."""
        where = place(self.policy, self.direction, number)
        if not mask & up_to_it:
            yield Unexercised(self.policy.full_name, where, "the rule", self._why_rule(rule, mask))
            return
        peers = [self.filters.peer(self.policy.namespace, peer, self.direction) for peer in rule.peers]
        ports = [self.filters.port(port) for port in rule.ports]
        from_peers = union(peers) if peers else self.filters.cells.everything
        on_ports = union(ports) if ports else self.filters.cells.everything
        changes = (
            *self._changed_peers(rule, peers, from_peers, on_ports & up_to_it),
            *self._changed_ports(rule, ports, from_peers, on_ports, up_to_it),
        )
        for what, changed, reason in changes:
            if not changed:
                yield Unexercised(self.policy.full_name, where, what, reason)

    def _why_rule(self, rule: Rule, mask: int) -> str:
        namespace = self.policy.namespace
        if rule.peers and not any(
            self.filters.peer(namespace, peer, self.direction) & self.isolated for peer in rule.peers
        ):
            return f"no {OTHERS[self.direction]} observed is one of its peers"
        if rule.ports and not any(self.filters.port(port) & self.isolated for port in rule.ports):
            return "no connection observed is on one of its ports"
        if not mask & self.isolated:
            return "no connection observed has one of its peers and one of its ports"
        return NO_DIFFERENCE

    def _changed_peers(
        self, rule: Rule, peers: Sequence[int], from_peers: int, up_to_it: int
    ) -> Iterator[tuple[str, int, str]]:
        """Each peer taken away, and each except: what, the cells whose verdict changes, and why there may be none."""
        for peer, mask, others in zip(rule.peers, peers, without_each(peers, 0, or_), strict=True):
            if len(peers) > 1:
                reason = NO_DIFFERENCE if mask else f"no {OTHERS[self.direction]} observed is one"
                yield f"peer {peer}", mask & ~others & up_to_it, reason
            yield from self._changed_excepts(peer, up_to_it & ~from_peers)

    def _changed_excepts(self, peer: Peer, up_to_it: int) -> Iterator[tuple[str, int, str]]:
        if peer.ip_block is None or not peer.ip_block.excepts:
            return
        ends = self.filters.other_ends[self.direction]
        for network, let_in in zip(peer.ip_block.excepts, ends.let_in_without(peer.ip_block), strict=True):
            reason = (
                NO_DIFFERENCE
                if let_in or ends.within(network)
                else f"no {OTHERS[self.direction]} observed is inside it"
            )
            yield f"except {network}", let_in & up_to_it, reason

    def _changed_ports(
        self, rule: Rule, ports: Sequence[int], from_peers: int, on_ports: int, up_to_it: int
    ) -> Iterator[tuple[str, int, str]]:
        """Each port item taken away, the whole list ignored, and each endPort ignored: as for peers."""
        concerned = from_peers & up_to_it
        for port, mask, others in zip(rule.ports, ports, without_each(ports, 0, or_), strict=True):
            if len(ports) > 1:
                yield (
                    f"port {port}",
                    mask & ~others & concerned,
                    NO_DIFFERENCE if mask else "no connection observed is on it",
                )
            if port.end_port is not None and port.end_port != port.number:
                later = mask & ~self.filters.port(replace(port, end_port=None))
                reason = (
                    NO_DIFFERENCE if later & self.isolated else "no connection observed is on a later port of the range"
                )
                yield f"endPort of {port}", later & ~others & concerned, reason
        if ports:
            more = from_peers & ~on_ports
            reason = (
                NO_DIFFERENCE
                if more & self.isolated
                else "no connection observed is with one of its peers on another port"
            )
            yield "its restriction to these ports", more & up_to_it, reason
