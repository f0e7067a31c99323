"""What policies of the tiers Admin and Baseline accept and deny among given cells, as any misreading would have it.

A reading of its own, as ``auditor.diagnosis.filters`` is for NetworkPolicies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from auditor.model.admin_policy import Action, AdminPeer, AdminPolicy, AdminRule, AdminTier
from auditor.model.policy import Direction, IPBlock, Peer
from auditor.model.snapshot import EndpointKind
from auditor.policy.bits import union

if TYPE_CHECKING:
    from auditor.diagnosis.cells import Cells
    from auditor.diagnosis.ends import Ends
    from auditor.model.policy import PolicyPort

AdminRewrite: TypeAlias = Callable[[Sequence[AdminPolicy]], Sequence[AdminPolicy]]
"""The policies of administrators as a dialect takes them."""


class TierOrder(Enum):
    """In which order an enforcer asks the tiers."""

    USUAL = auto()
    NETWORK_POLICY_FIRST = auto()
    BASELINE_ALWAYS = auto()
    """It asks Baseline about what NetworkPolicies allow, too."""


class Answers(NamedTuple):
    """The cells that a tier accepts and those that it denies; all others go on."""

    accepted: int = 0
    denied: int = 0


@dataclass(frozen=True, slots=True)
class NetworkAnswer:
    """The cells that NetworkPolicies isolate, and those that they allow among them."""

    isolated: int
    allowed: int


class NetworkFilters(Protocol):
    """What NetworkPolicies' own reading of the cells lends to the tiers around it."""

    @property
    def cells(self) -> Cells:
        """The cells."""

    @property
    def subject_ends(self) -> Mapping[Direction, Ends]:
        """By direction, the ends that policies are about."""

    @property
    def other_ends(self) -> Mapping[Direction, Ends]:
        """By direction, the ends that peers are about."""

    def port(self, port: PolicyPort) -> int:
        """The cells with this port."""


class AdminFilters:
    """The tiers over the cells of ``filters``."""

    def __init__(self, filters: NetworkFilters) -> None:
        self._filters = filters
        self._snapshot = filters.cells.snapshot
        self.policies = self._snapshot.admin_policies
        self._peers: dict[tuple[AdminPeer, Direction], int] = {}
        self._nodes = [each for each in self._snapshot.endpoints if each.kind is EndpointKind.NODE]

    def passing(
        self,
        direction: Direction,
        network: NetworkAnswer,
        rewrites: Iterable[AdminRewrite],
        order: TierOrder = TierOrder.USUAL,
    ) -> int:
        """The cells that all tiers let through; each of ``rewrites`` changes the policies that the last one left."""
        policies: Sequence[AdminPolicy] = self.policies
        for rewrite in rewrites:
            policies = rewrite(policies)
        admin, baseline = (self.answers(policies, tier, direction) for tier in AdminTier)
        everything = self._filters.cells.everything
        isolated, allowed = network.isolated, network.allowed & network.isolated
        after = everything & ~baseline.denied
        if order is TierOrder.BASELINE_ALWAYS:
            allowed &= after
        below = allowed | after & ~isolated
        if order is TierOrder.NETWORK_POLICY_FIRST:
            return allowed | (admin.accepted | after & ~admin.denied) & ~isolated
        return admin.accepted | below & ~admin.denied

    def answers(
        self, policies: Iterable[AdminPolicy], tier: AdminTier, direction: Direction, among: int | None = None
    ) -> Answers:
        """What the policies of ``tier`` say, of the cells ``among`` (None: all)."""
        accepted = denied = 0
        for policy, number, found in self.decisions(policies, tier, direction, among):
            rule = policy.rules(direction)[number]
            if rule.action is Action.DENY or rule.unknown:
                denied |= found
            elif rule.action is Action.ACCEPT:
                accepted |= found
        return Answers(accepted, denied)

    def decisions(
        self, policies: Iterable[AdminPolicy], tier: AdminTier, direction: Direction, among: int | None = None
    ) -> Iterator[tuple[AdminPolicy, int, int]]:
        """Of the policies of ``tier`` each rule that is the first to match any of the cells ``among`` (None: all), with
        its number in its policy, and these cells.
        """
        own = sorted((each for each in policies if each.tier is tier), key=turn)
        waiting = self._filters.cells.everything if among is None else among
        for policy in own:
            subjects = self._filters.subject_ends[direction].peer("", _pods(policy)) & waiting
            for number, rule in enumerate(policy.rules(direction) if subjects else ()):
                found = subjects & self._matching(rule, direction)
                if found:
                    subjects &= ~found
                    waiting &= ~found
                    yield policy, number, found

    def matching(self, policy: AdminPolicy, direction: Direction, number: int) -> int:
        """The cells that a rule of ``policy`` matches, whatever decides them."""
        subjects = self._filters.subject_ends[direction].peer("", _pods(policy))
        return subjects & self._matching(policy.rules(direction)[number], direction)

    def _matching(self, rule: AdminRule, direction: Direction) -> int:
        if rule.unknown:
            return 0 if rule.action is Action.ACCEPT else self._filters.cells.everything
        peers = union(self._peer(peer, direction) for peer in rule.peers)
        return peers & union(map(self._filters.port, rule.ports)) if rule.ports else peers

    def _peer(self, peer: AdminPeer, direction: Direction) -> int:
        key = (peer, direction)
        if key not in self._peers:
            self._peers[key] = self._find_peer(peer, direction)
        return self._peers[key]

    def _find_peer(self, peer: AdminPeer, direction: Direction) -> int:
        others = self._filters.other_ends[direction]
        if peer.namespace_selector is not None:
            return others.peer("", _pods(peer))
        blocks = list(peer.networks)
        if peer.nodes is not None:
            nodes = (each for each in self._nodes if peer.nodes.matches(each.labels))
            blocks += [IPBlock.of_address(address) for node in nodes for address in node.addresses]
        return union(map(others.inside, blocks))


