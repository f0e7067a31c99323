"""The labels that pods have, by namespace, for what a selector that matches none of them may have meant."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import and_

from auditor.lint.likeness import Likeness
from auditor.model.labels import LabelSelector
from auditor.model.snapshot import Endpoint
from auditor.policy.bits import bits, mask_of
from auditor.policy.label_index import LabelIndex

MOST_COMPARED = 300
"""A label with more values than that in a namespace is one of single pods or jobs."""
NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Area:
    """Some of the namespaces, as a set of their numbers and in words. ``has_pods``: some pod there is one that
    selectors can match.
    """

    mask: int
    text: str
    pods: PodValues
    has_pods: bool

    def __str__(self) -> str:
        return self.text


class PodValues:
    """Which values of which labels the pods of each namespace have."""

    def __init__(self, pods: Iterable[tuple[int, Sequence[Endpoint]]]) -> None:
        """``pods`` are those of each namespace, which is given by its number."""
        self._namespaces: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._keys: dict[str, set[str]] = defaultdict(set)
        self._pods = [(namespace, endpoint) for namespace, endpoints in pods for endpoint in endpoints]
        for namespace, endpoint in self._pods:
            for key, value in endpoint.labels.items():
                self._namespaces[key][value] |= 1 << namespace
                self._keys[value].add(key)
        self._likeness: dict[str, tuple[Likeness, Mapping[str, int]]] = {}
        self._seen: dict[tuple[int, str], list[str]] = {}

    @cached_property
    def _labels(self) -> LabelIndex:
        return LabelIndex([endpoint.labels for _, endpoint in self._pods])

    @cached_property
    def _by_namespace(self) -> Mapping[int, int]:
        numbers: dict[int, list[int]] = defaultdict(list)
        for number, (namespace, _) in enumerate(self._pods):
            numbers[namespace].append(number)
        return {namespace: mask_of(there) for namespace, there in numbers.items()}

    def any_matching(self, area: Area, *selectors: LabelSelector) -> bool:
        """Whether a pod of ``area`` matches all of ``selectors``."""
        found = reduce(and_, map(self._labels.matching, selectors))
        return any(found & self._by_namespace.get(namespace, 0) for namespace in bits(area.mask)) if found else False

    def of(self, area: Area, key: str) -> list[str]:
        """The values that the label ``key`` has on pods of ``area``, sorted."""
        if (area.mask, key) not in self._seen:
            self._seen[area.mask, key] = sorted(
                value for value, there in self._namespaces.get(key, {}).items() if there & area.mask
            )
        return self._seen[area.mask, key]

    def other_keys(self, area: Area, key: str, value: str) -> list[str]:
        """The labels other than ``key`` that have ``value`` on a pod of ``area``, sorted."""
        return sorted(
            other for other in self._keys.get(value, ()) if other != key and self._namespaces[other][value] & area.mask
        )

    def has(self, key: str, value: str) -> bool:
        """Whether a pod of any namespace has this label."""
        return value in self._namespaces.get(key, {})

    def like(self, area: Area, key: str, value: str) -> list[str]:
        """The values of ``key`` on pods of ``area`` that are ``value`` but for a slip of the pen, sorted."""
        # What differs in its numbers only is another version or replica.
        plain = NUMBER.sub("0", value)
        if key not in self._namespaces:
            return []
        if key not in self._likeness:
            there = self._plain_values(key)
            self._likeness[key] = (Likeness(there), there)
        likeness, namespaces = self._likeness[key]
        near = {each for each in likeness.like(plain) if namespaces[each] & area.mask}
        return [other for other in self.of(area, key) if NUMBER.sub("0", other) in near] if near else []

    def _plain_values(self, key: str) -> Mapping[str, int]:
        """The values of ``key`` without their numbers, each with the namespaces that have it and not too
        many others.
        """
        number: dict[int, int] = defaultdict(int)
        for there in self._namespaces[key].values():
            for namespace in bits(there):
                number[namespace] += 1
        too_many = sum(1 << namespace for namespace, several in number.items() if several > MOST_COMPARED)
        plain: dict[str, int] = defaultdict(int)
        for value, there in self._namespaces[key].items():
            plain[NUMBER.sub("0", value)] |= there & ~too_many
        return plain
