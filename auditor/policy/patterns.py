"""The cells of an expected matrix: for each pair of classes or endpoints, what is the same on which ports.

A pair of classes has few different patterns of verdicts, so a writer of cells renders each pattern once and then
reuses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from auditor.model.ports import PortRequest, Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Family
from auditor.model.verdict import Note, Verdict
from auditor.policy.bits import bits, mask_of
from auditor.policy.matrix import ExpectedMatrix, MatrixView, PairVerdicts, always_allowed, common_families, governed


@dataclass(frozen=True, slots=True)
class Pattern:
    """What decides the cells of a pair, apart from its names: the verdicts of each family, and whose particular members
    differ.
    """

    families: tuple[tuple[Family, PairVerdicts], ...]
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class ExpectedCell:
    """A cell for ``port`` to ``end_port``. ``families`` has a verdict for each family where they differ, and is empty
    otherwise.
    """

    protocol: Protocol
    port: int
    end_port: int
    verdict: Verdict
    notes: tuple[Note, ...]
    families: tuple[tuple[Family, Verdict], ...] = ()


Ports: TypeAlias = Sequence[PortRequest]


class ExpectedCells:
    """The cells of a matrix: for each pair one per run of atoms with one verdict or, when ``ports`` are given, one per
    port.
    """

    def __init__(self, matrix: ExpectedMatrix, ports: Ports = ()) -> None:
        self._matrix = matrix
        self._ports = ports
        self._everything = PairVerdicts(matrix.port_atoms.everything, 0, 0)
        self._nodes: dict[int, frozenset[str]] = {}

    @property
    def asks_by_name(self) -> bool:
        """Whether any port is asked for by name, so that cells depend on what their destination declares."""
        return any(request.name for request in self._ports)

    def from_class(self, source: int) -> list[Pattern | None]:
        """The pattern of the pair of ``source`` and each class; None where no policy governs it or no address family is
        common.
        """
        return self._of_classes(self.parts_from_class(source))

    def by_policy(self, source: int) -> list[Pattern | None]:
        """As ``from_class``, but as if no member of ``source`` were a member of the other class or on the same node."""
        return self._of_classes(self._parts_by_policy(source))

    def _of_classes(self, parts: Iterable[tuple[Pattern, int]]) -> list[Pattern | None]:
        patterns: list[Pattern | None] = [None] * len(self._matrix.classes)
        for pattern, mask in parts:
            for bit in bits(mask):
                patterns[self._matrix.class_of_bit[bit]] = pattern
        return patterns

    def parts_from_class(self, source: int) -> list[tuple[Pattern, int]]:
        """As ``from_class``, by pattern: each once, with the classes as a set of the bits that stand for them."""
        selectable = self._matrix.representative(source).selectable
        special = self._matched_by_address | 1 << self._matrix.bit_of_class[source] if selectable else -1
        parts: dict[Pattern, int] = {}
        for by_policy, mask in self._parts_by_policy(source):
            if rest := mask & ~special:
                parts[by_policy] = parts.get(by_policy, 0) | rest
            for bit in bits(mask & special):
                pattern = self._with_members(by_policy, source, self._matrix.class_of_bit[bit])
                if pattern is not None:
                    parts[pattern] = parts.get(pattern, 0) | 1 << bit
        return list(parts.items())

    def _parts_by_policy(self, source: int) -> Iterator[tuple[Pattern, int]]:
        source_end = self._matrix.representative(source)
        for destinations, example in self._profiles.values():
            if governed(source_end, example):
                yield from self._split(source, source_end, destinations, example)

    def _split(
        self, source: int, source_end: Endpoint, destinations: int, example: Endpoint
    ) -> list[tuple[Pattern, int]]:
        split: list[tuple[tuple[tuple[Family, PairVerdicts], ...], int]] = [((), destinations)]
        for family in common_families(source_end, example):
            split = [
                ((*verdicts, (family, pair)), part)
                for verdicts, mask in split
                for pair, part in self._matrix.split_by_verdicts(source, family, mask)
            ]
        notes = (Note.UNDEFINED,) if source_end.host_network or example.host_network else ()
        return [(Pattern(_without_repetition(verdicts), notes), mask) for verdicts, mask in split if verdicts]

    @cached_property
    def _profiles(self) -> dict[object, tuple[int, Endpoint]]:
        """Destination classes by what, beside policies, decides about their cells: as a set of bits, with
        an example.
        """
        profiles: dict[object, tuple[int, Endpoint]] = {}
        for bit, number in self._matrix.class_of_bit.items():
            end = self._matrix.representative(number)
            mask, example = profiles.get(key := (end.kind, end.host_network, end.families), (0, end))
            profiles[key] = (mask | 1 << bit, example)
        return profiles

    @cached_property
    def _matched_by_address(self) -> int:
        """The classes of nodes and hostNetwork pods, for which it matters which pods run where, as a set of bits."""
        ends = ((bit, self._matrix.representative(number)) for bit, number in self._matrix.class_of_bit.items())
        return mask_of(bit for bit, end in ends if end.kind is not EndpointKind.HOST and not end.selectable)

    def endpoint_pattern(self, source: Endpoint, destination: Endpoint) -> Pattern | None:
        """The pattern of a pair of endpoints; None as for classes."""
        if not governed(source, destination):
            return None
        if always_allowed(source, destination):
            return self._always(source, destination)
        return self.by_policy(self._matrix.class_of(source.name))[self._matrix.class_of(destination.name)]

    def _with_members(self, pattern: Pattern, source: int, destination: int) -> Pattern | None:
        """``pattern`` of a pair of classes, with what holds for the particular members beside the policies."""
        ends = (self._matrix.representative(source), self._matrix.representative(destination))
        alone = all(len(self._matrix.classes[number].members) == 1 for number in (source, destination))
        if alone and always_allowed(*ends):
            return self._always(*ends)
        everything = self._matrix.port_atoms.everything
        if all(pair.allowed == everything and not pair.labels_unknown | pair.undefined for _, pair in pattern.families):
            return pattern
        return Pattern(pattern.families, pattern.notes + self._member_notes(source, destination))

    def _always(self, source: Endpoint, destination: Endpoint) -> Pattern | None:
        notes = (Note.UNDEFINED,) if source.host_network or destination.host_network else ()
        families = tuple((family, self._everything) for family in common_families(source, destination)[:1])
        return Pattern(families, notes) if families else None

    def _member_notes(self, source: int, destination: int) -> tuple[Note, ...]:
        if source == destination:
            return (Note.SELF_ALLOWED,)
        ends = (self._matrix.representative(source), self._matrix.representative(destination))
        if all(end.selectable for end in ends) or EndpointKind.HOST in (ends[0].kind, ends[1].kind):
            return ()
        apart = self._nodes_of(source).isdisjoint(self._nodes_of(destination))
        return () if apart else (Note.OWN_NODE_ALLOWED,)

    def _nodes_of(self, number: int) -> frozenset[str]:
        """The nodes that are known of a class's members."""
        if number not in self._nodes:
            members = map(self._matrix.endpoint, self._matrix.classes[number].members)
            self._nodes[number] = frozenset(member.node for member in members if member.node)
        return self._nodes[number]

    def cells(self, pattern: Pattern, destination: Endpoint) -> Iterator[ExpectedCell]:
        """The cells of ``pattern``, in the order of ports; ``destination`` resolves the named ones."""
        if self._ports:
            for request in self._ports:
                numbers = destination.resolve(request.protocol, request.name) if request.name else (request.number,)
                for number in numbers:
                    atom = self._matrix.port_atoms.index(request.protocol, number)
                    yield self._cell(pattern, atom, request.protocol, number, number)
            return
        for first, last in self._runs(pattern):
            atoms = self._matrix.port_atoms.ranges
            yield self._cell(pattern, first, atoms[first].protocol, atoms[first].first, atoms[last].last)

    def _runs(self, pattern: Pattern) -> Iterator[tuple[int, int]]:
        """The longest runs of atoms of one protocol that ``pattern`` treats alike, as first and last atom."""
        ranges = self._matrix.port_atoms.ranges
        sets = [
            mask
            for _, pair in pattern.families
            for mask in (pair.allowed, pair.cni_dependent, pair.address_unknown, pair.labels_unknown, pair.undefined)
        ]
        first = 0
        for atom in range(1, len(ranges) + 1):
            if (
                atom == len(ranges)
                or ranges[atom].protocol is not ranges[first].protocol
                or any((m >> first ^ m >> atom) & 1 for m in sets)
            ):
                yield first, atom - 1
                first = atom

    @staticmethod
    def _cell(pattern: Pattern, atom: int, protocol: Protocol, port: int, end_port: int) -> ExpectedCell:
        by_family = [
            (family, Verdict.ALLOWED if pair.allowed >> atom & 1 else Verdict.DENIED)
            for family, pair in pattern.families
        ]
        verdict = by_family[0][1]
        primary = pattern.families[0][1]
        denied_somewhere = any(other is Verdict.DENIED for _, other in by_family)
        notes = [note for note in pattern.notes if note is Note.UNDEFINED or denied_somewhere]
        if any(pair.labels_unknown >> atom & 1 for _, pair in pattern.families):
            notes.append(Note.LABELS_UNKNOWN)
        if any(pair.undefined >> atom & 1 for _, pair in pattern.families) and Note.UNDEFINED not in notes:
            notes.append(Note.UNDEFINED)
        if primary.cni_dependent >> atom & 1 and Note.UNDEFINED not in notes:
            notes.append(Note.CNI_DEPENDENT)
        if primary.address_unknown >> atom & 1 and Note.UNDEFINED not in notes:
            notes.append(Note.ADDRESS_UNKNOWN)
        if any(other is not verdict for _, other in by_family):
            return ExpectedCell(protocol, port, end_port, verdict, (*notes, Note.FAMILY_DEPENDENT), tuple(by_family))
        return ExpectedCell(protocol, port, end_port, verdict, tuple(notes))


def _without_repetition(verdicts: tuple[tuple[Family, PairVerdicts], ...]) -> tuple[tuple[Family, PairVerdicts], ...]:
    """Only the primary family's verdicts where all families agree."""
    return verdicts[:1] if all(pair == verdicts[0][1] for _, pair in verdicts) else verdicts


def hangs_on_labels(view: MatrixView) -> bool:
    """Whether any cell that ``view`` shows depends on labels that are not known."""
    matrix = view.matrix
    if not matrix.has_extremes:
        return False
    cells = ExpectedCells(matrix, view.ports)
    destinations = {matrix.class_of(endpoint.name) for endpoint in view.destinations}
    return any(
        Note.LABELS_UNKNOWN in cell.notes
        for source in {matrix.class_of(endpoint.name) for endpoint in view.sources}
        for number, pattern in enumerate(cells.from_class(source))
        if pattern is not None and number in destinations
        for cell in cells.cells(pattern, matrix.representative(number))
    )
