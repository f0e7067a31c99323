"""Audits on the lab to whose own means something happens: ``python -m tests.lab.trouble [-n AUDITS] [-j AT-A-TIME] [-s
SEED] [-f FAULT]``.

Each audit is of a random cluster or a scenario, under an enforcer of nothing, one that errs on one node, or the
specification; a single fault strikes an agent, a link, the machine or the controller at a random moment. What comes out
is held against what the tests' own evaluator says of the enforcer. It fails when an audit passes though the enforcer
errs, fails for what neither the enforcer's definition has nor a reason of its own names, breaks down, or leaves
something behind. ``--only NUMBER`` plays one audit again. Needs root."""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import re
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random

from auditor.cluster.lab.lab import Lab
from auditor.model.errors import AuditError
from auditor.model.report import Report
from auditor.model.verdict import Conclusion
from auditor.probing.options import NoProgress
from auditor.probing.sites import AgentChannel, ProbeSite
from auditor.run.audit import audit
from tests.lab.trouble_clock import SETTING
from tests.lab.trouble_disk import ROOM, on_a_full_disk
from tests.lab.trouble_faults import BEFORE, CLOCK, DISK, DURING, FAULTS, OPENED, Fault, Scene
from tests.lab.trouble_worlds import Judged, Plan, differs, draw, judge, planned_ports
from tests.lab.troubled_lab import TroubledLab, normal

LONGEST = 100.0
SHOWN = 3
RIGHT_PASS, FALSE_PASS, RIGHT_FAIL, FALSE_FAIL = "PASS right", "PASS false", "FAIL right", "FAIL false"
INCONCLUSIVE, ERROR, BROKEN = "inconclusive", "error told", "broken"
COLUMNS = (RIGHT_PASS, FALSE_PASS, RIGHT_FAIL, FALSE_FAIL, INCONCLUSIVE, ERROR, BROKEN)
WRONG = (FALSE_PASS, FALSE_FAIL, BROKEN)
CLOCKS = (
    "off 86400 0",
    "off -86400 0",
    "rate 0.2 0",
    "rate 5 0",
    "rate 50 0",
    "jumps 30 2",
    "jumps -30 2",
    "jumps 30 0.5",
    "jumps 3600 3",
)


@dataclass
class Outcome:
    """How one audit came out: in which column, how the fault struck, what was reported, and what is wrong with it."""

    number: int
    fault: str
    column: str = BROKEN
    struck: str = ""
    plan: str = ""
    named: bool = False
    told: tuple[str, ...] = ()
    wrong: list[str] = field(default_factory=list)
    missed: int = 0
    seconds: float = 0.0


class Struck(NoProgress):
    """The lab as a cluster, and the audit's progress, with a fault that strikes once its moment has come."""

    def __init__(self, lab: Lab, fault: Fault, scene: Scene) -> None:
        self._lab, self._fault, self._scene = lab, fault, scene
        self._moment = scene.random.choice(fault.moments)
        self._countdown = scene.random.choice((1, 1, 1, 2, 3))
        self._delay = scene.random.choice((0.0, 0.0, scene.random.uniform(0.0, 1.0)))
        self._striking: set[asyncio.Task[None]] = set()
        self.struck = ""
        self.problems: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._lab, name)

    async def begin(self) -> None:
        if self._moment == BEFORE:
            await self._strike("before")

    async def open(self, site: ProbeSite) -> AgentChannel:
        channel = await self._lab.open(site)
        if self._moment == OPENED and site.name == self._scene.site:
            await self._strike("when its agent had started")
        return channel

    def phase(self, name: str, attempts: int) -> None:
        self._countdown -= name != "starting"
        if self._moment == DURING and self._countdown == 0:
            self._countdown = -1
            task = asyncio.create_task(self._strike(f"{self._delay:.1f} s into {name!r}", self._delay))
            self._striking.add(task)

    async def _strike(self, when: str, delay: float = 0.0) -> None:
        await asyncio.sleep(delay)
        try:
            await asyncio.to_thread(self._fault.strike, self._scene)
            self.struck = " ".join(filter(None, [when, self._scene.severity]))
        except (ProcessLookupError, FileNotFoundError, StopIteration) as error:
            self.struck = f"missed: {error}"
        except Exception:  # noqa: BLE001 - a broken fault is reported with its audit
            self.problems.append(f"the fault itself broke: {traceback.format_exc()}")

    async def settle(self) -> None:
        for task in self._striking:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*self._striking, return_exceptions=True)


