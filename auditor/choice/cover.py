"""Few probe pods that show much: taken greedily, by what a pair of them adds for its price.

What a set of connections shows is monotone and submodular: each further one adds no more than it would have added
before. Taking always what adds most per price therefore needs at most 1 + ln n times the price of the best choice to
show the same (Wolsey 1982), and shows at least 1 - 1/e of what the best choice of as many connections would (Nemhauser,
Wolsey and Fisher 1978). For pods these are no guarantees, since pairs share them, which is why the price is that of
the pods that are not there yet. What was computed of a pair is an upper bound later on, so that few are computed
again (Minoux 1978).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from auditor.choice.pairs import Pair, Pairs, Pod
from auditor.policy.bits import octets_of

NAMESPACE_PRICE = 1.0
"""What it costs to enter a namespace, in probe pods."""


class Weights:
    """Weights of places: the sum of those in a set is that of the digits that they have, each digit counted at once."""

    def __init__(self, weights: Sequence[int]) -> None:
        digits = max(weights, default=0).bit_length()
        self._digits = [
            octets_of((place for place, weight in enumerate(weights) if weight >> digit & 1), len(weights))
            for digit in range(digits)
        ]

    def of(self, mask: int) -> int:
        """The sum of the weights at the places in ``mask``."""
        return sum((mask & having).bit_count() << digit for digit, having in enumerate(self._digits))


@dataclass
class Cover:
    """The pods taken so far and what is not shown yet. ``namespace_of`` has the namespace of each group, empty for a
    host outside, which costs nothing.
    """

    several: Sequence[Pairs]
    namespace_of: Callable[[int], str]
    limit: int
    pods: set[Pod] = field(default_factory=set)
    created: int = 0
    namespaces: set[str] = field(default_factory=set)
    left: list[int] = field(default_factory=list)
    shown: int = 0

    def __post_init__(self) -> None:
        self._weights = [Weights(pairs.weights) for pairs in self.several]
        self.left = [(1 << len(pairs.weights)) - 1 for pairs in self.several]
        self._heap: list[tuple[float, float, int, Pair]] = []
        self._touching: dict[Pod, list[tuple[int, Pair]]] = {}
        for number, pairs in enumerate(self.several):
            for pair in pairs.shown:
                self._push(number, pair)
                for pod in set(pair):
                    self._touching.setdefault(pod, []).append((number, pair))

    def take(self, wanted: int) -> None:
        """Take pairs until ``wanted`` ways are shown, or none is left that shows more within the limit."""
        while self._heap and self.shown < wanted:
            rank = heapq.heappop(self._heap)
            _, _, number, pair = rank
            now = self._rank(number, pair)
            if now is None or self.created + len(self._new(pair)) > self.limit:
                continue
            if now > rank:
                heapq.heappush(self._heap, now)
                continue
            self._add(number, pair)

    def _add(self, number: int, pair: Pair) -> None:
        new = self._new(pair)
        self._count(number, pair)
        for pod in new:
            self.pods.add(pod)
            self.created += bool(self.namespace_of(pod.group))
            self.namespaces.add(self.namespace_of(pod.group))
        self.pods.update(pair)
        for pod in new:
            for other_number, other in self._touching[pod]:
                self._push(other_number, other)

    def _count(self, number: int, pair: Pair) -> None:
        pairs = self.several[number]
        added = pairs.shown[pair] & self.left[number]
        self.left[number] &= ~added
        self.shown += self._weights[number].of(added)

    def _push(self, number: int, pair: Pair) -> None:
        rank = self._rank(number, pair)
        if rank is not None:
            heapq.heappush(self._heap, rank)

    def _new(self, pair: Pair) -> list[Pod]:
        """The probe pods that ``pair`` needs and that are not there yet. A second one needs the first."""
        return [pod for pod in dict.fromkeys(pair) if pod not in self.pods and self.namespace_of(pod.group)]

    def _rank(self, number: int, pair: Pair) -> tuple[float, float, int, Pair] | None:
        """What sorts first what adds most per price; None where it adds nothing."""
        added = self._weights[number].of(self.several[number].shown[pair] & self.left[number])
        if not added:
            return None
        new = self._new(pair)
        entered = {self.namespace_of(pod.group) for pod in new} - self.namespaces
        price = len(new) + NAMESPACE_PRICE * len(entered)
        return (-added / price if price else -float("inf"), -added, number, pair)


def most_telling(shown: Sequence[int], weights: Sequence[int]) -> tuple[list[int], list[int]]:
    """The places of ``shown`` in the order in which each adds most to what those before it have; those that add
    nothing.
    """
    left, weighed = -1, Weights(weights)
    first: dict[int, int] = {}
    for place, mask in enumerate(shown):
        first.setdefault(mask, place)  # what others show as well adds nothing after it
    heap = [(-weighed.of(mask), place) for mask, place in first.items()]
    heapq.heapify(heap)
    order: list[int] = []
    while heap:
        before, place = heapq.heappop(heap)
        now = -weighed.of(shown[place] & left)
        if before < now < 0:
            heapq.heappush(heap, (now, place))
        elif now:
            left &= ~shown[place]
            order.append(place)
    taken = set(order)
    return order, [place for place in range(len(shown)) if place not in taken]
