"""Every dialect against every scenario, with real packets: ``python -m tests.lab.matrix [-a] [-d DRAW]
[-k PART-OF-A-NAME] [-j LABS] [-p PAIRS]``.

A dialect is played in a fifth of the scenarios in which it changes something by prediction (one of administrators'
tiers in all), and in a fiftieth of the others, drawn by name and DRAW; ``-a`` plays all.

Prints how many cells each audit found to differ from the specification, and how often the diagnosis named what was
injected: a dialect in the whole cluster, on one node, or two dialects on two nodes. A dialect that few scenarios show
is played on random clusters as well. It fails when an audit misses a cell that the dialect's own definition predicts,
reports one that it doesn't, leaves a cell without a verdict, when a faulty dialect is found nowhere, or when
more than 1 % of the single causes, or 10 % of the pairs, are named wrongly.

Without ``-k`` a second table follows: what is said of faults that the diagnosis does not know
(``tests.lab.unknown_faults``), by computation over all scenarios, and each of them once with packets; and what is said
of faults of one pod (``tests.lab.single_pods``). It fails where too much of that is false."""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TypeVar

from auditor.cluster.lab.lab import Lab
from auditor.model.dialect import FAULTLESS, OF_TIERS, Dialect, Enforcement, Enforcer
from auditor.model.errors import AuditError
from auditor.model.verdict import Conclusion
from auditor.probing.options import ProbingOptions
from auditor.report.conclusion import conclude
from auditor.report.headline import headline
from tests.lab import scenarios
from tests.lab.auditing import HASTY, SLOW_START, audit_under, enforcers
from tests.lab.confusion import ENOUGH, FAULTLESS_RUNS, MOST_SEEDS, pairs, sample, single_faults
from tests.lab.naming import Case, World, case, confusion_table, injected, kind_of, share_named
from tests.lab.service_matrix import service_rows
from tests.lab.single_pods import PodAnswer, about_pods, pod_table, wrong_about_pods
from tests.lab.unknown_faults import Answer, answers, unborne, world_named, worlds
from tests.lab.unknown_faults import Enforcer as UnknownEnforcer
from tests.lab.unknown_faults import table as unknown_table
from tests.lab.unknown_packets import play
from tests.lab.unknown_packets import sample as sample_of_unknown

SHOWN_WRONG = 5
ONE_OF_SHOWN, ONE_OF_OTHERS = 5, 50  # of the audits that should find something, and of the others, so many are played
NAMED = 0.99
PAIRS_NAMED = 0.9

T = TypeVar("T")


@dataclass
class Row:
    """One world: the cells that differed under each enforcer of the whole cluster; what was wrong with the audits;
    causes as named.
    """

    name: str
    found: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    of_pods: list[PodAnswer] = field(default_factory=list)
    audits: int = 0

    async def audit(self, lab: Lab, world: World, enforcement: Enforcement, options: ProbingOptions) -> None:
        """Audit ``lab``, which is up, under ``enforcement`` and write down what came out."""
        judgement = await audit_under(lab, enforcement, world.previous, options)
        under = f"{self.name} under {', '.join(map(str, injected(enforcement)))}"
        self.audits += 1
        self.wrong += [f"{under}: {text}" for text in judgement.wrong[:SHOWN_WRONG]]
        if len(judgement.wrong) > SHOWN_WRONG:
            self.wrong.append(f"{under}: and {len(judgement.wrong) - SHOWN_WRONG} more")
        if enforcement == Enforcement() and conclude(judgement.report) is not Conclusion.PASS:
            self.wrong.append(f"{under}: {headline(judgement.report)}")
        if not enforcement.on_node:
            self.found[str(enforcement.everywhere)] = judgement.found
        self.cases += filter(None, [case(world, enforcement, judgement.report.cells)])


@dataclass(frozen=True)
class Share:
    """What is played of all there is: ``everything``, or what is drawn by ``draw``; of pairs, ``pairs`` in each
    scenario.
    """

    pairs: int
    everything: bool = False
    draw: int = 0

    def has(self, world: World, enforcement: Enforcement, enforcer: Enforcer) -> bool:
        """Whether ``enforcement``, which is ``enforcer`` in one place, is played in ``world``."""
        shows = world.shows(injected(enforcement))
        if self.everything or (shows and enforcer.dialect in OF_TIERS):  # which no random cluster shows
            return True
        one_of = ONE_OF_SHOWN if shows else ONE_OF_OTHERS
        return zlib.crc32(f"{self.draw} {world.name} {enforcer} {sorted(enforcement.on_node)}".encode()) % one_of == 0


