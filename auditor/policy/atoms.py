"""Port atoms: rules cut each protocol's ports into ranges inside which no rule can tell two ports apart.

A matrix that has a verdict for every atom is therefore exact for every port.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping

from auditor.model.policy import NetworkPolicy, PolicyPort
from auditor.model.ports import FIRST_PORT, LAST_PORT, PortRange, Protocol
from auditor.model.snapshot import Endpoint
from auditor.policy.bits import bits, span, union

PortName = tuple[Protocol, str]


class PortAtoms:
    """The atoms of all protocols, numbered in the order of Protocol and then of ports."""

    def __init__(self, cuts: Mapping[Protocol, set[int]]) -> None:
        """``cuts`` holds, for each protocol, the ports at which a new atom begins."""
        self.ranges: list[PortRange] = []
        self._first: dict[Protocol, int] = {}
        self._starts: dict[Protocol, list[int]] = {}
        for protocol in Protocol:
            starts = sorted({FIRST_PORT} | {cut for cut in cuts.get(protocol, ()) if FIRST_PORT < cut <= LAST_PORT})
            self._first[protocol] = len(self.ranges)
            self._starts[protocol] = starts
            ends = [start - 1 for start in starts[1:]] + [LAST_PORT]
            self.ranges.extend(PortRange(protocol, start, end) for start, end in zip(starts, ends, strict=True))
        self.everything = span(0, len(self.ranges) - 1)

    def index(self, protocol: Protocol, port: int) -> int:
        """The number of the atom that holds ``port``."""
        return self._first[protocol] + bisect_right(self._starts[protocol], port) - 1

    def mask(self, protocol: Protocol, first: int, last: int) -> int:
        """The atoms from the one that holds ``first`` to the one that holds ``last``."""
        return span(self.index(protocol, first), self.index(protocol, last))

    def numbered(self, ports: Iterable[PolicyPort]) -> int:
        """What those of ``ports`` mean that have a number, a range, or neither number nor name."""
        return union(self.mask(port.protocol, *port.bounds) for port in ports if port.name is None)

    def named(self, ports: Iterable[PolicyPort], destination: Endpoint) -> int:
        """What those of ``ports`` that have a name mean at ``destination``, which may declare none of them."""
        names = [(port.protocol, port.name) for port in ports if port.name is not None and destination.selectable]
        return union(
            self.mask(protocol, number, number)
            for protocol, name in names
            for number in destination.resolve(protocol, name)
        )

    def joined(self, atoms: int) -> tuple[PortRange, ...]:
        """The set ``atoms`` as ranges of ports, as few as there can be."""
        ranges: list[PortRange] = []
        for number in bits(atoms):
            atom = self.ranges[number]
            last = ranges[-1] if ranges else None
            if last is not None and last.protocol is atom.protocol and last.last + 1 == atom.first:
                ranges[-1] = PortRange(atom.protocol, last.first, atom.last)
            else:
                ranges.append(atom)
        return tuple(ranges)


def policy_ports(policies: Iterable[NetworkPolicy]) -> list[PolicyPort]:
    """Every port item of the rules in force."""
    return [
        port
        for policy in policies
        for direction in policy.directions
        for rule in policy.rules(direction)
        for port in rule.ports
    ]


def port_names(ports: Iterable[PolicyPort]) -> set[PortName]:
    """The names, with their protocols, by which ``ports`` refer to ports."""
    return {(port.protocol, port.name) for port in ports if port.name is not None}


def cut_atoms(ports: Iterable[PolicyPort], names: set[PortName], endpoints: Iterable[Endpoint]) -> PortAtoms:
    """The atoms that ``ports`` cut; each number that an endpoint declares under one of ``names`` is an atom
    of its own.
    """
    cuts: dict[Protocol, set[int]] = {protocol: set() for protocol in Protocol}
    for port in ports:
        if port.number is not None:
            first, last = port.bounds
            cuts[port.protocol].update((first, last + 1))
    if names:
        for endpoint in endpoints:
            for declared in endpoint.ports:
                if (declared.protocol, declared.name) in names:
                    cuts[declared.protocol].update((declared.number, declared.number + 1))
    return PortAtoms(cuts)