async def _audit(plan: Plan, fault: Fault, outcome: Outcome, random: Random) -> Report:
    if fault.name == CLOCK:
        clock = random.choice(CLOCKS)
        outcome.struck = clock
        site = plan.world.snapshot.endpoint(plan.victim)
        os.environ[SETTING] = f"{site.addresses[0]} {clock}"
    else:
        os.environ.pop(SETTING, None)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: outcome.wrong.append(f"unhandled in the event loop: {context}"))
    troubled = None
    try:
        agent = "tests.lab.trouble_clock"
        async with Lab(plan.world.snapshot, nodes=plan.nodes, enforcement=plan.enforcement, agent=agent) as lab:
            troubled = TroubledLab(lab)
            struck = Struck(
                lab, fault, Scene(troubled, plan.victim, planned_ports(plan.world.cells, plan.victim), random)
            )
            try:
                await struck.begin()
                async with asyncio.timeout(LONGEST):
                    return await audit(struck, str(plan), plan.options, struck)
            finally:
                await struck.settle()
                troubled.end()
                outcome.struck = outcome.struck or struck.struck
                outcome.wrong += struck.problems
    finally:
        if troubled is not None and (left := troubled.left_behind()):
            outcome.wrong.append(f"left behind: processes {left}")


def column(judged: Judged, *, named: bool) -> str:
    """Where a report counts; ``named``: whether it says of the fault what it is, without which a failure must have the
    enforcer's cause.
    """
    if judged.conclusion is Conclusion.PASS:
        return FALSE_PASS if judged.differing else RIGHT_PASS
    if judged.conclusion is Conclusion.FAIL:
        explained = named or (judged.differing and not judged.invented)
        return RIGHT_FAIL if explained else FALSE_FAIL
    return INCONCLUSIVE


def play(number: int, seed: int, fault: Fault) -> Outcome:
    """Play audit ``number``."""
    random = Random(f"{seed}/{number}")
    plan = draw(random, bundled=fault.name == DISK)
    outcome = Outcome(number, fault.name, plan=str(plan))
    began = time.monotonic()
    if fault.name == DISK:
        _play_on_a_full_disk(plan, outcome, random, fault)
    else:
        _play_on_the_lab(plan, outcome, random, fault)
    outcome.seconds = time.monotonic() - began
    if outcome.wrong and outcome.column not in WRONG:
        outcome.column = BROKEN
    return outcome


def _play_on_a_full_disk(plan: Plan, outcome: Outcome, random: Random, fault: Fault) -> None:
    filled = ROOM - random.choice((ROOM, 0, 4096, 16384, 65536))
    outcome.struck = f"with {filled} of {ROOM} bytes in use"
    code, said, problem = on_a_full_disk(replace(plan, ports=()), filled)
    columns = {
        0: FALSE_PASS if differs(plan) else RIGHT_PASS,
        1: RIGHT_FAIL if differs(plan) else FALSE_FAIL,
        3: INCONCLUSIVE,
        4: ERROR,
    }
    outcome.column, outcome.told = columns.get(code, BROKEN), (said,) if said else ()
    outcome.named = bool(re.search(fault.words, said))
    outcome.wrong += [problem] if problem else []


def _play_on_the_lab(plan: Plan, outcome: Outcome, random: Random, fault: Fault) -> None:
    try:
        judged = judge(plan, asyncio.run(_audit(plan, fault, outcome, random)))
    except AuditError as error:
        outcome.column, outcome.told = ERROR, (str(error),)
        outcome.named = bool(re.search(fault.words, str(error)))
    except BaseException:  # noqa: BLE001 - whatever comes out of an audit is reported
        outcome.wrong.append(traceback.format_exc())
    else:
        outcome.named = any(re.search(fault.words, text) for text in judged.told)
        outcome.column, outcome.missed = column(judged, named=outcome.named or fault.is_outage), len(judged.missed)
        outcome.told = (*judged.told, *judged.found)
        if outcome.column == FALSE_PASS:
            outcome.wrong += judged.missed[:SHOWN] or ("none of its connections was said to match",)
        if outcome.column == FALSE_FAIL:
            outcome.wrong += judged.invented[:SHOWN]


