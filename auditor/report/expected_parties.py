"""The rows and columns of an expected matrix for people, and what is expected of each pair of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from auditor.model.snapshot import Endpoint
from auditor.policy.doubt import Unreadable
from auditor.policy.matrix import ExpectedMatrix, MatrixView, always_allowed
from auditor.policy.patterns import ExpectedCell, ExpectedCells, Pattern


@dataclass(frozen=True, slots=True)
class Party:
    """A row and column: one endpoint, or a class with the first of its members as the example."""

    label: str
    example: Endpoint
    members: tuple[str, ...]


Cells = dict[tuple[int, int], tuple[ExpectedCell, ...]]
"""The cells of each pair of parties, given by position, that a policy governs."""


def parties_of(view: MatrixView) -> list[Party]:
    """The rows and columns that ``view`` shows: endpoints where it expands, else classes."""
    return _endpoints(view) if view.expand else _classes(view)


def _endpoints(view: MatrixView) -> list[Party]:
    chosen = {endpoint.name: endpoint for endpoint in (*view.sources, *view.destinations)}
    return [Party(name, endpoint, (name,)) for name, endpoint in chosen.items()]


def _classes(view: MatrixView) -> list[Party]:
    matrix = view.matrix
    chosen = {endpoint.name for endpoint in (*view.sources, *view.destinations)}
    parties = []
    for number in sorted({matrix.class_of(name) for name in chosen}):
        members = tuple(member for member in matrix.classes[number].members if member in chosen)
        label = members[0] if len(members) == 1 else f"{members[0]} +{len(members) - 1}"
        parties.append(Party(label, matrix.representative(number), members))
    return parties


def cells_of(view: MatrixView, parties: Sequence[Party]) -> Cells:
    """What is expected of each pair of ``parties`` that ``view`` shows. Equal values are mostly one object."""
    return dict(pairs_of(view, parties))


def pairs_of(view: MatrixView, parties: Sequence[Party]) -> Iterator[tuple[tuple[int, int], tuple[ExpectedCell, ...]]]:
    """As ``cells_of``, a pair at a time: all of a large cluster's would not fit into memory."""
    matrix = view.matrix
    expected = ExpectedCells(matrix, view.ports)
    known: dict[tuple[Pattern, object], tuple[ExpectedCell, ...]] = {}
    sources = {endpoint.name for endpoint in view.sources}
    destinations = {endpoint.name for endpoint in view.destinations}
    by_name = expected.asks_by_name
    columns = {
        party.label: (column, party.example, matrix.class_of(party.example.name))
        for column, party in enumerate(parties)
        if not destinations.isdisjoint(party.members)
    }
    for row, source in enumerate(parties):
        if sources.isdisjoint(source.members):
            continue
        number = matrix.class_of(source.example.name)
        patterns = expected.by_policy(number) if view.expand else expected.from_class(number)
        wanted = columns if view.pairs is None else view.pairs.get(source.label, ())
        for column, example, destination in sorted((columns[label] for label in wanted), key=lambda each: each[0]):
            pattern: Pattern | None = patterns[destination]
            if view.expand and always_allowed(source.example, example):
                pattern = expected.endpoint_pattern(source.example, example)
            if pattern is not None:
                key = (pattern, example.ports if by_name else None)
                if key not in known:
                    known[key] = tuple(expected.cells(pattern, example))
                yield (row, column), known[key]


def pairs_in_doubt(matrix: ExpectedMatrix, parties: Sequence[Party], cells: Cells) -> frozenset[tuple[int, int]]:
    """The pairs of which a policy that can't be read may decide."""
    in_doubt = doubts_of(matrix, parties)
    return frozenset(pair for pair in cells if in_doubt(pair))


def doubts_of(matrix: ExpectedMatrix, parties: Sequence[Party]) -> Callable[[tuple[int, int]], bool]:
    """Whether a policy that can't be read may decide about a pair of ``parties``, given by position."""
    if not matrix.snapshot.unknown:
        return lambda _: False
    unreadable = Unreadable(matrix.snapshot)
    members = [[matrix.endpoint(name) for name in party.members] for party in parties]
    return lambda pair: unreadable.among(members[pair[0]], members[pair[1]])
