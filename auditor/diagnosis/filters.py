"""What each policy isolates and allows among given cells, as any chain of misreadings would have it.

A third reading of the rules beside the evaluator (which is for every port and endpoint at once) and ``explain`` (which
is for one cell): here each policy's part stays separate, so that a hypothesis about one policy or one node costs no new
evaluation.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from operator import or_
from typing import NamedTuple, TypeAlias

from auditor.diagnosis.cells import Cells
from auditor.diagnosis.dialects import EXEMPT, SPECS, Traffic
from auditor.diagnosis.ends import Ends
from auditor.diagnosis.tiers import AdminFilters, Answers, NetworkAnswer, TierOrder, without_policy
from auditor.model.admin_policy import AdminTier
from auditor.model.dialect import Dialect
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import Protocol
from auditor.model.snapshot import EndpointKind, Family
from auditor.policy.bits import RangeUnion, union

Misreading: TypeAlias = tuple[Dialect, str]
"""A dialect, and the full name of the one policy that it is limited to, or nothing."""

Chain: TypeAlias = tuple[Misreading, ...]
"""Misreadings that one enforcer has together; the first changes a policy first."""


class PolicyReading(NamedTuple):
    """How one policy is read: one of the ``previous`` or of those in force, changed by ``dialects``; whether its
    ipBlocks skip pods, its directions share their rules, and names of ports mean the numbers of any pod.
    """

    previous: bool
    dialects: tuple[Dialect, ...]
    skips_pods: bool
    shares_directions: bool = False
    any_pods_names: bool = False

    @classmethod
    def by(cls, chain: Chain) -> PolicyReading:
        """As an enforcer reads it that has all of ``chain`` for this policy."""
        found = [dialect for dialect, _ in chain]
        return cls(
            any(SPECS[dialect].previous_policies for dialect in found),
            tuple(dialect for dialect in found if SPECS[dialect].rewrite is not None),
            any(SPECS[dialect].skips_pods for dialect in found),
            any(SPECS[dialect].shares_directions for dialect in found),
            any(SPECS[dialect].any_pods_names for dialect in found),
        )


@dataclass(frozen=True, slots=True)
class PolicyPart:
    """One policy in one direction: the cells in which it isolates the subject, and those of them that it allows."""

    name: str
    isolated: int
    allowed: int


class Filters:
    """The policies in force over ``cells``. ``previous`` are those of an enforcer that has missed the last change;
    ``gone`` those of them that have been deleted or are otherwise now, by full name.
    """

    def __init__(self, cells: Cells, previous: Sequence[NetworkPolicy] = ()) -> None:
        self.cells = cells
        self.policies = cells.snapshot.policies
        self._previous = tuple(previous)
        self._indices = {policy.full_name: index for index, policy in enumerate(self.policies)}
        in_force = set(self.policies)
        self.gone = {policy.full_name: policy for policy in self._previous if policy not in in_force}
        self._rewritten: dict[tuple[bool, int, tuple[Dialect, ...]], NetworkPolicy | None] = {}
        self._parts: dict[tuple[int, PolicyReading, Direction], PolicyPart | None] = {}
        self._unlimited: dict[tuple[Direction, PolicyReading], list[PolicyPart | None]] = {}
        self._unions: dict[tuple[Direction, PolicyReading], tuple[RangeUnion, RangeUnion]] = {}
        self._sides: dict[tuple[Direction, Chain], int] = {}
        self._peers: dict[tuple[str, Peer, Direction, bool], int] = {}
        self._ports: dict[PolicyPort, int] = {}
        self._subjects: dict[tuple[str, object, Direction], int] = {}

    def passing(self, direction: Direction, chain: Chain = ()) -> int:
        """The cells that the filters of ``direction`` let through, all run by an enforcer with the misreadings of
        ``chain``.
        """
        key = (direction, chain)
        if key not in self._sides:
            self._sides[key] = self._passing(direction, chain)
        return self._sides[key]

    def _passing(self, direction: Direction, chain: Chain) -> int:
        everywhere = {dialect for dialect, policy in chain if not policy}
        passing = self.unfiltered(everywhere)
        if any(SPECS[dialect].shuts for dialect in everywhere):
            return passing | self.cells.everything & ~self.cells.at(direction, lambda _: True)
        if any(SPECS[dialect].first_policy_only for dialect in everywhere):
            parts = [part for part in self.parts(direction, chain) if part is not None] + self._kept(direction, chain)
            isolated = union(part.isolated for part in parts)
            allowed = _first_only(parts, self.cells.everything)
        else:
            isolated, allowed = self._united(direction, chain)
        if not self.admin.policies:
            return passing | allowed | self.cells.everything & ~isolated
        return passing | self._through_tiers(direction, chain, NetworkAnswer(isolated, allowed))

    def _through_tiers(self, direction: Direction, chain: Chain, network: NetworkAnswer) -> int:
        """What passes all tiers, where ``network`` is what NetworkPolicies say."""
        orders = [SPECS[dialect].order for dialect, _ in chain if SPECS[dialect].order is not TierOrder.USUAL]
        rewrites = [
            without_policy(policy) if policy else rewrite
            for dialect, policy in chain
            if (rewrite := SPECS[dialect].admin) is not None and (not policy or dialect is Dialect.ENFORCES_NOTHING)
        ]
        return self.admin.passing(direction, network, rewrites, *orders[:1])

    @cached_property
    def admin(self) -> AdminFilters:
        """The tiers around NetworkPolicy."""
        return AdminFilters(self)

    def decided(self, tier: AdminTier, direction: Direction) -> Answers:
        """What the policies of ``tier`` say, as they are."""
        return self._decided[tier, direction]

    @cached_property
    def _decided(self) -> dict[tuple[AdminTier, Direction], Answers]:
        return {
            (tier, direction): self.admin.answers(self.admin.policies, tier, direction)
            for tier in AdminTier
            for direction in Direction
        }

    def network(self, direction: Direction) -> NetworkAnswer:
        """What the NetworkPolicies say, as they are."""
        return NetworkAnswer(*self._united(direction, ()))

    def _united(self, direction: Direction, chain: Chain) -> tuple[int, int]:
        """The cells that any policy isolates, and those that any allows. A chain that is limited to some policies takes
        all others from what is united already.
        """
        everywhere = tuple(item for item in chain if not item[1])
        key = (direction, PolicyReading.by(everywhere))
        if key not in self._unions:
            parts = self._parts_everywhere(*key)
            self._unions[key] = (
                RangeUnion([part.isolated if part else 0 for part in parts]),
                RangeUnion([part.allowed if part else 0 for part in parts]),
            )
        isolated_by, allowed_by = self._unions[key]
        own = sorted(self._limited_parts(direction, chain).items())
        changed = [*(part for _, part in own if part), *self._kept(direction, chain)]
        isolated, allowed = (union(part.isolated for part in changed), union(part.allowed for part in changed))
        edges = [-1, *(index for index, _ in own), len(self._known_to(key[1]))]
        for before, after in pairwise(edges):
            isolated |= isolated_by.of(before + 1, after)
            allowed |= allowed_by.of(before + 1, after)
        return isolated, allowed

    def unfiltered(self, dialects: AbstractSet[Dialect] = frozenset()) -> int:
        """The cells that no enforcer of ``dialects`` filters, whatever the policies say."""
        specs = [SPECS[dialect] for dialect in dialects]
        exempt = EXEMPT.difference(spec.filters for spec in specs).union(spec.exempts for spec in specs)
        passing = 0
        for traffic in exempt:
            passing |= self._traffic.get(traffic, 0)
        return passing

    @cached_property
    def _traffic(self) -> Mapping[Traffic | None, int]:
        cells = self.cells
        return {
            Traffic.TO_ITSELF: cells.to_itself,
            Traffic.WITH_OWN_NODE: cells.with_own_node,
            Traffic.UDP: cells.protocols.get(Protocol.UDP, 0),
            Traffic.IPV6: cells.families.get(Family.IPV6, 0),
        }

    def parts(self, direction: Direction, chain: Chain = ()) -> list[PolicyPart | None]:
        """Each policy's part in the filters of ``direction``, in order; None where it has none."""
        everywhere = PolicyReading.by(tuple(item for item in chain if not item[1]))
        parts = list(self._parts_everywhere(direction, everywhere))
        for index, part in self._limited_parts(direction, chain).items():
            parts[index] = part
        return parts

    def _parts_everywhere(self, direction: Direction, reading: PolicyReading) -> Sequence[PolicyPart | None]:
        """The same where all policies are read alike."""
        key = (direction, reading)
        if key not in self._unlimited:
            self._unlimited[key] = [
                self._part(index, reading, direction) for index in range(len(self._known_to(reading)))
            ]
        return self._unlimited[key]

    def _limited_parts(self, direction: Direction, chain: Chain) -> dict[int, PolicyPart | None]:
        """The parts, by their places, of the policies to which misreadings in ``chain`` are limited."""
        previous = PolicyReading.by(tuple(item for item in chain if not item[1])).previous
        parts = {}
        for name in () if previous else {limit for _, limit in chain if limit}:
            index = self._indices.get(name)
            if index is not None:
                own = tuple(item for item in chain if item[1] in ("", name))
                reading = PolicyReading.by(own)
                parts[index] = None if reading.previous else self._part(index, reading, direction)
        return parts

    def _kept(self, direction: Direction, chain: Chain) -> list[PolicyPart]:
        """The parts of single policies that are enforced as they were before the last change."""
        everywhere = any(SPECS[dialect].previous_policies for dialect, limit in chain if not limit)
        names = {limit for dialect, limit in chain if limit and SPECS[dialect].previous_policies}
        kept = () if everywhere else sorted(names & self.gone.keys())
        parts = (self._make_part(self.gone[name], direction, PolicyReading(True, (), False)) for name in kept)
        return [part for part in parts if part is not None]

    def _known_to(self, reading: PolicyReading) -> Sequence[NetworkPolicy]:
        return self._previous if reading.previous else self.policies

    def _part(self, index: int, reading: PolicyReading, direction: Direction) -> PolicyPart | None:
        """The part of one policy, read so."""
        key = (index, reading, direction)
        if key not in self._parts:
            policy = self._read(index, reading)
            if reading.dialects and policy is self._known_to(reading)[index]:
                self._parts[key] = self._part(index, reading._replace(dialects=()), direction)
            else:
                self._parts[key] = self._make_part(policy, direction, reading)
        return self._parts[key]

    def _read(self, index: int, reading: PolicyReading) -> NetworkPolicy | None:
        """A policy as the dialects take it: the same object as without the last of them where that one
        changes nothing.
        """
        dialects = reading.dialects
        if not dialects:
            return self._known_to(reading)[index]
        key = (reading.previous, index, dialects)
        if key not in self._rewritten:
            before = self._read(index, reading._replace(dialects=dialects[:-1]))
            rewrite = SPECS[dialects[-1]].rewrite
            after = before if before is None or rewrite is None else rewrite(before)
            self._rewritten[key] = before if after == before else after
        return self._rewritten[key]

    def _make_part(
        self, policy: NetworkPolicy | None, direction: Direction, reading: PolicyReading
    ) -> PolicyPart | None:
        if policy is None or direction not in policy.directions:
            return None
        isolated = self.isolated(policy, direction)
        if not isolated:
            return None
        allowed = self._allowed(policy, direction, reading)
        if reading.shares_directions and len(policy.directions) > 1:
            opposite = direction.opposite
            allowed |= self._allowed(policy, opposite, reading) & self.isolated(policy, opposite)
        return PolicyPart(policy.name, isolated, isolated & allowed)

    def _allowed(self, policy: NetworkPolicy, direction: Direction, reading: PolicyReading) -> int:
        """The cells that any rule of ``direction`` allows, whoever the subject is."""
        allowed = 0
        for rule in policy.rules(direction):
            ports = rule.ports
            if reading.any_pods_names and direction is Direction.EGRESS and not rule.peers:
                ports = tuple(self._by_number(policy.namespace, rule.ports))
            if ports or not rule.ports:
                read = rule if ports is rule.ports else replace(rule, ports=ports)
                allowed |= self.rule(policy.namespace, read, direction, skips_pods=reading.skips_pods)
        return allowed

    def _by_number(self, namespace: str, ports: Sequence[PolicyPort]) -> Iterator[PolicyPort]:
        """``ports`` with each name as the numbers that any pod of ``namespace`` declares under it."""
        pods = [end for end in self.cells.snapshot.endpoints if end.selectable and end.namespace == namespace]
        for port in ports:
            if port.name is None:
                yield port
            else:
                numbers = {number for pod in pods for number in pod.resolve(port.protocol, port.name)}
                yield from (PolicyPort(port.protocol, number) for number in sorted(numbers))

    def isolated(self, policy: NetworkPolicy, direction: Direction) -> int:
        """The cells whose filter of ``direction`` belongs to a pod that ``policy`` selects."""
        key = (policy.namespace, policy.pod_selector, direction)
        if key not in self._subjects:
            self._subjects[key] = self.subject_ends[direction].selected(policy.namespace, policy.pod_selector)
        return self._subjects[key]

    @cached_property
    def subject_ends(self) -> Mapping[Direction, Ends]:
        """The ends that filters belong to."""
        return {direction: Ends(self.cells, self.cells.subjects(direction)) for direction in Direction}

    @cached_property
    def other_ends(self) -> Mapping[Direction, Ends]:
        """What is at the other end of filters."""
        return {direction: Ends(self.cells, self.cells.others(direction)) for direction in Direction}

    @cached_property
    def _other_hosts(self) -> Mapping[Direction, Ends]:
        """As ``other_ends``, of hosts outside the cluster alone."""
        found = {}
        for direction in Direction:
            others = self.cells.others(direction)
            hosts = {
                name: part for name, part in others.items() if self.cells.endpoints[name].kind is EndpointKind.HOST
            }
            found[direction] = Ends(self.cells, hosts)
        return found

    def rule(self, namespace: str, rule: Rule, direction: Direction, *, skips_pods: bool = False) -> int:
        """The cells whose other end and port ``rule``, of a policy in ``namespace``, allows, whoever the subject is."""
        ports = self.cells.everything if not rule.ports else 0
        for port in rule.ports:
            ports |= self.port(port)
        peers = self.cells.everything if not rule.peers else 0
        for peer in rule.peers:
            peers |= self.peer(namespace, peer, direction, skips_pods=skips_pods)
        return ports & peers

    def peer(self, namespace: str, peer: Peer, direction: Direction, *, skips_pods: bool = False) -> int:
        """The cells whose other end is ``peer`` of a policy in ``namespace``."""
        key = (namespace, peer, direction, skips_pods)
        if key not in self._peers:
            self._peers[key] = self._find_peer(namespace, peer, direction, skips_pods)
        return self._peers[key]

    def _find_peer(self, namespace: str, peer: Peer, direction: Direction, skips_pods: bool) -> int:
        if peer.ip_block is None:
            return self.other_ends[direction].peer(namespace, peer)
        return (self._other_hosts if skips_pods else self.other_ends)[direction].inside(peer.ip_block)

    def port(self, port: PolicyPort) -> int:
        """The cells on ``port``; a name means what each destination pod declares under it."""
        if port not in self._ports:
            self._ports[port] = self._find_port(port)
        return self._ports[port]

    def _find_port(self, port: PolicyPort) -> int:
        if port.name is not None:
            return self._named_ports.get((port.protocol, port.name), 0)
        if port.number is None:
            return self.cells.protocols.get(port.protocol, 0)
        if port.end_port is None:
            return self.cells.ports.get((port.protocol, port.number), 0)
        numbers, up_to = self._numbered_ports[port.protocol]
        return (
            up_to[bisect_right(numbers, port.end_port)] ^ up_to[bisect_left(numbers, port.number)]
            if port.number <= port.end_port
            else 0
        )

    @cached_property
    def _named_ports(self) -> Mapping[tuple[Protocol, str], int]:
        """The cells on each port that its destination, a pod, declares under a name."""
        found: dict[tuple[Protocol, str], int] = {}
        for name, part in self.cells.destinations.items():
            end = self.cells.endpoints[name]
            for port in end.ports if end.selectable else ():
                key = (port.protocol, port.name)
                found[key] = found.get(key, 0) | part & self.cells.ports.get((port.protocol, port.number), 0)
        return found

    @cached_property
    def _numbered_ports(self) -> Mapping[Protocol, tuple[list[int], list[int]]]:
        """For each protocol the port numbers in order, and the cells on all numbers up to each: a cell is on one port
        alone.
        """
        found = {}
        for protocol in Protocol:
            numbers = sorted(number for of, number in self.cells.ports if of is protocol)
            found[protocol] = (
                numbers,
                list(accumulate((self.cells.ports[protocol, number] for number in numbers), or_, initial=0)),
            )
        return found


def _first_only(parts: Sequence[PolicyPart], everything: int) -> int:
    """What passes where each subject knows only the first by name of the policies that isolate it."""
    passing = 0
    unseen = everything
    for part in sorted(parts, key=lambda part: part.name):
        passing |= part.allowed & unseen
        unseen &= ~part.isolated
    return passing | unseen
