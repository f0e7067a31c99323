"""Every dialect of the way through Services against a few scenarios, in the whole cluster and on each node, with real
packets: ``python -m tests.lab.service_matrix [-k PART-OF-A-NAME] [-j LABS]``.

It fails when a run misses a connection that the tests' own prediction says to differ, reports one that should not, when
nothing is named or something else than what was injected, and when anything differs under an enforcer that errs in
nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace

from auditor.cluster.lab.lab import Lab
from auditor.model.dialect import Enforcement
from auditor.model.errors import AuditError
from auditor.model.path_dialect import OF_SERVICES
from auditor.model.service_seen import ServiceResult, ServicesSeen
from auditor.model.snapshot import Endpoint
from auditor.model.verdict import Result, Verdict
from auditor.probing.options import NoProgress
from auditor.run.audit import look
from auditor.run.planning import AuditOptions
from auditor.run.services import through_services
from tests.lab import scenarios
from tests.lab.auditing import HASTY, PATIENCE, nodes_of
from tests.oracle.paths import passes_through_service

SCENARIOS = ("demo", "rule-08-both-sides", "rule-13-dual-stack", "seed-three-tier", "seed-deny-all-ingress")
WRONG = (Result.LEAK, Result.OUTAGE, Result.UNSTABLE, Result.MISDELIVERED)


@dataclass
class ServiceRow:
    """What came of one scenario: the connections that differed under each enforcer, and what was wrong with that."""

    name: str
    found: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def enforcements(nodes: tuple[str, ...]) -> Iterator[Enforcement]:
    """None that errs, then each dialect everywhere and on one node, each node in turn."""
    yield Enforcement()
    for number, dialect in enumerate(OF_SERVICES):
        for node in ("", nodes[number % len(nodes)]):
            yield Enforcement(on_path={node: dialect})


async def audit_services(name: str) -> ServiceRow:
    """Audit the scenario ``name`` once without Services, and through them under each enforcement."""
    scenario = scenarios.read(name)
    row = ServiceRow(name)
    async with Lab(scenario.snapshot, nodes=scenario.nodes) as lab:
        seen = await look(lab, AuditOptions(probing=replace(HASTY, timeout=1.0)), NoProgress())
        for enforcement in enforcements(scenario.nodes):
            await lab.program(enforcement)
            for patience in PATIENCE:
                options = replace(HASTY, timeout=HASTY.timeout * patience)
                services, _ = await through_services(lab, seen.audit_state, options, NoProgress())
                if not services.count(Result.INCONCLUSIVE):
                    break
            judge(row, enforcement, services, nodes_of(lab), lab)
    return row


def judge(row: ServiceRow, enforcement: Enforcement, seen: ServicesSeen, nodes: dict[str, Endpoint], lab: Lab) -> None:
    """Hold ``seen`` against what is predicted."""
    under = (
        ", ".join(f"{dialect}@{node}" if node else dialect for node, dialect in enforcement.on_path.items()) or "spec"
    )
    demanded = [each for each in seen.results if not each.left_open or each.result in WRONG]
    must = {each.cell for each in demanded if _must_differ(each, enforcement, nodes, lab)}
    found = {each.cell for each in seen.faults}
    row.found[under] = len(found)
    row.wrong += [f"{row.name} under {under}: missed {cell}" for cell in sorted(must - found)[:3]]
    row.wrong += [f"{row.name} under {under}: {cell} should not differ" for cell in sorted(found - must)[:3]]
    row.wrong += [
        f"{row.name} under {under}: no verdict on {each.cell}: {each.observation.outcome}"
        for each in seen.results
        if each.result is Result.INCONCLUSIVE
    ][:3]
    if found and not _is_named(seen, enforcement):
        title = seen.diagnosis.title if seen.diagnosis else "nothing"
        row.wrong.append(f"{row.name} under {under}: named {title}")


def _must_differ(each: ServiceResult, enforcement: Enforcement, nodes: dict[str, Endpoint], lab: Lab) -> bool:
    if each.left_open:
        return False
    return passes_through_service(lab.snapshot, each.cell, enforcement, nodes) != (each.expected is Verdict.ALLOWED)


def _is_named(seen: ServicesSeen, enforcement: Enforcement) -> bool:
    diagnosis = seen.diagnosis
    if diagnosis is None or diagnosis.fault is None or diagnosis.unexplained:
        return False
    [(node, dialect)] = enforcement.on_path.items()
    named = (diagnosis.fault, *diagnosis.alternatives)
    # Where only one node shows it, the whole cluster is as good a guess as that node.
    return any(fault.dialect is dialect and fault.node in ("", node) for fault in named)


def service_row(name: str) -> ServiceRow:
    """The row of one scenario, in a process of its own."""
    try:
        return asyncio.run(audit_services(name))
    except AuditError as error:
        return ServiceRow(name, wrong=[f"{name}: {error}"])


def service_rows(jobs: int, part: str = "") -> tuple[list[ServiceRow], list[str]]:
    """The rows of all scenarios, or of those whose name contains ``part``, and everything that must not be."""
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        rows = list(pool.map(service_row, [name for name in SCENARIOS if part in name]))
    wrong = [text for row in rows for text in row.wrong]
    silent = {dialect for dialect in OF_SERVICES if not any(row.found.get(dialect) for row in rows)}
    return rows, [*wrong, *(f"{dialect} is found in no scenario" for dialect in silent if not part)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", default="", metavar="PART", help="only scenarios whose name contains this")
    parser.add_argument("-j", type=int, default=6, metavar="LABS", help="labs at a time (default 6)")
    arguments = parser.parse_args()
    rows, wrong = service_rows(arguments.j, arguments.k)
    for row in rows:
        print(row.name, ", ".join(f"{under}: {count}" for under, count in row.found.items()))
    print("\n".join(["", *wrong]) if wrong else "\nEvery run found exactly what is predicted, and named it.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
