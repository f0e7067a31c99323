"""Truth tables: what the specification demands of a scenario, written compactly and read into one verdict per cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from auditor.model.errors import UsageError
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Endpoint, Family, Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.parsing.fields import Fields
from auditor.policy.matrix import always_allowed, common_families, governed
from auditor.policy.selection import select

TRUTH_FIELDS = ("ports", "rows", "otherwise")
ROW_FIELDS = ("from", "to", "ports", "family", "verdict")


@dataclass(frozen=True, slots=True)
class TruthTable:
    """The columns, and the verdict of every cell."""

    ports: tuple[PortRequest, ...]
    cells: dict[Cell, Verdict]


@dataclass(frozen=True, slots=True)
class _Row:
    fields: Fields
    sources: frozenset[str]
    destinations: frozenset[str]
    ports: frozenset[PortRequest]
    families: frozenset[Family]
    verdict: Verdict


def read_truth(fields: Fields, snapshot: Snapshot, families: Sequence[Family]) -> TruthTable:
    """The table that ``fields`` are, over the endpoints of ``snapshot``."""
    fields.refuse_unknown(TRUTH_FIELDS)
    ports = _read_ports(fields, "ports")
    if not ports:
        fields.note("a truth table needs ports: its columns", "ports")
    otherwise = _read_verdict(fields, "otherwise")
    rows = [row for item in fields.maps("rows") if (row := _read_row(item, snapshot, ports, families)) is not None]
    table = _Table(ports, rows, otherwise)
    for source in snapshot.endpoints:
        for destination in snapshot.endpoints:
            if governed(source, destination):
                table.fill(source, destination)
    for number, row in enumerate(rows):
        if number not in table.used:
            row.fields.note("this row decides nothing: rows above it, or what is always allowed, already do; remove it")
    if table.conflicts:
        fields.note(
            f"two columns are one port there and differ: {table.conflicts[0]}; give both the same verdict", "ports"
        )
    return TruthTable(ports, table.cells)


class _Table:
    """The cells while they are filled in, and the rows that decided any."""

    def __init__(self, ports: Sequence[PortRequest], rows: Sequence[_Row], otherwise: Verdict) -> None:
        self.cells: dict[Cell, Verdict] = {}
        self.used: set[int] = set()
        self.conflicts: list[Cell] = []
        self._ports = ports
        self._rows = rows
        self._otherwise = otherwise

    def fill(self, source: Endpoint, destination: Endpoint) -> None:
        """Decide every cell between the two."""
        for family in common_families(source, destination):
            for request in self._ports:
                numbers = destination.resolve(request.protocol, request.name) if request.name else (request.number,)
                if numbers:
                    verdict = self._decide(source, destination, request, family)
                for number in numbers:
                    cell = Cell(source.name, destination.name, request.protocol, number, family)
                    if self.cells.setdefault(cell, verdict) is not verdict:
                        self.conflicts.append(cell)

    def _decide(self, source: Endpoint, destination: Endpoint, request: PortRequest, family: Family) -> Verdict:
        if always_allowed(source, destination):
            return Verdict.ALLOWED
        for number, row in enumerate(self._rows):
            if (
                source.name in row.sources
                and destination.name in row.destinations
                and request in row.ports
                and family in row.families
            ):
                self.used.add(number)
                return row.verdict
        return self._otherwise


def _read_row(
    fields: Fields, snapshot: Snapshot, columns: Sequence[PortRequest], families: Sequence[Family]
) -> _Row | None:
    fields.refuse_unknown(ROW_FIELDS)
    ports = _read_ports(fields, "ports")
    for number, port in enumerate(ports):
        if port not in columns:
            fields.note(f"{port} is not one of the table's columns: {', '.join(map(str, columns))}", "ports", number)
    family = fields.text("family")
    known = {str(each): each for each in families}
    if family is not None and family not in known:
        fields.note(f"must be one of the scenario's families: {', '.join(known)}", "family")
        return None
    verdict = _read_verdict(fields, "verdict")
    return _Row(
        fields,
        _read_ends(fields, "from", snapshot),
        _read_ends(fields, "to", snapshot),
        frozenset(ports or columns),
        frozenset(families if family is None else [known[family]]),
        verdict,
    )


def _read_ends(fields: Fields, key: str, snapshot: Snapshot) -> frozenset[str]:
    value = fields.value.get(key)
    if value is None:
        return frozenset(endpoint.name for endpoint in snapshot.endpoints)
    texts = [value] if isinstance(value, str) else fields.texts(key)
    names: set[str] = set()
    for text in texts:
        try:
            found = select(snapshot.endpoints, text, snapshot.services)
        except UsageError as error:
            fields.note(str(error), key)
            continue
        if not found:
            fields.note(f"{text!r} matches no endpoint", key)
        names.update(endpoint.name for endpoint in found)
    return frozenset(names)


def _read_ports(fields: Fields, key: str) -> tuple[PortRequest, ...]:
    ports = []
    for number, text in enumerate(fields.texts(key)):
        try:
            ports.append(PortRequest.parse(text))
        except ValueError as error:
            fields.note(str(error), key, number)
    return tuple(dict.fromkeys(ports))


def _read_verdict(fields: Fields, key: str) -> Verdict:
    text = fields.text(key)
    if text not in tuple(Verdict):
        fields.note("must be allowed or denied", key)
        return Verdict.DENIED
    return Verdict(text)
