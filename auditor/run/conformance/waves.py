"""Which scenarios are up together on a live cluster: as many as its nodes have room for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from auditor.model.snapshot import Endpoint
from auditor.run.conformance.prepared_scenarios import PreparedScenario

LEAST_LATER = 32
"""As many pods must be saved for it to be worth the time that their taking over takes."""


def pods_ever(prepared: PreparedScenario) -> list[Endpoint]:
    """The pods of ``prepared``, with one that is there at first only or comes later."""
    ever = {pod.name: pod for state in (prepared.start, prepared.snapshot) for pod in state.endpoints}
    return [pod for pod in ever.values() if pod.selectable]


def divided(
    prepared_scenarios: Sequence[PreparedScenario],
) -> tuple[Sequence[PreparedScenario], Sequence[PreparedScenario]]:
    """Those that need pods of their own, and those that may be judged later on the same ones, if that is worth it.

    Of its own are the pods of a scenario in which something changes, since what new pods meet is looked at there, and
    pods that name ports.
    """
    own: list[PreparedScenario] = []
    later: list[PreparedScenario] = []
    for prepared in prepared_scenarios:
        needs_own = prepared.step is not None or any(pod.ports for pod in prepared.pods)
        (own if needs_own else later).append(prepared)
    saved = min(sum(len(pods_ever(each)) for each in part) for part in (own, later))
    return (own, later) if saved >= LEAST_LATER else (prepared_scenarios, ())


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
        return Counter(nodes[pod.node] for pod in pods_ever(prepared))

    @property
    def pods(self) -> Counter[str]:
        """How many pods are on each node."""
        return sum(map(self.pods_of, self.prepared_scenarios), Counter())

    def beside(self, other: Wave) -> Wave:
        """Both, where the pods of ``other`` have come and those here may be there still."""
        return Wave([*self.prepared_scenarios, *other.prepared_scenarios], {**self.nodes, **other.nodes})

    def giving_way(self, following: Wave, room: Mapping[str, int]) -> list[PreparedScenario]:
        """As many of the scenarios as must go for ``following`` to find room; ``room`` is what nodes took before any
        was there. To end pods takes as much of a node as to start them.
        """
        wanted, freed = following.pods - (Counter(room) - self.pods), Counter[str]()
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
