"""What came of connections to Services of the cluster's own, and of their names, in words and for programs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from auditor.model.dns_seen import LookupResult, ReachedSeen
from auditor.model.verdict import Observed, Result
from auditor.model.words import in_brief, pluralize
from auditor.report.grouping import observation
from auditor.report.lookups import (
    SHOWN,
    few_lines,
    lookup_item,
    most_frequent_reason,
    nothing_tried,
    sources_of,
    without_verdict,
)

KINDS = {
    Result.LEAK: ("leak", "leaks"),
    Result.OUTAGE: ("outage", "outages"),
    Result.MISDELIVERED: ("misdelivered", "misdelivered"),
    Result.UNSTABLE: ("unstable", "unstable"),
}


def wrong_at_services(seen: ReachedSeen | None) -> list[str]:
    """What goes wrong with connections to Services of the cluster's own and with their names, by kind, in words."""
    if seen is None:
        return []
    counts = {kind: sum(each.result is kind for each in seen.faults if not each.cell.name) for kind in KINDS}
    told = [f"{number:,} {KINDS[kind][number > 1]} at Services" for kind, number in counts.items() if number]
    names = {each.cell.name for each in seen.faults if each.cell.name}
    return [*told, *([f"{pluralize(len(names), 'name')} of Services not resolved right"] if names else [])]


def why_unheard_at_services(seen: ReachedSeen | None) -> list[tuple[str, str]]:
    """Why connections to Services, or their names, have no verdict, and what to do, each with its label; nothing where
    all have.
    """
    if seen is None or not seen.is_unheard:
        return []
    advice = "See whether the Service answers anybody, and run again, or leave its --service out."
    nothing = nothing_tried(f"no connection to {_services(seen)} could be tried")
    unheard = [each for each in seen.unheard if not each.cell.name]
    if unheard or not seen.connections:
        return most_frequent_reason(unheard, "connection", advice) or nothing
    advice = "See whether the cluster's DNS answers anybody, and run again."
    return most_frequent_reason(seen.unheard, "lookup of a Service's name", advice)


def _services(seen: ReachedSeen) -> str:
    return in_brief([f"service/{name}" for name in seen.names], SHOWN)


def reached_headline(seen: ReachedSeen) -> str:
    """The numbers in one sentence: ``6 connections to service/prod/db: 4 came about, 2 denied; 4 of 4 lookups of its
    name resolved``.
    """
    came = sum(each.observation.verdict is Observed.ALLOWED for each in seen.connections)
    denied = sum(each.observation.verdict.is_denied for each in seen.connections)
    unheard = sum(each.result is Result.INCONCLUSIVE for each in seen.connections)
    without = f", {unheard:,} without a verdict" if unheard else ""
    told = (
        f"{pluralize(len(seen.connections), 'connection')} to {_services(seen)}: {came:,} came about, "
        f"{denied:,} denied{without}"
    )
    if not seen.lookups:
        return told
    resolved = sum(each.observation.verdict is Observed.ALLOWED for each in seen.lookups)
    whose = "its name" if len(seen.names) == 1 else "their names"
    return f"{told}; {resolved:,} of {pluralize(len(seen.lookups), 'lookup')} of {whose} resolved"


def reached_lines(seen: ReachedSeen | None) -> Iterator[str]:
    """A heading with the numbers, what differs, and what has no verdict; nothing where no Service was named."""
    if seen is None:
        return
    wrong = ", ".join(wrong_at_services(seen))
    yield f"{reached_headline(seen)}{f': {wrong}' if wrong else ''}"
    unheard = [each for each in seen.connections if each.result is Result.INCONCLUSIVE]
    silent = [each for each in seen.lookups if each.result is Result.INCONCLUSIVE]
    yield from few_lines(
        [
            *(line for line, _ in grouped_faults_at(seen)),
            *without_verdict(unheard, "connection"),
            *without_verdict(silent, "lookup of a Service's name"),
        ]
    )


def grouped_faults_at(seen: ReachedSeen) -> Iterator[tuple[str, list[LookupResult]]]:
    """What goes wrong by what it is, each with a line that says so."""
    yield from _wrong_names(seen, [each for each in seen.faults if each.cell.name])
    yield from _wrong_at(seen, [each for each in seen.faults if not each.cell.name])


def _wrong_names(seen: ReachedSeen, faults: Sequence[LookupResult]) -> Iterator[tuple[str, list[LookupResult]]]:
    groups: defaultdict[tuple[str, str, str, str], list[LookupResult]] = defaultdict(list)
    for each in faults:
        groups[each.result, each.cell.name, each.cell.address, each.observation.outcome].append(each)
    for (result, name, address, outcome), group in groups.items():
        server = address if group[0].expectation.server == address else f"{group[0].expectation.server} at {address}"
        silent = group[0].observation.verdict is Observed.DROPPED
        told = f"no answer from {server}, although policies allow it" if silent else f"{outcome}, by {server}"
        looks = "look up" if len({each.cell.source for each in group}) > 1 else "looks up"
        what = looks if result == Result.MISDELIVERED else "can't resolve"
        if result == Result.UNSTABLE:
            what = "can't always resolve"
        yield f"{result.upper()}  {sources_of(group)} {what} {name} of service/{seen.named[name]}: {told}", group


def _wrong_at(seen: ReachedSeen, faults: Sequence[LookupResult]) -> Iterator[tuple[str, list[LookupResult]]]:
    resolved = {(each.cell.source, seen.named[each.cell.name]) for each in seen.lookups if each.result is Result.MATCH}
    groups: defaultdict[tuple[str, str, int, str, bool], list[LookupResult]] = defaultdict(list)
    for each in faults:
        cell = each.cell
        by_name = each.result is Result.OUTAGE and (cell.source, cell.service) in resolved
        groups[each.result, cell.service, cell.port, each.expectation.why, by_name].append(each)
    for (result, service, port, why, by_name), group in groups.items():
        reason = why or "policies allow it"
        resolves = " and its name resolves" if by_name else ""
        where = f"service/{service} TCP/{port} at {group[0].cell.address}"
        line = (
            f"{result.upper()}  {sources_of(group)} -> {where}, although {reason}{resolves}; "
            f"observed {observation(group[0].observation)}"
        )
        yield line, group


def reached_item(seen: ReachedSeen) -> dict[str, Any]:
    """What the report for programs says of it."""
    return {
        "services": list(seen.names),
        "connections": [{**lookup_item(each), "port": each.cell.port} for each in seen.connections],
        "names": [
            {**lookup_item(each), "name": each.cell.name, "of": seen.named[each.cell.name]} for each in seen.lookups
        ],
    }