def _play(number: int, seed: int, name: str) -> Outcome:
    with (
        tempfile.TemporaryFile() as said
    ):  # what the lab's processes say is theirs; a warning or traceback of ours is not
        kept = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            outcome = play(number, seed, next(fault for fault in FAULTS if fault.name == name))
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        said.seek(0)
        text = said.read().decode(errors="replace")
    if "Traceback" in text or "Warning" in text:
        outcome.column = BROKEN if outcome.column not in WRONG else outcome.column
        outcome.wrong.append(text)
    return outcome


def table(outcomes: list[Outcome]) -> str:
    """A line for each fault, and below it what was reported, by how many audits."""
    rows: dict[str, list[Outcome]] = defaultdict(list)
    for one in outcomes:
        rows[one.fault].append(one)
    width = max(map(len, rows))
    heads = (*COLUMNS, "fault named", "missed")
    lines = [f"{'':<{width}}" + "".join(f"{head:>13}" for head in heads)]
    for name, some in [*sorted(rows.items()), ("all", outcomes)]:
        counts = Counter(one.column for one in some)
        figures = [counts[column] for column in COLUMNS]
        figures += [sum(one.named for one in some), sum(one.missed for one in some)]
        lines.append(f"{name:<{width}}" + "".join(f"{figure or '·':>13}" for figure in figures))
    lines += [
        "",
        (
            "'fault named': audits that say so in a reason or a fact; 'missed': connections that differ in truth, said "
            "to be as expected"
        ),
        "",
    ]
    for name, some in sorted(rows.items()):
        told = Counter(
            text
            for one in some
            if one.column in (INCONCLUSIVE, ERROR)
            for text in {normal(text) for text in one.told[:1]}
        )
        lines += [f"{name}: {count} × {text[:170]}" for text, count in told.most_common(SHOWN)]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=200, metavar="AUDITS", help="how many audits (default 200)")
    parser.add_argument("-j", type=int, default=6, metavar="AT-A-TIME", help="how many at a time (default 6)")
    parser.add_argument("-s", type=int, default=9, metavar="SEED", help="another seed, other audits")
    parser.add_argument("-f", default="", metavar="FAULT", help="only faults whose name contains this")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="play this one audit again")
    parser.add_argument("--details", action="store_true", help="tell every audit, not only the wrong ones")
    arguments = parser.parse_args()
    faults = [fault.name for fault in FAULTS if arguments.f in fault.name]
    numbers = range(arguments.n) if arguments.only is None else [arguments.only]
    began, outcomes = time.monotonic(), []
    with ProcessPoolExecutor(arguments.j, mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(_play, number, arguments.s, faults[number % len(faults)]) for number in numbers]
        for job in as_completed(jobs):
            outcomes.append(job.result())
            if outcomes[-1].column in WRONG or arguments.details or arguments.only is not None:
                _tell(outcomes[-1])
            print(f"{len(outcomes)}/{len(jobs)}", file=sys.stderr, flush=True)
    print(table(outcomes))
    wrong = sum(one.column in WRONG for one in outcomes)
    print(f"\nseed {arguments.s}: {len(outcomes)} audits in {time.monotonic() - began:.0f} s, {wrong} wrong")
    return 1 if wrong else 0


def _tell(one: Outcome) -> None:
    print(
        f"#{one.number} {one.fault}: {one.column}, {one.seconds:.1f} s, fault struck {one.struck or 'never'}; "
        f"{one.plan}"
    )
    print(
        "".join(f"    {line}\n" for text in [*one.wrong[:6], *one.told[:8]] for line in text.splitlines()),
        end="",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
