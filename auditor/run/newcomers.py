"""Which probe pods are to have one more like them come later: where only the rules of the new pod itself close a
connection, so that it is open while these are missing.

One pod for each node, for it is a node's enforcer that is late. Whatever the other end's rules deny as well says
nothing of the new pod's, and no address of the new pod has a say in what its own rules deny.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.probe_pod import Newcomer
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.policy.explain import decide
from auditor.probing.sites import ProbeSite
from auditor.run.expectation import Expectation

MOST_NEWCOMERS = 4
MOST_CELLS = 6
"""How many connections of a newcomer are tried in each direction at most."""
LOOKED_AT = 24
"""Of how many connections of a pod it is found out at most who denies them."""
CANDIDATES = 3
"""How many pods of a node are looked at."""

Ways = dict[Direction, list[Cell]]


def choose_newcomers(expectation: Expectation, sites: Iterable[ProbeSite]) -> tuple[Newcomer, ...]:
    """For each of as many nodes as may be, the pod of ``sites`` that most should be closed to; only pods of this run
    are looked at.
    """
    new = {site.name: site for site in sites if site.created is not None and site.answers}
    denied = _denied(expectation, new)
    snapshot = expectation.matrix.snapshot
    by_node: dict[str, list[str]] = defaultdict(list)
    for name in sorted(denied, key=lambda name: (-_most(denied[name]), name)):
        by_node[new[name].node].append(name)
    found = (_best(snapshot, names[:CANDIDATES], denied) for _, names in sorted(by_node.items()))
    return tuple(one for one in found if one is not None)[:MOST_NEWCOMERS]


def _denied(expectation: Expectation, new: Mapping[str, ProbeSite]) -> dict[str, Ways]:
    """What should be closed over TCP between pods in ``new``, by the pod whose rules may do that."""
    found: dict[str, Ways] = defaultdict(lambda: {direction: [] for direction in Direction})
    for cell in expectation.verdicts:
        tcp = cell.protocol is Protocol.TCP and cell.source != cell.destination
        if tcp and cell.source in new and cell.destination in new and expectation.demanded(cell) is Verdict.DENIED:
            found[cell.source][Direction.EGRESS].append(cell)
            found[cell.destination][Direction.INGRESS].append(cell)
    return found


def _most(ways: Ways) -> int:
    """How many are denied: in both directions comes first."""
    return min(map(len, ways.values())) * 1000 + max(map(len, ways.values()))


def _best(snapshot: Snapshot, names: Sequence[str], denied: Mapping[str, Ways]) -> Newcomer | None:
    candidates = [_newcomer(snapshot, name, denied[name]) for name in names]
    telling = [one for one in candidates if one.sends or one.receives]
    return max(telling, key=lambda one: (bool(one.sends) + bool(one.receives), -names.index(one.like)), default=None)


def _newcomer(snapshot: Snapshot, name: str, ways: Ways) -> Newcomer:
    own = {direction: tuple(_by_own_rules(snapshot, cells, direction)) for direction, cells in ways.items()}
    return Newcomer(name, own[Direction.EGRESS][:MOST_CELLS], own[Direction.INGRESS][:MOST_CELLS])


def _by_own_rules(snapshot: Snapshot, cells: Sequence[Cell], direction: Direction) -> Iterator[Cell]:
    """Those of ``cells`` that are denied in ``direction`` alone."""
    step = max(1, len(cells) // LOOKED_AT)
    for cell in cells[::step][:LOOKED_AT]:
        decision = decide(snapshot, cell)
        if [each for each in Direction if not decision.allowed(each)] == [direction]:
            yield cell
