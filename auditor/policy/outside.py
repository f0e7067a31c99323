"""The world outside the cluster as a handful of peers: the addresses that no rule of the input tells apart are one.

The networks of all ipBlocks, their excepts included, form a forest: any two are apart or one is inside the other. What
is in a network and in none of those inside it is treated alike by every rule, so walking down the forest once says
which rules cover it. Ranges that the same rules cover are one peer, however many they are.

Addresses of pods, nodes and Services in the input are not outside, even where an ipBlock covers them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from auditor.model.addresses import EVERYTHING, IPAddress, IPNetwork
from auditor.model.policy import IPBlock, NetworkPolicy
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Snapshot
from auditor.model.words import in_brief
from auditor.policy.addresses import bounds
from auditor.policy.groups import Groups

PREFIX = "outside"
"""Names of peers outside begin with it; a selection of it alone means all of them."""
MOST_RANGES = 3
MOST_EXCEPTS = 3


def with_outside(snapshot: Snapshot) -> Snapshot:
    """``snapshot`` with the peers outside as its last endpoints."""
    return replace(snapshot, endpoints=(*snapshot.endpoints, *outside_peers([snapshot])))


def outside_peers(snapshots: Sequence[Snapshot]) -> tuple[Endpoint, ...]:
    """The peers outside, of kind HOST, that the rules of none of ``snapshots`` split: each has its ``ranges`` and, for
    each family, one address of them as an example. What is not named by any rule comes last.
    """
    covering = _covering(snapshots)
    inside = {address for each in snapshots for address in _addresses_inside(each)}
    by_rules: dict[int, list[_Network]] = {}
    for family in _families(snapshots):
        taken = sorted(int(address) for address in inside if address.version == family)
        for network in _forest(covering, family):
            network.settle(taken)
            by_rules.setdefault(network.covered_by, []).append(network)
    alike = [found for networks in by_rules.values() if (found := [each for each in networks if each.example])]
    complete = [by_rules[found[0].covered_by] for found in alike]
    split = {Family(network.version) for found in alike for network in _heads(found) if not network.is_everything}
    peers = [_peer(networks, split) for networks in complete]
    return tuple(sorted(peers, key=lambda peer: any(block.cidr.prefixlen == 0 for block in peer.ranges)))


def peer_holding(peers: Iterable[Endpoint], network: IPNetwork) -> Endpoint | None:
    """The peer outside that all of ``network`` belongs to; None where rules split it, or it is not outside."""
    for peer in peers:
        for block in peer.ranges:
            same_family = block.cidr.version == network.version
            if same_family and _holds(block.cidr, network) and not any(_meet(each, network) for each in block.excepts):
                return peer
    return None


def _holds(wide: IPNetwork, narrow: IPNetwork) -> bool:
    (first, last), (inner_first, inner_last) = bounds(wide), bounds(narrow)
    return first <= inner_first and inner_last <= last


def _meet(one: IPNetwork, other: IPNetwork) -> bool:
    return _holds(one, other) or _holds(other, one)


def _addresses_inside(snapshot: Snapshot) -> Iterator[IPAddress]:
    for endpoint in snapshot.endpoints:
        if endpoint.kind is not EndpointKind.HOST:
            yield from endpoint.addresses
    for service in snapshot.services:
        yield from service.cluster_ips


def _families(snapshots: Iterable[Snapshot]) -> list[Family]:
    """The families in which any pod may talk to the outside: all where some pod's addresses are not known."""
    pods = [each for snapshot in snapshots for each in snapshot.endpoints if each.kind is EndpointKind.POD]
    if not all(pod.addresses for pod in pods):
        return list(Family)
    return [family for family in Family if any(family in pod.families for pod in pods)]


