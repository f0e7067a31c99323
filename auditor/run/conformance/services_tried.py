"""Policies through Services, in a run of conformance: some connections that are as expected without are tried once more
through Services of the run's own, which lead to its own pods alone.

A few backends show what there is to be seen: what is allowed and what is denied, on one node and across, and what a pod
sends to itself. The scenarios and their verdicts stay what they are; this is a feature of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol as Interface

from auditor.model.ports import Protocol
from auditor.model.report import CellResult
from auditor.model.snapshot import Endpoint, EndpointKind
from auditor.model.verdict import Observation, Observed, Result, Verdict
from auditor.probing.options import ProbingOptions, ProbingProgress
from auditor.run.conformance.prepared_scenarios import PreparedScenario
from auditor.run.conformance.scenario_run import ScenarioOutcome
from auditor.run.services import ServicePlace, Tried, try_services

MOST_BACKENDS = 3
MOST_SCENARIOS = 2
"""On the lab, where each scenario has a cluster of its own."""
SKIPPED = "SKIPPED policies through Services: {}"
NONE_MADE = "no Service could be made"
NOT_TRIED = Observation(Observed.SKIPPED, "not tried yet")
NOTHING_TO_TRY = "no connection over TCP is denied, and as expected, without them"


class TestbedWithServices(ServicePlace, Interface):
    """A testbed in which Services can be made."""

    @property
    def refused(self) -> Sequence[str]:
        """Why Services could not be made, a line for each."""


async def tried_through_services(
    place: TestbedWithServices,
    nodes: Mapping[str, Endpoint],
    outcome: ScenarioOutcome,
    options: ProbingOptions,
    progress: ProbingProgress,
) -> ScenarioOutcome:
    """``outcome`` with what comes of some of its connections through Services at ``place``, where its policies are
    still in force. ``nodes`` are the nodes there, by their bare names. Raises ClusterError.
    """
    chosen = telling(outcome.results, {end: site.node for site in place.sites for end in site.endpoints if site.agent})
    if not chosen:
        return replace(outcome, facts=(*outcome.facts, SKIPPED.format(NOTHING_TO_TRY)))
    known = [end for end in outcome.snapshot.endpoints if end.kind is not EndpointKind.NODE]
    about = Tried(chosen, replace(outcome.snapshot, endpoints=tuple(known)), nodes)
    seen = await try_services(place, about, options, progress)
    # The first reason is as good as all: there is one for each of several Services.
    without = [] if seen.results else [SKIPPED.format(next(iter(place.refused), NONE_MADE))]
    return replace(outcome, through=seen, facts=(*outcome.facts, *seen.facts, *without))


def telling(results: Iterable[CellResult], node_of: Mapping[str, str]) -> list[CellResult]:
    """Those of ``results`` to be tried again: of as few backends as show most, of pods that are on known nodes. None
    where nothing is denied, as that would look the same without any policy.
    """
    by_backend: dict[str, list[CellResult]] = {}
    for each in results:
        ends = (each.cell.source, each.cell.destination)
        if each.result is Result.MATCH and not each.notes and all(node_of.get(end) for end in ends):
            by_backend.setdefault(each.cell.destination, []).append(each)
    kinds = {backend: _kinds(tried, node_of) for backend, tried in by_backend.items()}
    chosen = [each for backend in _most_telling(kinds, MOST_BACKENDS) for each in by_backend[backend]]
    denied = any(each.expected is Verdict.DENIED and each.cell.protocol is Protocol.TCP for each in chosen)
    return chosen if denied else []


def tells_of_services(prepared_scenarios: Iterable[PreparedScenario]) -> list[str]:
    """The names of the few of ``prepared_scenarios`` that show most through Services."""
    kinds: dict[str, set[tuple[object, ...]]] = {}
    for prepared in prepared_scenarios:
        node_of = {pod.name: pod.node for pod in prepared.pods}
        expected = [
            CellResult(cell, verdict, NOT_TRIED, Result.MATCH)
            for cell, verdict in prepared.truth.items()
            if cell.source in node_of and cell.destination in node_of
        ]
        chosen = telling(expected, node_of)
        kinds[prepared.scenario.name] = {kind for kind in _kinds(chosen, node_of) if len(kind) > 1} if chosen else set()
    return _most_telling(kinds, MOST_SCENARIOS)


def _most_telling(kinds: Mapping[str, set[tuple[object, ...]]], most: int) -> list[str]:
    """As few of the names as show all of ``kinds`` between them, and no more than ``most``."""
    shown: set[tuple[object, ...]] = set()
    chosen: list[str] = []
    while len(chosen) < most:
        best = max(kinds, key=lambda name: len(kinds[name] - shown), default=None)
        if best is None or not kinds[best] - shown:
            break
        shown |= kinds[best]
        chosen.append(best)
    return chosen


def _kinds(tried: Sequence[CellResult], node_of: Mapping[str, str]) -> set[tuple[object, ...]]:
    """What connections to one backend can show. Another node is one thing more: its ports are tried, too."""
    if all(each.cell.protocol is not Protocol.TCP for each in tried):
        return set()  # what shows that a node translates is a TCP connection
    kinds: set[tuple[object, ...]] = {(node_of[each.cell.destination],) for each in tried}
    for each in tried:
        source, backend = each.cell.source, each.cell.destination
        where = "itself" if source == backend else node_of[source] == node_of[backend]
        kinds.add((each.expected, where, each.cell.protocol))
    return kinds
