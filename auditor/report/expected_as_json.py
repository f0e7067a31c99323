"""The expected matrix as JSON (``audit.expected/v1``), written in pieces since it can have millions of cells."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TextIO, TypeAlias

from auditor.model.policy import Direction
from auditor.model.snapshot import Endpoint, EndpointKind
from auditor.policy.absent_cells import AbsentCell, absent_cells
from auditor.policy.bits import bits, mask_of, octets_of
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
MOST_PAIRS = 250_000
"""So many pairs of classes have cells of their own; of more than that, cells would soon be gigabytes, and there are
rows.
"""


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

    Without ``expand`` there is a cell for each pair of the classes that have a member among them, or, where these are
    more than ``MOST_PAIRS``, a row for each source class. ``pairs``, with ``expand``, as in ``MatrixView``.
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
    cells = ExpectedCells(matrix, ports)
    if expand:
        title, found = "cells", _expanded(matrix, cells, sources, destinations, pairs)
    else:
        ends = [sorted({matrix.class_of(name) for name in names}) for names in (sources, destinations)]
        rows = _rows(matrix, cells, *ends)
        in_rows = len(ends[0]) * len(ends[1]) > MOST_PAIRS
        title = "rows" if in_rows else "cells"
        found = (_row_of(*row) if in_rows else _cells_of(*row) for row in rows)
    yield f'"{title}":['
    separator = "\n"
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


def _tail(cell: ExpectedCell) -> str:
    notes = ",".join(f'"{note}"' for note in cell.notes)
    families = ",".join(f'"{family}":"{verdict}"' for family, verdict in cell.families)
    return (
        f'"protocol":"{cell.protocol}","port":{cell.port},"end_port":{cell.end_port},"verdict":"{cell.verdict}","notes":[{notes}]'
        + (f',"families":{{{families}}}' if families else "")
        + "}"
    )


@dataclass(frozen=True, slots=True)
class _Alike:
    """Destinations that one source class reaches alike: runs of class numbers, both ends included, in ascending order;
    what their cells say after the names; whether a policy that can't be read may say otherwise.
    """

    runs: list[tuple[int, int]]
    tails: list[str]
    doubt: bool


def _rows(
    matrix: ExpectedMatrix, cells: ExpectedCells, sources: Iterable[int], destinations: Collection[int]
) -> Iterator[tuple[int, list[_Alike]]]:
    """Each of ``sources``, a class, with those of ``destinations`` that it can talk to."""
    unreadable = Unreadable(matrix.snapshot)
    ends = _Ends(matrix, cells, destinations)
    for source in sources:
        doubtful = ends.mask(_doubtful_classes(matrix, unreadable, source, destinations))
        found = [
            _Alike(ends.runs(among), tails, doubt)
            for pattern, mask in cells.parts_from_class(source)
            for doubt, part in ((False, mask & ~doubtful), (True, mask & doubtful))
            for among, tails in ends.alike(pattern, part)
        ]
        yield source, sorted(found, key=lambda alike: alike.runs[0])


class _Ends:
    """The destination classes that are shown, as sets of bits (``ExpectedMatrix.class_of_bit``)."""

    def __init__(self, matrix: ExpectedMatrix, cells: ExpectedCells, destinations: Collection[int]) -> None:
        """``destinations`` are the numbers of classes."""
        self._tails = _Tails(cells)
        self._by_name = cells.asks_by_name
        self._class_of_bit = matrix.class_of_bit
        self._bits = matrix.bit_of_class
        self._size = max(self._class_of_bit) + 1
        self._ends = {self._bits[number]: matrix.representative(number) for number in destinations}
        self._wanted = self.mask(destinations)
        self._followed = mask_of(
            bit for bit, number in self._class_of_bit.items() if self._class_of_bit.get(bit + 1) == number + 1
        )

    def mask(self, numbers: Collection[int]) -> int:
        """The classes with these ``numbers``."""
        return octets_of((self._bits[number] for number in numbers), self._size) if numbers else 0

    def alike(self, pattern: Pattern, mask: int) -> Iterator[tuple[int, list[str]]]:
        """The parts of ``mask``, of what is shown of it, of which ``pattern`` says the same; none where it says nothing
        of them.
        """
        shown = mask & self._wanted
        if not shown:
            return
        if not self._by_name:
            if said := self._tails.of(pattern, self._ends[(shown & -shown).bit_length() - 1]):
                yield shown, said
            return
        parts: dict[tuple[str, ...], int] = {}
        for bit in bits(shown):
            tails = tuple(self._tails.of(pattern, self._ends[bit]))
            parts[tails] = parts.get(tails, 0) | 1 << bit
        yield from ((part, list(tails)) for tails, part in parts.items() if tails)

    def runs(self, mask: int) -> list[tuple[int, int]]:
        """``mask`` as runs of class numbers, in ascending order. Neighbouring bits mostly stand for neighbouring
        classes, so that few bits are looked at.
        """
        firsts = bits(mask & ~((mask & self._followed) << 1))
        lasts = bits(mask & ~(mask >> 1 & self._followed))
        of = self._class_of_bit
        found = sorted((of[first], of[last]) for first, last in zip(firsts, lasts, strict=True))
        joined = found[:1]
        for first, last in found[1:]:
            if first == joined[-1][1] + 1:
                joined[-1] = (joined[-1][0], last)
            else:
                joined.append((first, last))
        return joined


def _cells_of(source: int, row: Iterable[_Alike]) -> str:
    """A cell for each pair of classes and range of ports, in the order of the destinations."""
    found = {number: alike for alike in row for first, last in alike.runs for number in range(first, last + 1)}
    return ",\n".join(
        f'{{"source":{source},"destination":{number},{DOUBT * alike.doubt}{tail}'
        for number, alike in sorted(found.items(), key=itemgetter(0))
        for tail in alike.tails
    )


def _row_of(source: int, row: Sequence[_Alike]) -> str:
    """What ``_cells_of`` says, without saying it again for each of the destinations that are alike."""
    alike = ",".join(
        f'{{"destinations":{_json_of(each.runs)},{DOUBT * each.doubt}"ports":[{{{",{".join(each.tails)}]}}'
        for each in row
    )
    return f'{{"source":{source},"to":[{alike}]}}' if row else ""


def _json_of(runs: Iterable[tuple[int, int]]) -> str:
    return "[" + ",".join(f"[{first},{last}]" for first, last in runs) + "]"


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
