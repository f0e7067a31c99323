"""From cells that differ to what a person reads: one finding for the cells that differ in the same way for the same
rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.reasons import Side, policy_place
from auditor.model.report import CellResult, Finding
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell, Result, Verdict
from auditor.policy.decision_places import places_of
from auditor.policy.explain import Decision, decide
from auditor.policy.tiers import Judgement

TOLD = (Result.LEAK, Result.OUTAGE, Result.MISDELIVERED, Result.UNSTABLE, Result.CNI_DEPENDENT)
"""The results that become findings, the gravest first."""

ADVICE = {
    Result.LEAK: "If the policy is as intended, the CNI does not enforce it: check that the CNI supports it on "
    "these pods' nodes.",
    Result.OUTAGE: "The policies allow this: look for a fault in the CNI or the network between these pods' nodes.",
    Result.MISDELIVERED: "Someone else answers at this address: look for a stale address, an address given twice or "
    "a proxy in between.",
    Result.UNSTABLE: "The answer changed between tries, or many single datagrams got none: look for a node or a CNI "
    "agent that loses packets or is restarting.",
    Result.CNI_DEPENDENT: "An ipBlock covers addresses inside the cluster, which this CNI does not match: use "
    "selectors for pods.",
}
OWN_NODE_ADVICE = (
    "No policy may keep a pod and its own node apart: where kubelets don't reach their pods, these are restarted or "
    "get no traffic. The CNI has to exempt them."
)
LATE_ADVICE = (
    "New pods are open until the CNI has programmed them: check whether it can hold pods back until then, or bear it "
    "with --late-isolation SECONDS. Policies that were written just before the audit look the same."
)

MOST_NAMES = 3

Reason = tuple[str, ...]

LATE_ISOLATION: Reason = ("late isolation: a pod is isolated before it starts; only what is allowed may come late",)
"""Kubernetes documentation, Network Policies, "Pod lifecycle"."""


def find(snapshot: Snapshot, results: Iterable[CellResult], reproduce: Callable[[Cell], str]) -> tuple[Finding, ...]:
    """The findings among ``results``, the gravest kind first and, within a kind, the one with most cells first."""
    groups: dict[tuple[Result, Reason], list[tuple[CellResult, Decision]]] = {}
    reasons = _Reasons()
    for result in results:
        if result.result in TOLD:
            decision = decide(snapshot, result.cell)
            late = result.observation.open_seconds is not None
            reason = LATE_ISOLATION if late else reasons.of(decision)
            groups.setdefault((result.result, reason), []).append((result, decision))
    nodes = {end.name: end.node for end in snapshot.endpoints if end.selectable and end.node}
    found = [_finding(kind, reason, members, reproduce, nodes) for (kind, reason), members in groups.items()]
    return tuple(sorted(found, key=lambda finding: (TOLD.index(finding.kind), -len(finding.cells))))


class _Reasons:
    """What decided, without what is particular to one pair of endpoints or one port: findings are grouped by it."""

    def __init__(self) -> None:
        self._denials: dict[tuple[Direction, str], str] = {}

    def of(self, decision: Decision) -> Reason:
        """What decided, one line for each thing."""
        if decision.exemption:
            itself = decision.cell.source == decision.cell.destination
            return ("a pod and itself",) if itself else ("a pod and its own node",)
        deciding = _deciding(decision)
        if decision.verdict is Verdict.DENIED:
            return tuple(self._denial(each.side) if each.side else each.because[0] for each in deciding)
        allowing = (each.because[0] if each.side is None else _grant(each.side) for each in deciding)
        return tuple(filter(None, allowing)) or ("no policy isolates either end",)

    def _denial(self, side: Side) -> str:
        """That ``side`` denies; made once for each pod, which thousands of policies may isolate."""
        key = (side.direction, side.pod)
        if key not in self._denials:
            names = ", ".join(policy_place(policy) for policy in side.isolating)
            self._denials[key] = f"{side.direction.lower()} denied by {names}"
        return self._denials[key]


def _deciding(decision: Decision) -> list[Judgement]:
    """What decides at either end: of a denied connection where it is denied."""
    found = [
        decision.deciding(direction)
        for direction in (Direction.EGRESS, Direction.INGRESS)
        if decision.verdict is Verdict.ALLOWED or not decision.allowed(direction)
    ]
    return [each for each in found if each is not None]


def _grant(side: Side) -> str:
    return f"{side.direction.lower()}: {side.grant}" if side.grant is not None else ""


def _finding(
    kind: Result,
    reason: Reason,
    members: Sequence[tuple[CellResult, Decision]],
    reproduce: Callable[[Cell], str],
    nodes: Mapping[str, str],
) -> Finding:
    cells = tuple(result for result, _ in members)
    advice = LATE_ADVICE if reason is LATE_ISOLATION else _advice(kind, members[0][1])
    filters = _filters(kind, members, nodes)
    return Finding(
        kind=kind,
        title=_late_title(cells) if reason is LATE_ISOLATION else _title(kind, _cells(members), members[0][1]),
        cells=cells,
        expected_by=reason,
        reproduce=reproduce(cells[0].cell),
        advice=f"{advice}{_involved(filters)}",
        places=() if reason is LATE_ISOLATION else places_of(members[0][1]),
        filters=filters,
    )


def _filters(
    kind: Result, members: Sequence[tuple[CellResult, Decision]], nodes: Mapping[str, str]
) -> dict[Direction, tuple[str, ...]]:
    """Which nodes' filters judge the connections: of leaks those that ought to deny them."""
    found: dict[Direction, set[str]] = {Direction.EGRESS: set(), Direction.INGRESS: set()}
    for result, decision in members:
        for direction, judged in found.items():
            pod = result.cell.source if direction is Direction.EGRESS else result.cell.destination
            if pod in nodes and not (kind is Result.LEAK and decision.allowed(direction)):
                judged.add(nodes[pod])
    return {direction: tuple(sorted(names)) for direction, names in found.items() if names}


