"""Which of many things with labels a selector matches, answered from an index instead of by asking each of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import and_

from auditor.model.labels import Labels, LabelSelector, Operator, Requirement
from auditor.policy.bits import mask_of, octets_of


class LabelIndex:
    """Things by their labels, numbered in order; sets are bitsets over the numbers, and are made when they are first
    asked for.
    """

    def __init__(self, labels: Sequence[Labels | None]) -> None:
        """``labels`` are those of each thing; None for one that no selector matches."""
        self.everything = mask_of(number for number, each in enumerate(labels) if each is not None)
        self._numbers: dict[str, dict[str, list[int]]] = {}
        self._masks: dict[tuple[str, str], int] = {}
        self._present: dict[str, int] = {}
        self._found: dict[LabelSelector, int] = {}
        for number, each in enumerate(labels):
            for key, value in (each or {}).items():
                self._numbers.setdefault(key, {}).setdefault(value, []).append(number)

    def matching(self, selector: LabelSelector) -> int:
        """The things whose labels match ``selector``."""
        if selector not in self._found:
            self._found[selector] = reduce(and_, self.conditions(selector), self.everything)
        return self._found[selector]

    def conditions(self, selector: LabelSelector) -> Iterable[int]:
        """For each of matchLabels and then of matchExpressions the things that meet it."""
        yield from (self.having(key, value) for key, value in selector.match_labels)
        yield from map(self._meeting, selector.match_expressions)

    def having(self, key: str, value: str) -> int:
        """The things with this label."""
        if (key, value) not in self._masks:
            self._masks[key, value] = mask_of(self._numbers.get(key, {}).get(value, ()))
        return self._masks[key, value]

    def with_key(self, key: str) -> int:
        """The things that have the label, whatever its value."""
        if key not in self._present:
            self._present[key] = _union(self._numbers.get(key, {}).values(), self.everything.bit_length())
        return self._present[key]

    def _meeting(self, requirement: Requirement) -> int:
        if requirement.operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST):
            meeting = self.with_key(requirement.key)
        else:
            known = self._numbers.get(requirement.key, {})
            meeting = _union(
                (known[value] for value in requirement.values if value in known), self.everything.bit_length()
            )
        return meeting if requirement.operator in (Operator.IN, Operator.EXISTS) else self.everything & ~meeting


def _union(several: Iterable[Sequence[int]], size: int) -> int:
    """The set of all the numbers, in time that grows with how many they are and not with that times their size."""
    return octets_of((number for numbers in several for number in numbers), size)