def _audits_of(world: World, share: Share) -> Iterator[tuple[Enforcement, ProbingOptions]]:
    """Of every enforcer in the whole cluster, of it on the first node where it shows there, and of pairs of dialects,
    what ``share`` has.
    """
    for enforcer, options in enforcers():
        if enforcer.dialect in OF_TIERS and not world.snapshot.admin_policies:
            continue
        whole = Enforcement(enforcer)
        if enforcer.dialect in FAULTLESS_RUNS or share.has(world, whole, enforcer):
            yield whole, options
        on_node = Enforcement(on_node=dict.fromkeys(world.nodes[:1], enforcer))
        shows = len(world.nodes) > 1 and options is HASTY and world.shows(injected(on_node))
        if shows and share.has(world, on_node, enforcer):
            yield on_node, options
    for enforcement in sample(pairs(world), share.pairs, Random(f"{share.draw or ''}{world.name}")):
        yield enforcement, HASTY


async def _audit_scenario(name: str, share: Share) -> Row:
    scenario = scenarios.read(name)
    row, world = Row(name), World.of(scenario)
    async with Lab(scenario.snapshot, nodes=scenario.nodes) as lab:
        for enforcement, options in _audits_of(world, share):
            await row.audit(lab, world, enforcement, options)
    return row


async def _audit_random(planned: tuple[int, list[Enforcement]]) -> Row:
    seed, enforcements = planned
    world = World.random(seed)
    row = Row(world.name)
    async with Lab(world.snapshot, nodes=world.nodes) as lab:
        for enforcement in enforcements:
            await row.audit(lab, world, enforcement, HASTY)
    return row


def rare(cases: Iterable[Case], enough: int) -> list[tuple[int, list[Enforcement]]]:
    """Random clusters, by seed, with the faults to play on each, until each kind of ``cases`` is seen ``enough``
    times.
    """
    counts = Counter(one.kind for one in cases)
    planned = []
    for seed in range(MOST_SEEDS):
        world, wanted = World.random(seed), []
        for enforcement in single_faults(world):
            [fault] = injected(enforcement)
            if fault.dialect not in FAULTLESS_RUNS and counts[kind_of((fault,))] < enough and world.shows((fault,)):
                counts[kind_of((fault,))] += 1
                wanted.append(enforcement)
        if wanted:
            planned.append((seed, wanted))
    return planned


def scenario_row(share: Share, name: str) -> Row:
    """The row of one scenario, in a process of its own."""
    return _run(_audit_scenario(name, share), name)


def random_row(planned: tuple[int, list[Enforcement]]) -> Row:
    """The row of one random cluster, in a process of its own."""
    return _run(_audit_random(planned), f"random-{planned[0]}")


def unknown_row(name: str) -> Row:
    """What is said of unknown faults, and of faults of one pod, in one world, in a process of its own."""
    world = world_named(name)
    return Row(name, answers=answers(world), of_pods=list(about_pods(world)))


def packets_row(planned: tuple[str, list[type[UnknownEnforcer]]]) -> Row:
    """What packets show otherwise than was computed under these enforcers, in a process of its own."""
    name, kinds = planned
    return _run(_play(name, kinds), name)


async def _play(name: str, kinds: list[type[UnknownEnforcer]]) -> Row:
    return Row(name, wrong=await play(world_named(name), kinds), audits=len(kinds))


def of_unknown_faults(jobs: int) -> tuple[list[Row], list[str]]:
    """The rows of what is said of unknown faults, with its table printed, and what must not be."""
    found = collect(unknown_row, [world.name for world in worlds()], jobs)
    said = [answer for row in found for answer in row.answers]
    played = collect(packets_row, list(sample_of_unknown(said).items()), jobs)
    audits, wrong = sum(row.audits for row in played), [text for row in played for text in row.wrong]
    print(
        f"\nFaults that the diagnosis does not know, in {len(found)} clusters, by computation:\n{unknown_table(said)}"
    )
    print(f"{audits} of these audits were made with packets too; {len(wrong)} differences")
    of_pods = [answer for row in found for answer in row.of_pods]
    print(f"\nFaults of one pod, each pod in turn, by computation:\n{pod_table(of_pods)}")
    return played, [*unborne(said), *wrong_about_pods(of_pods), *wrong]


def _run(work: Coroutine[object, object, Row], name: str) -> Row:
    try:
        return asyncio.run(work)
    except AuditError as error:
        return Row(name, wrong=[f"{name}: {error}"])


