"""The seam for a second policy API: tiers of two rules around NetworkPolicy, in evaluator, explain and doubt."""

from __future__ import annotations

import itertools
import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import pytest

from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, PolicyPort, UnknownPolicy
from auditor.model.ports import PortRequest, Protocol
from auditor.model.snapshot import Endpoint, Family, Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.policy.doubt import doubtful_cells, extremes
from auditor.policy.evaluator import evaluate
from auditor.policy.explain import decide
from auditor.policy.matrix import BlockReading, always_allowed, governed
from auditor.policy.tiers import Judgement, TierAnswer, TierRow, Universe, fold_judgements
from auditor.policy.tiers_in_order import TIERS
from auditor.policy.traits import Traits
from tests.oracle.clusters import cluster, having, pod, pods, policy, rule
from tests.strategies import random_snapshot


@dataclass(frozen=True)
class Line:
    """One rule of a tier: pods with ``subject``, in any namespace, from or to pods with ``peer``, on ``port``."""

    subject: LabelSelector
    direction: Direction
    peer: LabelSelector
    port: PolicyPort
    answer: TierAnswer


@dataclass(frozen=True)
class Ordered:
    """An API whose rules are asked in order; the first that matches answers, and Pass is NEXT."""

    name: str
    lines: tuple[Line, ...]

    def applies(self, snapshot: Snapshot) -> bool:
        return True

    def leaning_to(self, snapshot: Snapshot, *, most: bool) -> Ordered:
        return self

    def traits(self, snapshot: Snapshot) -> Traits:
        selectors = frozenset(each for line in self.lines for each in (line.subject, line.peer))
        return Traits(pod_selectors=selectors, ports=tuple(line.port for line in self.lines))

    def compile(self, snapshot: Snapshot, universe: Universe) -> Compiled:
        return Compiled(self.lines, universe)

    def judge(self, snapshot: Snapshot, cell: Cell, direction: Direction) -> Judgement:
        source, destination = snapshot.endpoint(cell.source), snapshot.endpoint(cell.destination)
        subject, other = (source, destination) if direction is Direction.EGRESS else (destination, source)
        for number, line in enumerate(self.lines):
            if line.direction is direction and self._matches(line, subject, other, cell):
                return Judgement(self.name, line.answer, (f"{self.name} rule {number}: {line.answer}",))
        return Judgement(self.name, TierAnswer.NEXT)

    @staticmethod
    def _matches(line: Line, subject: Endpoint, other: Endpoint, cell: Cell) -> bool:
        first, last = line.port.bounds
        on_port = line.port.protocol is cell.protocol and first <= cell.port <= last
        ends = ((subject, line.subject), (other, line.peer))
        return on_port and all(end.selectable and wanted.matches(end.labels) for end, wanted in ends)

    def may_select(self, policy: UnknownPolicy, endpoint: Endpoint) -> bool:
        return endpoint.selectable and (policy.pod_selector is None or policy.pod_selector.matches(endpoint.labels))

    def extremes(self, snapshot: Snapshot, unknown: Sequence[UnknownPolicy]):
        return tuple((snapshot, self._meaning(unknown, answer)) for answer in (TierAnswer.DENY, TierAnswer.ACCEPT))

    def _meaning(self, unknown: Sequence[UnknownPolicy], answer: TierAnswer) -> Ordered:
        everywhere = [PolicyPort(protocol, 1, 65535) for protocol in Protocol]
        everybody = LabelSelector()
        first = tuple(
            Line(each.pod_selector or everybody, direction, everybody, port, answer)
            for each in unknown
            for direction in Direction
            for port in everywhere
        )
        return Ordered(self.name, (*first, *self.lines))


@dataclass(frozen=True)
class Compiled:
    lines: tuple[Line, ...]
    universe: Universe

    def told_apart(self) -> set[int]:
        groups = self.universe.groups
        return {groups.with_labels(each) for line in self.lines for each in (line.subject, line.peer)}

    def fingerprint(self, family: Family, reading: BlockReading) -> Hashable:
        return ()

    def rows(self, sources, direction, family, reading) -> Sequence[TierRow]:
        return [self._row(source, direction) for source in sources]

    def _row(self, source: int, direction: Direction) -> TierRow:
        groups, atoms = self.universe.groups, self.universe.atoms
        parts = [(atoms.everything, 0, 0, 0)]  # atoms, accepted, denied, passed
        for line in self.lines:
            ends = (groups.with_labels(line.subject), groups.with_labels(line.peer))
            here, there = ends if direction is Direction.EGRESS else reversed(ends)
            if line.direction is not direction or not here >> source & 1:
                continue
            wanted = atoms.mask(line.port.protocol, *line.port.bounds)
            split = []
            for part, accepted, denied, passed in parts:
                new = there & ~(accepted | denied | passed)
                sets = [
                    mask | (new if line.answer is answer else 0)
                    for mask, answer in (
                        (accepted, TierAnswer.ACCEPT),
                        (denied, TierAnswer.DENY),
                        (passed, TierAnswer.NEXT),
                    )
                ]
                split += [(part & wanted, *sets)] if part & wanted else []
                split += [(part & ~wanted, accepted, denied, passed)] if part & ~wanted else []
            parts = split
        return tuple((part, groups.everything & ~denied, accepted | denied) for part, accepted, denied, _ in parts)


