"""The expected matrix as JSON (``audit.expected/v1``), written in pieces since it can have millions of cells."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from typing import TextIO

from auditor.model.snapshot import Endpoint, EndpointKind
from auditor.policy.matrix import ExpectedMatrix, MatrixView, always_allowed
from auditor.policy.patterns import ExpectedCell, ExpectedCells, Pattern, Ports
from auditor.policy.unreadable import Unreadable
from auditor.report.documents import write_json
from auditor.report.skipped import left_out_json

SCHEMA = "audit.expected/v1"
DOUBT = '"doubt":true,'


def render(view: MatrixView, stream: TextIO) -> None:
    """Write what ``view`` shows to ``stream``."""
    names = ({endpoint.name for endpoint in chosen} for chosen in (view.sources, view.destinations))
    write_json(expected_json(view.matrix, *names, ports=view.ports, expand=view.expand), stream)


def expected_json(
    matrix: ExpectedMatrix,
    sources: Collection[str],
    destinations: Collection[str],
    *,
    ports: Ports = (),
    expand: bool = False,
) -> Iterator[str]:
    """The JSON document, in pieces, with the cells from ``sources`` to ``destinations`` (names of endpoints).

    Without ``expand`` there is a cell for each pair of the classes that have a member among them.
    """
    yield f'{{"schema":"{SCHEMA}","endpoints":['
    shown = [
        endpoint for endpoint in matrix.snapshot.endpoints if endpoint.name in sources or endpoint.name in destinations
    ]
    yield ",\n".join(_endpoint_json(matrix, endpoint) for endpoint in shown)
    yield f"],{json.dumps(left_out_json(matrix.snapshot.left_out))[1:-1]},"
    if matrix.snapshot.unknown:
        yield f'"unknown_policies":{json.dumps([policy.full_name for policy in matrix.snapshot.unknown])},'
    yield '"cells":['
    cells = ExpectedCells(matrix, ports)
    separator = "\n"
    for piece in (_expanded if expand else _by_class)(matrix, cells, sources, destinations):
        if piece:
            yield separator + piece
            separator = ",\n"
    yield "\n]}\n"


def _endpoint_json(matrix: ExpectedMatrix, endpoint: Endpoint) -> str:
    entry: dict[str, object] = {"name": endpoint.name, "class": matrix.class_of(endpoint.name), "kind": endpoint.kind}
    if endpoint.addresses:
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


def _by_class(
    matrix: ExpectedMatrix, cells: ExpectedCells, sources: Collection[str], destinations: Collection[str]
) -> Iterator[str]:
    tails = _Tails(cells)
    unreadable = Unreadable(matrix.snapshot)
    source_classes, destination_classes = (
        sorted({matrix.class_of(name) for name in names}) for names in (sources, destinations)
    )
    wanted = [(number, f'"destination":{number},', matrix.representative(number)) for number in destination_classes]
    for source in source_classes:
        patterns = cells.from_class(source)
        doubtful = _doubtful_classes(matrix, unreadable, source, destination_classes)
        marked = (
            [(number, middle + DOUBT * (number in doubtful), example) for number, middle, example in wanted]
            if doubtful
            else wanted
        )
        head = f'{{"source":{source},'
        lines = [
            head + middle + tail
            for number, middle, example in marked
            if (pattern := patterns[number]) is not None
            for tail in tails.of(pattern, example)
        ]
        yield ",\n".join(lines)


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
    matrix: ExpectedMatrix, cells: ExpectedCells, sources: Collection[str], destinations: Collection[str]
) -> Iterator[str]:
    tails = _Tails(cells)
    unreadable = Unreadable(matrix.snapshot)
    wanted = [endpoint for endpoint in matrix.snapshot.endpoints if endpoint.name in destinations]
    heads = [f'"destination":{json.dumps(endpoint.name)},' for endpoint in wanted]
    known: dict[int, list[list[str]]] = {}
    for source in (endpoint for endpoint in matrix.snapshot.endpoints if endpoint.name in sources):
        number = matrix.class_of(source.name)
        if number not in known:
            patterns = cells.by_policy(number)
            known[number] = [
                [head + tail for tail in tails.of(pattern, destination)] if pattern is not None else []
                for destination, head in zip(wanted, heads, strict=True)
                for pattern in [patterns[matrix.class_of(destination.name)]]
            ]
        prefix = f'{{"source":{json.dumps(source.name)},'
        lines: list[str] = []
        for destination, head, by_policy in zip(wanted, heads, known[number], strict=True):
            if source is destination or (source.node and always_allowed(source, destination)):
                pattern = cells.endpoint_pattern(source, destination)
                own = tails.of(pattern, destination) if pattern is not None else []
                lines += [prefix + head + tail for tail in own]
            else:
                doubt = DOUBT if unreadable.policies and unreadable.between(source, destination) else ""
                lines += [prefix + doubt + line for line in by_policy]
        yield ",\n".join(lines)
