"""The expected matrix as JSON (``audit.expected/v1``), written in pieces since it can have millions of cells."""

from __future__ import annotations

import json
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from sys import getsizeof
from typing import Any, TextIO, TypeAlias

from auditor.model.policy import Direction
from auditor.model.snapshot import Endpoint, EndpointKind
from auditor.policy.absent_cells import AbsentCell, absent_cells
from auditor.policy.bits import WORD, bits, mask_of, octets_of, words_of
from auditor.policy.doubt import Unreadable
from auditor.policy.exposure import Exposure, view_exposures
from auditor.policy.matrix import ExpectedMatrix, MatrixView, always_allowed
from auditor.policy.patterns import ExpectedCell, ExpectedCells, Pattern, Ports
from auditor.report.documents import write_json
from auditor.report.skipped import left_out_json
from auditor.report.ways_in import way_in_item

Pairs: TypeAlias = Mapping[str, Collection[str]]
"""By the names of sources, those of the destinations that are shown for each."""

SCHEMA = "audit.expected/v1"
DOUBT = '"doubt":true,'
MOST_KEPT = 1 << 26
"""How many bytes of text are kept that several sources have in common."""


def render(view: MatrixView, stream: TextIO) -> None:
    """Write what ``view`` shows to ``stream``."""
    names = ({endpoint.name for endpoint in chosen} for chosen in (view.sources, view.destinations))
    shown = expected_json(
        view.matrix,
        *names,
        ports=view.ports,
        expand=view.expand,
        pairs=view.pairs,
        exposed=view_exposures(view),
        absent=absent_cells(view),
        ways=list(map(way_in_item, view.entry.ways)),
    )
    write_json(shown, stream)


def expected_json(  # noqa: PLR0913 - what is shown of a matrix
    matrix: ExpectedMatrix,
    sources: Collection[str],
    destinations: Collection[str],
    *,
    ports: Ports = (),
    expand: bool = False,
    pairs: Pairs | None = None,
    exposed: Sequence[Exposure] = (),
    absent: Iterable[AbsentCell] = (),
    ways: Sequence[dict[str, Any]] = (),
) -> Iterator[str]:
    """The JSON document, in pieces, with the cells from ``sources`` to ``destinations`` (names of endpoints), and what
    is ``exposed`` to pods that are not in the input, with the cells of these (``absent``), and the ``ways`` in.

    Without ``expand`` there is a cell for each pair of the classes that have a member among them. ``pairs``, with
    ``expand``, as in ``MatrixView``.
    """
    yield f'{{"schema":"{SCHEMA}","endpoints":['
    shown = [
        endpoint for endpoint in matrix.snapshot.endpoints if endpoint.name in sources or endpoint.name in destinations
    ]
    yield ",\n".join(_endpoint_json(matrix, endpoint) for endpoint in shown)
    yield f"],{json.dumps(left_out_json(matrix.snapshot.left_out))[1:-1]},"
    if matrix.snapshot.unknown:
        yield f'"unknown_policies":{json.dumps([policy.full_name for policy in matrix.snapshot.unknown])},'
    if exposed:
        yield f'"exposure":{json.dumps([_exposure_json(matrix, each) for each in exposed])},'
        lines = ",\n".join(json.dumps(_absent_json(each)) for each in absent)
        yield f'"exposure_cells":[\n{lines}\n],'
    if ways:
        yield f'"ways_in":{json.dumps(ways)},'
    yield '"cells":['
    cells = ExpectedCells(matrix, ports)
    separator = "\n"
    found = (
        _expanded(matrix, cells, sources, destinations, pairs)
        if expand
        else _by_class(matrix, cells, sources, destinations)
    )
    for piece in found:
        if piece:
            yield separator + piece
            separator = ",\n"
    yield "\n]}\n"


def _exposure_json(matrix: ExpectedMatrix, exposure: Exposure) -> dict[str, object]:
    return {
        "peer": exposure.peer,
        "direction": exposure.direction.value.lower(),
        "classes": sorted({matrix.class_of(name) for name in exposure.pods}),
        "ports": [str(port) for port in exposure.ports],
        "rules": list(exposure.rules),
        **({"not_considered": list(exposure.before)} if exposure.before else {}),
    }


def _absent_json(cell: AbsentCell) -> dict[str, object]:
    ends = ("source", "destination") if cell.direction is Direction.INGRESS else ("destination", "source")
    return {
        **dict(zip(ends, (str(cell.peer), cell.number), strict=True)),
        "protocol": cell.ports.protocol,
        "port": cell.ports.first,
        "end_port": cell.ports.last,
        "verdict": cell.verdict,
        "in_doubt": cell.in_doubt,
    }


