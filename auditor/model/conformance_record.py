"""What is kept of one conformance run, so that later ones can be held against it: how each connection of each scenario
came out, and which features it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

AS_EXPECTED, DEPARTS, NO_VERDICT, SKIPPED = "+-?."
"""States of a connection, a character each."""
WITHOUT_VERDICT = frozenset({NO_VERDICT, SKIPPED})


@dataclass(frozen=True)
class RecordedFeature:
    """A feature by its name and in words, and the numbers of the connections that show it."""

    feature: str
    title: str
    connections: tuple[int, ...]


@dataclass(frozen=True)
class ConformanceRecord:
    """One conformance run as history has it.

    ``connections`` are ``SCENARIO: SOURCE -> DESTINATION PORT FAMILY (EXPECTED)`` by the scenario's own names, and
    ``states`` has a character for each of them. ``seconds`` is how long the run took, ``versions`` what nodes run, by
    what it is of.
    """

    run: str
    version: str
    began: str
    subject: str
    conclusion: str
    behaviour: str
    seconds: float
    connections: tuple[str, ...]
    states: str
    features: tuple[RecordedFeature, ...]
    versions: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def state_of(self) -> Mapping[str, str]:
        """The state of each connection."""
        return dict(zip(self.connections, self.states, strict=True))

    def of(self, feature: RecordedFeature) -> tuple[str, ...]:
        """The connections that show ``feature``."""
        return tuple(self.connections[number] for number in feature.connections)

    def departing(self, feature: RecordedFeature) -> tuple[str, ...]:
        """Those of them that are not as expected."""
        return tuple(self.connections[each] for each in feature.connections if self.states[each] == DEPARTS)
