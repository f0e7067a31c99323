"""One run of scenarios on a testbed: the changes, each timed until it has come into force, and then every cell of every
scenario.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from auditor.diagnosis.comparison import compare
from auditor.loop.apart import apart
from auditor.model.report import CellResult
from auditor.model.service_seen import ServicesSeen
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell, Note, Observation, Observed, ProbingOutcome, Verdict
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import ExpectedMatrix
from auditor.probing.options import ProbingOptions, ProbingProgress
from auditor.probing.probe_run import probe
from auditor.run.conformance.following import follow_changes
from auditor.run.conformance.prepared_scenarios import PreparedScenario
from auditor.run.conformance.testbed import Testbed

LOST_MEANING = "what could be set up here does not mean the same: by the policies, {} is {}"


@dataclass(frozen=True, slots=True)
class ScenarioOutcome:
    """What a run of scenarios saw. ``snapshot`` is everything that was there in the end, under the new names.

    ``seconds`` is, by scenario, how long its change took to come into force; None where it did not. ``open_seconds``
    has those connections of new pods that should be denied and were open for longer than is borne. ``reused`` has what
    was seen on pods that had been those of other scenarios, where that is how it was judged at first. ``through`` has
    what came of some of the connections through Services, where these were tried.
    """

    snapshot: Snapshot
    results: tuple[CellResult, ...]
    seconds: Mapping[str, float | None] = field(default_factory=dict)
    facts: tuple[str, ...] = ()
    attempts: int = 0
    open_seconds: Mapping[Cell, float] = field(default_factory=dict)
    reused: Mapping[Cell, CellResult] = field(default_factory=dict)
    through: ServicesSeen | None = None

    def of_reused_pods(self, but: Collection[str]) -> ScenarioOutcome:
        """This outcome as that of a run on pods of others. The scenarios of the namespaces ``but`` are to be judged
        anew: of them it is only noted in ``reused`` what was seen.
        """
        names = {endpoint.name for endpoint in self.snapshot.endpoints if endpoint.namespace in but}
        snapshot = Snapshot(
            namespaces={name: each for name, each in self.snapshot.namespaces.items() if name not in but},
            endpoints=tuple(each for each in self.snapshot.endpoints if each.name not in names),
            policies=tuple(policy for policy in self.snapshot.policies if policy.namespace not in but),
        )
        kept = tuple(each for each in self.results if names.isdisjoint((each.cell.source, each.cell.destination)))
        return replace(self, snapshot=snapshot, results=kept, reused={each.cell: each for each in self.results})


async def run_scenarios(
    testbed: Testbed, prepared_scenarios: Sequence[PreparedScenario], options: ProbingOptions, progress: ProbingProgress
) -> ScenarioOutcome:
    """Make the changes of ``prepared_scenarios``, then probe all cells of all of them. Raises ClusterError."""
    followed = await follow_changes(
        testbed, [prepared for prepared in prepared_scenarios if prepared.step is not None], options, progress
    )
    borne = options.late_isolation
    late = {cell: each for cell, each in followed.open_seconds.items() if borne is not None and each > borne}
    # Pods have been there for a while by now, and policies have changed.
    options = replace(options, late_isolation=None)
    seen = await _probe_all(testbed, prepared_scenarios, options, progress)
    return replace(seen, seconds=followed.seconds, open_seconds=late)


async def _probe_all(
    testbed: Testbed, prepared_scenarios: Sequence[PreparedScenario], options: ProbingOptions, progress: ProbingProgress
) -> ScenarioOutcome:
    snapshots = [testbed.actual(prepared).snapshot for prepared in prepared_scenarios]
    absent, failed = dict(testbed.absent), dict(testbed.failed)
    expectation = await apart(_expect, snapshots, prepared_scenarios, absent, failed)
    cells, translators = expectation.probed, expectation.snapshot.node_addresses
    demanded, witnesses = expectation.demanded, testbed.witnesses
    outcome = await probe(
        cells,
        testbed.sites,
        testbed.open,
        demanded,
        options,
        progress,
        absent=absent,
        translators=translators,
        witnesses=witnesses,
    )
    results = await apart(expectation.results, outcome)
    return ScenarioOutcome(expectation.snapshot, results, {}, (*testbed.facts, *outcome.facts), outcome.attempts)


@dataclass(frozen=True, slots=True)
class _Expectation:
    """What is expected of the cells of all scenarios together, and which of them need not be probed."""

    snapshot: Snapshot
    matrix: ExpectedMatrix
    notes: Mapping[Cell, tuple[Note, ...]]
    unseen: Mapping[Cell, Observation]

    @property
    def probed(self) -> list[Cell]:
        return [cell for cell in self.notes if cell not in self.unseen]

    def demanded(self, cell: Cell) -> Verdict | None:
        return None if Note.UNDEFINED in self.notes[cell] else self.matrix.verdict(*cell)

    def results(self, outcome: ProbingOutcome) -> tuple[CellResult, ...]:
        seen, unstable = {**outcome.observations, **self.unseen}, outcome.unstable
        found = []
        for cell, notes in self.notes.items():
            expected = self.matrix.verdict(*cell)
            found.append(
                CellResult(
                    cell, expected, seen[cell], compare(expected, notes, seen[cell], unstable=cell in unstable), notes
                )
            )
        return tuple(found)


def _expect(
    snapshots: Sequence[Snapshot],
    prepared_scenarios: Sequence[PreparedScenario],
    absent: Mapping[str, str],
    failed: Mapping[str, str],
) -> _Expectation:
    snapshot = merged(snapshots)
    matrix = evaluate(snapshot)
    notes = {cell: matrix.notes(*cell) for prepared in prepared_scenarios for cell in prepared.truth}
    return _Expectation(snapshot, matrix, notes, _unseen(prepared_scenarios, matrix, absent, failed))


def _unseen(
    prepared_scenarios: Sequence[PreparedScenario],
    matrix: ExpectedMatrix,
    absent: Mapping[str, str],
    failed: Mapping[str, str],
) -> dict[Cell, Observation]:
    """What need not be probed: the cells of scenarios that mean something else here, and those of pods that ought to
    run and don't.
    """
    unseen: dict[Cell, Observation] = {}
    for prepared in prepared_scenarios:
        for cell in prepared.truth:
            ends = [end for end in (cell.destination, cell.source) if end in failed]
            if ends and absent.keys().isdisjoint((cell.source, cell.destination)):
                unseen[cell] = Observation(Observed.INCONCLUSIVE, failed[ends[0]])
    void = lost_meaning(matrix, prepared_scenarios, {*absent, *failed})
    return {**unseen, **{cell: Observation(Observed.SKIPPED, reason) for cell, reason in void.items()}}


def lost_meaning(
    matrix: ExpectedMatrix, prepared_scenarios: Sequence[PreparedScenario], absent: Collection[str]
) -> dict[Cell, str]:
    """The cells of scenarios whose policies, where they stand now, do not say what their truth table demands; each with
    the reason.

    What ends at an ``absent`` endpoint is not tried anyway, and so does not count.
    """
    void: dict[Cell, str] = {}
    for prepared in prepared_scenarios:
        tried = (
            (cell, verdict)
            for cell, verdict in prepared.truth.items()
            if cell.source not in absent and cell.destination not in absent
        )
        wrong = next((cell for cell, verdict in tried if matrix.verdict(*cell) is not verdict), None)
        if wrong is not None:
            void |= dict.fromkeys(prepared.truth, LOST_MEANING.format(wrong, matrix.verdict(*wrong)))
    return void


def merged(snapshots: Sequence[Snapshot]) -> Snapshot:
    """All of ``snapshots``, which share no name, as one."""
    return Snapshot(
        namespaces={name: namespace for snapshot in snapshots for name, namespace in snapshot.namespaces.items()},
        endpoints=tuple(endpoint for snapshot in snapshots for endpoint in snapshot.endpoints),
        policies=tuple(policy for snapshot in snapshots for policy in snapshot.policies),
        admin_policies=tuple(policy for snapshot in snapshots for policy in snapshot.admin_policies),
    )
