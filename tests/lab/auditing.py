"""Audits on the lab, held against what the tests' own evaluator predicts for the enforcer that is injected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from auditor.cluster.lab.lab import Lab
from auditor.model.dialect import Dialect, Enforcement, Enforcer
from auditor.model.policy import NetworkPolicy
from auditor.model.ports import Protocol
from auditor.model.report import CellResult, Report
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Snapshot
from auditor.model.verdict import Cell, Result, Verdict
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.run.audit import audit
from auditor.run.planning import AuditOptions, plan
from tests.oracle.evaluator import AmbiguousPrediction, before_convergence, may_flake, verdict

HASTY = ProbingOptions(timeout=0.3, retests=2, settle=0.0)
"""For a lab, where a round trip takes a fraction of a millisecond unless the machine is busy, which the retests are
for.
"""

PATIENT = ProbingOptions(timeout=0.3, retests=2, settle=4.0)

PATIENCE = (1, 2, 4, 8, 16)
"""How many times as long each attempt waits for an answer when agents had no turn on a busy machine: an audit says so,
which is no fault of it or of the lab.
"""

DIFFERENT = (Result.LEAK, Result.OUTAGE, Result.UNSTABLE, Result.MISDELIVERED, Result.CNI_DEPENDENT)
UNKNOWN = (Result.INCONCLUSIVE,)

NO_NODES: Mapping[str, Endpoint] = {}

SLOW_START = 0.8
NEVER = 60.0


@dataclass(frozen=True)
class Prediction:
    """The cells that must differ from the specification, those that may, and those that must or may be without a
    verdict.
    """

    must: frozenset[Cell]
    may: frozenset[Cell]
    unheard: frozenset[Cell] = frozenset()
    perhaps_unheard: frozenset[Cell] = frozenset()


def predict(
    snapshot: Snapshot,
    cells: Iterable[CellResult],
    enforcement: Enforcement,
    previous_policies: Sequence[NetworkPolicy] | None = None,
    *,
    converged: bool = True,
    nodes: Mapping[str, Endpoint] = NO_NODES,
) -> Prediction:
    """Which of ``cells`` an audit under ``enforcement`` must find to differ from the specification.

    ``nodes`` has each node as an endpoint, by its bare name.
    """
    by_name = {endpoint.name: endpoint for endpoint in snapshot.endpoints}
    in_force = enforcement if converged else before_convergence(enforcement)
    must, may, unheard, perhaps = set(), set(), set(), set()
    cells = list(cells)
    hearing = Hearing(snapshot, [result.cell for result in cells], in_force, previous_policies, nodes)
    for result in cells:
        cell = result.cell
        if result.result in (Result.UNDEFINED, Result.SKIPPED):
            continue
        source, destination = by_name[cell.source], by_name[cell.destination]
        try:
            predicted = verdict(
                snapshot,
                source,
                destination,
                cell.protocol,
                cell.port,
                cell.family,
                enforcement=in_force,
                previous_policies=previous_policies,
            )
        except AmbiguousPrediction:
            may.add(cell)
            perhaps |= {cell} if hearing.of(cell, result.expected) is not True else set()
            continue
        heard = hearing.of(cell, result.expected) if predicted is Verdict.DENIED else True
        if heard is None:
            perhaps.add(cell)
            may.add(cell)
        elif not heard:
            unheard.add(cell)
        elif predicted is not result.expected:
            must.add(cell)
        elif predicted is Verdict.ALLOWED and may_flake(source, destination, enforcement):
            may.add(cell)
    return Prediction(frozenset(must), frozenset(may), frozenset(unheard), frozenset(perhaps))


class Hearing:
    """Whether each end of a cell is heard over its network link: by its own node, or in another of ``cells`` that gets
    through; and over the cell's own protocol, where the own node gets through to a closed port over the other alone.

    Only an enforcer that keeps a pod apart from its own node leaves any in doubt.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        cells: Sequence[Cell],
        enforcement: Enforcement,
        previous_policies: Sequence[NetworkPolicy] | None,
        nodes: Mapping[str, Endpoint],
    ) -> None:
        self._snapshot, self._cells, self._nodes = snapshot, cells, nodes
        self._ask = {"enforcement": enforcement, "previous_policies": previous_policies}
        self._enforcement = enforcement
        self._ends = {endpoint.name: endpoint for endpoint in snapshot.endpoints}
        self._known: dict[tuple[str, bool, Family, Protocol | None], bool | None] = {}
        # What the diagnosis asks for later is probed apart from the rest, which then says nothing for it.
        self._planned = set(plan(snapshot, AuditOptions())[1].cells)

    def of(self, cell: Cell, expected: Verdict) -> bool | None:
        """Whether both ends of ``cell`` are heard; None where that depends."""
        source, destination = self._ends[cell.source], self._ends[cell.destination]
        heard = []
        if cell.source != cell.destination:
            heard += [] if _is_node_of(source, destination) else self._end(source, True, cell, expected)
            heard += [] if _is_node_of(destination, source) else self._end(destination, False, cell, expected)
        if False in heard and cell not in self._planned:
            return None
        return False if False in heard else None if None in heard else True

    def _end(self, end: Endpoint, sends: bool, cell: Cell, expected: Verdict) -> list[bool | None]:
        if not end.selectable or self._enforcement.at(end.node).dialect is not Dialect.BLOCKS_OWN_NODE:
            return []
        heard = self._heard(end, sends, cell.family, None)
        if not heard or expected is Verdict.ALLOWED:
            return [heard]
        return [heard, self._carried(end, sends, cell.family, cell.protocol)]

    def _heard(self, end: Endpoint, sends: bool, family: Family, protocol: Protocol | None) -> bool | None:
        key = end.name, sends, family, protocol
        if key not in self._known:
            questions = [q for q in self._questions(end, sends, family) if protocol in (None, q[2])]
            self._known[key] = _any(self._gets_through(*question) for question in questions)
        return self._known[key]

    def _carried(self, end: Endpoint, sends: bool, family: Family, protocol: Protocol) -> bool | None:
        """Whether ``protocol`` is heard, or the own node is kept from a closed port over either, or over neither."""
        node = self._nodes[end.node]
        source, destination = (end, node) if sends else (node, end)
        taken = {cell.port for cell in self._cells if cell.destination == destination.name}
        port = next(port for port in count(9) if port not in taken)
        over = {
            each: self._is_let_through(source, destination, each, port, family) for each in (Protocol.TCP, Protocol.UDP)
        }
        other = Protocol.UDP if protocol is Protocol.TCP else Protocol.TCP
        if None in over.values():
            return None
        return True if over[protocol] or not over[other] else self._heard(end, sends, family, protocol)

    def _questions(
        self, end: Endpoint, sends: bool, family: Family
    ) -> Iterator[tuple[Endpoint, Endpoint, Protocol, int, Family]]:
        node = self._nodes[end.node]
        mine = [
            cell
            for cell in self._cells
            if (cell.source if sends else cell.destination) == end.name
            and cell.family is family
            and cell.protocol is not Protocol.SCTP  # nobody tries it
        ]
        if sends:
            yield from ((end, node, Protocol.TCP, port, family) for port in (9, 10250))
        elif mine:
            protocol, port = min((cell.protocol, cell.port) for cell in mine)
            yield node, end, protocol, port, family
        for cell in mine:
            if cell.source != cell.destination and cell in self._planned:
                yield self._ends[cell.source], self._ends[cell.destination], cell.protocol, cell.port, family

    def _gets_through(
        self, source: Endpoint, destination: Endpoint, protocol: Protocol, port: int, family: Family
    ) -> bool | None:
        allowed = self._is_let_through(source, destination, protocol, port, family)
        # A datagram that must not arrive and does has got through, though its reply may not.
        unsure = protocol is Protocol.UDP or may_flake(source, destination, self._enforcement)
        return None if allowed and unsure else allowed

    def _is_let_through(
        self, source: Endpoint, destination: Endpoint, protocol: Protocol, port: int, family: Family
    ) -> bool | None:
        try:
            told = verdict(self._snapshot, source, destination, protocol, port, family, **self._ask)
        except AmbiguousPrediction:
            return None
        return told is not Verdict.DENIED


