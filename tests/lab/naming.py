"""Whether a diagnosis names the fault that was injected: what a case is, when it counts, and tallies of cases.

A case counts where the fault can be seen. It is named rightly when the injected dialect and scope, or wider ones that
predict the same for every observed cell, are the hypothesis or among those that can't be told apart from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import permutations
from random import Random

from auditor.diagnosis.cells import Cells
from auditor.diagnosis.comparison import compare
from auditor.diagnosis.evidence import Evidence
from auditor.diagnosis.hypotheses import is_part_of
from auditor.diagnosis.predictors import Predictor
from auditor.diagnosis.search import diagnose
from auditor.model.diagnosis import Diagnosis, Fault, Hypothesis, Scope, ScopeKind
from auditor.model.dialect import Dialect, Enforcement
from auditor.model.policy import NetworkPolicy
from auditor.model.report import CellResult
from auditor.model.scenario import Scenario
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell, Observation, Observed, Result
from auditor.policy.matrix import ExpectedMatrix
from auditor.probing.plan import choose_ports, plan_cells
from tests.strategies import LAB_SHAPE, Shape, random_policies, random_snapshot

SHAPE = replace(LAB_SHAPE, pods=6, policies=6, host_network=0.0)
PAIRS = "pairs of dialects"
FOUND = (Result.LEAK, Result.OUTAGE, Result.UNSTABLE, Result.MISDELIVERED, Result.CNI_DEPENDENT)


@dataclass(frozen=True)
class World:
    """A snapshot with the cells that an audit of it would probe."""

    name: str
    snapshot: Snapshot
    cells: tuple[Cell, ...]
    previous: tuple[NetworkPolicy, ...] | None

    @classmethod
    def of(cls, scenario: Scenario) -> World:
        snapshot = scenario.snapshot
        cells = plan_cells(snapshot.endpoints, snapshot.endpoints, scenario.ports or choose_ports(snapshot))
        return cls(scenario.name, snapshot, cells, scenario.previous_policies)

    @classmethod
    def random(cls, seed: int, shape: Shape = SHAPE, size: int = 1_000) -> World:
        """A random cluster, for the dialects that few scenarios show, with at most ``size`` cells."""
        random = Random(seed)
        snapshot = random_snapshot(random, shape)
        previous = random_policies(random, shape, list(snapshot.endpoints))
        cells = plan_cells(snapshot.endpoints, snapshot.endpoints, choose_ports(snapshot))
        return cls(f"random-{seed}", snapshot, tuple(random.sample(cells, min(size, len(cells)))), previous)

    @cached_property
    def predictor(self) -> Predictor:
        return Predictor(Cells(self.snapshot, self.cells), self.previous)

    def shows(self, hypothesis: Hypothesis) -> bool:
        """Whether any cell would differ."""
        prediction = self.predictor.predict(hypothesis)
        return bool(prediction.varying) or prediction.allowed != self.predictor.specification

    @property
    def pods(self) -> list[str]:
        """The pods on the pod network, in order."""
        return [end.name for end in self.snapshot.endpoints if end.selectable]

    @property
    def nodes(self) -> list[str]:
        """The nodes on which pods run, sorted."""
        return sorted({end.node for end in self.snapshot.endpoints if end.selectable and end.node})


KINDS_OF_POD = {
    Dialect.ENFORCES_NOTHING: ScopeKind.POD,
    Dialect.SHUTS_PODS: ScopeKind.POD,
    Dialect.KNOWS_NO_PODS: ScopeKind.PEER,
}


def seen(matrix: ExpectedMatrix, cell: Cell, *, passed: bool, unstable: bool = False) -> CellResult:
    """What an audit makes of ``cell``, which was seen to pass or not."""
    observed = Observation(Observed.ALLOWED if passed else Observed.DROPPED, "")
    expected, notes = matrix.verdict(*cell), matrix.notes(*cell)
    return CellResult(cell, expected, observed, compare(expected, notes, observed, unstable=unstable), notes)


def injected(enforcement: Enforcement) -> Hypothesis:
    """``enforcement`` as the hypothesis that ought to be found."""
    whole = not enforcement.on_node and not enforcement.on_pod
    found = [Fault(enforcement.everywhere.dialect)] if whole else []
    found += [Fault(enforcer.dialect, Scope(ScopeKind.NODE, node)) for node, enforcer in enforcement.on_node.items()]
    found += [Fault(dialect, Scope(KINDS_OF_POD[dialect], pod)) for pod, dialect in enforcement.on_pod.items()]
    return tuple(found)


def is_named(truth: Hypothesis, diagnosis: Diagnosis, evidence: Evidence) -> bool:
    """Whether ``truth``, or something as simple that no observation tells apart from it, is what the diagnosis says."""
    true = evidence.fit(truth)
    for shown in diagnosis.hypotheses:
        said = evidence.fit(shown)
        if said.errors == 0 and len(shown) < len(truth):
            return True
        if any(is_part_of(order, shown) for order in permutations(truth)) and said.prediction == true.prediction:
            return True
    return False


@dataclass(frozen=True)
class Case:
    """A fault that could be seen: its kind for the table, whether it was named, and that first, and in words what was
    said of what.
    """

    kind: str
    named: bool
    first: bool
    title: str

    @property
    def pair(self) -> bool:
        """Whether two faults were injected at once."""
        return self.kind == PAIRS


PLACES = {
    ScopeKind.CLUSTER: "",
    ScopeKind.NODE: " on a node",
    ScopeKind.POD: " for a pod",
    ScopeKind.PEER: " for a peer",
}


def kind_of(truth: Hypothesis) -> str:
    """The line of the table in which a case of ``truth`` counts."""
    return PAIRS if len(truth) > 1 else f"{truth[0].dialect}{PLACES[truth[0].scope.kind]}"


def case(world: World, enforcement: Enforcement, results: Sequence[CellResult]) -> Case | None:
    """What the diagnosis makes of ``results``, found under ``enforcement``; None where they don't show the fault."""
    truth = injected(enforcement)
    dialects = {fault.dialect for fault in truth}
    visible = (Result.UNSTABLE,) if Dialect.FLAKY in dialects else FOUND
    if not any(result.result in visible for result in results):
        return None
    diagnosis = diagnose(world.snapshot, results, world.previous)
    evidence = Evidence(world.snapshot, results, world.previous)
    named = diagnosis is not None and is_named(truth, diagnosis, evidence)
    first = diagnosis is not None and is_named(truth, replace(diagnosis, alternatives=()), evidence)
    title = "nothing" if diagnosis is None else diagnosis.title
    return Case(kind_of(truth), named, first, f"{world.name}: {', '.join(map(str, truth))} was said to be: {title}")