def turn(policy: AdminPolicy) -> tuple[int, str]:
    """What sorts the policies of a tier as they are asked; equal priorities by name."""
    return policy.priority, policy.full_name


def _pods(part: AdminPolicy | AdminPeer) -> Peer:
    return Peer(part.pod_selector, part.namespace_selector)


def none_of_them(_: Sequence[AdminPolicy]) -> Sequence[AdminPolicy]:
    """It takes no notice of any."""
    return ()


def without(tier: AdminTier) -> AdminRewrite:
    """It has none of ``tier``."""
    return lambda policies: [policy for policy in policies if policy.tier is not tier]


def without_policy(name: str) -> AdminRewrite:
    """It has all but the one with this full name."""
    return lambda policies: [policy for policy in policies if policy.full_name != name]


def ignoring_direction(direction: Direction) -> AdminRewrite:
    """It has no rules for ``direction``."""
    if direction is Direction.INGRESS:
        return lambda policies: [replace(policy, ingress=()) for policy in policies]
    return lambda policies: [replace(policy, egress=()) for policy in policies]


def backwards(policies: Sequence[AdminPolicy]) -> Sequence[AdminPolicy]:
    """It asks those with the highest numbers first."""
    return [replace(policy, priority=-policy.priority) for policy in policies]


def by_rules(change: Callable[[Sequence[AdminRule]], Sequence[AdminRule]]) -> AdminRewrite:
    """It takes the rules of each direction as ``change`` says."""
    return lambda policies: [
        replace(policy, ingress=tuple(change(policy.ingress)), egress=tuple(change(policy.egress)))
        for policy in policies
    ]


def pass_as(action: Action) -> AdminRewrite:
    """It takes Pass for ``action``."""
    return by_rules(
        lambda rules: [
            replace(rule, action=action) if rule.action is Action.PASS and not rule.unknown else rule for rule in rules
        ]
    )


def no_deny(rules: Sequence[AdminRule]) -> Sequence[AdminRule]:
    """It has no rules that deny."""
    return [rule for rule in rules if rule.action is not Action.DENY]


def first_one(rules: Sequence[AdminRule]) -> Sequence[AdminRule]:
    """It has the first rule alone."""
    return rules[:1]


def no_networks(rules: Sequence[AdminRule]) -> Sequence[AdminRule]:
    """It finds no peers by networks; a rule without any others matches nothing."""
    left = [(rule, tuple(peer for peer in rule.peers if not peer.networks)) for rule in rules]
    return [replace(rule, peers=peers) for rule, peers in left if peers]


def first_port(rules: Sequence[AdminRule]) -> Sequence[AdminRule]:
    """It takes a range of ports for its first."""
    return [replace(rule, ports=tuple(replace(port, end_port=None) for port in rule.ports)) for rule in rules]