def _any(answers: Iterable[bool | None]) -> bool | None:
    found = set(answers)
    return True if True in found else None if None in found else False


def _is_node_of(node: Endpoint, pod: Endpoint) -> bool:
    """Whether ``node`` is the one that ``pod`` hangs on: what they have to do with each other crosses the pod's link
    alone.
    """
    return not node.selectable and bool(node.node) and pod.selectable and pod.node == node.node


@dataclass(frozen=True)
class Judgement:
    """One audit under one enforcer: how many cells it found to differ, and every way in which that isn't as
    predicted.
    """

    found: int
    wrong: tuple[str, ...]
    report: Report


def judge(
    report: Report,
    snapshot: Snapshot,
    enforcement: Enforcement,
    previous_policies: Sequence[NetworkPolicy] | None = None,
    *,
    converged: bool = True,
    nodes: Mapping[str, Endpoint] = NO_NODES,
) -> Judgement:
    """Hold a report against the prediction."""
    prediction = predict(snapshot, report.cells, enforcement, previous_policies, converged=converged, nodes=nodes)
    results = {result.cell: result for result in report.cells}
    differing = {cell for cell, result in results.items() if result.result in DIFFERENT}
    wrong = [f"missed: {_say(results[cell])}" for cell in sorted(prediction.must - differing)]
    wrong += [
        f"not caused by {enforcement.everywhere}: {_say(results[cell])}"
        for cell in sorted(differing - prediction.must - prediction.may)
    ]
    unknown = {cell for cell, result in results.items() if result.result in UNKNOWN}
    wrong += [
        f"no verdict: {_say(results[cell])}"
        for cell in sorted(unknown - prediction.unheard - prediction.perhaps_unheard)
    ]
    wrong += [
        f"a verdict though nothing was heard: {_say(results[cell])}" for cell in sorted(prediction.unheard - unknown)
    ]
    wrong += [
        f"skipped: {_say(result)}"
        for result in results.values()
        if result.result is Result.SKIPPED and result.cell.protocol is not Protocol.SCTP
    ]
    return Judgement(len(differing), tuple(wrong), report)


