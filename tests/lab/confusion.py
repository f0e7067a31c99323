"""Whether the diagnosis names the fault that was injected: ``python -m tests.lab.confusion [-k PART-OF-A-NAME] [-r CLUSTERS]``.

Every dialect, in the whole cluster and on one node, and pairs of dialects on two nodes, over all scenarios and random clusters.
Observations are made by the tests' own evaluator in place of packets, with dice for what changes from try to try;
``tests.lab.matrix`` diagnoses what packets say.

A case counts where the fault can be seen. It is named rightly when the injected dialect and scope, or wider ones that predict the same
for every observed cell, are the hypothesis or among those that can't be told apart from it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice, permutations
from random import Random

from auditor.diagnosis.cells import Cells
from auditor.diagnosis.comparison import compare
from auditor.diagnosis.evidence import Evidence
from auditor.diagnosis.hypotheses import is_part_of
from auditor.diagnosis.predictors import Predictor
from auditor.diagnosis.search import diagnose
from auditor.model.diagnosis import Diagnosis, Fault, Hypothesis, Scope, ScopeKind
from auditor.model.dialect import FAULTLESS, Dialect, Enforcement, Enforcer
from auditor.model.policy import NetworkPolicy
from auditor.model.report import CellResult
from auditor.model.scenario import Scenario
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell, Observation, Observed, Result, Verdict
from auditor.policy.evaluator import evaluate
from auditor.probing.plan import choose_ports, plan_cells
from tests.lab import scenarios
from tests.oracle import evaluator as oracle
from tests.strategies import LAB_SHAPE, Shape, random_policies, random_snapshot

TRIES = 3
EPHEMERAL = range(32768, 61000)
FLAKY_SHARE = 0.4
SHAPE = replace(LAB_SHAPE, pods=6, policies=6, host_network=0.0)
FAULTLESS_RUNS = (Dialect.SPEC, Dialect.REJECTS)


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
    def nodes(self) -> list[str]:
        """The nodes on which pods run, sorted."""
        return sorted({end.node for end in self.snapshot.endpoints if end.selectable and end.node})


def observe(world: World, enforcement: Enforcement, random: Random) -> list[CellResult]:
    """What an audit under ``enforcement`` would find."""
    matrix = evaluate(world.snapshot)
    ends = {end.name: end for end in world.snapshot.endpoints}
    dialects = {enforcer.dialect for enforcer in (enforcement.everywhere, *enforcement.on_node.values())}
    results = []
    for cell in world.cells:
        source, destination = ends[cell.source], ends[cell.destination]
        tries = [_verdict(world, cell, enforcement, random) for _ in range(TRIES if dialects & _TIMED else 1)]
        if oracle.may_flake(source, destination, enforcement):
            tries = [random.random() >= FLAKY_SHARE and one is Verdict.ALLOWED for one in tries]
            tries = [Verdict.ALLOWED if one else Verdict.DENIED for one in tries]
        expected, notes = matrix.verdict(*cell), matrix.notes(*cell)
        unstable = tries[0] is not expected and len(set(tries)) > 1
        seen = expected if tries[0] is expected else tries[-1]
        observed = Observation(Observed.ALLOWED if seen is Verdict.ALLOWED else Observed.DROPPED, "")
        results.append(CellResult(cell, expected, observed, compare(expected, notes, observed, unstable=unstable), notes))
    return results


_TIMED = {Dialect.FLAKY, Dialect.STATELESS}


def _verdict(world: World, cell: Cell, enforcement: Enforcement, random: Random) -> Verdict:
    source, destination = world.snapshot.endpoint(cell.source), world.snapshot.endpoint(cell.destination)
    ask = {"enforcement": oracle.before_convergence(enforcement), "previous_policies": world.previous}
    try:
        judged = oracle.verdict(world.snapshot, source, destination, cell.protocol, cell.port, cell.family, **ask)
    except oracle.AmbiguousPrediction:
        judged = random.choice(list(Verdict))
    return judged or Verdict.ALLOWED


def injected(enforcement: Enforcement) -> Hypothesis:
    """``enforcement`` as the hypothesis that ought to be found."""
    found = [Fault(enforcement.everywhere.dialect)] if not enforcement.on_node else []
    found += [Fault(enforcer.dialect, Scope(ScopeKind.NODE, node)) for node, enforcer in enforcement.on_node.items()]
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


def single_faults(world: World) -> Iterator[Enforcement]:
    """Every dialect in the whole cluster and on the first node."""
    for dialect in Dialect:
        if dialect is not Dialect.STALE or world.previous is not None:
            enforcer = Enforcer(dialect, FLAKY_SHARE if dialect is Dialect.FLAKY else 0.0)
            yield Enforcement(enforcer)
            if len(world.nodes) > 1:
                yield Enforcement(on_node={world.nodes[0]: enforcer})


def pairs(world: World) -> Iterator[Enforcement]:
    """Two dialects on two nodes, neither of them one that rolls dice."""
    faulty = [dialect for dialect in Dialect if dialect not in FAULTLESS | {Dialect.FLAKY, Dialect.SLOW, Dialect.STALE}]
    if len(world.nodes) > 1:
        for one, other in permutations(faulty, 2):
            enforcement = Enforcement(on_node={world.nodes[0]: Enforcer(one), world.nodes[1]: Enforcer(other)})
            if all(world.shows((fault,)) for fault in injected(enforcement)):
                yield enforcement


@dataclass
class Tally:
    """Cases of one kind: in how many the fault was visible, in how many it was named, and what was said instead."""

    visible: int = 0
    named: int = 0
    instead: Counter[str] = field(default_factory=Counter)

    def add(self, *, named: bool, title: str) -> None:
        """Count one case."""
        self.visible += 1
        self.named += named
        if not named:
            self.instead[title] += 1


def run(worlds: Sequence[World], cases: int = 0) -> tuple[dict[str, Tally], Tally, list[str]]:
    """The tallies of single faults by dialect and kind of scope, that of pairs, and every finding where there is no fault."""
    singles: dict[str, Tally] = defaultdict(Tally)
    double = Tally()
    false_alarms: list[str] = []
    random = Random(1)
    for world in worlds:
        for enforcement in single_faults(world):
            if injected(enforcement)[0].dialect not in FAULTLESS_RUNS and not world.shows(injected(enforcement)):
                continue
            results = observe(world, enforcement, random)
            dialect = injected(enforcement)[0].dialect
            if dialect in FAULTLESS_RUNS:
                false_alarms += [f"{world.name} {dialect}: {result.cell}" for result in results if result.result in FOUND]
            _judge(singles[f"{dialect} {'on a node' if enforcement.on_node else ''}".strip()], world, enforcement, results)
        for enforcement in _sample(pairs(world), cases, random):
            _judge(double, world, enforcement, observe(world, enforcement, random))
    return singles, double, false_alarms


FOUND = (Result.LEAK, Result.OUTAGE, Result.UNSTABLE, Result.MISDELIVERED, Result.CNI_DEPENDENT)


def _sample(enforcements: Iterable[Enforcement], cases: int, random: Random) -> Iterable[Enforcement]:
    several = list(enforcements)
    random.shuffle(several)
    return islice(several, cases)


def _judge(tally: Tally, world: World, enforcement: Enforcement, results: Sequence[CellResult]) -> None:
    dialects = {fault.dialect for fault in injected(enforcement)}
    visible = (Result.UNSTABLE,) if Dialect.FLAKY in dialects else FOUND
    if not any(result.result in visible for result in results):
        return
    diagnosis = diagnose(world.snapshot, results, world.previous)
    assert diagnosis is not None
    named = is_named(injected(enforcement), diagnosis, Evidence(world.snapshot, results, world.previous))
    told = ", ".join(map(str, injected(enforcement)))
    tally.add(named=named, title=f"{world.name}: {told} was said to be: {diagnosis.title}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", default="", metavar="PART", help="only scenarios whose name contains this")
    parser.add_argument("-r", type=int, default=60, metavar="CLUSTERS", help="random clusters beside the scenarios (default 60)")
    parser.add_argument("-p", type=int, default=15, metavar="PAIRS", help="pairs of faults in each scenario (default 15)")
    arguments = parser.parse_args()
    worlds = [World.of(scenarios.read(name)) for name in scenarios.with_truth() if arguments.k in name]
    worlds += [World.random(seed) for seed in range(arguments.r)]
    singles, double, false_alarms = run(worlds, arguments.p)
    for name, tally in singles.items():
        print(f"{name:<45} {tally.named:>4} of {tally.visible:>4} named")
        for title, count in tally.instead.most_common(3):
            print(f"      {count} x {title}")
    visible, named = (sum(getattr(tally, field) for tally in singles.values()) for field in ("visible", "named"))
    print(f"\nsingle faults: {named} of {visible} named ({named / max(1, visible):.1%})")
    print(f"pairs:         {double.named} of {double.visible} named ({double.named / max(1, double.visible):.1%})")
    for title, count in double.instead.most_common(8):
        print(f"      {count} x {title}")
    print(f"findings without a fault: {len(false_alarms)}")
    return 0 if named >= 0.99 * visible and double.named >= 0.9 * double.visible and not false_alarms else 1


if __name__ == "__main__":
    sys.exit(main())