def _endpoint_json(matrix: ExpectedMatrix, endpoint: Endpoint) -> str:
    entry: dict[str, object] = {"name": endpoint.name, "class": matrix.class_of(endpoint.name), "kind": endpoint.kind}
    if endpoint.ranges:
        entry["ranges"] = [
            {"cidr": str(block.cidr), **({"except": list(map(str, block.excepts))} if block.excepts else {})}
            for block in endpoint.ranges
        ]
    elif endpoint.addresses:
        entry["addresses"] = [str(address) for address in endpoint.addresses]
    if endpoint.node and endpoint.kind is EndpointKind.POD:
        entry["node"] = endpoint.node
    if endpoint.workload:
        entry["workload"] = endpoint.workload
    return json.dumps(entry)


class _Tails:
    """The part of each cell's JSON that follows the names, for a pattern and a destination; rendered once for each
    pattern.
    """

    def __init__(self, cells: ExpectedCells) -> None:
        self._cells = cells
        self._by_name = cells.asks_by_name
        self._known: dict[tuple[Pattern, object], list[str]] = {}

    def of(self, pattern: Pattern, destination: Endpoint) -> list[str]:
        key = (pattern, destination.ports if self._by_name else None)
        if key not in self._known:
            self._known[key] = [_tail(cell) for cell in self._cells.cells(pattern, destination)]
        return self._known[key]

    def of_each(self, pattern: Pattern, destinations: Sequence[Endpoint]) -> Iterable[list[str]]:
        """``of`` for each of ``destinations``, one at least."""
        if self._by_name:
            return (self.of(pattern, destination) for destination in destinations)
        return repeat(self.of(pattern, destinations[0]), len(destinations))


def _tail(cell: ExpectedCell) -> str:
    notes = ",".join(f'"{note}"' for note in cell.notes)
    families = ",".join(f'"{family}":"{verdict}"' for family, verdict in cell.families)
    return (
        f'"protocol":"{cell.protocol}","port":{cell.port},"end_port":{cell.end_port},"verdict":"{cell.verdict}","notes":[{notes}]'
        + (f',"families":{{{families}}}' if families else "")
        + "}"
    )


def _by_class(
    matrix: ExpectedMatrix, cells: ExpectedCells, sources: Collection[str], destinations: Collection[str]
) -> Iterator[str]:
    unreadable = Unreadable(matrix.snapshot)
    source_classes, destination_classes = (
        sorted({matrix.class_of(name) for name in names}) for names in (sources, destinations)
    )
    rows = _Rows(matrix, cells, destination_classes)
    for source in source_classes:
        doubtful = _doubtful_classes(matrix, unreadable, source, destination_classes)
        yield rows.text(source, cells.parts_from_class(source), doubtful)


