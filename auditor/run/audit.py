"""The whole run: snapshot, expected matrix, probe plan, observations, comparison, findings, report."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from auditor.cluster.port import Cluster
from auditor.diagnosis.comparison import compare
from auditor.diagnosis.findings import find
from auditor.model.errors import UsageError
from auditor.model.ports import PortRequest
from auditor.model.report import CellResult, Report, Summary
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.model.verdict import Cell, Note, Observation, Observed, Verdict
from auditor.model.words import counted
from auditor.policy.doubt import doubtful_cells
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import ExpectedMatrix
from auditor.policy.selection import select
from auditor.probing.campaign import ProbingOutcome, probe
from auditor.probing.options import ProbingOptions, Progress
from auditor.probing.plan import ProbePlan, choose_ports, plan_cells

MOST_REPROBES = 3
"""How often cells are probed anew because the policies changed during the run, before they are given up as inconclusive."""
RESTLESS = "policies or labels of namespaces that decide this kept changing during the run"


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """What to audit of a cluster. Empty ``ports``: chosen by the auditor. Empty selections: every endpoint.

    ``sources`` and ``destinations`` are selections in the notation of ``auditor.policy.selection``; an endpoint takes part when any of
    them matches. ``scope`` names endpoints, of which one at least takes part in each cell. ``declared_only``: no
    port that its destination doesn't declare. ``min_coverage`` is a share, 0 to 1.
    """

    ports: tuple[PortRequest, ...] = ()
    sources: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    scope: frozenset[str] = frozenset()
    declared_only: bool = False
    min_coverage: float = 0.0
    probing: ProbingOptions = field(default_factory=ProbingOptions)


def choose(endpoints: Sequence[Endpoint], selections: Sequence[str]) -> tuple[Endpoint, ...]:
    """The endpoints that any of ``selections`` matches, in their order; all when there are none.

    Raises UsageError for a selection that is malformed or matches nothing.
    """
    if not selections:
        return tuple(endpoints)
    chosen: set[str] = set()
    for selection in selections:
        found = select(endpoints, selection)
        if not found:
            known = ", ".join(endpoint.name for endpoint in endpoints[:8])
            raise UsageError(f"{selection!r} matches no endpoint; there are: {known}{', …' if len(endpoints) > 8 else ''}")
        chosen.update(endpoint.name for endpoint in found)
    return tuple(endpoint for endpoint in endpoints if endpoint.name in chosen)


def plan(snapshot: Snapshot, options: AuditOptions) -> tuple[ExpectedMatrix, ProbePlan]:
    """The expected matrix of ``snapshot`` and the cells that an audit with ``options`` would probe.

    Raises UsageError when nothing is left to probe.
    """
    matrix = evaluate(snapshot, named_ports=options.ports)
    ports = options.ports or choose_ports(snapshot)
    sources = choose(snapshot.endpoints, options.sources)
    destinations = choose(snapshot.endpoints, options.destinations)
    cells = plan_cells(sources, destinations, ports, options.scope, declared_only=options.declared_only)
    if not cells:
        raise UsageError("nothing to probe: no pair of the chosen endpoints and ports is one that a policy can govern")
    return matrix, ProbePlan(tuple(ports), cells)


async def audit(cluster: Cluster, subject: str, options: AuditOptions, progress: Progress) -> Report:
    """Audit ``cluster``, which is up, and report.

    Raises UsageError when a selection or port matches nothing, ClusterError when the cluster fails under it.
    """
    began = time.monotonic()
    matrix, probes = plan(cluster.snapshot, options)
    expectation = _Expectation.of(matrix, probes.cells, cluster.absent)
    planned = time.monotonic()
    course = _Course(expectation, await _probe(cluster, expectation, probes.cells, options, progress))
    course = await _follow_changes(cluster, course, options, progress)
    probed = time.monotonic()
    results = course.results()
    return Report(
        subject=subject,
        run_id=secrets.token_hex(4),
        endpoints=cluster.snapshot.endpoints,
        cells=results,
        findings=find(course.expectation.matrix.snapshot, results, cluster.reproduce),
        summary=Summary.of(results),
        min_coverage=options.min_coverage,
        facts=(*_facts(cluster.snapshot, matrix), *cluster.facts, *course.outcome.facts),
        seconds={"evaluating": planned - began, **course.outcome.seconds, "comparing": time.monotonic() - probed},
        attempts=course.outcome.attempts,
    )


@dataclass(frozen=True, slots=True)
class _Expectation:
    """What the policies demand of each cell. ``doubts`` are the cells about which they can't say anything certain, with the reason."""

    matrix: ExpectedMatrix
    verdicts: Mapping[Cell, Verdict]
    notes: Mapping[Cell, tuple[Note, ...]]
    doubts: Mapping[Cell, str]

    @classmethod
    def of(cls, matrix: ExpectedMatrix, cells: Sequence[Cell], absent: Mapping[str, str]) -> Self:
        """``absent`` are endpoints without an agent that stands for them, with the reason."""
        doubts = doubtful_cells(matrix.snapshot, matrix.snapshot.unknown, cells) if matrix.snapshot.unknown else {}
        doubts |= {cell: absent[end] for cell in cells for end in (cell.source, cell.destination) if end in absent}
        return cls(matrix, {cell: matrix.verdict(*cell) for cell in cells}, {cell: matrix.notes(*cell) for cell in cells}, doubts)

    def demanded(self, cell: Cell) -> Verdict | None:
        """The verdict that ``cell`` is held to; None where nothing certain is known."""
        return None if cell in self.doubts or Note.UNDEFINED in self.notes[cell] else self.verdicts[cell]

    def differing(self, other: _Expectation) -> set[Cell]:
        """The cells about which ``other`` says something else."""
        return {
            cell
            for cell, verdict in self.verdicts.items()
            if verdict != other.verdicts[cell] or self.notes[cell] != other.notes[cell] or (cell in self.doubts) != (cell in other.doubts)
        }


