"""Which trials are up in a cluster together, and on which nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from auditor.run.conformance.prepared_scenarios import Trial


@dataclass(slots=True)
class Wave:
    """Trials that are up together; ``nodes`` has, by scenario, which node of the cluster stands for which of the scenario's."""

    trials: list[Trial] = field(default_factory=list)
    nodes: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def pods_of(self, trial: Trial) -> Counter[str]:
        """How many pods of ``trial`` are on each node."""
        nodes = self.nodes[trial.scenario.name]
        return Counter(nodes[pod.node] for pod in trial.snapshot.endpoints if pod.selectable)

    @property
    def pods(self) -> Counter[str]:
        """How many pods are on each node."""
        return sum(map(self.pods_of, self.trials), Counter())

    def giving_way(self, following: Wave) -> list[Trial]:
        """As many of the trials as must go for ``following`` to have room. To end pods takes as much of a node as to start them."""
        wanted, freed = following.pods, Counter[str]()
        going = []
        for trial in self.trials:
            if not wanted - freed:
                break
            going.append(trial)
            freed += self.pods_of(trial)
        return going


def make_waves(trials: Iterable[Trial], room: Mapping[str, int]) -> list[Wave]:
    """``trials`` in as few waves as ``room``, the number of pods that each node takes, lets be.

    A scenario's nodes are different ones as far as there are enough, the emptiest first.
    """
    waves = [Wave()]
    for trial in trials:
        _place(waves[-1], trial, room)
        if len(waves[-1].trials) > 1 and any(count > room[node] for node, count in waves[-1].pods.items()):
            waves[-1].trials.remove(trial)
            del waves[-1].nodes[trial.scenario.name]
            waves.append(Wave())
            _place(waves[-1], trial, room)
    return waves


def _place(wave: Wave, trial: Trial, room: Mapping[str, int]) -> None:
    taken = wave.pods
    emptiest = sorted(room, key=lambda node: (taken[node] - room[node], node))
    wave.nodes[trial.scenario.name] = {node: emptiest[number % len(emptiest)] for number, node in enumerate(trial.scenario.nodes)}
    wave.trials.append(trial)
