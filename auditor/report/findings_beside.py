"""What is found beside the matrix, as findings: through Services, in lookups, at Services that were named.

No earlier run is held against these: they have no age.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from auditor.model.dns_seen import DnsSeen, LookupResult
from auditor.model.lint import Place
from auditor.model.report import Report
from auditor.model.service_seen import ServicesSeen
from auditor.model.verdict import Result
from auditor.report.lookups import grouped_cut_off, grouped_faults, pair_line
from auditor.report.reached import grouped_faults_at
from auditor.report.services import grouped_faults as grouped_through_services

THROUGH, DNS, AT_SERVICE = "through-services", "dns", "service"
CUT_OFF, PAIRS_LOST = "cut-off", "question-lost"


@dataclass(frozen=True, slots=True)
class FindingBeside:
    """One finding: ``kind`` is its part and what is wrong there, such as ``dns-leak``; ``text`` says so in one line.

    ``result`` is None for what is a warning alone. ``places`` are those of the policies that decide. ``key`` is the
    same in every run in which the same thing is found.
    """

    kind: str
    text: str
    result: Result | None
    places: tuple[Place, ...] = ()
    key: tuple[str, ...] = ()


def findings_beside(report: Report) -> list[FindingBeside]:
    """All of ``report``, part by part."""
    return [
        *(_through(report.services) if report.services is not None else ()),
        *(_in_lookups(report.dns) if report.dns is not None else ()),
        *(_of_lookups(AT_SERVICE, grouped_faults_at(report.reached)) if report.reached is not None else ()),
    ]


def _through(seen: ServicesSeen) -> Iterator[FindingBeside]:
    cause = f"\n{seen.diagnosis.title}\n{seen.diagnosis.advice}" if seen.diagnosis is not None else ""
    for line, group in grouped_through_services(seen.faults):
        first, places = group[0], _once(each.places for each in group)
        key = (str(first.cell.way), *sorted(f"{each.subject} {each.path}" for each in places))
        yield FindingBeside(f"{THROUGH}-{first.result}", f"{_plain(line)}{cause}", first.result, places, key)


def _in_lookups(seen: DnsSeen) -> Iterator[FindingBeside]:
    yield from _of_lookups(DNS, grouped_faults(seen.faults))
    for line, group in grouped_cut_off(seen):
        yield FindingBeside(f"{DNS}-{CUT_OFF}", _plain(line), None, _places(group), _key(group))
    for each in seen.pairs_lost:
        yield FindingBeside(f"{DNS}-{PAIRS_LOST}", _plain(pair_line(each)), Result.UNSTABLE, key=(each.node,))


def _of_lookups(part: str, groups: Iterator[tuple[str, list[LookupResult]]]) -> Iterator[FindingBeside]:
    for line, group in groups:
        yield FindingBeside(f"{part}-{group[0].result}", _plain(line), group[0].result, _places(group), _key(group))


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