class _Rows:
    """The cells of one source class after the other.

    Most sources see most destinations alike, so the cells of each run of ``WORD`` destinations are kept by the patterns
    in it, all but the source of each.
    """

    def __init__(self, matrix: ExpectedMatrix, cells: ExpectedCells, destinations: Collection[int]) -> None:
        """``destinations`` are the numbers of classes."""
        self._tails = _Tails(cells)
        self._bits = {number: bit for bit, number in matrix.class_of_bit.items()}
        self._ends = {self._bits[number]: (number, matrix.representative(number)) for number in destinations}
        self._wanted = octets_of(self._ends, max(self._ends, default=0) + 1)
        self._words = -(-self._wanted.bit_length() // WORD)
        self._numbers: dict[Pattern, int] = {}
        self._known: dict[Hashable, list[str]] = {}
        self._kept = 0

    def text(self, source: int, parts: Iterable[tuple[Pattern, int]], doubtful: Iterable[int]) -> str:
        """The cells of ``source``, to whose destinations ``parts`` apply."""
        numbered = sorted((self._numbers.setdefault(pattern, len(self._numbers)), mask) for pattern, mask in parts)
        numbers = [-1, *(number for number, _ in numbered)]
        masks = [mask_of(self._bits[number] for number in doubtful), *(mask for _, mask in numbered)]
        patterns = list(self._numbers)
        cells: list[str] = []
        for run, words in enumerate(zip(*(words_of(mask & self._wanted, self._words) for mask in masks), strict=True)):
            if any(words):
                found = tuple((number, word) for number, word in zip(numbers, words, strict=True) if word)
                cells += self._run(run, found, patterns)
        start = f'{{"source":{source},"destination":'
        return start + f",\n{start}".join(cells) if cells else ""

    def _run(self, run: int, words: tuple[tuple[int, int], ...], patterns: Sequence[Pattern]) -> list[str]:
        """The cells of one run, from the number of the destination on: ``words`` has the bits of each pattern and,
        under -1, those in doubt.
        """
        key = (run, words)
        if key not in self._known:
            if self._kept > MOST_KEPT:
                self._known.clear()
                self._kept = 0
            self._known[key] = self._new_run(run, words, patterns)
            self._kept += sum(map(getsizeof, self._known[key]))
        return self._known[key]

    def _new_run(self, run: int, words: Iterable[tuple[int, int]], patterns: Sequence[Pattern]) -> list[str]:
        doubtful = dict(words).get(-1, 0)
        cells: dict[int, list[str]] = {}
        for pattern, word in words:
            found = [(bit, *self._ends[run * WORD + bit]) for bit in bits(word)] if pattern >= 0 else []
            if not found:
                continue
            tails = self._tails.of_each(patterns[pattern], [end for _, _, end in found])
            for (bit, number, _), each in zip(found, tails, strict=True):
                head = f"{number},{DOUBT * (doubtful >> bit & 1)}"
                cells[number] = [head + tail for tail in each]
        return [cell for number in sorted(cells) for cell in cells[number]]


def _doubtful_classes(
    matrix: ExpectedMatrix, unreadable: Unreadable, source: int, destinations: Iterable[int]
) -> frozenset[int]:
    if not unreadable.policies:
        return frozenset()

    def members(number: int) -> list[Endpoint]:
        return [matrix.endpoint(name) for name in matrix.classes[number].members]

    sources = members(source)
    return frozenset(number for number in destinations if unreadable.among(sources, members(number)))


def _expanded(
    matrix: ExpectedMatrix,
    cells: ExpectedCells,
    sources: Collection[str],
    destinations: Collection[str],
    pairs: Pairs | None,
) -> Iterator[str]:
    rows = _ExpandedRows(matrix, cells, destinations)
    for source in (endpoint for endpoint in matrix.snapshot.endpoints if endpoint.name in sources):
        yield rows.text(source, None if pairs is None else pairs.get(source.name, ()))


class _ExpandedRows:
    """The cells of one source after the other; those of all members of a class are made once, but for their names."""

    def __init__(self, matrix: ExpectedMatrix, cells: ExpectedCells, destinations: Collection[str]) -> None:
        self._matrix = matrix
        self._cells = cells
        self._tails = _Tails(cells)
        self._unreadable = Unreadable(matrix.snapshot)
        wanted = [endpoint for endpoint in matrix.snapshot.endpoints if endpoint.name in destinations]
        self._ends = [(endpoint, f'"destination":{json.dumps(endpoint.name)},') for endpoint in wanted]
        self._places = {endpoint.name: place for place, endpoint in enumerate(wanted)}
        self._by_policy: dict[int, list[Pattern | None]] = {}
        self._lines: dict[int, list[list[str]]] = {}

    def text(self, source: Endpoint, names: Iterable[str] | None) -> str:
        """The cells from ``source`` to ``names``, or to all destinations."""
        number = self._matrix.class_of(source.name)
        if number not in self._by_policy:
            self._by_policy[number] = self._cells.by_policy(number)
        if names is None:
            if number not in self._lines:
                self._lines[number] = [self._line(number, place) for place in range(len(self._ends))]
            found = zip(self._ends, self._lines[number], strict=True)
        else:
            places = sorted(self._places[name] for name in names)
            found = zip(
                [self._ends[place] for place in places], [self._line(number, place) for place in places], strict=True
            )
        prefix = f'{{"source":{json.dumps(source.name)},'
        lines: list[str] = []
        for (destination, head), by_policy in found:
            if source is destination or (source.node and always_allowed(source, destination)):
                pattern = self._cells.endpoint_pattern(source, destination)
                own = self._tails.of(pattern, destination) if pattern is not None else []
                lines += [prefix + head + tail for tail in own]
            else:
                doubtful = self._unreadable.policies and self._unreadable.between(source, destination)
                start = prefix + DOUBT if doubtful else prefix
                lines += [start + line for line in by_policy]
        return ",\n".join(lines)

    def _line(self, number: int, place: int) -> list[str]:
        """The cells of class ``number`` with one destination, without the source, by what policies say."""
        destination, head = self._ends[place]
        pattern = self._by_policy[number][self._matrix.class_of(destination.name)]
        return [head + tail for tail in self._tails.of(pattern, destination)] if pattern is not None else []
