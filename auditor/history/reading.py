"""A run from a file: a record, or the JSON report that ``audit run -o json`` wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from auditor.history.beside import Kept, SeenBeside, at_service, looked_up, pairs_on, through_service
from auditor.history.codec import BadRecordError, decode, decompress, schema_of
from auditor.history.identity import stable_reason
from auditor.history.recording import COUNTED, Seen, build_night
from auditor.model.dns_seen import DNS_PORT
from auditor.model.errors import InputError, Problem
from auditor.model.night import End, Head, Night, NightFinding, Port, Surroundings
from auditor.model.service_seen import WAY_NAMES
from auditor.model.verdict import Observed, Result
from auditor.parsing.source import Source

REPORT = "audit.report/v1"
WAYS = {name: way for way, name in WAY_NAMES.items()}
OLD = "it was written by an older version of audit, which didn't say which workloads an endpoint represents"


class _Endpoint(msgspec.Struct):
    name: str
    node: str = ""
    stands_for: tuple[str, ...] | None = None


class _Cell(msgspec.Struct):
    source: str
    destination: str
    protocol: str
    port: int
    family: str
    expected: str
    result: str

    @property
    def question(self) -> tuple[str, str, Port]:
        return self.source, self.destination, Port(self.protocol, self.port, self.family)


class _ThroughService(msgspec.Struct):
    source: str
    backend: str
    protocol: str
    port: int
    family: str
    way: Literal["cluster-ip", "node-port", "node-port-local"]
    expected: str
    result: Result
    node: str = ""
    as_without: bool = False

    def kept(self) -> SeenBeside:
        said = Kept(self.source, self.protocol, self.port, self.family, self.expected, self.result)
        return through_service(said, self.backend, WAYS[self.way], self.node, as_without=self.as_without)


class _Lookup(msgspec.Struct):
    source: str
    service: str
    protocol: str
    family: str
    expected: str
    observed: str
    result: Result
    denied_by: str = ""
    port: int = DNS_PORT
    of: str = ""

    @property
    def said(self) -> Kept:
        return Kept(self.source, self.protocol, self.port, self.family, self.expected, self.result, self.denied_by)


class _Pairs(msgspec.Struct):
    node: str


class _Dns(msgspec.Struct):
    lookups: tuple[_Lookup, ...]
    pairs_lost: tuple[_Pairs, ...]

    def kept(self, nodes: Mapping[str, str]) -> Iterator[SeenBeside]:
        yield from (looked_up(each.said, each.service) for each in self.lookups)
        heard = (each for each in self.lookups if each.protocol == "UDP" and each.observed == Observed.ALLOWED)
        yield from pairs_on((nodes.get(each.source, "") for each in heard), {each.node for each in self.pairs_lost})


class _Reached(msgspec.Struct):
    connections: tuple[_Lookup, ...]
    names: tuple[_Lookup, ...]

    def kept(self) -> Iterator[SeenBeside]:
        yield from (at_service(each.said, each.service, by_name=False) for each in self.connections)
        yield from (at_service(each.said, each.of, by_name=True) for each in self.names)


class _Finding(msgspec.Struct):
    kind: str
    title: str
    expected_by: tuple[str, ...]
    cells: tuple[_Cell, ...]


class _Report(msgspec.Struct):
    version: str
    run: str
    subject: str
    conclusion: str
    summary: dict[str, Any]
    seconds: dict[str, float]
    findings: tuple[_Finding, ...]
    cells: tuple[_Cell, ...]
    endpoints: tuple[_Endpoint, ...]
    began: str = ""
    surroundings: Surroundings | None = None
    service_cells: tuple[_ThroughService, ...] = ()
    dns: _Dns | None = None
    reached: _Reached | None = None

    def kept_beside(self) -> Iterator[SeenBeside]:
        yield from (each.kept() for each in self.service_cells)
        if self.dns is not None:
            yield from self.dns.kept({each.name: each.node for each in self.endpoints})
        if self.reached is not None:
            yield from self.reached.kept()


def read_night(source: Source) -> Night:
    """The run that ``source`` describes. Raises InputError where it describes none."""
    try:
        content = decompress(source.data)
        return _of_report(content) if schema_of(content) == REPORT else decode(content)
    except BadRecordError as error:
        said = f"neither a report of 'audit run -o json' nor a record of its history: {error}"
        raise InputError([Problem(said, source.name)]) from None


def _of_report(content: bytes) -> Night:
    try:
        report = msgspec.json.decode(content, type=_Report)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRecordError(f"it is at odds with {REPORT}: {error}") from None
    if any(each.stands_for is None for each in report.endpoints):
        raise BadRecordError(OLD)
    summary = report.summary
    counts = {"connections": summary.get("cells", 0), **{name: summary.get(name, 0) for name in COUNTED}}
    head = Head(
        report.run,
        report.version,
        report.began,
        report.subject,
        report.conclusion,
        float(summary.get("coverage", 0)),
        round(sum(report.seconds.values()), 3),
        counts,
    )
    ends = {each.name: End(tuple(each.stands_for or ()), each.node) for each in report.endpoints}
    known = ends.keys()
    if any(each.source not in known or each.destination not in known for each in report.cells):
        raise BadRecordError("its connections name endpoints that it doesn't have")
    seen = [Seen(cell.source, cell.destination, cell.question[2], cell.expected, cell.result) for cell in report.cells]
    findings = [
        (NightFinding(each.kind, stable_reason(each.expected_by), each.title), [cell.question for cell in each.cells])
        for each in report.findings
    ]
    return build_night(head, ends, seen, findings, report.surroundings, report.kept_beside())