def collect(work: Callable[[T], Row], todo: list[T], jobs: int) -> list[Row]:
    """The rows of all of ``todo``, ``jobs`` at a time, in their order."""
    rows: dict[int, Row] = {}
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        numbers = {pool.submit(work, one): number for number, one in enumerate(todo)}
        for future in as_completed(numbers):
            row = rows[numbers[future]] = future.result()
            print(f"{len(rows)}/{len(todo)} {row.name}", file=sys.stderr, flush=True)
    return [rows[number] for number in range(len(todo))]


def problems(rows: list[Row], more: list[Row], *, complete: bool) -> list[str]:
    """Everything that must not be in ``rows`` of scenarios and ``more`` of random clusters; ``complete`` when these are
    all.
    """
    wrong = [text for row in (*rows, *more) for text in row.wrong]
    if complete:
        converging = f"{Dialect.SLOW}:{SLOW_START:g}"
        for enforcer, _ in enforcers():
            caught = any(row.found.get(str(enforcer)) for row in rows)
            by_chance = any(row.found.get(str(enforcer)) for row in more)
            if not (caught or by_chance) and enforcer.dialect not in FAULTLESS and str(enforcer) != converging:
                wrong.append(f"{enforcer} is found nowhere")
            if caught and (
                enforcer.dialect in FAULTLESS - {Dialect.IP_BLOCK_SKIPS_PODS} or str(enforcer) == converging
            ):
                wrong.append(f"{enforcer} is no fault, and was found")
    return wrong


def table(rows: list[Row]) -> str:
    """The numbers, one column per enforcer, with their names below; nothing where an enforcer was not tried: those that
    misread policies of administrators are tried where there are any, and see ``Share``.
    """
    columns = [str(enforcer) for enforcer, _ in enforcers()]
    width = max(len(row.name) for row in rows)
    lines = [" " * width + "".join(f"{number:>5}" for number in range(1, len(columns) + 1))]
    for row in rows:
        cells = "".join(f"{row.found[column] or '·':>5}" if column in row.found else "     " for column in columns)
        lines.append(f"{row.name:<{width}}{cells}")
    lines += ["", "Cells that differ from the specification, under:"]
    lines += [f"{number:>4}  {column}" for number, column in enumerate(columns, 1)]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-a", action="store_true", help="every dialect in every scenario")
    parser.add_argument("-d", type=int, default=0, metavar="DRAW", help="draw others, by this number")
    parser.add_argument("-k", default="", metavar="PART", help="only scenarios whose name contains this")
    parser.add_argument("-j", type=int, default=8, metavar="LABS", help="labs at a time (default 8)")
    parser.add_argument(
        "-p", type=int, metavar="PAIRS", help="pairs of dialects in each scenario (default 1; 5 with -a)"
    )
    arguments = parser.parse_args()
    names = [name for name in scenarios.with_truth() if arguments.k in name]
    if not names:
        print(f"no scenario is called like {arguments.k!r}", file=sys.stderr)
        return 2
    count = arguments.p if arguments.p is not None else 5 if arguments.a else 1
    share = Share(count, everything=arguments.a, draw=arguments.d)
    rows = collect(partial(scenario_row, share), names, arguments.j)
    print(table(rows))
    cases = [one for row in rows for one in row.cases]
    enough = ENOUGH if arguments.a else ENOUGH // ONE_OF_SHOWN
    more = [] if arguments.k else collect(random_row, rare(cases, enough), arguments.j)
    wrong = problems(rows, more, complete=not arguments.k)
    rows += more
    cases = [one for row in rows for one in row.cases]
    print(f"\nCauses as the diagnosis named them:\n{confusion_table(cases)}")
    for kind, least, some in (
        ("single causes", NAMED, [one for one in cases if not one.pair]),
        ("pairs of causes", PAIRS_NAMED, [one for one in cases if one.pair]),
    ):
        if share_named(some) < least:
            wrong.append(f"diagnosis: only {share_named(some):.1%} of the {kind} were named")
    if not arguments.k:
        through, also_wrong = service_rows(arguments.j)
        wrong += also_wrong
        print("\nConnections that differ through Services:")
        for row in through:
            print(row.name, ", ".join(f"{under} {count}" for under, count in row.found.items()))
        played, unborne_there = of_unknown_faults(arguments.j)
        rows += played
        wrong += unborne_there
    audits = sum(row.audits for row in rows)
    failed = len({text.partition(":")[0] for text in wrong})
    print("\n".join(["", *wrong]) if wrong else "\nEvery audit found exactly what its enforcer's definition predicts.")
    print(f"{audits - failed} passed, {failed} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
