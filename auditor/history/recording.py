"""From what a run found to what is kept of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from auditor.history.beside import SeenBeside, kept_beside
from auditor.history.identity import stable_reason, workloads_of
from auditor.model.night import (
    ALLOWED,
    DENIED,
    FIRST_FINDING,
    NO_VERDICT,
    NOT_PLANNED,
    End,
    Head,
    Night,
    NightFinding,
    Port,
    Surroundings,
    graver,
)
from auditor.model.report import Report
from auditor.model.verdict import Cell

COUNTED = ("leaks", "outages", "unstable", "misdelivered", "inconclusive", "skipped")
"""The numbers of a summary, in the report as in its JSON, that a record keeps beside that of all connections."""
WITHOUT_VERDICT = frozenset({"inconclusive", "skipped", "undefined"})


@dataclass(frozen=True, slots=True)
class Seen:
    """One connection of a run: the names of its endpoints, and how expectation and observation compare."""

    source: str
    destination: str
    port: Port
    expected: str
    result: str

    @property
    def question(self) -> tuple[str, str, Port]:
        """Which connection it is."""
        return self.source, self.destination, self.port


def night_of(report: Report, version: str, conclusion: str) -> Night:
    """What is kept of ``report``, which the auditor of ``version`` made and which comes to ``conclusion``."""
    summary = report.summary
    counts = {"connections": summary.cells, **{name: getattr(summary, name) for name in COUNTED}}
    head = Head(
        report.run_id,
        version,
        report.began,
        report.subject,
        conclusion,
        round(summary.coverage, 6),
        round(sum(report.seconds.values()), 3),
        counts,
    )
    ends = {endpoint.name: End(workloads_of(endpoint), endpoint.node) for endpoint in report.endpoints}
    seen = [
        Seen(each.cell.source, each.cell.destination, _port(each.cell), each.expected, each.result)
        for each in report.cells
    ]
    findings = [
        (
            NightFinding(finding.kind, stable_reason(finding.expected_by), finding.title),
            [(each.cell.source, each.cell.destination, _port(each.cell)) for each in finding.cells],
        )
        for finding in report.findings
    ]
    night = build_night(head, ends, seen, findings, report.surroundings, kept_beside(report))
    return (
        night if report.draw is None else replace(night, seed=report.draw.seed, tried=tuple(sorted(report.draw.here)))
    )


def _port(cell: Cell) -> Port:
    return Port(cell.protocol, cell.port, str(cell.family))


def build_night(  # noqa: PLR0913, PLR0917 - all that a record is made of
    head: Head,
    ends: Mapping[str, End],
    seen: Sequence[Seen],
    findings: Sequence[tuple[NightFinding, Iterable[tuple[str, str, Port]]]],
    surroundings: Surroundings | None,
    beside: Iterable[SeenBeside] = (),
) -> Night:
    """The record of a run. ``ends`` are by the names of endpoints; each finding comes with its connections, and those
    of what was tried ``beside`` the matrix come last.
    """
    more = list(beside)
    if at_fault := sum(each.finding is not None for each in more):
        head = replace(head, counts={**head.counts, "beside": at_fault})
    ends = {**_ends_beside(more), **ends}
    seen = [*seen, *(Seen(each.source, each.destination, each.port, each.expected, each.result) for each in more)]
    findings = [*findings, *_findings_beside(more)]
    numbered = {end: number for number, end in enumerate(sorted(set(ends.values()), key=_order))}
    number_of = {name: numbered[end] for name, end in ends.items()}
    ports = tuple(sorted({each.port for each in seen}))
    port_numbers = {port: number for number, port in enumerate(ports)}
    part_of: dict[tuple[str, str, Port], int] = {}
    for number, (_, questions) in enumerate(findings):
        for question in questions:
            part_of.setdefault(question, FIRST_FINDING + number)
    tables: dict[tuple[int, int], dict[int, int]] = {}
    for each in seen:
        table = tables.setdefault((number_of[each.source], number_of[each.destination]), {})
        port = port_numbers[each.port]
        table[port] = graver(part_of.get(each.question, _state(each)), table.get(port, NOT_PLANNED))
    patterns, rows = _patterns(tables, len(numbered))
    told = tuple(finding for finding, _ in findings)
    return Night(
        **{each.name: getattr(head, each.name) for each in fields(head)},
        ends=tuple(numbered),
        ports=ports,
        patterns=patterns,
        rows=rows,
        findings=told,
        surroundings=surroundings,
    )


def _ends_beside(beside: Iterable[SeenBeside]) -> dict[str, End]:
    """What may be no endpoint of the report: Services, and nodes by themselves."""
    names = dict.fromkeys(name for each in beside for name in (each.source, each.destination))
    return {name: End((name,), name.removeprefix("node/") if name.startswith("node/") else "") for name in names}


def _findings_beside(beside: Iterable[SeenBeside]) -> list[tuple[NightFinding, list[tuple[str, str, Port]]]]:
    found: dict[tuple[str, tuple[str, ...]], tuple[NightFinding, list[tuple[str, str, Port]]]] = {}
    for each in beside:
        if each.finding is not None:
            _, questions = found.setdefault((each.finding.kind, each.finding.reason), (each.finding, []))
            questions.append((each.source, each.destination, each.port))
    return list(found.values())


def _order(end: End) -> tuple[tuple[str, ...], str]:
    return end.workloads, end.node


def _state(each: Seen) -> int:
    if each.result in WITHOUT_VERDICT:
        return NO_VERDICT
    return ALLOWED if each.expected == "allowed" else DENIED


def _patterns(
    tables: Mapping[tuple[int, int], Mapping[int, int]], size: int
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """The distinct tables, the empty one first, and for each pair of ends the number of its own."""
    numbers: dict[tuple[int, ...], int] = {(): 0}
    rows = [[0] * size for _ in range(size)]
    for (source, destination), table in sorted(tables.items()):
        pattern = tuple(value for item in sorted(table.items()) for value in item)
        rows[source][destination] = numbers.setdefault(pattern, len(numbers))
    return tuple(numbers), tuple(map(tuple, rows))
