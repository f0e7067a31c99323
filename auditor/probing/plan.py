"""Which cells to probe: the ports that can tell an enforcer's mistakes apart, for every pair that a policy
can govern.

Where every chosen port at every pair would be too many cells, each pair gets fewer. What a rule demands shows at the
pods that its policy selects. So a pair needs the ports that the policies isolating its two ends name, those that the
destination declares, and one port of each protocol that nobody names; what only other policies name says nothing about
it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from typing import NamedTuple

from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.ports import FIRST_PORT, LAST_PORT, PortRequest, Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.policy.atoms import policy_ports
from auditor.policy.matrix import ExpectedMatrix, common_families, governed
from auditor.policy.traits import admin_ports, admin_selects

PROTOCOL_ORDER = tuple(Protocol)
ALWAYS_PROBED = (Protocol.TCP, Protocol.UDP)
OTHER_PROTOCOL = {Protocol.TCP: Protocol.UDP, Protocol.UDP: Protocol.TCP}
UNNAMED_PORT_CANDIDATES = range(9999, 0, -1)
"""Below the ephemeral range, where listeners and clients of one network namespace could get in each other's way."""


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """The cells to probe, sources in order, and the ports that they were made from. ``remark`` says what was left out,
    empty if nothing.
    """

    ports: tuple[PortRequest, ...]
    cells: tuple[Cell, ...]
    remark: str = ""

    def expected(self, matrix: ExpectedMatrix) -> dict[Cell, Verdict]:
        """The expected verdict of each cell."""
        return {cell: matrix.verdict(*cell) for cell in self.cells}


def choose_ports(snapshot: Snapshot) -> tuple[PortRequest, ...]:
    """The ports worth probing, by protocol and number.

    For each port that a rule names: that port; for a range its edges and the ports just outside; every port that an
    endpoint declares; and for each protocol one port that nobody names. TCP and UDP always take part, SCTP where a rule
    or a pod names it.
    """
    interesting: dict[Protocol, set[int]] = {protocol: set() for protocol in ALWAYS_PROBED}
    ranges: dict[Protocol, list[range]] = {}
    for port in (*policy_ports(snapshot.policies), *admin_ports(snapshot.admin_policies)):
        numbers = interesting.setdefault(port.protocol, set())
        if port.number is not None:
            _, last = port.bounds
            ranges.setdefault(port.protocol, []).append(range(port.number, last + 1))
            numbers |= {port.number} if last == port.number else {port.number - 1, port.number, last, last + 1}
    for endpoint in snapshot.endpoints:
        for declared in () if is_named_destination(endpoint) else endpoint.ports:
            interesting.setdefault(declared.protocol, set()).add(declared.number)
    for protocol, numbers in interesting.items():
        numbers.update(_port_that_nobody_names(numbers, ranges.get(protocol, ())))
    return tuple(
        PortRequest(protocol, number=number)
        for protocol in Protocol
        for number in sorted(interesting.get(protocol, ()))
        if FIRST_PORT <= number <= LAST_PORT
    )


def _port_that_nobody_names(numbers: set[int], ranges: Iterable[range]) -> set[int]:
    for candidate in UNNAMED_PORT_CANDIDATES:
        if candidate not in numbers and not any(candidate in named for named in ranges):
            return {candidate}
    return set()


def plan_cells(
    sources: Iterable[Endpoint],
    destinations: Sequence[Endpoint],
    ports: Collection[PortRequest],
    scope: Collection[str] = (),
    *,
    declared_only: bool = False,
) -> tuple[Cell, ...]:
    """A cell for each pair that a policy can govern, each family that both ends have, and each port, named ones
    resolved.

    ``scope`` are names of endpoints, of which one at least must take part in each pair; empty: no such limit.
    ``declared_only``: no port that the destination doesn't declare, since its own processes are to answer. A host that
    declares ports is probed on these and no others, and is no source: somebody named it as a destination.
    """
    numbers = {
        destination.name: _numbers(destination, ports, declared_only=declared_only) for destination in destinations
    }
    return tuple(
        cell
        for source, among in _in_scope(sources, destinations, scope)
        for destination in among
        for cell in _cells(source, destination, numbers[destination.name])
    )


class Connection(NamedTuple):
    """What is to be tried, over each family that both ends have: between endpoints, by their names, on a port by its
    number.
    """

    source: str
    destination: str
    port: PortRequest


def plan_chosen(
    sources: Iterable[Endpoint], destinations: Iterable[Endpoint], chosen: Iterable[Connection]
) -> tuple[Cell, ...]:
    """A cell for each of the ``chosen`` connections from one of ``sources`` to one of ``destinations``, and each family
    that both ends have; sources in order.
    """
    ends = {destination.name: destination for destination in destinations}
    ports: dict[str, dict[str, list[tuple[Protocol, int]]]] = {}
    for each in sorted(chosen):
        ports.setdefault(each.source, {}).setdefault(each.destination, []).append(
            (each.port.protocol, each.port.number)
        )
    return tuple(
        cell
        for source in sources
        for name, numbers in ports.get(source.name, {}).items()
        if name in ends
        for cell in _cells(source, ends[name], numbers)
    )


