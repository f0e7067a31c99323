"""What an audit in trouble is of: a cluster, an enforcer, a part of the connections, and the site that the fault
strikes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from random import Random

from auditor.model.dialect import FAULTLESS, OF_TIERS, Dialect, Enforcement, Enforcer
from auditor.model.ports import PortRequest, Protocol
from auditor.model.report import CellResult, Report
from auditor.model.verdict import Cell, Conclusion, Observation, Observed, Result
from auditor.policy.evaluator import evaluate
from auditor.probing.options import ProbingOptions
from auditor.report.conclusion import conclude
from auditor.run.planning import AuditOptions
from tests.lab import scenarios
from tests.lab.naming import World
from tests.oracle.evaluator import verdict

OPTIONS = ProbingOptions(settle=0.5)
"""The patience of a live audit, but for the time that a CNI gets to settle."""
MOST_CELLS = 1200
NOTHING = Enforcement(Enforcer(Dialect.ENFORCES_NOTHING))
TIMED = frozenset({Dialect.STATELESS, Dialect.STALE, Dialect.SLOW, Dialect.FLAKY})
ERRING = sorted(set(Dialect) - TIMED - FAULTLESS - OF_TIERS - {Dialect.ENFORCES_NOTHING})
FAULTS = (Result.LEAK, Result.OUTAGE, Result.MISDELIVERED)


@dataclass(frozen=True)
class Plan:
    """One audit: ``victim`` is the site that its fault strikes. Empty sources, destinations or ports: all."""

    world: World
    enforcement: Enforcement
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    victim: str
    ports: tuple[PortRequest, ...]

    @property
    def nodes(self) -> list[str]:
        """Every node of the cluster, with pods or without."""
        return sorted({end.node for end in self.world.snapshot.endpoints if end.node})

    @property
    def options(self) -> AuditOptions:
        return AuditOptions(ports=self.ports, sources=self.sources, destinations=self.destinations, probing=OPTIONS)

    def __str__(self) -> str:
        under = ", ".join(f"{name}@{node}" for node, name in self.enforcement.on_node.items()) or str(
            self.enforcement.everywhere
        )
        return f"{self.world.name}, {under}, from {_some(self.sources)} to {_some(self.destinations)}, at {self.victim}"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "all"


@cache
def _named(name: str) -> World:
    return World.of(scenarios.read(name))


def _expected(world: World) -> list[CellResult]:
    matrix = evaluate(world.snapshot)
    unseen = Observation(Observed.SKIPPED, "")
    cells = [cell for cell in world.cells if cell.protocol is not Protocol.SCTP]
    return [CellResult(cell, matrix.verdict(*cell), unseen, Result.MATCH, matrix.notes(*cell)) for cell in cells]


def _enforcement(world: World, random: Random) -> Enforcement:
    kind = random.choice(("nothing", "nothing", "dialect", "dialect", "spec"))
    if kind == "nothing" or not world.nodes:
        return NOTHING
    if kind == "spec":
        return Enforcement()
    return Enforcement(on_node={random.choice(world.nodes): Enforcer(random.choice(ERRING))})


def draw(random: Random, *, bundled: bool = False) -> Plan:
    """A plan in which, where the enforcer errs at all, the fault strikes where it would hide that; ``bundled``: of a
    scenario.
    """
    telling: list[Cell] = []
    while not telling:
        world = (
            _named(random.choice(scenarios.with_truth()))
            if bundled or random.random() < 0.5
            else World.random(random.randrange(10**6))
        )
        enforcement = _enforcement(world, random)
        cells = _expected(world)
        telling = [one.cell for one in cells]
        if enforcement != Enforcement():
            telling = sorted(truth(world, enforcement, cells))
        telling = [cell for cell in telling if cell.source != cell.destination]
    cell = random.choice(telling)
    one_source, one_destination = random.choice(((False, False), (True, False), (False, True), (True, True)))
    if len(cells) > MOST_CELLS and not one_source:
        one_destination = True
    return Plan(
        world,
        enforcement,
        (cell.source,) if one_source else (),
        (cell.destination,) if one_destination else (),
        _site_of(world, random.choice((cell.source, cell.destination, cell.destination))),
        (PortRequest(cell.protocol, number=cell.port),) if random.random() < 0.25 else (),
    )


def _site_of(world: World, name: str) -> str:
    endpoint = world.snapshot.endpoint(name)
    return f"node/{endpoint.node}" if endpoint.host_network else name


@dataclass(frozen=True)
class Judged:
    """A report held against the truth.

    ``missed``: connections that differ in truth and were said to be as expected. ``invented``: leaks, outages and wrong
    deliveries that the enforcer's definition doesn't have. ``told``: what the report says of what could not be
    measured, and beside the findings, whose titles are in ``found``."""

    conclusion: Conclusion
    differing: int
    missed: tuple[str, ...]
    invented: tuple[str, ...]
    told: tuple[str, ...]
    found: tuple[str, ...]


def differs(plan: Plan) -> bool:
    """Whether the enforcer errs anywhere in what the plan is about."""
    return bool(truth(plan.world, plan.enforcement, _chosen(plan)))


def _chosen(plan: Plan) -> list[CellResult]:
    return [
        one
        for one in _expected(plan.world)
        if one.cell.source in (plan.sources or {one.cell.source})
        and one.cell.destination in (plan.destinations or {one.cell.destination})
    ]


def truth(world: World, enforcement: Enforcement, cells: Iterable[CellResult]) -> frozenset[Cell]:
    """Those of ``cells`` that differ from the specification under ``enforcement``; what an audit left out by itself
    counts, too.
    """
    ends = {end.name: end for end in world.snapshot.endpoints}
    judged = [one for one in cells if one.result is not Result.UNDEFINED and one.cell.protocol is not Protocol.SCTP]
    return frozenset(
        one.cell
        for one in judged
        if verdict(
            world.snapshot, ends[one.cell.source], ends[one.cell.destination], *one.cell[2:], enforcement=enforcement
        )
        is not one.expected
    )


def _left_out(one: CellResult) -> bool:
    return one.result is Result.SKIPPED and one.cell.protocol is not Protocol.SCTP


def judge(plan: Plan, report: Report) -> Judged:
    """Hold ``report`` against the truth."""
    differing = truth(plan.world, plan.enforcement, report.cells)
    missed = [one for one in report.cells if one.cell in differing and one.result is Result.MATCH]
    invented = [one for one in report.cells if one.result in FAULTS and one.cell not in differing]
    silent = Counter(
        one.observation.outcome for one in report.cells if one.result is Result.INCONCLUSIVE or _left_out(one)
    )
    return Judged(
        conclude(report),
        len(differing),
        tuple(map(_say, missed)),
        tuple(map(_say, invented)),
        (*(text for text, _ in silent.most_common()), *report.facts),
        tuple(finding.title for finding in report.findings),
    )


def _say(one: CellResult) -> str:
    seen = one.observation
    return (
        f"{one.cell}: expected {one.expected}, observed {seen.verdict} ({seen.outcome}), {one.result}, "
        f"{list(map(str, seen.history))}"
    )


def planned_ports(cells: tuple[Cell, ...], site: str) -> list[tuple[int, bool]]:
    """The ports (number, whether UDP) that ``cells`` try at ``site``; those of all sites where nothing is
    tried there.
    """
    tried = [cell for cell in cells if cell.protocol is not Protocol.SCTP]
    there = [cell for cell in tried if cell.destination == site]
    return sorted({(cell.port, cell.protocol is Protocol.UDP) for cell in there or tried})
