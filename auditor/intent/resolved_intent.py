"""An intent resolved in one cluster: which rules speak of which endpoints, and what they demand of a pair, for
every port at once.

Endpoints of which the same rules speak share a *signature*. What is demanded of a pair depends on the two signatures
alone, as sets of port atoms that neither policies nor rules split; so nothing here is computed once per cell.
HostNetwork pods are left out: no policy is defined for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TypeAlias

from auditor.model.errors import InputError, Problem
from auditor.model.intent import Intent, IntentRule
from auditor.model.policy import PolicyPort
from auditor.model.snapshot import Endpoint, Family, Snapshot
from auditor.model.verdict import Verdict
from auditor.policy.atoms import PortAtoms, cut_atoms, policy_ports, port_names
from auditor.policy.bits import bits
from auditor.policy.matrix import ExpectedMatrix, always_allowed, common_families, governed
from auditor.policy.selection import select
from auditor.policy.traits import admin_ports

Signature: TypeAlias = tuple[int, int, tuple[int, ...]]
"""The rules that speak of an endpoint as a source, and as a destination, and the atoms that their ports are there."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What is demanded of a pair: sets of atoms. ``by_rule`` shares them out, each atom to the first rule that speaks
    of it.
    """

    allowed: int
    denied: int
    by_rule: tuple[tuple[int, int], ...]

    def violation(self, reached: int) -> int:
        """The atoms on which a pair that is open on ``reached`` is not as demanded."""
        return (self.allowed & ~reached) | (self.denied & reached)


class ResolvedIntent:
    """``intent`` with everything that it matches in ``snapshot``.

    Raises InputError when rules contradict each other there, unless ``trusted`` not to.
    """

    def __init__(self, snapshot: Snapshot, intent: Intent, *, trusted: bool = False) -> None:
        self.snapshot = snapshot
        self.rules = intent.rules
        items = [*policy_ports(snapshot.policies), *admin_ports(snapshot.admin_policies)]
        items += [port for rule in intent.rules for port in rule.ports]
        self.atoms: PortAtoms = cut_atoms(items, port_names(items), snapshot.endpoints)
        self.endpoints = {endpoint.name: endpoint for endpoint in snapshot.endpoints if not endpoint.host_network}
        self.empty: list[tuple[IntentRule, str]] = []
        self.sources: list[frozenset[str]] = []
        self.destinations: list[frozenset[str]] = []
        for rule in self.rules:
            self.sources.append(self._ends(rule, "from", rule.sources))
            self.destinations.append(self._ends(rule, "to", rule.destinations))
        self._families = {name: endpoint.families for name, endpoint in self.endpoints.items()}
        self._common: dict[tuple[tuple[Family, ...], tuple[Family, ...]], tuple[Family, ...]] = {}
        self._ports: dict[tuple[object, ...], tuple[int, ...]] = {}
        self._demands: dict[tuple[Signature, Signature], Demand] = {}
        self.signatures: dict[str, Signature] = {
            name: self._signature(endpoint) for name, endpoint in self.endpoints.items()
        }
        if not trusted:
            self._note_empty_rules()
            self._refuse_contradictions()

    def _ends(self, rule: IntentRule, side: str, texts: tuple[str, ...]) -> frozenset[str]:
        if not texts:
            return frozenset(self.endpoints)
        names: set[str] = set()
        for text in texts:
            found = select(self.snapshot.endpoints, text, self.snapshot.services)
            usable = [endpoint.name for endpoint in found if not endpoint.host_network]
            if not usable:
                only = "only hostNetwork pods, for which no policy is defined" if found else "no endpoint"
                self.empty.append((rule, f"{side} {text!r} matches {only}"))
            names.update(usable)
        return frozenset(names)

    def _signature(self, endpoint: Endpoint) -> Signature:
        as_source = sum(1 << number for number, names in enumerate(self.sources) if endpoint.name in names)
        as_destination = sum(1 << number for number, names in enumerate(self.destinations) if endpoint.name in names)
        key = endpoint.ports if endpoint.selectable else ()
        if key not in self._ports:
            self._ports[key] = tuple(self.ports_at(rule.ports, endpoint) for rule in self.rules)
        return as_source, as_destination, self._ports[key]

    def ports_at(self, ports: Sequence[PolicyPort], destination: Endpoint) -> int:
        """The atoms that ``ports`` mean at ``destination``: all of them if there are none, a name what is declared
        there.
        """
        if not ports:
            return self.atoms.everything
        return self.atoms.numbered(ports) | self.atoms.named(ports, destination)

    def families(self, source: Endpoint, destination: Endpoint) -> tuple[Family, ...]:
        """The families over which the two can talk."""
        key = (self._families[source.name], self._families[destination.name])
        if key not in self._common:
            self._common[key] = common_families(source, destination)
        return self._common[key]

    def judged(self, source: Endpoint, destination: Endpoint) -> bool:
        """Whether a policy can decide about the pair, so that meaning something of it makes sense."""
        if not self.families(source, destination):
            return False
        if source.selectable and destination.selectable:
            return source is not destination
        return governed(source, destination) and not always_allowed(source, destination)

    def count_pairs(self, sources: Sequence[Endpoint], destinations: Sequence[Endpoint]) -> int:
        """How many pairs of the two, either all the same or all different, a policy can decide about; all of one are of
        one kind.
        """
        if sources[0].selectable and destinations[0].selectable:
            return len(sources) * len(destinations) - (len(sources) if sources[0] is destinations[0] else 0)
        return sum(self.judged(*ends) for ends in product(sources, destinations))

    def demand(self, source: Signature, destination: Signature) -> Demand:
        """What is demanded of every pair with these signatures."""
        key = (source, destination)
        if key not in self._demands:
            self._demands[key] = self._demand(source[0] & destination[1], destination[2])
        return self._demands[key]

    def _demand(self, speaking: int, ports: tuple[int, ...]) -> Demand:
        sets = dict.fromkeys(Verdict, 0)
        by_rule: list[tuple[int, int]] = []
        numbers = sorted(bits(speaking), key=lambda number: self.rules[number].closing)
        for number in numbers:
            taken = sets[Verdict.ALLOWED] | sets[Verdict.DENIED]
            if atoms := ports[number] & ~taken:
                sets[self.rules[number].verdict] |= atoms
                by_rule.append((number, atoms))
        return Demand(sets[Verdict.ALLOWED], sets[Verdict.DENIED], tuple(by_rule))

    def _note_empty_rules(self) -> None:
        told = {id(rule) for rule, _ in self.empty}
        for number, rule in enumerate(self.rules):
            if id(rule) in told:
                continue
            pairs = self._pairs(self.sources[number], self.destinations[number])
            if next(pairs, None) is None:
                self.empty.append((rule, "no policy can decide about any pair of its endpoints"))
                continue
            for port in rule.ports:
                ends = (self.endpoints[name] for name in self.destinations[number])
                if port.name is not None and not any(end.resolve(port.protocol, port.name) for end in ends):
                    self.empty.append((rule, f"no destination declares a {port.protocol} port named {port.name}"))

    def _pairs(self, sources: Iterable[str], destinations: Iterable[str]) -> Iterator[tuple[Endpoint, Endpoint]]:
        """The pairs about which a policy can decide."""
        for source, destination in product(sorted(sources), sorted(destinations)):
            ends = (self.endpoints[source], self.endpoints[destination])
            if self.judged(*ends):
                yield ends

    def _refuse_contradictions(self) -> None:
        plain = [number for number, rule in enumerate(self.rules) if not rule.closing]
        problems = []
        for first, second in product(plain, plain):
            if (
                first < second
                and self.rules[first].verdict is not self.rules[second].verdict
                and (cell := self._shared(first, second))
            ):
                one, other = self.rules[first], self.rules[second]
                told = (
                    f"{other.name!r} contradicts {one.name!r} on line {one.line}: {cell} is {one.verdict} there "
                    f"and {other.verdict} here"
                )
                problems.append(Problem(f"{told}; narrow one of them", other.file, other.line))
        if problems:
            raise InputError(problems)

    def _shared(self, first: int, second: int) -> str:
        """A cell of which both rules speak, in words; empty when there is none."""
        sources = self.sources[first] & self.sources[second]
        by_ports: dict[int, list[str]] = {}
        for name in sorted(self.destinations[first] & self.destinations[second]) if sources else ():
            ports = self.signatures[name][2]
            if both := ports[first] & ports[second]:
                by_ports.setdefault(both, []).append(name)
        for both, names in by_ports.items():
            for source, destination in self._pairs(sources, names):
                return f"{source.name} -> {destination.name} {self.atoms.joined(both)[0]}"
        return ""


class Refined:
    """An expected matrix in the atoms of a ``ResolvedIntent``, which split its own."""

    def __init__(self, matrix: ExpectedMatrix, resolved: ResolvedIntent) -> None:
        self.matrix = matrix
        self._resolved = resolved
        self._known: dict[int, int] = {}
        self._reached: dict[tuple[int, int, int], int] = {}

    @cached_property
    def _fine(self) -> list[int]:
        return [self._resolved.atoms.mask(atom.protocol, atom.first, atom.last) for atom in self.matrix.atoms]

    def refine(self, atoms: int) -> int:
        """``atoms`` of the matrix as atoms of the resolved intent."""
        if atoms not in self._known:
            mask = 0
            for number in bits(atoms):
                mask |= self._fine[number]
            self._known[atoms] = mask
        return self._known[atoms]
