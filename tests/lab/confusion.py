"""Whether the diagnosis names the fault that was injected: ``python -m tests.lab.confusion [-k PART-OF-A-NAME] [-r
CLUSTERS]``.

Every dialect, in the whole cluster and on one node, and pairs of dialects on two nodes, over all scenarios and random
clusters. Observations are made by the tests' own evaluator in place of packets, with dice for what changes from try to
try; ``tests.lab.matrix`` diagnoses what packets say."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, permutations
from random import Random

from auditor.model.dialect import FAULTLESS, OF_ONE_POD, Dialect, Enforcement, Enforcer
from auditor.model.report import CellResult
from auditor.model.verdict import Cell, Verdict
from auditor.policy.evaluator import evaluate
from tests.lab import scenarios
from tests.lab.naming import FOUND, Case, World, case, confusion_table, injected, kind_of, seen, share_named
from tests.oracle import evaluator as oracle

TRIES = 3
ENOUGH = 10
MOST_SEEDS = 400
FLAKY_SHARE = 0.4
FAULTLESS_RUNS = (Dialect.SPEC, Dialect.REJECTS)


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
        expected = matrix.verdict(*cell)
        unstable = tries[0] is not expected and len(set(tries)) > 1
        last = expected if tries[0] is expected else tries[-1]
        results.append(seen(matrix, cell, passed=last is Verdict.ALLOWED, unstable=unstable))
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


def single_faults(world: World) -> Iterator[Enforcement]:
    """Every dialect in the whole cluster and on the first node; those that can be about one pod for the first and the
    last one, too.
    """
    for dialect in Dialect:
        if dialect is not Dialect.STALE or world.previous is not None:
            enforcer = Enforcer(dialect, FLAKY_SHARE if dialect is Dialect.FLAKY else 0.0)
            yield Enforcement(enforcer)
            if len(world.nodes) > 1:
                yield Enforcement(on_node={world.nodes[0]: enforcer})
    for dialect in (dialect for dialect in Dialect if dialect in OF_ONE_POD):
        yield from (Enforcement(on_pod={pod: dialect}) for pod in world.pods[:: max(1, len(world.pods) - 1)])


def pairs(world: World) -> Iterator[Enforcement]:
    """Two dialects on two nodes, neither of them one that rolls dice."""
    faulty = [dialect for dialect in Dialect if dialect not in FAULTLESS | {Dialect.FLAKY, Dialect.SLOW, Dialect.STALE}]
    if len(world.nodes) > 1:
        for one, other in permutations(faulty, 2):
            enforcement = Enforcement(on_node={world.nodes[0]: Enforcer(one), world.nodes[1]: Enforcer(other)})
            if all(world.shows((fault,)) for fault in injected(enforcement)):
                yield enforcement


def run(worlds: Sequence[World], count: int = 0) -> tuple[list[Case], list[Case], list[str]]:
    """The cases of single faults, ``count`` cases of pairs in each world, and every finding where there is no fault."""
    singles: list[Case] = []
    double: list[Case] = []
    false_alarms: list[str] = []
    random = Random(1)
    for number, world in enumerate(worlds, 1):
        for enforcement in single_faults(world):
            dialect = injected(enforcement)[0].dialect
            if dialect not in FAULTLESS_RUNS and not world.shows(injected(enforcement)):
                continue
            results = observe(world, enforcement, random)
            if dialect in FAULTLESS_RUNS:
                false_alarms += [
                    f"{world.name} {dialect}: {result.cell}" for result in results if result.result in FOUND
                ]
            singles += filter(None, [case(world, enforcement, results)])
        for enforcement in sample(pairs(world), count, random):
            double += filter(None, [case(world, enforcement, observe(world, enforcement, random))])
        if sys.stderr.isatty():
            print(f"{number}/{len(worlds)} {world.name}", file=sys.stderr, flush=True)
    return singles, double, false_alarms


def rare(cases: Iterable[Case], seeds: Iterable[int]) -> list[Case]:
    """More cases of the kinds that have fewer than ``ENOUGH``, from the random clusters of ``seeds`` that show them."""
    counts = Counter(one.kind for one in cases)
    found: list[Case] = []
    random = Random(2)
    for seed in seeds:
        world = World.random(seed)
        for enforcement in single_faults(world):
            [fault] = injected(enforcement)
            if fault.dialect not in FAULTLESS_RUNS and counts[kind_of((fault,))] < ENOUGH and world.shows((fault,)):
                more = case(world, enforcement, observe(world, enforcement, random))
                found += filter(None, [more])
                counts.update(one.kind for one in filter(None, [more]))
    return found


def sample(enforcements: Iterable[Enforcement], cases: int, random: Random) -> Iterable[Enforcement]:
    """``cases`` of ``enforcements``, or all where there are no more."""
    several = list(enforcements)
    random.shuffle(several)
    return islice(several, cases)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", default="", metavar="PART", help="only scenarios whose name contains this")
    parser.add_argument(
        "-r", type=int, default=60, metavar="CLUSTERS", help="random clusters beside the scenarios (default 60)"
    )
    parser.add_argument(
        "-p", type=int, default=15, metavar="PAIRS", help="pairs of faults in each scenario (default 15)"
    )
    arguments = parser.parse_args()
    worlds = [World.of(scenarios.read(name)) for name in scenarios.with_truth() if arguments.k in name]
    worlds += [World.random(seed) for seed in range(arguments.r)]
    singles, double, false_alarms = run(worlds, arguments.p)
    if arguments.r:
        singles += rare(singles, range(arguments.r, MOST_SEEDS))
    print(confusion_table(singles))
    print(confusion_table(double, wrong=10))
    print(f"findings without a fault: {len(false_alarms)}")
    return 0 if share_named(singles) >= 0.99 and share_named(double) >= 0.9 and not false_alarms else 1


if __name__ == "__main__":
    sys.exit(main())