def _involved(filters: Mapping[Direction, tuple[str, ...]]) -> str:
    """``filters`` as a sentence to add; empty if there are none."""
    parts = [f"{direction.lower()} on {_list(names)}" for direction, names in filters.items()]
    return f" The filters involved: {'; '.join(parts)}." if parts else ""


def _cells(members: Sequence[tuple[CellResult, Decision]]) -> list[Cell]:
    return [result.cell for result, _ in members]


def _late_title(results: Sequence[CellResult]) -> str:
    """That connections were closed too late, and between whom."""
    cells = [result.cell for result in results]
    sources, destinations = _list([cell.source for cell in cells]), _list([cell.destination for cell in cells])
    longest = max(result.observation.open_seconds or 0.0 for result in results)
    which = "1 connection that should be denied was" if len(cells) == 1 else f"{len(cells):,} connections were"
    denied = "" if len(cells) == 1 else ", though they should be denied"
    return f"{which} open for up to {longest:.1f} s after the start{denied}: {sources} to {destinations}"


def _advice(kind: Result, example: Decision) -> str:
    own_node = example.exemption and example.cell.source != example.cell.destination
    return OWN_NODE_ADVICE if own_node and kind is Result.OUTAGE else ADVICE[kind]


def _policies_of(judgement: Judgement) -> list[str]:
    """The full names of the policies behind a denial."""
    if judgement.side is not None:
        return [policy.full_name for policy in judgement.side.isolating]
    return [judgement.decider.policy] if judgement.decider is not None else []


def _title(kind: Result, cells: Sequence[Cell], example: Decision) -> str:
    sources, destinations = _list([cell.source for cell in cells]), _list([cell.destination for cell in cells])
    ports = _ports_in_brief(cells)
    if kind is Result.LEAK:
        policies = list(dict.fromkeys(name for each in _deciding(example) for name in _policies_of(each)))
        denying = [each for each in (Direction.EGRESS, Direction.INGRESS) if not example.allowed(each)]
        directions = " and ".join(direction.lower() for direction in denying)
        return f"{sources} can reach {destinations} on {ports}, despite {_list(policies)} ({directions})"
    if kind is Result.OUTAGE:
        return f"{sources} can't reach {destinations} on {ports}, which is allowed"
    if kind is Result.UNSTABLE:
        return f"{sources} can reach {destinations} on {ports} at one time and not at another"
    if kind is Result.MISDELIVERED:
        return f"{sources} gets an answer from someone else at {destinations} on {ports}"
    return f"{sources} can't reach {destinations} on {ports}, which the specification leaves to the CNI"


def _ports_in_brief(cells: Sequence[Cell]) -> str:
    ports = list(dict.fromkeys((cell.protocol, cell.port) for cell in cells))
    text = f"{len(ports)} ports" if len(ports) > MOST_NAMES else ports_of(cells)
    found, all_of_them = _combinations(cells)
    return text if found == all_of_them else f"{text} ({found:,} of {all_of_them:,} combinations)"


def _combinations(cells: Sequence[Cell]) -> tuple[int, int]:
    """How many of source, destination and port there are among ``cells``, and how many there could be of different
    ends.
    """
    sources, destinations = {cell.source for cell in cells}, {cell.destination for cell in cells}
    ports = {(cell.protocol, cell.port) for cell in cells}
    found = {(cell.source, cell.destination, cell.protocol, cell.port) for cell in cells}
    to_itself = {cell.source for cell in cells if cell.source == cell.destination}
    return len(found), (len(sources) * len(destinations) - len(sources & destinations - to_itself)) * len(ports)


def _list(names: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(names))
    if len(distinct) > MOST_NAMES:
        return f"{', '.join(distinct[: MOST_NAMES - 1])} and {len(distinct) - MOST_NAMES + 1} more"
    return ", ".join(distinct)


def ports_of(cells: Iterable[Cell]) -> str:
    """The ports of ``cells`` in words: ``TCP/80, TCP/443, UDP/53``."""
    order = list(Protocol)
    ports = sorted({(order.index(cell.protocol), cell.port) for cell in cells})
    return ", ".join(f"{order[protocol]}/{number}" for protocol, number in ports)
