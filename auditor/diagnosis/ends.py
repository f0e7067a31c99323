"""The endpoints at one end of cells, by labels and addresses: which cells a selector or an ipBlock means there.

Every cell has one endpoint at either end, so the cells of different endpoints are apart; what is within a range of
addresses is what the cells up to its two edges differ in.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from operator import or_

from auditor.diagnosis.cells import Cells
from auditor.model.addresses import IPNetwork
from auditor.model.labels import LabelSelector
from auditor.model.policy import IPBlock, Peer
from auditor.model.snapshot import Family
from auditor.policy.addresses import NestedRanges, Ranges, bounds
from auditor.policy.bits import bits, octets_of
from auditor.policy.label_index import LabelIndex


@dataclass(frozen=True, slots=True)
class _Addresses:
    """The addresses of one family in order, the cells of each, and the cells of all before each."""

    numbers: list[int]
    cells: list[int]
    up_to: list[int]

    def span(self, network: IPNetwork) -> tuple[int, int]:
        """The positions of the addresses in ``network``, the second one excluded."""
        first, last = bounds(network)
        return bisect_left(self.numbers, first), bisect_right(self.numbers, last)

    def within(self, network: IPNetwork) -> int:
        """The cells with an address in ``network``."""
        first, after = self.span(network)
        return self.up_to[after] ^ self.up_to[first]


class Ends:
    """Endpoints, each with its cells."""

    def __init__(self, cells: Cells, parts: Mapping[str, int]) -> None:
        """``parts`` are the cells of each of the endpoints, which are all those at one end of ``cells``, or some."""
        self._cells = cells
        self._ends = [cells.endpoints[name] for name in parts]
        self._parts = list(parts.values())
        self._of_ends: dict[int, int] = {}

    @cached_property
    def _pods(self) -> LabelIndex:
        return LabelIndex([end.labels if end.selectable else None for end in self._ends])

    @cached_property
    def _spaces(self) -> LabelIndex:
        namespaces = self._cells.snapshot.namespaces
        return LabelIndex([namespaces[end.namespace].labels if end.selectable else None for end in self._ends])

    @cached_property
    def _by_namespace(self) -> Mapping[str, int]:
        found: dict[str, list[int]] = {}
        for number, end in enumerate(self._ends):
            if end.selectable:
                found.setdefault(end.namespace, []).append(number)
        return {name: octets_of(numbers, len(self._ends)) for name, numbers in found.items()}

    def selected(self, namespace: str, selector: LabelSelector) -> int:
        """The cells of the pods of ``namespace`` that ``selector`` matches."""
        return self._of(self._by_namespace.get(namespace, 0) & self._pods.matching(selector))

    def peer(self, namespace: str, peer: Peer) -> int:
        """The cells of the pods that a peer made of selectors means, in a policy of ``namespace``."""
        spaces = peer.namespace_selector
        ends = self._by_namespace.get(namespace, 0) if spaces is None else self._spaces.matching(spaces)
        return self._of(ends if peer.pod_selector is None else ends & self._pods.matching(peer.pod_selector))

    def _of(self, ends: int) -> int:
        if ends not in self._of_ends:
            mask = 0
            for number in bits(ends):
                mask |= self._parts[number]
            self._of_ends[ends] = mask
        return self._of_ends[ends]

    def inside(self, block: IPBlock) -> int:
        """The cells with an address in ``block``. A block that is the whole family has those of unknown
        addresses, too.
        """
        addresses = self._addresses[Family(block.cidr.version)]
        mask = addresses.within(block.cidr)
        excepts = [network for network in block.excepts if network.version == block.cidr.version]
        first, after = addresses.span(block.cidr)
        if after - first < len(excepts):
            ranges = Ranges(excepts)
            for number in range(first, after):
                mask &= ~addresses.cells[number] if ranges.hold(addresses.numbers[number]) else -1
        else:
            for network in excepts:
                mask &= ~addresses.within(network)
        return mask | self._without_address(Family(block.cidr.version)) if block.is_whole_family else mask

    def within(self, network: IPNetwork) -> int:
        """As ``inside``, for a block without excepts."""
        return self.inside(IPBlock(network))

    def let_in_without(self, block: IPBlock) -> list[int]:
        """For each of the excepts of ``block``: the cells that would be inside if it weren't there."""
        addresses = self._addresses[Family(block.cidr.version)]
        found = [0] * len(block.excepts)
        nested = NestedRanges(block.excepts, Family(block.cidr.version))
        for number in range(*addresses.span(block.cidr)):
            position = nested.only(addresses.numbers[number])
            if position is not None:
                found[position] |= addresses.cells[number]
        if len(block.excepts) == 1 and block.cidr.prefixlen == 0:
            found[0] |= self._without_address(Family(block.cidr.version))
        return found

    def _without_address(self, family: Family) -> int:
        there = (part for end, part in zip(self._ends, self._parts, strict=True) if not end.addresses)
        mask = 0
        for part in there:
            mask |= part
        return mask & self._cells.families.get(family, 0)

    @cached_property
    def _addresses(self) -> Mapping[Family, _Addresses]:
        found = {}
        for family in Family:
            here = self._cells.families.get(family, 0)
            known = [(end.address(family), part & here) for end, part in zip(self._ends, self._parts, strict=True)]
            pairs = sorted((int(address), part) for address, part in known if address is not None and part)
            masks = [part for _, part in pairs]
            found[family] = _Addresses([number for number, _ in pairs], masks, list(accumulate(masks, or_, initial=0)))
        return found
