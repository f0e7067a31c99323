"""Endpoints that look the same to every policy, counted once.

Groups come first and cheaply: endpoints that agree in every trait that any policy in force reads. Bitsets of the evaluator are sets of
groups. Which selector matches which groups is answered here, from an index of labels.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.model.policy import IPBlock, IPNetwork, NetworkPolicy, Peer
from auditor.model.snapshot import Endpoint, EndpointKind, Family, IPAddress, Snapshot
from auditor.policy.atoms import PortName
from auditor.policy.bits import bits, mask_of, span
from auditor.policy.selectors import matches


def peers_in_force(policies: Iterable[NetworkPolicy]) -> list[Peer]:
    """Every peer of the rules in force."""
    return [peer for policy in policies for direction in policy.directions for rule in policy.rules(direction) for peer in rule.peers]


def _read_keys(selectors: Iterable[LabelSelector]) -> set[str]:
    return {key for selector in selectors for key in selector.keys}


class AddressIntervals:
    """The address space of one family, cut at the edges of every ipBlock: addresses of one interval are in the same ipBlocks."""

    def __init__(self, blocks: Iterable[IPBlock], family: Family) -> None:
        edges = {0}
        for block in blocks:
            for network in (block.cidr, *block.excepts):
                if network.version == family:
                    edges.update((int(network.network_address), int(network.broadcast_address) + 1))
        self._starts = sorted(edges)

    def of(self, address: IPAddress) -> int:
        """The number of the interval that holds ``address``."""
        return bisect_right(self._starts, int(address)) - 1

    def inside(self, network: IPNetwork) -> int:
        """The set of the intervals that make up ``network``, which must be part of a block given at the start."""
        first = bisect_left(self._starts, int(network.network_address))
        return span(first, bisect_left(self._starts, int(network.broadcast_address) + 1) - 1)


class Groups:
    """The groups of a snapshot's endpoints, numbered in order of first appearance, and bitsets over them."""

    def __init__(self, snapshot: Snapshot, names: set[PortName]) -> None:
        """``names`` are the port names that count as traits."""
        self._namespaces = snapshot.namespaces
        peers = peers_in_force(snapshot.policies)
        blocks = {peer.ip_block for peer in peers if peer.ip_block is not None}
        pod_selectors = {policy.pod_selector for policy in snapshot.policies}
        pod_selectors |= {peer.pod_selector for peer in peers if peer.pod_selector is not None}
        keys = sorted(_read_keys(pod_selectors))
        self._intervals = {family: AddressIntervals(blocks, family) for family in Family}
        self.of_endpoint: list[int] = []
        self.representatives: list[Endpoint] = []
        self.interval_ids: list[dict[Family, int]] = []
        numbers: dict[tuple[object, ...], int] = {}
        for endpoint in snapshot.endpoints:
            places = {Family(address.version): self._intervals[Family(address.version)].of(address) for address in endpoint.addresses}
            key = (
                endpoint.kind,
                endpoint.host_network,
                endpoint.namespace,
                tuple([endpoint.labels.get(key) for key in keys]) if endpoint.selectable else (),
                tuple(places.items()),
                frozenset(port for port in endpoint.ports if (port.protocol, port.name) in names) if endpoint.ports else (),
            )
            number = numbers.setdefault(key, len(numbers))
            if number == len(self.representatives):
                self.representatives.append(endpoint)
                self.interval_ids.append(places)
            self.of_endpoint.append(number)
        self.everything = span(0, len(self.representatives) - 1)
        self._label_groups = self._index_labels(keys)
        self._pod_cache: dict[LabelSelector, int] = {}
        self._namespace_cache: dict[LabelSelector, int] = {}
        self._block_cache: dict[tuple[IPBlock, Family], int] = {}

    def _index_labels(self, keys: Sequence[str]) -> dict[str, dict[str, int]]:
        index: dict[str, dict[str, int]] = {key: {} for key in keys}
        for number, endpoint in enumerate(self.representatives):
            if endpoint.selectable:
                for key, value in endpoint.labels.items():
                    if key in index:
                        index[key][value] = index[key].get(value, 0) | 1 << number
        return index

    @cached_property
    def selectable(self) -> int:
        """The groups that selectors can match: pods on the pod network."""
        return self._where(lambda endpoint: endpoint.selectable)

    @cached_property
    def hosts(self) -> int:
        """The groups of hosts outside the cluster."""
        return self._where(lambda endpoint: endpoint.kind is EndpointKind.HOST)

    @cached_property
    def without_address(self) -> int:
        """The groups of endpoints whose addresses the input doesn't give."""
        return self._where(lambda endpoint: not endpoint.addresses)

    def _where(self, holds: Callable[[Endpoint], bool]) -> int:
        return mask_of(number for number, endpoint in enumerate(self.representatives) if holds(endpoint))

    @cached_property
    def _by_namespace(self) -> dict[str, int]:
        index: dict[str, int] = {}
        for number, endpoint in enumerate(self.representatives):
            if endpoint.selectable:
                index[endpoint.namespace] = index.get(endpoint.namespace, 0) | 1 << number
        return index

    def in_namespace(self, name: str) -> int:
        """The selectable groups of one namespace."""
        return self._by_namespace.get(name, 0)

    def in_namespaces(self, selector: LabelSelector) -> int:
        """The selectable groups in namespaces whose labels match ``selector``."""
        if selector not in self._namespace_cache:
            mask = 0
            for namespace in self._namespaces.values():
                if matches(selector, namespace.labels):
                    mask |= self.in_namespace(namespace.name)
            self._namespace_cache[selector] = mask
        return self._namespace_cache[selector]

    def with_labels(self, selector: LabelSelector) -> int:
        """The selectable groups, in any namespace, whose labels match ``selector``."""
        if selector not in self._pod_cache:
            mask = self.selectable
            for key, value in selector.match_labels:
                mask &= self._label_groups[key].get(value, 0)
            for requirement in selector.match_expressions:
                mask &= self._meeting(requirement)
            self._pod_cache[selector] = mask
        return self._pod_cache[selector]

    def _meeting(self, requirement: Requirement) -> int:
        by_value = self._label_groups[requirement.key]
        positive = requirement.operator in (Operator.IN, Operator.EXISTS)
        values = requirement.values if requirement.operator in (Operator.IN, Operator.NOT_IN) else by_value
        mask = 0
        for value in values:
            mask |= by_value.get(value, 0)
        return mask if positive else self.selectable & ~mask

    def in_block(self, block: IPBlock, family: Family) -> int:
        """The groups whose address of ``family`` is in ``block``.

        Endpoints without a known address count as inside only where the block is the whole family and excepts nothing.
        """
        if block.cidr.version != family:
            return 0
        key = (block, family)
        if key not in self._block_cache:
            intervals = self._intervals[family].inside(block.cidr)
            for network in block.excepts:
                intervals &= ~self._intervals[family].inside(network)
            mask = self.without_address if block.is_whole_family else 0
            by_interval = self._by_interval[family]
            for interval in bits(intervals):
                mask |= by_interval.get(interval, 0)
            self._block_cache[key] = mask
        return self._block_cache[key]

    @cached_property
    def _by_interval(self) -> dict[Family, dict[int, int]]:
        index: dict[Family, dict[int, int]] = {family: {} for family in Family}
        for number, places in enumerate(self.interval_ids):
            for family, interval in places.items():
                index[family][interval] = index[family].get(interval, 0) | 1 << number
        return index

    def declaring(self, name: PortName) -> dict[int, int]:
        """For each number that an endpoint declares under ``name``: the groups that do."""
        by_number: dict[int, int] = {}
        for number, endpoint in enumerate(self.representatives):
            for port in endpoint.ports:
                if (port.protocol, port.name) == name:
                    by_number[port.number] = by_number.get(port.number, 0) | 1 << number
        return by_number
