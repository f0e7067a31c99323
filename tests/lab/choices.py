"""Whether a choice of probe pods notices what it claims to, with real packets: ``python -m tests.lab.choices
[-c CLUSTERS] [-f FIRST] [-w WAYS]``.

On random clusters of 40 to 120 pods the probe pods that the choice asks for are put into the lab, with an enforcer that
has a dialect everywhere, on one of two nodes, or that misreads one policy in one direction: ``WAYS`` of these
for each direction, drawn from all. Clusters of odd seeds have policies of administrators in both tiers as well. The
connections of the choice are tried, no others. What it claims to notice has to be seen at the kind of pod and in the
direction that it claims it for, and what it says to miss must not be.

Nodes are laid out so that no connection of the choice has both of its ends on one: then what is wrong on a node is
wrong at one end. Prints for each cluster what was held against packets, and which share of the whole plan's probe pods
and connections the choice has. Fails where less than 99.5 % of what is claimed is seen, or anything is seen that is
said to be missed."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import ip_address
from itertools import islice, zip_longest
from random import Random
from typing import NamedTuple

from auditor.choice.admin_misreadings import admin_misreadings
from auditor.choice.area import Area
from auditor.choice.filter import What
from auditor.choice.misreadings import Misreading, Reading, misreadings
from auditor.cluster.lab.lab import Lab
from auditor.diagnosis.dialects import SPECS, Traffic
from auditor.model.admin_policy import AdminPolicy
from auditor.model.dialect import OF_TIERS, Dialect, Enforcement, Enforcer
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.report import CellResult
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell, Result
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import ExpectedMatrix
from auditor.probe_pods.choice import ProbeRequest, choose_probe_pods
from auditor.probing.options import NoProgress
from auditor.probing.plan import choose_ports, plan_cells
from auditor.probing.probe_run import probe
from auditor.run.expectation import AuditState, Expectation
from tests.choosing import Claims, admin_read_so, at_end, read_so, stand_ins
from tests.lab.auditing import DIFFERENT, HASTY, PATIENCE
from tests.strategies import DUAL, Shape, random_snapshot

CLUSTERS = 20
WAYS = 12
NODES = 2
HONEST = 0.995
BUDGETS = (8, 20, 50)

OWN_NET = 250
"""No ipBlock means some pods there and not others."""
DIALECTS = [
    dialect
    for dialect, spec in SPECS.items()
    if spec.timing is None
    and (
        spec.rewrite is not None
        or spec.first_policy_only
        or spec.shuts
        or spec.exempts in (Traffic.UDP, Traffic.IPV6)
        or dialect in OF_TIERS
    )
]
"""Those that a choice counts."""
FOUND = frozenset(DIFFERENT) - {Result.CNI_DEPENDENT}
"""What counts as a fault."""


class Claim(NamedTuple):
    """``what``, of pods of a kind in an area, by their numbers, in one direction, would be ``noticed`` or not."""

    area: int
    kind: int
    direction: Direction
    what: str
    noticed: bool


@dataclass(frozen=True)
class Injection:
    """What is wrong in the lab: an ``enforcement``, or the policies as they are misread (None: they aren't). What is
    claimed of it.
    """

    scope: str
    enforcement: Enforcement
    claims: tuple[Claim, ...]
    policies: tuple[NetworkPolicy, ...] | None = None
    admin_policies: tuple[AdminPolicy, ...] | None = None


@dataclass
class Held:
    """What packets say of the claims for one cluster: ``told`` counts them by the scope, what is claimed and whether it
    was seen, ``wrong`` has those that aren't so.
    """

    name: str
    pods: int = 0
    probe_pods: int = 0
    connections: int = 0
    whole_pods: int = 0
    whole_connections: int = 0
    audits: int = 0
    told: Counter[tuple[str, bool, bool]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def count(self, noticed: bool, seen: bool | None = None) -> int:
        """How many claims to notice, or to miss, there were; of which so many were ``seen`` or not."""
        return sum(
            number
            for (_, claimed, was_seen), number in self.told.items()
            if claimed is noticed and seen in (None, was_seen)
        )


def random_cluster(seed: int) -> Snapshot:
    """A cluster of 40 to 120 pods, all on the pod network."""
    random = Random(seed)
    pods = random.randrange(40, 121)
    shape = Shape(
        namespaces=random.randrange(3, 7),
        pods=pods,
        policies=random.randrange(8, 17),
        nodes=3,
        hosts=0,
        node_endpoints=False,
        host_network=0.0,
        families=(DUAL,),
        cuts_ephemeral=False,
        admin_policies=random.randrange(2, 7) if seed % 2 else 0,
    )
    return random_snapshot(random, shape)


class Cluster(Claims):
    """The random cluster of ``seed``, the choice for some or all of its namespaces, and its probe pods in a lab."""

    def __init__(self, seed: int) -> None:
        snapshot = random_cluster(seed)
        names = sorted({policy.namespace for policy in snapshot.policies})
        request = ProbeRequest(() if seed % 3 == 0 else tuple(names[: 1 + seed % 2]))
        super().__init__(snapshot, request, BUDGETS[seed % len(BUDGETS)])

    @cached_property
    def lab_snapshot(self) -> Snapshot:
        """The probe pods, with addresses, on nodes of which each has no connection of the choice within it."""
        node_of = apart([(one.source, one.destination) for one in self.chosen.connections])
        pods = []
        for number, end in enumerate(stand_ins(self)):
            place = node_of.get(end.name, 0)
            addresses = (f"10.244.{OWN_NET}.{number + 2}", f"fd00:10:244:{OWN_NET:x}::{number + 2:x}")
            pods.append(replace(end, addresses=tuple(map(ip_address, addresses)), node=f"node-{place}"))
        return replace(self.snapshot, endpoints=tuple(pods))

    @property
    def nodes(self) -> list[str]:
        """The nodes of the lab."""
        return sorted({end.node for end in self.lab_snapshot.endpoints})

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The connections of the choice, over each family."""
        families = sorted({column.family for area in self.areas for column in area.columns})
        return tuple(
            Cell(one.source, one.destination, one.port.protocol, one.port.number, family)
            for one in sorted(self.chosen.connections)
            for family in families
        )

    @cached_property
    def matrix(self) -> ExpectedMatrix:
        """What the policies demand, as they are written."""
        return evaluate(self.lab_snapshot)

    def expectation(self, cells: Sequence[Cell]) -> Expectation:
        """What they demand of ``cells``."""
        return Expectation.of(self.matrix, cells, {})

    def asked(self, claim: Claim) -> list[Cell]:
        """The connections that pass the filters that ``claim`` is about."""
        area = self.areas[claim.area]
        return list(at_end(self.planned(area), claim.direction, self.probes_of(area.kinds[claim.kind])))

    def claims_of(self, areas: Iterable[int], way: What, what: str, on: frozenset[str] | None = None) -> list[Claim]:
        """What is claimed of ``way``, which the list of ways has as such, at each kind in ``areas``; of those alone
        that have a probe pod among ``on``.
        """
        found = []
        for number in areas:
            area = self.areas[number]
            for kind, subjects in enumerate(area.kinds):
                claimed = self.noticed.get((area.namespace, kind, way))
                if claimed is not None and (on is None or self.probes_of(subjects) & on):
                    found.append(Claim(number, kind, way.direction, what, claimed))
        return found

    def injections(self, ways: int) -> Iterator[Injection]:
        """All that is tried on this cluster; ``ways`` misreadings of one policy for each direction."""
        for dialect in self._dialects:
            yield Injection("everywhere", Enforcement(Enforcer(dialect)), tuple(self._everywhere(dialect)))
        random = Random(len(self.snapshot.policies))
        for node in random.sample(self.nodes, min(NODES, len(self.nodes))):
            for dialect in self._dialects:
                at_node = Enforcement(on_node={node: Enforcer(dialect)})
                if claims := tuple(self._on_node(dialect, node)):
                    yield Injection("one node", at_node, claims)
        for direction in Direction:
            yield from self._misread(direction, random, ways)
            yield from self._admin_misread(direction, random, ways)

    @property
    def _dialects(self) -> list[Dialect]:
        return [each for each in DIALECTS if self.snapshot.admin_policies or each not in OF_TIERS]

    def _everywhere(self, dialect: Dialect) -> Iterator[Claim]:
        spec = SPECS[dialect]
        for direction in Direction:
            what = f"{spec.phrase}, everywhere"
            if spec.rewrite is not None or spec.first_policy_only or dialect in OF_TIERS:
                yield from self.claims_of(range(len(self.areas)), What("", direction, what), what)
            else:  # what is let through, or dropped, at both ends is no less than what is at one of them
                at_one = self.claims_of(range(len(self.areas)), What("", direction, spec.phrase), what)
                yield from (claim for claim in at_one if claim.noticed)

    def _on_node(self, dialect: Dialect, node: str) -> Iterator[Claim]:
        on = frozenset(end.name for end in self.lab_snapshot.endpoints if end.node == node)
        spec = SPECS[dialect]
        for number, area in enumerate(self.areas):
            for direction in Direction:
                if spec.rewrite is None:
                    way = What("", direction, spec.phrase)
                    yield from _noticed_here(self.claims_of([number], way, str(dialect), on), self, on)
                elif spec.admin is None or not self.snapshot.admin_policies:  # else it takes both APIs' otherwise
                    for way, alone in self._read_alone(area, direction, dialect):
                        claims = self.claims_of([number], way, f"{dialect}: {way.policy}", on)
                        yield from _noticed_here((each for each in claims if each.kind in alone), self, on)

    def _read_alone(self, area: Area, direction: Direction, dialect: Dialect) -> Iterator[tuple[What, set[int]]]:
        """For each policy of ``area`` that ``dialect`` takes for another the way that this is, and the kinds that none
        of the others concerns.
        """
        rewrite = SPECS[dialect].rewrite
        assert rewrite is not None
        concerned: dict[str, set[int]] = {}
        whats: dict[str, str] = {}
        for policy in self.snapshot.policies:
            if policy.namespace != area.namespace:
                continue
            reading, written = Reading.of(rewrite(policy), direction), Reading.of(policy, direction)
            if reading != written:
                concerned[policy.full_name] = {
                    number for number, kind in enumerate(area.kinds) if self._concerns((reading, written), kind)
                }
                whats[policy.full_name] = next(
                    each.what for each in misreadings(policy, direction) if each.reading == reading
                )
        counts = Counter(number for kinds in concerned.values() for number in kinds)
        for name, kinds in concerned.items():
            yield What(name, direction, whats[name]), {number for number in kinds if counts[number] == 1}

    def _concerns(self, readings: Iterable[Reading], kind: Sequence[object]) -> bool:
        by_name = {end.name: end for end in self.snapshot.endpoints}
        member = by_name[self.members_of(kind)[0]]  # type: ignore[arg-type] # a Kind
        return any(each.isolates and each.selector.matches(member.labels) for each in readings)

    def _misread(self, direction: Direction, random: Random, most: int) -> Iterator[Injection]:
        """In each area one policy at a time: filters of different areas have no ends in common in one direction."""
        columns = [self._drawn(area, direction, random, most) for area in self.areas]
        for several in zip_longest(*columns):
            policies, claims = self.snapshot.policies, []
            for number, drawn in enumerate(several):
                if drawn is not None:
                    policy, misreading = drawn
                    way = What(policy.full_name, direction, misreading.what)
                    claims += self.claims_of([number], way, f"{way.policy}: {way.what}")
                    policies = read_so(policies, policy, direction, misreading.reading)
            if claims:
                yield Injection("one policy", Enforcement(), tuple(claims), policies)

    def _admin_misread(self, direction: Direction, random: Random, most: int) -> Iterator[Injection]:
        """One policy of administrators at a time, which may have to do with all areas."""
        written = self.snapshot.admin_policies
        known = {way for area in self.areas for way in area.whats}
        found = [(policy, each) for policy in written for each in admin_misreadings(policy, direction)]
        found = [(policy, each) for policy, each in found if What(policy.full_name, direction, each.what) in known]
        for policy, each in random.sample(found, min(most, len(found))):
            way = What(policy.full_name, direction, each.what)
            claims = self.claims_of(range(len(self.areas)), way, f"{way.policy}: {way.what}")
            read = admin_read_so(written, policy, direction, each.reading)
            yield Injection("one policy", Enforcement(), tuple(claims), admin_policies=read)

    def _drawn(
        self, area: Area, direction: Direction, random: Random, most: int
    ) -> list[tuple[NetworkPolicy, Misreading]]:
        here = [policy for policy in self.snapshot.policies if policy.namespace == area.namespace]
        known = set(area.whats)
        found = [
            (policy, each)
            for policy in here
            for each in misreadings(policy, direction)
            if What(policy.full_name, direction, each.what) in known
        ]
        return random.sample(found, min(most, len(found)))


def _noticed_here(claims: Iterable[Claim], cluster: Cluster, on: frozenset[str]) -> Iterator[Claim]:
    """What is claimed of kinds all of whose probe pods are among ``on``, and what is said to be missed of any."""
    for claim in claims:
        if not claim.noticed or cluster.probes_of(cluster.areas[claim.area].kinds[claim.kind]) <= on:
            yield claim


def apart(pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
    """A number for each name, such that no two of one of ``pairs`` have the same: greedily, so not the fewest."""
    neighbours: dict[str, set[str]] = defaultdict(set)
    for one, other in pairs:
        neighbours[one].add(other)
        neighbours[other].add(one)
    numbers: dict[str, int] = {}
    for name in sorted(neighbours, key=lambda each: (-len(neighbours[each]), each)):
        taken = {numbers[each] for each in neighbours[name] if each in numbers}
        numbers[name] = next(number for number in range(len(taken) + 1) if number not in taken)
    return numbers


async def try_on(lab: Lab, cluster: Cluster, cells: Sequence[Cell]) -> Mapping[Cell, CellResult]:
    """What ``cells`` show in ``lab``, patiently where the machine is busy."""
    expectation = cluster.expectation(cells)
    for patience in PATIENCE:
        options = replace(HASTY, timeout=HASTY.timeout * patience)
        demanded = expectation.demanded
        outcome = await probe(cells, lab.sites, lab.open, demanded, options, NoProgress(), witnesses=lab.witnesses)
        results = AuditState(expectation, outcome).results()
        if not any("stood still" in each.observation.outcome for each in results):
            break
    return {each.cell: each for each in results}


async def hold(seed: int, ways: int, one_in: int = 1) -> Held:
    """What packets say of the claims for the random cluster of ``seed``: of one in so many injections."""
    cluster = Cluster(seed)
    held = Held(f"random-{seed}")
    _sizes(cluster, held)
    async with Lab(cluster.lab_snapshot, nodes=cluster.nodes) as lab:
        for injection in islice(cluster.injections(ways), 0, None, one_in):
            policies = injection.policies or cluster.snapshot.policies
            admin_policies = injection.admin_policies or cluster.snapshot.admin_policies
            await lab.program(injection.enforcement, policies, admin_policies=admin_policies)
            results = await try_on(
                lab, cluster, sorted({cell for one in injection.claims for cell in cluster.asked(one)})
            )
            held.audits += 1
            _compare(cluster, injection, results, held)
    return held


def _sizes(cluster: Cluster, held: Held) -> None:
    """The choice beside the whole plan."""
    held.pods = len(cluster.snapshot.endpoints)
    held.probe_pods = len(cluster.chosen.probe_pods)
    held.connections = len(cluster.cells)
    whole = choose_probe_pods(cluster.snapshot, evaluate(cluster.snapshot), cluster.request).probe_pods
    ends = {end.name: end for end in cluster.snapshot.endpoints}
    pods = [replace(ends[probe.stands_for[0]], name=probe.name) for probe in whole]
    audited = {probe.name for probe in whole if any(cluster.request.audits(ends[name]) for name in probe.stands_for)}
    held.whole_pods = len(whole)
    held.whole_connections = len(plan_cells(pods, pods, choose_ports(cluster.snapshot), audited))


def _compare(cluster: Cluster, injection: Injection, results: Mapping[Cell, CellResult], held: Held) -> None:
    for claim in injection.claims:
        area = cluster.areas[claim.area]
        here = [results[cell] for cell in cluster.asked(claim)]
        seen = any(each.result in FOUND for each in here)
        held.told[injection.scope, claim.noticed, seen] += 1
        if seen is not claim.noticed:
            said = "not seen" if claim.noticed else "seen, though said to be missed"
            some = [f"{each.cell} {each.result} ({each.observation.outcome})" for each in here if _speaks(each, seen)]
            held.wrong.append(
                f"{held.name}, {injection.scope}, {area.namespace}, {claim.direction} of kind {claim.kind}: "
                f"{claim.what}: {said}: {some[:3]}"
            )


def _speaks(result: CellResult, seen: bool) -> bool:
    return result.result in FOUND if seen else result.result is not Result.MATCH


def table(rows: Sequence[Held]) -> str:
    """The figures of ``rows``."""
    heads = f"{'':<10}{'pods':>6}{'probe pods':>16}{'connections':>20}{'share':>8}{'audits':>8}"
    lines = [f"{heads}{'claims':>8}{'seen':>8}{'missed':>8}{'seen':>6}"]
    for row in rows:
        share = row.connections / row.whole_connections
        lines.append(
            f"{row.name:<10}{row.pods:>6}{f'{row.probe_pods} of {row.whole_pods}':>16}"
            f"{f'{row.connections:,} of {row.whole_connections:,}':>20}{share:>8.1%}{row.audits:>8}"
            f"{row.count(True):>8,}{row.count(True, True):>8,}{row.count(False):>8,}{row.count(False, True):>6,}"
        )
    for scope in ("everywhere", "one node", "one policy"):
        told = sum((row.told for row in rows), Counter[tuple[str, bool, bool]]())
        claimed, seen = (told[scope, True, True] + told[scope, True, False]), told[scope, True, True]
        missed, anyway = (told[scope, False, True] + told[scope, False, False]), told[scope, False, True]
        lines.append(
            f"{scope}: {seen:,} of {claimed:,} claims seen; {anyway:,} of {missed:,} seen that were to be missed"
        )
    return "\n".join(lines)


def problems(rows: Sequence[Held]) -> list[str]:
    """What must not be."""
    claimed, seen = sum(row.count(True) for row in rows), sum(row.count(True, True) for row in rows)
    anyway = sum(row.count(False, True) for row in rows)
    wrong = []
    if seen < HONEST * claimed:
        wrong.append(f"only {seen / claimed:.2%} of what is claimed to be noticed is seen")
    if anyway:
        wrong.append(f"{anyway} ways were seen that are said to be missed")
    return wrong


def row_of(seed: int, ways: int) -> Held:
    """``hold``, in a process of its own."""
    return asyncio.run(hold(seed, ways))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-f", type=int, default=0, metavar="FIRST", help="seed of the first cluster (default 0)")
    parser.add_argument("-c", type=int, default=CLUSTERS, metavar="CLUSTERS", help=f"clusters (default {CLUSTERS})")
    parser.add_argument("-w", type=int, default=WAYS, metavar="WAYS", help=f"misread policies (default {WAYS})")
    arguments = parser.parse_args()
    rows = []
    for seed in range(arguments.f, arguments.f + arguments.c):
        rows.append(row_of(seed, arguments.w))
        print(table(rows[-1:]).splitlines()[1], *rows[-1].wrong[:20], sep="\n", flush=True)
    wrong = problems(rows)
    print("\n".join(["", table(rows), "", *wrong]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
