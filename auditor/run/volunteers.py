"""Who can show that packets of pods get from one node to another, where nothing that is audited shows it.

Between two nodes with denied connections and no allowed one, pods are looked for that policies let reach each other:
any will do, audited or not. They are few, and they are asked only where nothing was heard in the end
(``auditor.probing.crossings``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, product

from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, Family, Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.policy.doubt import may_select
from auditor.policy.matrix import ExpectedMatrix, common_families
from auditor.policy.traits import admin_selects
from auditor.probing.crossings import NO_VOLUNTEERS, Crossing, Volunteers
from auditor.probing.plan import choose_ports
from auditor.run.expectation import Expectation

MOST_CROSSINGS = 400
MOST_PAIRS = 4
"""How many pairs of pods try each crossing: one of them may be ill."""
MOST_LOOKED_AT = 2000
"""Pairs of pods that are looked at for each crossing."""


def choose_volunteers(expectation: Expectation, failed: Mapping[str, str], wanted: Sequence[Cell]) -> Volunteers:
    """The volunteers for ``wanted``, of which ``expectation`` knows what is demanded. None of those that ``failed``."""
    snapshot = expectation.matrix.snapshot
    at_node: dict[str, list[Endpoint]] = defaultdict(list)
    for endpoint in snapshot.endpoints:
        if endpoint.selectable and endpoint.node and endpoint.addresses and endpoint.name not in failed:
            at_node[endpoint.node].append(endpoint)
    lacking = _lacking(expectation, wanted, {end.name: end.node for ends in at_node.values() for end in ends})
    if not lacking:
        return NO_VOLUNTEERS
    search = _Search(expectation.matrix, at_node, _ports(snapshot, wanted))
    found = [cell for crossing in lacking for cell in search.allowed(crossing)]
    certain = Expectation.of(expectation.matrix, found, failed)
    cells = tuple(cell for cell in found if certain.demanded(cell) is Verdict.ALLOWED)
    ends = (end for node in {node for crossing in lacking for node in crossing[:2]} for end in at_node[node])
    return Volunteers(cells, frozenset(end.name for end in ends if _may_send_all(snapshot, end)))


def _lacking(expectation: Expectation, wanted: Iterable[Cell], node_of: Mapping[str, str]) -> list[Crossing]:
    """What crosses, over either protocol and in either direction, between nodes of which a denial is demanded and
    nothing allowed is tried there.
    """
    demanded: dict[Crossing, set[Verdict | None]] = defaultdict(set)
    for cell in wanted:
        source, destination = node_of.get(cell.source, ""), node_of.get(cell.destination, "")
        if source and destination and source != destination:
            demanded[Crossing(source, destination, cell.protocol, cell.family)].add(expectation.demanded(cell))
    shown = {crossing for crossing, verdicts in demanded.items() if Verdict.ALLOWED in verdicts}
    nodes = {crossing.nodes for crossing in demanded if crossing not in shown}
    return [
        Crossing(*ends, protocol, family)
        for one, other, family in sorted(nodes)
        for ends in ((one, other), (other, one))
        for protocol in (Protocol.TCP, Protocol.UDP)
        if Crossing(*ends, protocol, family) not in shown
    ][:MOST_CROSSINGS]


def _ports(snapshot: Snapshot, wanted: Iterable[Cell]) -> dict[Protocol, list[int]]:
    """The ports to try, those first on which pods listen anyway."""
    ports: dict[Protocol, dict[int, None]] = {Protocol.TCP: {}, Protocol.UDP: {}}
    listened = dict.fromkeys((cell.protocol, cell.port) for cell in wanted)
    chosen = ((port.protocol, port.number) for port in choose_ports(snapshot) if port.number is not None)
    for protocol, number in (*listened, *chosen):
        if protocol in ports:
            ports[protocol][number] = None
    return {protocol: list(numbers) for protocol, numbers in ports.items()}


class _Search:
    """Looks for allowed connections between pods of two nodes."""

    def __init__(
        self,
        matrix: ExpectedMatrix,
        at_node: Mapping[str, Sequence[Endpoint]],
        ports: Mapping[Protocol, Sequence[int]],
    ) -> None:
        self._matrix, self._at_node, self._ports = matrix, at_node, ports
        self._known: dict[tuple[int, int, Protocol, Family], int | None] = {}

    def allowed(self, crossing: Crossing) -> list[Cell]:
        """Allowed connections that make this crossing, one for each of a few pairs of pods."""
        pairs = islice(product(self._at_node[crossing.source], self._at_node[crossing.destination]), MOST_LOOKED_AT)
        cells = list(filter(None, (self._cell(*pair, crossing) for pair in pairs)))
        # Pairs that share no pod come first: any one may be ill.
        taken: set[str] = set()
        apart = []
        for cell in cells:
            if taken.isdisjoint(cell[:2]):
                taken.update(cell[:2])
                apart.append(cell)
        return list(dict.fromkeys([*apart, *cells]))[:MOST_PAIRS]

    def _cell(self, source: Endpoint, destination: Endpoint, crossing: Crossing) -> Cell | None:
        """An allowed connection between these two, if there is any."""
        if crossing.family not in common_families(source, destination):
            return None
        protocol, family, classes = crossing.protocol, crossing.family, self._matrix.class_of
        key = classes(source.name), classes(destination.name), protocol, family
        if key not in self._known:
            verdict = self._matrix.verdict
            allowed = (
                port
                for port in self._ports[protocol]
                if verdict(source.name, destination.name, protocol, port, family) is Verdict.ALLOWED
            )
            self._known[key] = next(allowed, None)
        port = self._known[key]
        return None if port is None else Cell(source.name, destination.name, protocol, port, family)


def _may_send_all(snapshot: Snapshot, end: Endpoint) -> bool:
    """Whether no policy isolates ``end`` for egress, as far as policies can be read."""
    if any(may_select(policy, end) for policy in snapshot.unknown):
        return False
    if any(policy.egress and admin_selects(policy, snapshot.namespaces, end) for policy in snapshot.admin_policies):
        return False
    return not any(Direction.EGRESS in policy.directions and end.is_selected_by(policy) for policy in snapshot.policies)
