"""What came of connections through Services, in words and for programs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from auditor.model.service_seen import WAY_NAMES, PathDiagnosis, ServiceCell, ServiceResult, ServicesSeen
from auditor.model.verdict import Observed, Result
from auditor.model.words import in_brief, pluralize
from auditor.report.grouping import by_reason, in_words, observation

MOST_LINES = 8
SHOWN = 4
TOLD = {
    Result.LEAK: ("leak", "leaks"),
    Result.OUTAGE: ("outage", "outages"),
    Result.MISDELIVERED: ("misdelivered", "misdelivered"),
    Result.UNSTABLE: ("unstable", "unstable"),
}
NOT_TRANSLATED = "See whether kube-proxy, or what stands in for it, runs on the nodes concerned, and run again."


def wrong_through_services(seen: ServicesSeen | None) -> list[str]:
    """What goes wrong through Services alone, by kind, in words: ``3 leaks through Services``."""
    faults = seen.faults if seen else ()
    counts = {kind: sum(each.result is kind for each in faults) for kind in TOLD}
    return [f"{number:,} {TOLD[kind][number > 1]} through Services" for kind, number in counts.items() if number]


def through_services(seen: ServicesSeen | None) -> list[ServiceResult]:
    """The connections through Services that count beside those without: not those that fare badly either way."""
    return [] if seen is None else [each for each in seen.results if not each.as_without]


def services_headline(seen: ServicesSeen) -> str:
    """The numbers in one sentence: ``240 connections through Services: 100 allowed, 140 denied``."""
    results = seen.results
    if not results:
        return "nothing was tried through Services"
    allowed = sum(each.observation.verdict is Observed.ALLOWED for each in results)
    denied = sum(each.observation.verdict.is_denied for each in results)
    without = f", {len(seen.unheard):,} without a verdict" if seen.unheard else ""
    return f"{pluralize(len(results), 'connection')} through Services: {allowed:,} allowed, {denied:,} denied{without}"


def cause_through_services(seen: ServicesSeen | None) -> list[tuple[str, str]]:
    """The cause of what differs through Services alone, and what to do, each with its label; nothing without one."""
    if seen is None or seen.diagnosis is None:
        return []
    diagnosis = seen.diagnosis
    return [("cause" if diagnosis.fault else "no cause", diagnosis.title), ("advice", diagnosis.advice)]


def why_unheard_through_services(seen: ServicesSeen | None) -> list[tuple[str, str]]:
    """Why connections through Services have no verdict, and what to do, each with its label; nothing where all have."""
    if seen is None or not seen.is_unheard:
        return []
    if not seen.results:
        return [("why", "no Service could be tried: the facts below say why"), ("advice", "Fix that and run again.")]
    reason, count = Counter(each.observation.outcome for each in seen.unheard).most_common(1)[0]
    of = pluralize(len(seen.unheard), "connection")
    untranslated = reason.startswith("nothing that goes ")
    return [
        ("why", f"{count:,} of {of} through Services without a verdict: {in_words(reason)}"),
        ("advice", NOT_TRANSLATED if untranslated else "Look into that and run again."),
    ]


def service_lines(seen: ServicesSeen | None) -> Iterator[str]:
    """A heading with the numbers, what differs, and what has no verdict; nothing where no Service was tried."""
    if seen is None:
        return
    wrong = ", ".join(wrong_through_services(seen))
    yield f"{services_headline(seen)}{f': {wrong}' if wrong else ''}"
    yield from _grouped(seen.faults)
    same = [each for each in seen.results if each.as_without]
    if same:
        yield f"{pluralize(len(same), 'connection')} through Services fare as they do without: see the findings above"
    yield from _without_verdict(seen.unheard)


def _grouped(results: Sequence[ServiceResult]) -> Iterator[str]:
    groups = list(grouped_faults(results))
    yield from (line for line, _ in groups[:MOST_LINES])
    if len(groups) > MOST_LINES:
        yield f"and {len(groups) - MOST_LINES} more such lines; -o json has every connection"


def grouped_faults(results: Sequence[ServiceResult]) -> Iterator[tuple[str, list[ServiceResult]]]:
    """``results`` by what is wrong, each with a line that says so."""
    groups: defaultdict[tuple[str, str, str], list[ServiceResult]] = defaultdict(list)
    for each in results:
        groups[each.result, each.cell.way, each.cell.backend].append(each)
    for (result, way, backend), group in groups.items():
        sources = in_brief(list(dict.fromkeys(each.cell.source for each in group)), SHOWN)
        first = group[0]
        line = (
            f"{result.upper()}  {sources} -> {backend} by {way}: {_ports(group)}; expected {first.expected}, "
            f"observed {observation(first.observation)}"
        )
        yield line, group


def _ports(group: Sequence[ServiceResult]) -> str:
    return ", ".join(dict.fromkeys(f"{each.cell.protocol}/{each.cell.port}" for each in group))


def _without_verdict(results: Sequence[ServiceResult]) -> Iterator[str]:
    reasons = list(by_reason(results).items())
    for reason, group in reasons[:MOST_LINES]:
        yield f"no verdict on {pluralize(len(group), 'connection')}: {in_words(reason)} ({group[0].cell})"
    if left := reasons[MOST_LINES:]:
        connections = pluralize(sum(len(group) for _, group in left), "connection")
        yield f"no verdict on {connections} for {pluralize(len(left), 'further reason')}; -o json has every one"


def services_item(seen: ServicesSeen) -> dict[str, Any]:
    """What the report for programs says of it, but for the connections."""
    return {
        "connections": len(seen.results),
        "leaks": sum(each.result is Result.LEAK for each in seen.faults),
        "outages": sum(each.result is Result.OUTAGE for each in seen.faults),
        "misdelivered": sum(each.result is Result.MISDELIVERED for each in seen.faults),
        "unstable": sum(each.result is Result.UNSTABLE for each in seen.faults),
        "inconclusive": len(seen.unheard),
        "left_open": seen.count(Result.CNI_DEPENDENT),
        **({"diagnosis": _diagnosis(seen.diagnosis)} if seen.diagnosis else {}),
    }


def _diagnosis(diagnosis: PathDiagnosis) -> dict[str, Any]:
    fault = diagnosis.fault
    return {
        "title": diagnosis.title,
        "advice": diagnosis.advice,
        **({"dialect": fault.dialect, "node": fault.node} if fault else {}),
        "explained": len(diagnosis.explained),
        "unexplained": len(diagnosis.unexplained),
        "alternatives": [{"dialect": each.dialect, "node": each.node} for each in diagnosis.alternatives],
    }


def connection_item(each: ServiceResult) -> dict[str, Any]:
    """A connection through a Service for programs."""
    return {
        **_place(each.cell),
        "expected": each.expected,
        "observed": each.observation.verdict,
        "outcome": each.observation.outcome,
        "attempts": each.observation.attempts,
        "result": each.result,
        **({"left_open": each.left_open} if each.left_open else {}),
        **({"seen": each.seen} if each.seen else {}),
        **({"as_without": True} if each.as_without else {}),
    }


def _place(cell: ServiceCell) -> dict[str, Any]:
    return {
        "source": cell.source,
        "backend": cell.backend,
        "protocol": cell.protocol,
        "port": cell.port,
        "family": str(cell.family),
        "way": WAY_NAMES[cell.way],
        "address": cell.address,
        "service_port": cell.number,
        **({"node": cell.at} if cell.at else {}),
    }
