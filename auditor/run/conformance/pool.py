"""Which pods and namespaces that are there already a further scenario could stand on.

A scenario's namespace takes one of the pool's for itself, so that no two scenarios that are up together share any. In
it there may be more pods than the scenario has: they keep no labels, and no cell is about them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, permutations

from auditor.model.labels import Labels
from auditor.model.snapshot import Endpoint
from auditor.run.conformance.prepared_scenarios import PreparedScenario

MOST_NODES = 4
"""Of how many nodes, those with most pods, the ways to stand for a scenario's nodes are tried."""


@dataclass(frozen=True, slots=True)
class PooledPod:
    """A pod that runs: ``endpoint`` as the cluster has it, the ``labels`` that it owes to a scenario, what was
    ``added`` to these, and when it was ``created``, by ``time.monotonic``.
    """

    endpoint: Endpoint
    labels: Labels
    added: Labels
    created: float


@dataclass(frozen=True, slots=True)
class PooledNamespace:
    """A namespace that is there, with the labels that it owes to a scenario."""

    name: str
    labels: Labels
    pods: tuple[PooledPod, ...]

    @property
    def on_nodes(self) -> Counter[str]:
        """How many pods are on each node."""
        return Counter(pod.endpoint.node for pod in self.pods)


@dataclass(frozen=True, slots=True)
class Seat:
    """Where one scenario stands: by its own names, which namespaces and pods of the pool are its, and which nodes of
    the cluster stand for its nodes.
    """

    namespaces: Mapping[str, PooledNamespace]
    pods: Mapping[str, PooledPod]
    nodes: Mapping[str, str]

    def after(self, prepared: PreparedScenario) -> Iterable[PooledNamespace]:
        """The namespaces, and their pods, once they have the labels of ``prepared``."""
        labels = {self.pods[pod.name].endpoint.name: pod.labels for pod in prepared.pods}
        for name, pooled in self.namespaces.items():
            pods = tuple(replace(pod, labels=labels.get(pod.endpoint.name, {})) for pod in pooled.pods)
            yield replace(pooled, labels=prepared.snapshot.namespaces[name].own_labels, pods=pods)


def seat(prepared_scenarios: Iterable[PreparedScenario], pool: Sequence[PooledNamespace]) -> dict[str, Seat]:
    """Where as many of ``prepared_scenarios`` as there is room for stand, by the scenario's name; the largest first."""
    free = {pooled.name: pooled for pooled in pool}
    seats: dict[str, Seat] = {}
    for prepared in sorted(prepared_scenarios, key=lambda each: (-len(each.pods), each.scenario.name)):
        found = _seat(prepared, list(free.values()))
        if found is not None:
            seats[prepared.scenario.name] = found
            for pooled in found.namespaces.values():
                del free[pooled.name]
    return seats


def _seat(prepared: PreparedScenario, free: Sequence[PooledNamespace]) -> Seat | None:
    """The seat for ``prepared`` that leaves fewest pods idle."""
    wanted = _wanted(prepared)
    roles = sorted({node for counts in wanted.values() for node in counts})
    everywhere = sum((pooled.on_nodes for pooled in free), Counter[str]())
    nodes = sorted(everywhere, key=lambda node: (-everywhere[node], node))[:MOST_NODES]
    if not nodes:
        return None
    found = [
        (namespaces, standing)
        for chosen in permutations(nodes, min(len(roles), len(nodes)))
        if (namespaces := _namespaces(wanted, standing := dict(zip(roles, cycle(chosen), strict=False)), free))
    ]
    if not found:
        return None
    namespaces, standing = min(found, key=lambda each: sum(len(pooled.pods) for pooled in each[0].values()))
    return Seat(namespaces, _seated(prepared, namespaces, standing), standing)


def _wanted(prepared: PreparedScenario) -> dict[str, Counter[str]]:
    """How many pods each namespace has on each of the scenario's nodes."""
    wanted: dict[str, Counter[str]] = {name: Counter() for name in prepared.snapshot.namespaces}
    for pod in prepared.pods:
        wanted[pod.namespace][pod.node] += 1
    return wanted


def _namespaces(
    wanted: Mapping[str, Counter[str]], standing: Mapping[str, str], free: Sequence[PooledNamespace]
) -> dict[str, PooledNamespace] | None:
    """For each namespace the smallest of ``free`` that has what is ``wanted``, none twice; None where there isn't."""
    chosen: dict[str, PooledNamespace] = {}
    left = sorted(free, key=lambda pooled: len(pooled.pods))
    for name, counts in sorted(wanted.items(), key=lambda each: -each[1].total()):
        here = sum((Counter({standing[node]: count}) for node, count in counts.items()), Counter[str]())
        found = next((pooled for pooled in left if not here - pooled.on_nodes), None)
        if found is None:
            return None
        chosen[name] = found
        left.remove(found)
    return chosen


def _seated(
    prepared: PreparedScenario, namespaces: Mapping[str, PooledNamespace], standing: Mapping[str, str]
) -> dict[str, PooledPod]:
    left = {name: list(pooled.pods) for name, pooled in namespaces.items()}
    pods: dict[str, PooledPod] = {}
    for pod in prepared.pods:
        there = next(one for one in left[pod.namespace] if one.endpoint.node == standing[pod.node])
        left[pod.namespace].remove(there)
        pods[pod.name] = there
    return pods