def _in_scope(
    sources: Iterable[Endpoint], destinations: Sequence[Endpoint], scope: Collection[str]
) -> Iterator[tuple[Endpoint, Sequence[Endpoint]]]:
    """Each source with the destinations that make a pair with it of which one at least is in ``scope``."""
    inside = [destination for destination in destinations if destination.name in scope]
    for source in sources:
        if not is_named_destination(source):
            yield source, destinations if not scope or source.name in scope else inside


def _cells(source: Endpoint, destination: Endpoint, numbers: Iterable[tuple[Protocol, int]]) -> Iterator[Cell]:
    if governed(source, destination):
        for family in common_families(source, destination):
            for protocol, number in numbers:
                yield Cell(source.name, destination.name, protocol, number, family)


def is_named_destination(endpoint: Endpoint) -> bool:
    """Whether it is a host that was named together with its port: nothing of ours runs there."""
    return endpoint.kind is EndpointKind.HOST and bool(endpoint.ports)


def _numbers(
    destination: Endpoint, ports: Collection[PortRequest], *, declared_only: bool
) -> list[tuple[Protocol, int]]:
    """The ports to probe at ``destination``, in order."""
    declared = {(port.protocol, port.number) for port in destination.ports}
    if is_named_destination(destination):
        found = declared
    else:
        found = {
            (request.protocol, number)
            for request in ports
            for number in (destination.resolve(request.protocol, request.name) if request.name else (request.number,))
        }
        found = found & declared if declared_only else found
    return sorted(found, key=lambda port: (PROTOCOL_ORDER.index(port[0]), port[1]))


def with_other_protocols(cells: Sequence[Cell], matrix: ExpectedMatrix) -> tuple[Cell, ...]:
    """``cells``, and the same numbers over UDP instead of TCP and the other way round, wherever policies say something
    else of these: once for each pair of classes. Sources in order.

    An enforcer that overlooks the protocol of a port treats both alike.
    """
    tried, asked = set(cells), set[tuple[int, int, Protocol, int]]()
    hosts = {endpoint.name for endpoint in matrix.snapshot.endpoints if is_named_destination(endpoint)}
    others: dict[str, list[Cell]] = {}
    for cell in cells:
        if (protocol := OTHER_PROTOCOL.get(cell.protocol)) is None or cell.destination in hosts:
            continue
        pair = matrix.class_of(cell.source), matrix.class_of(cell.destination), protocol, cell.port
        other = cell._replace(protocol=protocol)
        if pair not in asked and other not in tried and matrix.verdict(*other) is not matrix.verdict(*cell):
            asked.add(pair)
            others.setdefault(cell.source, []).append(other)
    if not others:
        return tuple(cells)
    by_source = (tuple(group) for _, group in groupby(cells, lambda cell: cell.source))
    return tuple(cell for group in by_source for cell in (*group, *others.pop(group[0].source, ())))


def plan_narrowly(
    snapshot: Snapshot, sources: Sequence[Endpoint], destinations: Sequence[Endpoint], scope: frozenset[str]
) -> tuple[Cell, ...]:
    """The cells of ``plan_cells``, each pair on its own ports only; sources in order."""
    policies: dict[str, list[NetworkPolicy]] = {}
    for policy in snapshot.policies:
        policies.setdefault(policy.namespace, []).append(policy)
    egress, ingress = (
        {end.name: _ports(snapshot, policies.get(end.namespace, ()), end, direction) for end in ends}
        for direction, ends in ((Direction.EGRESS, sources), (Direction.INGRESS, destinations))
    )
    ends = {destination.name: destination for destination in destinations}

    @cache
    def numbers(one: frozenset[PortRequest], other: frozenset[PortRequest], name: str) -> list[tuple[Protocol, int]]:
        return _numbers(ends[name], one | other, declared_only=False)

    return tuple(
        cell
        for source, among in _in_scope(sources, destinations, scope)
        for destination in among
        for cell in _cells(
            source, destination, numbers(egress[source.name], ingress[destination.name], destination.name)
        )
    )


def _ports(
    snapshot: Snapshot, policies: Iterable[NetworkPolicy], endpoint: Endpoint, direction: Direction
) -> frozenset[PortRequest]:
    """What those of ``policies`` that isolate ``endpoint`` in ``direction`` name, what it declares as a destination,
    and ports that nobody names.
    """
    isolating = tuple(
        replace(policy, directions=frozenset({direction}))
        for policy in policies
        if direction in policy.directions and endpoint.is_selected_by(policy)
    )
    declaring = (endpoint,) if direction is Direction.INGRESS else ()
    admin = tuple(
        replace(policy, egress=()) if direction is Direction.INGRESS else replace(policy, ingress=())
        for policy in snapshot.admin_policies
        if admin_selects(policy, snapshot.namespaces, endpoint)
    )
    return frozenset(choose_ports(replace(snapshot, policies=isolating, admin_policies=admin, endpoints=declaring)))