def _say(result: CellResult) -> str:
    seen = result.observation
    return (
        f"{result.cell} expected {result.expected}, observed {seen.verdict} ({seen.outcome}), {result.result}, "
        f"{list(seen.history)}"
    )


async def audit_under(
    lab: Lab,
    enforcement: Enforcement,
    previous_policies: Sequence[NetworkPolicy] | None = None,
    options: ProbingOptions = HASTY,
) -> Judgement:
    """Program ``lab``, which is up, with ``enforcement``, audit it and judge the report."""
    for patience in PATIENCE:
        await lab.program(enforcement, previous_policies=previous_policies)
        probing = replace(options, timeout=options.timeout * patience)
        report = await audit(lab, str(enforcement.everywhere), AuditOptions(probing=probing), NoProgress())
        if not was_disturbed(report):
            break
    slow = Dialect.SLOW in {
        enforcement.everywhere.dialect,
        *(enforcer.dialect for enforcer in enforcement.on_node.values()),
    }
    converged = not slow or options.settle > SLOW_START
    return judge(report, lab.snapshot, enforcement, previous_policies, converged=converged, nodes=nodes_of(lab))


HAD_NO_TURN = ("stood still", "connected-no-token")
"""What an outcome says where an agent, or the one that should have answered it, was not run for a while."""


def was_disturbed(report: Report) -> bool:
    """Whether anything has no verdict because an agent had no turn on a busy machine."""
    return any(
        result.result is Result.INCONCLUSIVE and any(words in result.observation.outcome for words in HAD_NO_TURN)
        for result in report.cells
    )


def nodes_of(lab: Lab) -> dict[str, Endpoint]:
    """Each node of the lab as an endpoint, by its bare name."""
    places = [site for site in (*lab.sites, *lab.witnesses.sites) if site.name.startswith("node/")]
    return {
        site.name.removeprefix("node/"): Endpoint(
            site.name, EndpointKind.NODE, addresses=site.addresses, node=site.name.removeprefix("node/")
        )
        for site in places
    }


def enforcers() -> list[tuple[Enforcer, ProbingOptions]]:
    """Every dialect with the patience that its audit needs; ``slow`` twice: waited for, and caught before it has
    converged.
    """
    plain = [(Enforcer(dialect), HASTY) for dialect in Dialect if dialect not in (Dialect.SLOW, Dialect.FLAKY)]
    return [
        *plain,
        (Enforcer(Dialect.FLAKY, 0.4), HASTY),
        (Enforcer(Dialect.SLOW, SLOW_START), PATIENT),
        (Enforcer(Dialect.SLOW, NEVER), HASTY),
    ]