@dataclass(frozen=True, slots=True)
class _Course:
    """How far a run has come: what is expected by now, and what was seen."""

    expectation: _Expectation
    outcome: ProbingOutcome

    def results(self) -> tuple[CellResult, ...]:
        """Every cell with its expectation, its observation and how they compare."""
        return tuple(self._result(cell) for cell in self.expectation.verdicts)

    def _result(self, cell: Cell) -> CellResult:
        expectation, seen = self.expectation, self.outcome.observations[cell]
        if cell in expectation.doubts and seen.verdict is not Observed.SKIPPED:
            seen = Observation(Observed.INCONCLUSIVE, expectation.doubts[cell], seen.history)
        result = compare(expectation.verdicts[cell], expectation.notes[cell], seen, unstable=cell in self.outcome.unstable)
        return CellResult(cell, expectation.verdicts[cell], seen, result, expectation.notes[cell])


async def _probe(
    cluster: Cluster, expectation: _Expectation, cells: Sequence[Cell], options: AuditOptions, progress: Progress
) -> ProbingOutcome:
    return await probe(cells, cluster.seats, cluster.open, expectation.demanded, options.probing, progress, absent=cluster.absent)


async def _follow_changes(cluster: Cluster, course: _Course, options: AuditOptions, progress: Progress) -> _Course:
    """Judge anew what changes in the cluster have touched since it was read, and probe it anew; what never comes to rest is doubtful."""
    reprobed: set[Cell] = set()
    for _ in range(MOST_REPROBES):
        states = await cluster.changes()
        if not states:
            return _told(course, reprobed)
        expectation, touched = _after(states, course.expectation, cluster.absent)
        again = [cell for cell in course.expectation.verdicts if cell in touched]
        outcome = course.outcome
        if again:
            outcome = _renewed(outcome, await _probe(cluster, expectation, again, options, progress))
        reprobed |= touched
        course = _Course(expectation, outcome)
    states = await cluster.changes()
    if states:
        expectation, touched = _after(states, course.expectation, cluster.absent)
        course = replace(course, expectation=replace(expectation, doubts={**expectation.doubts, **dict.fromkeys(touched, RESTLESS)}))
    return _told(course, reprobed)


def _renewed(before: ProbingOutcome, again: ProbingOutcome) -> ProbingOutcome:
    """``before`` with everything that ``again``, a later probing of some of its cells, saw."""
    seconds = Counter(before.seconds) + Counter(again.seconds)
    return ProbingOutcome(
        {**before.observations, **again.observations},
        (before.unstable - again.observations.keys()) | again.unstable,
        tuple(dict.fromkeys((*before.facts, *again.facts))),
        before.attempts + again.attempts,
        {phase: seconds[phase] for phase in dict.fromkeys((*before.seconds, *again.seconds))},
    )


def _after(states: Iterable[Snapshot], before: _Expectation, absent: Mapping[str, str]) -> tuple[_Expectation, set[Cell]]:
    """What is expected now, after ``states``, and every cell about which any two of them disagree: a verdict may have flapped."""
    cells = tuple(before.verdicts)
    touched: set[Cell] = set()
    expectation = before
    for state in states:
        following = _Expectation.of(evaluate(state), cells, absent)
        touched |= following.differing(expectation)
        expectation = following
    return expectation, touched


def _told(course: _Course, reprobed: Collection[Cell]) -> _Course:
    if not reprobed:
        return course
    fact = f"policies or namespaces changed during the run: {counted(len(reprobed), 'cell')} judged by the new ones and probed again"
    return replace(course, outcome=replace(course.outcome, facts=(*course.outcome.facts, fact)))


def _facts(snapshot: Snapshot, matrix: ExpectedMatrix) -> list[str]:
    endpoints = counted(len(snapshot.endpoints), "endpoint")
    classes = counted(len(matrix.classes), "identity class", "identity classes")
    facts = [f"{endpoints} in {classes}, {counted(len(snapshot.policies), 'policy', 'policies')}"]
    if snapshot.ignored:
        facts.append("not taken into account: " + ", ".join(f"{count} {kind}" for kind, count in sorted(snapshot.ignored.items())))
    return facts
