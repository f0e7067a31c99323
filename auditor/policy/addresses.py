"""Ranges of addresses as pairs of ints, and who is inside of which, without a look at each address for each range."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence

from auditor.model.addresses import IPAddress, IPNetwork
from auditor.model.policy import IPBlock
from auditor.model.snapshot import Family


def bounds(network: IPNetwork) -> tuple[int, int]:
    """The first and the last address of ``network``."""
    first = int(network.network_address)
    return first, first + (1 << network.max_prefixlen - network.prefixlen) - 1


class Ranges:
    """The union of networks of one family, for many questions. Of nested ones the widest counts, so that they are apart
    and in order.
    """

    def __init__(self, networks: Iterable[IPNetwork]) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in sorted(map(bounds, networks), key=lambda each: (each[0], -each[1])):
            if not self._lasts or first > self._lasts[-1]:
                self._firsts.append(first)
                self._lasts.append(last)

    def hold(self, address: int) -> bool:
        """Whether ``address`` is in any of them."""
        position = bisect_right(self._firsts, address) - 1
        return position >= 0 and address <= self._lasts[position]

    def include(self, first: int, last: int) -> bool:
        """Whether a single one of them has all of ``first`` to ``last``."""
        position = bisect_right(self._firsts, first) - 1
        return position >= 0 and last <= self._lasts[position]

    def meeting(self, first: int, last: int) -> Iterable[tuple[int, int]]:
        """Those that have any of the addresses from ``first`` to ``last``, ascending."""
        position = bisect_left(self._lasts, first)
        while position < len(self._firsts) and self._firsts[position] <= last:
            yield self._firsts[position], self._lasts[position]
            position += 1


class NestedRanges:
    """Networks, of which some may be inside others or the same, for the question which one alone holds an address."""

    def __init__(self, networks: Sequence[IPNetwork], family: Family) -> None:
        positions: dict[tuple[int, int], list[int]] = {}
        for position, network in enumerate(networks):
            if network.version == family:
                positions.setdefault(bounds(network), []).append(position)
        self._ranges = sorted(positions, key=lambda each: (each[0], -each[1]))
        self._positions = [positions[each] for each in self._ranges]
        self._around: list[int] = []
        open_ones: list[int] = []
        for number, (first, _) in enumerate(self._ranges):
            while open_ones and self._ranges[open_ones[-1]][1] < first:
                open_ones.pop()
            self._around.append(open_ones[-1] if open_ones else -1)
            open_ones.append(number)
        self._firsts = [first for first, _ in self._ranges]

    def only(self, address: int) -> int | None:
        """The position of the network that holds ``address``, where it is one and no more."""
        number = bisect_right(self._firsts, address) - 1
        while number >= 0 and self._ranges[number][1] < address:
            number = self._around[number]
        if number < 0 or self._around[number] >= 0 or len(self._positions[number]) > 1:
            return None
        return self._positions[number][0]


class AddressIntervals:
    """The address space of one family, cut at the edges of every ipBlock: addresses of one interval are in the same
    ipBlocks.
    """

    def __init__(self, blocks: Iterable[IPBlock], family: Family) -> None:
        edges = {0}
        for block in blocks:
            for network in (block.cidr, *block.excepts):
                if network.version == family:
                    first, last = bounds(network)
                    edges.update((first, last + 1))
        self._starts = sorted(edges)

    def of(self, address: IPAddress) -> int:
        """The number of the interval that holds ``address``."""
        return bisect_right(self._starts, int(address)) - 1

    def inside(self, network: IPNetwork) -> tuple[int, int]:
        """The first of the intervals that make up ``network``, and the one after the last; the network must be part of
        a given block.
        """
        first, last = bounds(network)
        return bisect_left(self._starts, first), bisect_left(self._starts, last + 1)


class Located:
    """Sets of things by the intervals that their addresses are in, each thing with one address."""

    def __init__(self, intervals: AddressIntervals, by_interval: Mapping[int, int]) -> None:
        """``by_interval`` has for each interval the set of what is there, as a bitset."""
        self._intervals = intervals
        self._occupied: Sequence[int] = sorted(by_interval)
        # The sets are apart, so what is between two places is what the unions up to them differ in.
        self._up_to = [0]
        for interval in self._occupied:
            self._up_to.append(self._up_to[-1] | by_interval[interval])

    def inside(self, block: IPBlock) -> int:
        """What is inside ``block``, which must be one that the intervals were cut by."""
        found = self._within(block.cidr)
        for network in block.excepts if found else ():
            if network.version == block.cidr.version:
                found &= ~self._within(network)
        return found

    def _within(self, network: IPNetwork) -> int:
        first, after = self._intervals.inside(network)
        return self._up_to[bisect_left(self._occupied, after)] ^ self._up_to[bisect_left(self._occupied, first)]
