"""Endpoints that look the same to every policy, counted once.

Groups come first and cheaply: endpoints that agree in every trait that any policy in force reads. Bitsets of the
evaluator are sets of groups. Which selector matches which groups is answered here, from an index of labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from typing import Self

from auditor.model.labels import LabelSelector
from auditor.model.policy import IPBlock, NetworkPolicy, Peer
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Snapshot
from auditor.policy.addresses import AddressIntervals, Located
from auditor.policy.atoms import PortName
from auditor.policy.bits import mask_of, span
from auditor.policy.label_index import LabelIndex
from auditor.policy.traits import Traits, network_policy_traits

FAMILIES = {family.value: family for family in Family}


def _read_keys(selectors: Iterable[LabelSelector]) -> set[str]:
    return {key for selector in selectors for key in selector.keys}


def _named_values(selectors: Iterable[LabelSelector]) -> set[tuple[str, str]]:
    equal = {pair for selector in selectors for pair in selector.match_labels}
    expressions = (each for selector in selectors for each in selector.match_expressions)
    return equal.union((each.key, value) for each in expressions for value in each.values)


class Groups:
    """The groups of a snapshot's endpoints, numbered in order of first appearance, and bitsets over them."""

    def __init__(
        self,
        snapshot: Snapshot,
        names: set[PortName],
        traits: Iterable[Traits] | None = None,
        *,
        every_value: bool = True,
    ) -> None:
        """``names`` are the port names that count, and ``traits`` what policies look at; None: the NetworkPolicies of
        ``snapshot``. Without ``every_value`` all values of a label that no selector of these names are as one.
        """
        self._namespaces = snapshot.namespaces
        everywhere = [network_policy_traits(snapshot)] if traits is None else list(traits)
        pod_selectors = frozenset[LabelSelector]().union(*(each.pod_selectors for each in everywhere))
        blocks = frozenset[IPBlock]().union(*(each.blocks for each in everywhere))
        keys = self._keys = _read_keys(pod_selectors)
        named = None if every_value else _named_values(pod_selectors)
        self._intervals = {family: AddressIntervals(blocks, family) for family in Family}
        self.of_endpoint: list[int] = []
        self.representatives: list[Endpoint] = []
        self.interval_ids: list[dict[Family, int]] = []
        numbers: dict[tuple[object, ...], int] = {}
        for endpoint in snapshot.endpoints:
            places = {
                family: self._intervals[family].of(address)
                for address in endpoint.addresses
                for family in (FAMILIES[address.version],)
            }
            key = (
                endpoint.kind,
                endpoint.host_network,
                endpoint.namespace,
                frozenset(
                    pair if named is None or pair in named else pair[0]
                    for pair in endpoint.labels.items()
                    if pair[0] in keys
                )
                if endpoint.selectable
                else (),
                tuple(places.items()),
                frozenset(port for port in endpoint.ports if (port.protocol, port.name) in names)
                if endpoint.ports
                else (),
                endpoint.unknown_labels.intersection(keys) if endpoint.unknown_labels else (),
            )
            number = numbers.setdefault(key, len(numbers))
            if number == len(self.representatives):
                self.representatives.append(endpoint)
                self.interval_ids.append(places)
            self.of_endpoint.append(number)
        self.everything = span(0, len(self.representatives) - 1)
        self._names = names
        self._block_cache: dict[tuple[IPBlock, Family], int] = {}

    @classmethod
    def by_labels(cls, snapshot: Snapshot) -> Self:
        """The groups for questions about the selectors of NetworkPolicies alone: neither addresses nor the ports that
        rules name tell any apart.
        """
        return cls(snapshot, set(), [replace(network_policy_traits(snapshot), blocks=frozenset())])

    def with_unknown_labels(self) -> set[int]:
        """Groups that unknown labels tell apart from others, by the key of the label, and those in namespaces with
        unknown labels where others have known ones.
        """
        masks: dict[str, int] = {}
        for number, endpoint in enumerate(self.representatives):
            for key in endpoint.unknown_labels.intersection(self._keys):
                masks[key] = masks.get(key, 0) | 1 << number
        unknown = {name for name, each in self._namespaces.items() if not each.known}
        if 0 < len(unknown) < len(self._namespaces):
            masks[""] = mask_of(n for n, each in enumerate(self.representatives) if each.namespace in unknown)
        return set(masks.values())

    @cached_property
    def _pod_labels(self) -> LabelIndex:
        return LabelIndex([endpoint.labels if endpoint.selectable else None for endpoint in self.representatives])

    @cached_property
    def _namespace_labels(self) -> LabelIndex:
        """The groups by the labels of their namespaces."""
        return LabelIndex(
            [
                self._namespaces[endpoint.namespace].labels if endpoint.selectable else None
                for endpoint in self.representatives
            ]
        )

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
        return self._namespace_labels.matching(selector)

    def with_labels(self, selector: LabelSelector) -> int:
        """The selectable groups, in any namespace, whose labels match ``selector``."""
        return self._pod_labels.matching(selector)

    def selected_by(self, policy: NetworkPolicy) -> int:
        """The groups that ``policy`` is for (NetworkPolicySpec.podSelector): pods of its own namespace."""
        return self.with_labels(policy.pod_selector) & self.in_namespace(policy.namespace)

    def named_by(self, peer: Peer, namespace: str) -> int:
        """The groups that ``peer``, one of selectors in a policy of ``namespace``, means (NetworkPolicyPeer)."""
        if peer.namespace_selector is None:
            there = self.in_namespace(namespace)
        else:
            there = self.in_namespaces(peer.namespace_selector)
        return there if peer.pod_selector is None else there & self.with_labels(peer.pod_selector)

    def in_block(self, block: IPBlock, family: Family) -> int:
        """The groups whose address of ``family`` is in ``block``.

        Endpoints without a known address count as inside only where the block is the whole family and excepts nothing.
        """
        if block.cidr.version != family:
            return 0
        key = (block, family)
        if key not in self._block_cache:
            self._block_cache[key] = self._located[family].inside(block) | (
                self.without_address if block.is_whole_family else 0
            )
        return self._block_cache[key]

    @cached_property
    def _located(self) -> dict[Family, Located]:
        index: dict[Family, dict[int, int]] = {family: {} for family in Family}
        for number, places in enumerate(self.interval_ids):
            for family, interval in places.items():
                index[family][interval] = index[family].get(interval, 0) | 1 << number
        return {family: Located(self._intervals[family], index[family]) for family in Family}

    def declaring(self, name: PortName) -> dict[int, int]:
        """For each number that an endpoint declares under ``name``, which must be one of ``names``: the
        groups that do.
        """
        return self._declaring.get(name, {})

    @cached_property
    def _declaring(self) -> dict[PortName, dict[int, int]]:
        index: dict[PortName, dict[int, int]] = {}
        for number, endpoint in enumerate(self.representatives):
            for port in endpoint.ports:
                if (port.protocol, port.name) in self._names:
                    by_number = index.setdefault((port.protocol, port.name), {})
                    by_number[port.number] = by_number.get(port.number, 0) | 1 << number
        return index
