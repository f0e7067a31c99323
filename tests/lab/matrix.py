"""Every dialect against every scenario, with real packets: ``python -m tests.lab.matrix [-k PART-OF-A-NAME] [-j LABS]``.

Prints how many cells each audit found to differ from the specification, and how often the diagnosis named the dialect, enforced in the
whole cluster or on one node. It fails when an audit misses a cell that the dialect's own definition predicts, reports one that it doesn't,
leaves a cell without a verdict, when a faulty dialect is found in no scenario, or when more than 1 % of the causes are named wrongly.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from auditor.cluster.lab.lab import Lab
from auditor.model.dialect import FAULTLESS, Dialect, Enforcement
from auditor.model.errors import AuditError
from tests.lab import scenarios
from tests.lab.auditing import HASTY, SLOW_START, audit_under, enforcers
from tests.lab.naming import Case, World, case, confusion_table, injected, share_named

SHOWN_WRONG = 5
NAMED = 0.99


@dataclass(frozen=True)
class Row:
    """One scenario: for each enforcer the number of cells that differed; what was wrong with the audits; how the causes were named."""

    scenario: str
    found: dict[str, int]
    wrong: list[str]
    cases: list[Case]


async def _audit_all(name: str) -> Row:
    scenario = scenarios.read(name)
    found: dict[str, int] = {}
    wrong: list[str] = []
    cases: list[Case] = []
    world = World.of(scenario)
    async with Lab(scenario.snapshot, nodes=scenario.nodes) as lab:
        for enforcer, options in enforcers():
            judgement = await audit_under(lab, Enforcement(enforcer), scenario.previous_policies, options)
            found[str(enforcer)] = judgement.found
            wrong += [f"{name} under {enforcer}: {text}" for text in judgement.wrong[:SHOWN_WRONG]]
            if len(judgement.wrong) > SHOWN_WRONG:
                wrong.append(f"{name} under {enforcer}: and {len(judgement.wrong) - SHOWN_WRONG} more")
            cases += filter(None, [case(world, Enforcement(enforcer), judgement.report.cells)])
            on_node = Enforcement(on_node=dict.fromkeys(world.nodes[:1], enforcer))
            if len(world.nodes) > 1 and options is HASTY and world.shows(injected(on_node)):
                judgement = await audit_under(lab, on_node, scenario.previous_policies, options)
                cases += filter(None, [case(world, on_node, judgement.report.cells)])
    return Row(name, found, wrong, cases)


def audit_all(name: str) -> Row:
    """The row of one scenario, in a process of its own."""
    try:
        return asyncio.run(_audit_all(name))
    except AuditError as error:
        return Row(name, {}, [f"{name}: {error}"], [])


def collect(names: list[str], jobs: int) -> list[Row]:
    """The rows of all ``names``, ``jobs`` at a time, in their order."""
    rows: dict[str, Row] = {}
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(audit_all, name) for name in names]):
            row = future.result()
            rows[row.scenario] = row
            print(f"{len(rows)}/{len(names)} {row.scenario}", file=sys.stderr, flush=True)
    return [rows[name] for name in names]


def problems(rows: list[Row], *, complete: bool) -> list[str]:
    """Everything that must not be; ``complete`` when the rows are those of all scenarios."""
    wrong = [text for row in rows for text in row.wrong]
    if complete:
        converging = f"{Dialect.SLOW}:{SLOW_START:g}"
        for enforcer, _ in enforcers():
            caught = any(row.found.get(str(enforcer)) for row in rows)
            if not caught and enforcer.dialect not in FAULTLESS and str(enforcer) != converging:
                wrong.append(f"{enforcer} is found in no scenario")
            if caught and (enforcer.dialect in FAULTLESS - {Dialect.IP_BLOCK_SKIPS_PODS} or str(enforcer) == converging):
                wrong.append(f"{enforcer} is no fault, and was found")
    return wrong


def table(rows: list[Row]) -> str:
    """The numbers, one column per enforcer, with their names below."""
    columns = [str(enforcer) for enforcer, _ in enforcers()]
    width = max(len(row.scenario) for row in rows)
    lines = [" " * width + "".join(f"{number:>5}" for number in range(1, len(columns) + 1))]
    for row in rows:
        cells = "".join(f"{row.found[column] or '·':>5}" if column in row.found else "    !" for column in columns)
        lines.append(f"{row.scenario:<{width}}{cells}")
    lines += ["", "Cells that differ from the specification, under:"]
    lines += [f"{number:>4}  {column}" for number, column in enumerate(columns, 1)]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", default="", metavar="PART", help="only scenarios whose name contains this")
    parser.add_argument("-j", type=int, default=6, metavar="LABS", help="labs at a time (default 6)")
    arguments = parser.parse_args()
    names = [name for name in scenarios.with_truth() if arguments.k in name]
    if not names:
        print(f"no scenario is called like {arguments.k!r}", file=sys.stderr)
        return 2
    rows = collect(names, arguments.j)
    print(table(rows))
    cases = [one for row in rows for one in row.cases]
    print(f"\nCauses as the diagnosis named them:\n{confusion_table(cases)}")
    wrong = problems(rows, complete=not arguments.k)
    if share_named(cases) < NAMED:
        wrong.append(f"diagnosis: only {share_named(cases):.1%} of the causes were named")
    audits = sum(len(row.found) for row in rows)
    failed = len({text.partition(":")[0] for text in wrong})
    print("\n".join(["", *wrong]) if wrong else "\nEvery audit found exactly what its enforcer's definition predicts.")
    print(f"{audits - failed} passed, {failed} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
