"""Which scenarios are up in a cluster together, and on which nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from auditor.run.conformance.prepared_scenarios import PreparedScenario


@dataclass(slots=True)
class Wave:
    """Scenarios that are up together; ``nodes`` has, by scenario, which node of the cluster stands for which of the
    scenario's.
    """

    prepared_scenarios: list[PreparedScenario] = field(default_factory=list)
    nodes: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def pods_of(self, prepared: PreparedScenario) -> Counter[str]:
        """How many pods of ``prepared`` are on each node."""
        nodes = self.nodes[prepared.scenario.name]
        return Counter(nodes[pod.node] for pod in prepared.snapshot.endpoints if pod.selectable)

    @property
    def pods(self) -> Counter[str]:
        """How many pods are on each node."""
        return sum(map(self.pods_of, self.prepared_scenarios), Counter())

    def giving_way(self, following: Wave) -> list[PreparedScenario]:
        """As many of the scenarios as must go for ``following`` to have room. To end pods takes as much of a node as to
        start them.
        """
        wanted, freed = following.pods, Counter[str]()
        going = []
        for prepared in self.prepared_scenarios:
            if not wanted - freed:
                break
            going.append(prepared)
            freed += self.pods_of(prepared)
        return going


def make_waves(prepared_scenarios: Iterable[PreparedScenario], room: Mapping[str, int]) -> list[Wave]:
    """``prepared_scenarios`` in as few waves as ``room``, the number of pods that each node takes, lets be.

    A scenario's nodes are different ones as far as there are enough, the emptiest first.
    """
    waves = [Wave()]
    for prepared in prepared_scenarios:
        _place(waves[-1], prepared, room)
        if len(waves[-1].prepared_scenarios) > 1 and any(count > room[node] for node, count in waves[-1].pods.items()):
            waves[-1].prepared_scenarios.remove(prepared)
            del waves[-1].nodes[prepared.scenario.name]
            waves.append(Wave())
            _place(waves[-1], prepared, room)
    return waves


def _place(wave: Wave, prepared: PreparedScenario, room: Mapping[str, int]) -> None:
    taken = wave.pods
    emptiest = sorted(room, key=lambda node: (taken[node] - room[node], node))
    wave.nodes[prepared.scenario.name] = {
        node: emptiest[number % len(emptiest)] for number, node in enumerate(prepared.scenario.nodes)
    }
    wave.prepared_scenarios.append(prepared)