@dataclass
class Tally:
    """Cases of one kind: in how many the fault was visible, in how many it was named, or even first, and what was said
    instead.
    """

    visible: int = 0
    named: int = 0
    first: int = 0
    instead: list[str] = field(default_factory=list)


def tallies(cases: Iterable[Case]) -> dict[str, Tally]:
    """``cases`` counted by kind."""
    found: dict[str, Tally] = defaultdict(Tally)
    for one in cases:
        tally = found[one.kind]
        tally.visible += 1
        tally.named += one.named
        tally.first += one.first
        tally.instead += [] if one.named else [one.title]
    return dict(found)


def share_named(cases: Sequence[Case]) -> float:
    """The share of ``cases``, 0 to 1, that were named; 1 when there are none."""
    return sum(one.named for one in cases) / len(cases) if cases else 1.0


def confusion_table(cases: Sequence[Case], wrong: int = 3) -> str:
    """A line for each kind, with up to ``wrong`` of those that were named wrongly below it."""
    lines = []
    for kind, tally in sorted(tallies(cases).items()):
        lines.append(f"{kind:<40} {tally.named:>5} of {tally.visible:>5} named, {tally.first:>5} first")
        lines += [f"    {title}" for title in tally.instead[:wrong]]
    return "\n".join([*lines, f"{'all':<40} {share_named(cases):.1%} named"])
