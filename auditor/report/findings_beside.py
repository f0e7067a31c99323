"""What is found beside the matrix, as findings: through Services, in lookups, at Services that were named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from auditor.history.beside import of_lookup, of_named, of_service, pairs_of
from auditor.model.beside import AT_SERVICE, DNS, PAIRS_LOST, THROUGH
from auditor.model.dns_seen import DnsSeen, LookupResult, ReachedSeen
from auditor.model.lint import Place
from auditor.model.report import Report
from auditor.model.service_seen import ServicesSeen
from auditor.model.verdict import Result
from auditor.report.lookups import grouped_cut_off, grouped_faults, pair_line
from auditor.report.reached import grouped_faults_at
from auditor.report.services import grouped_faults as grouped_through_services

CUT_OFF = f"{DNS}-cut-off"


@dataclass(frozen=True, slots=True)
class FindingBeside:
    """One finding: ``kind`` is its part and what is wrong there, such as ``dns-leak``; ``text`` says so in one line.

    ``result`` is None for what is a warning alone. ``places`` are those of the policies that decide. ``key`` is the
    same in every run in which the same thing is found. ``id`` is that of the finding that it is part of where runs are
    held against each other; empty for a warning.
    """

    kind: str
    text: str
    result: Result | None
    places: tuple[Place, ...] = ()
    key: tuple[str, ...] = ()
    id: str = ""


def findings_beside(report: Report) -> list[FindingBeside]:
    """All of ``report``, part by part."""
    return [
        *(_through(report.services) if report.services is not None else ()),
        *(_in_lookups(report.dns) if report.dns is not None else ()),
        *(_at_services(report.reached) if report.reached is not None else ()),
    ]


def _through(seen: ServicesSeen) -> Iterator[FindingBeside]:
    cause = f"\n{seen.diagnosis.title}\n{seen.diagnosis.advice}" if seen.diagnosis is not None else ""
    for line, group in grouped_through_services(seen.faults):
        first, places = group[0], _once(each.places for each in group)
        key = (str(first.cell.way), *sorted(f"{each.subject} {each.path}" for each in places))
        text = f"{_plain(line)}{cause}"
        yield FindingBeside(f"{THROUGH}-{first.result}", text, first.result, places, key, of_service(first).id)


def _in_lookups(seen: DnsSeen) -> Iterator[FindingBeside]:
    for line, group in grouped_faults(seen.faults):
        yield _of_lookups(DNS, line, group, of_lookup(group[0]).id)
    for line, group in grouped_cut_off(seen):
        yield FindingBeside(CUT_OFF, _plain(line), None, _places(group), _key(group))
    for each in seen.pairs_lost:
        same = pairs_of(each.node, lost=True).id
        yield FindingBeside(PAIRS_LOST, _plain(pair_line(each)), Result.UNSTABLE, (), (each.node,), same)


def _at_services(seen: ReachedSeen) -> Iterator[FindingBeside]:
    for line, group in grouped_faults_at(seen):
        kept = of_named(group[0], seen.named.get(group[0].cell.name, ""))
        yield _of_lookups(AT_SERVICE, line, group, kept.id)


def _of_lookups(part: str, line: str, group: Sequence[LookupResult], same: str) -> FindingBeside:
    result = group[0].result
    return FindingBeside(f"{part}-{result}", _plain(line), result, _places(group), _key(group), same)


def _places(group: Sequence[LookupResult]) -> tuple[Place, ...]:
    return _once(each.expectation.places for each in group)


def _key(group: Sequence[LookupResult]) -> tuple[str, ...]:
    cell, expected = group[0].cell, group[0].expectation
    return cell.service or cell.name or expected.server, str(cell.port), str(cell.protocol), expected.why


def _plain(line: str) -> str:
    """``line`` without the word for its kind."""
    return line.partition("  ")[2]


def _once(places: Iterable[tuple[Place, ...]]) -> tuple[Place, ...]:
    return tuple(dict.fromkeys(place for some in places for place in some))