def _covering(snapshots: Sequence[Snapshot]) -> list[frozenset[IPBlock]]:
    """The ipBlocks of rules that open the same ports of the same pods in the same direction, together."""
    together: dict[Hashable, set[IPBlock]] = {}
    for number, snapshot in enumerate(snapshots):
        subjects = _Subjects(snapshot)
        for policy in snapshot.policies:
            for direction in policy.directions:
                for rule in policy.rules(direction):
                    blocks = {peer.ip_block for peer in rule.peers if peer.ip_block is not None}
                    if blocks and (selected := subjects.of(policy)) is not None:
                        key = (number, direction, selected, frozenset(rule.ports))
                        together.setdefault(key, set()).update(blocks)
        together.update(_covering_in_tiers(number, snapshot))
    return list(dict.fromkeys(map(frozenset, together.values())))


def _covering_in_tiers(number: int, snapshot: Snapshot) -> Iterator[tuple[Hashable, set[IPBlock]]]:
    """The networks of each egress rule of administrators' policies: which rule comes first decides."""
    for policy in snapshot.admin_policies:
        for place, rule in enumerate(policy.egress):
            blocks = {block for peer in rule.peers for block in peer.networks}
            if blocks:
                yield (number, policy.full_name, place), blocks


class _Subjects:
    """Which pods a policy selects, as something that is equal for policies that select the same ones."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._groups = Groups.by_labels(snapshot)
        self._unknown = frozenset[str]().union(*(each.unknown_labels for each in self._groups.representatives))

    def of(self, policy: NetworkPolicy) -> Hashable | None:
        """None where ``policy`` selects none of the pods, whatever their unknown labels are."""
        there = self._groups.in_namespace(policy.namespace)
        if there and not self._unknown.isdisjoint(policy.pod_selector.keys):
            return policy.namespace, policy.pod_selector
        return self._groups.selected_by(policy) or None


@dataclass(slots=True, eq=False)
class _Network:
    """A network of the forest. ``covered_by`` are the rules, as bits, that cover what is in none of ``inner``;
    ``example`` is an address there that is outside, None where there is none.
    """

    first: int
    last: int
    network: IPNetwork
    outer: _Network | None
    covered_by: int = 0
    inner: list[_Network] = field(default_factory=list)
    example: IPAddress | None = None

    @property
    def version(self) -> int:
        return self.network.version

    @property
    def is_everything(self) -> bool:
        return self.outer is None

    def settle(self, taken: Sequence[int]) -> None:
        """Find ``example``, which is none of the addresses ``taken``, in ascending order."""
        for first, last in self._gaps():
            free = first
            position = bisect_left(taken, free)
            while position < len(taken) and taken[position] == free:
                position, free = position + 1, free + 1
            if free <= last:
                self.example = self.network.network_address + (free - self.first)
                return

    def _gaps(self) -> Iterator[tuple[int, int]]:
        first = self.first
        for each in self.inner:
            if first < each.first:
                yield first, each.first - 1
            first = each.last + 1
        if first <= self.last:
            yield first, self.last

    def block(self) -> IPBlock:
        """This network but for what inside it is not treated like it."""
        return IPBlock(self.network, tuple(self.others_inside(self.covered_by)))

    def others_inside(self, covered_by: int) -> Iterator[IPNetwork]:
        """The widest networks inside that other rules cover than those that ``covered_by`` has."""
        for each in self.inner:
            if each.covered_by == covered_by:
                yield from each.others_inside(covered_by)
            else:
                yield each.network


def _forest(covering: Sequence[Iterable[IPBlock]], family: Family) -> list[_Network]:
    """The networks of ``family``, each before those inside it, with the positions in ``covering`` as bits."""
    walk = _Walk(covering, family)
    found: list[_Network] = []
    around: list[_Network] = []
    for network in sorted(walk.networks, key=lambda each: (int(each.network_address), each.prefixlen)):
        first, last = bounds(network)
        while around and around[-1].last < first:
            walk.leave(around.pop().network)
        outer = around[-1] if around else None
        walk.enter(network)
        node = _Network(first, last, network, outer, walk.covered_by)
        if outer is not None:
            outer.inner.append(node)
        found.append(node)
        around.append(node)
    return found


class _Walk:
    """Which rules cover where one is, on a way down into networks and back out of them."""

    def __init__(self, covering: Sequence[Iterable[IPBlock]], family: Family) -> None:
        self.covered_by = 0
        self._rule_of: list[int] = []
        self._inside: list[int] = []
        self._excepted: list[int] = []
        self._starting: dict[IPNetwork, list[int]] = {}
        self._excepting: dict[IPNetwork, list[int]] = {}
        for rule, blocks in enumerate(covering):
            for block in blocks:
                if block.cidr.version == family:
                    self._add(rule, block)
        self._blocks_of_rule = [0] * len(covering)
        self.networks = {EVERYTHING[family], *self._starting, *self._excepting}

    def _add(self, rule: int, block: IPBlock) -> None:
        number = len(self._rule_of)
        self._rule_of.append(rule)
        self._inside.append(0)
        self._excepted.append(0)
        self._starting.setdefault(block.cidr, []).append(number)
        for network in {each for each in block.excepts if each.version == block.cidr.version}:
            self._excepting.setdefault(network, []).append(number)

    def enter(self, network: IPNetwork) -> None:
        self._count(network, 1)

    def leave(self, network: IPNetwork) -> None:
        self._count(network, -1)

    def _count(self, network: IPNetwork, step: int) -> None:
        for counts, by_network in ((self._inside, self._starting), (self._excepted, self._excepting)):
            for block in by_network.get(network, ()):
                before = self._covers(block)
                counts[block] += step
                self._note(self._rule_of[block], int(self._covers(block)) - int(before))

    def _covers(self, block: int) -> bool:
        return self._inside[block] > 0 and not self._excepted[block]

    def _note(self, rule: int, change: int) -> None:
        self._blocks_of_rule[rule] += change
        bit = 1 << rule
        self.covered_by = self.covered_by | bit if self._blocks_of_rule[rule] else self.covered_by & ~bit


def _heads(networks: Iterable[_Network]) -> Iterator[_Network]:
    """Those of networks treated alike that are not inside another of them already."""
    return (each for each in networks if each.outer is None or each.outer.covered_by != each.covered_by)


def _peer(networks: Sequence[_Network], split: set[Family]) -> Endpoint:
    """The peer that ``networks`` are, all that are treated alike. ``split`` are families of which some range is
    another peer.
    """
    examples: dict[int, IPAddress] = {}
    for each in networks:
        if each.example is not None:
            examples.setdefault(each.version, each.example)
    heads = [each for each in _heads(networks) if _has_any(each)]
    ranges = tuple(each.block() for each in heads)
    return Endpoint(_name(ranges, split), EndpointKind.HOST, addresses=tuple(examples.values()), ranges=ranges)


def _has_any(head: _Network) -> bool:
    """Whether anything outside is in ``head``, or in what inside it is treated alike."""
    return head.example is not None or any(_has_any(each) for each in head.inner if each.covered_by == head.covered_by)


def _name(ranges: Sequence[IPBlock], split: set[Family]) -> str:
    rest = [Family(block.cidr.version) for block in ranges if not block.cidr.prefixlen]
    named = [block for block in ranges if block.cidr.version not in rest]
    words = ("; " if any(block.excepts for block in named) else ", ").join(map(_words, named[:MOST_RANGES]))
    if len(named) > MOST_RANGES:
        words += f" and {len(named) - MOST_RANGES:,} more"
    if not rest:
        return f"{PREFIX} {words}"
    other = "other " if split.intersection(rest) else ""
    family = f"{rest[0]} " if len(rest) == 1 else ""
    if named:
        return f"{PREFIX} {words} (and any {other}{family}address)"
    return f"{PREFIX} (any {other}{family}address)"


def _words(block: IPBlock) -> str:
    if not block.excepts:
        return str(block.cidr)
    return f"{block.cidr} except {in_brief(block.excepts, MOST_EXCEPTS)}"