TCP_80 = PolicyPort(Protocol.TCP, 80)
TCP_ALL = PolicyPort(Protocol.TCP, 1, 65535)
WEB, DB, SPY = (having({"app": name}) for name in ("web", "db", "spy"))
ADMIN = Ordered(
    "Admin",
    (
        Line(DB, Direction.INGRESS, WEB, TCP_80, TierAnswer.NEXT),
        Line(DB, Direction.INGRESS, SPY, TCP_ALL, TierAnswer.DENY),
        Line(DB, Direction.INGRESS, WEB, TCP_ALL, TierAnswer.ACCEPT),
    ),
)
BASELINE = Ordered("Baseline", (Line(WEB, Direction.INGRESS, SPY, TCP_ALL, TierAnswer.DENY),))
ALL_TIERS = (ADMIN, *TIERS, BASELINE)
PODS = cluster(
    pod("shop/web", {"app": "web"}),
    pod("shop/db", {"app": "db"}),
    pod("shop/spy", {"app": "spy"}),
    policies=[policy("shop/db", {"app": "db"}, ingress=[rule(pods({"app": "spy"}))])],
)


def cell(source: str, destination: str, port: int) -> Cell:
    return Cell(f"shop/{source}", f"shop/{destination}", Protocol.TCP, port, Family.IPV4)


@pytest.mark.parametrize(
    ("source", "destination", "port", "verdict", "because"),
    [
        ("spy", "db", 80, Verdict.DENIED, "Admin rule 1: deny"),
        ("web", "db", 443, Verdict.ALLOWED, "Admin rule 2: accept"),
        ("web", "db", 80, Verdict.DENIED, "Admin rule 0: next"),
        ("spy", "web", 80, Verdict.DENIED, "Baseline rule 0: deny"),
        ("db", "web", 80, Verdict.ALLOWED, "no policy isolates shop/web"),
    ],
)
def test_a_tier_denies_accepts_or_passes_on_and_says_so(source, destination, port, verdict, because):
    asked = cell(source, destination, port)
    assert evaluate(PODS, tiers=ALL_TIERS).verdict(*asked) is verdict
    decision = decide(PODS, asked, ALL_TIERS)
    assert decision.verdict is verdict
    assert any(because in line for line in decision.because()), decision.because()


def test_without_further_tiers_nothing_is_different():
    nothing = (Ordered("Admin", ()), *TIERS, Ordered("Baseline", ()))
    for seed in range(20):
        snapshot = random_snapshot(random.Random(seed))
        one, other = evaluate(snapshot), evaluate(snapshot, tiers=nothing)
        for source, destination in itertools.product(snapshot.endpoints, repeat=2):
            for atom in one.atoms:
                asked = (source.name, destination.name, atom.protocol, atom.first)
                assert one.verdict(*asked) is other.verdict(*asked)


def random_tier(dice: random.Random, name: str, snapshot: Snapshot) -> Ordered:
    labels = sorted({pair for endpoint in snapshot.endpoints for pair in endpoint.labels.items()})
    selectors = [LabelSelector(), *(LabelSelector((pair,)) for pair in labels)]
    numbers = [1, 53, 80, 443, 8080, 65535]

    def port() -> PolicyPort:
        first, last = sorted(dice.choices(numbers, k=2))
        return PolicyPort(dice.choice([Protocol.TCP, Protocol.UDP]), first, last)

    return Ordered(
        name,
        tuple(
            Line(
                dice.choice(selectors),
                dice.choice(list(Direction)),
                dice.choice(selectors),
                port(),
                dice.choice(list(TierAnswer)),
            )
            for _ in range(dice.randint(1, 4))
        ),
    )


@pytest.mark.parametrize("seed", range(25))
def test_evaluator_and_explain_agree_on_random_tiers(seed):
    dice = random.Random(seed)
    snapshot = random_snapshot(dice)
    tiers = (random_tier(dice, "Admin", snapshot), *TIERS, random_tier(dice, "Baseline", snapshot))
    matrix = evaluate(snapshot, tiers=tiers)
    for source, destination in itertools.product(snapshot.endpoints, repeat=2):
        if not governed(source, destination):
            continue
        for atom in dice.sample(matrix.atoms, min(4, len(matrix.atoms))):
            asked = Cell(
                source.name, destination.name, atom.protocol, dice.choice([atom.first, atom.last]), Family.IPV4
            )
            plain = all(
                (deciding := fold_judgements([tier.judge(snapshot, asked, direction) for tier in tiers])) is None
                or deciding.answer is TierAnswer.ACCEPT
                for direction in Direction
            )
            expected = Verdict.ALLOWED if plain or always_allowed(source, destination) else Verdict.DENIED
            assert matrix.verdict(*asked) is expected, asked
            assert decide(snapshot, asked, tiers).verdict is expected


def test_a_policy_of_another_tier_that_cannot_be_read_is_in_doubt_where_it_may_decide():
    unread = UnknownPolicy("", "cluster-wide", WEB, "has a field that is not known", "Admin")
    cells = [cell("spy", "db", 80), cell("web", "db", 80), cell("web", "db", 443), cell("spy", "web", 80)]
    doubtful = doubtful_cells(PODS, [unread], cells, ALL_TIERS)
    assert set(doubtful) == {cell("web", "db", 443), cell("spy", "web", 80)}
    assert all("cluster-wide" in reason for reason in doubtful.values())


def test_what_an_unknown_policy_can_mean_lies_between_the_extremes():
    unread = UnknownPolicy("", "cluster-wide", WEB, "can't be read", "Admin")
    least, most = extremes(PODS, [unread], ALL_TIERS)
    asked = cell("spy", "web", 80)
    assert evaluate(least.snapshot, tiers=least.tiers).verdict(*asked) is Verdict.DENIED
    assert evaluate(most.snapshot, tiers=most.tiers).verdict(*asked) is Verdict.ALLOWED


def test_named_ports_of_a_request_still_resolve():
    request = PortRequest(Protocol.TCP, name="http")
    snapshot = cluster(pod("a/one", ports=["http=TCP/8080"]), pod("a/two"))
    assert evaluate(snapshot, named_ports=[request], tiers=ALL_TIERS).classes
