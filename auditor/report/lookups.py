"""What came of lookups by the cluster's DNS, in words and for programs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from auditor.model.dns_seen import DnsSeen, LookupResult, PairsLost
from auditor.model.ports import Protocol
from auditor.model.verdict import Observed, Result
from auditor.model.words import in_brief, pluralize
from auditor.report.grouping import by_reason, in_words, observation

MOST_LINES = 8
SHOWN = 4
TOLD = {
    Result.LEAK: ("leak in DNS", "leaks in DNS"),
    Result.OUTAGE: ("outage in DNS", "outages in DNS"),
    Result.MISDELIVERED: ("lookup misdelivered", "lookups misdelivered"),
}
PAIR_ADVICE = (
    "C libraries ask for both address families from one socket at once, and wait 5 s for what is lost: update the "
    "kernel or the CNI's agent (netfilter bug 1766), or set 'options single-request-reopen' in dnsConfig."
)
OVER_TCP = "answers that are too long for a datagram are lost"


def wrong_in_lookups(seen: DnsSeen | None) -> list[str]:
    """What goes wrong in lookups, by kind, in words: ``3 leaks in DNS``."""
    if seen is None:
        return []
    counts = {kind: sum(each.result is kind for each in seen.faults) for kind in TOLD}
    told = [f"{number:,} {TOLD[kind][number > 1]}" for kind, number in counts.items() if number]
    nodes = [each.node for each in seen.pairs_lost]
    return [*told, *([f"DNS questions lost on {_nodes(nodes)}"] if nodes else [])]


def _nodes(names: Sequence[str]) -> str:
    return f"node {names[0]}" if len(names) == 1 else f"nodes {in_brief(names, SHOWN)}"


def lookups_headline(seen: DnsSeen) -> str:
    """The numbers in one sentence: ``24 lookups by DNS: 20 answered, 4 denied``."""
    if not seen.results:
        return "no name was looked up"
    answered = seen.count(Observed.ALLOWED)
    denied = seen.count(Observed.REFUSED, Observed.DROPPED)
    without = f", {len(seen.unheard):,} without a verdict" if seen.unheard else ""
    return f"{pluralize(len(seen.results), 'lookup')} by DNS: {answered:,} answered, {denied:,} denied{without}"


def why_unheard_in_lookups(seen: DnsSeen | None) -> list[tuple[str, str]]:
    """Why lookups have no verdict, and what to do, each with its label; nothing where all have."""
    if seen is None or not seen.is_unheard:
        return []
    advice = "See whether the cluster's DNS answers anybody, and run again, or leave --dns out."
    return most_frequent_reason(seen.unheard, "lookup", advice) or nothing_tried("no name could be looked up")


def most_frequent_reason(unheard: Sequence[LookupResult], what: str, advice: str) -> list[tuple[str, str]]:
    """The most frequent reason why there is no verdict, and ``advice``; nothing where there is one on everything."""
    reasons = list(by_reason(unheard).items())
    if not reasons:
        return []
    reason, group = reasons[0]
    of = pluralize(len(unheard), what)
    return [("why", f"{len(group):,} of {of} without a verdict: {in_words(reason)}"), ("advice", advice)]


def nothing_tried(what: str) -> list[tuple[str, str]]:
    """That there was nothing to try, and what to do."""
    return [("why", f"{what}: the facts below say why"), ("advice", "Fix that and run again.")]


def lookup_lines(seen: DnsSeen | None) -> Iterator[str]:
    """A heading with the numbers, what differs, who is cut off by policies, and what has no verdict; nothing where no
    name was looked up.
    """
    if seen is None:
        return
    told = ", ".join(wrong_in_lookups(seen))
    yield f"{lookups_headline(seen)}{f': {told}' if told else ''}"
    wrong = [line for line, _ in grouped_faults(seen.faults)]
    yield from few_lines([*wrong, *map(pair_line, seen.pairs_lost), *cut_off_lines(seen)])
    yield from few_lines([*without_verdict(seen.unheard)])


def few_lines(lines: Sequence[str]) -> Iterator[str]:
    """``lines``, the first of them where there are many."""
    yield from lines[:MOST_LINES]
    if len(lines) > MOST_LINES:
        yield f"and {len(lines) - MOST_LINES} more such lines; -o json has every lookup"


def grouped_faults(faults: Sequence[LookupResult]) -> Iterator[tuple[str, list[LookupResult]]]:
    """``faults`` by what is wrong, each with a line that says so."""
    groups: defaultdict[tuple[str, str, str], list[LookupResult]] = defaultdict(list)
    for each in faults:
        groups[each.result, each.expectation.server, each.expectation.why].append(each)
    for (result, server, why), group in groups.items():
        reason = f" although {why or 'policies allow it'}" if result != Result.MISDELIVERED else ""
        line = (
            f"{result.upper()}  {sources_of(group)} {_does(group)}{reason}: {_ports(group)} to {server} at "
            f"{group[0].cell.address}, observed {observation(group[0].observation)}"
        )
        yield line, group


def _does(group: Sequence[LookupResult]) -> str:
    several = len({each.cell.source for each in group}) > 1
    if group[0].result is Result.MISDELIVERED:
        return f"{'are' if several else 'is'} answered by something other than DNS"
    if group[0].result is Result.LEAK:
        return "resolve names" if several else "resolves names"
    return "can't resolve names"


def cut_off_lines(seen: DnsSeen | None) -> list[str]:
    """Who can't resolve names because policies mean it so, and which."""
    return [] if seen is None else [line for line, _ in grouped_cut_off(seen)]


def grouped_cut_off(seen: DnsSeen) -> Iterator[tuple[str, list[LookupResult]]]:
    """The lookups that policies deny by which these are, each with a line that says so."""
    without_udp = {each.cell.source for each in seen.cut_off if each.cell.protocol is Protocol.UDP}
    groups: defaultdict[tuple[str, bool], list[LookupResult]] = defaultdict(list)
    for each in seen.cut_off:
        partly = each.cell.protocol is Protocol.TCP and each.cell.source not in without_udp
        if partly or each.cell.protocol is Protocol.UDP:
            groups[each.expectation.why, partly].append(each)
    for (why, partly), group in groups.items():
        what = f"can resolve names over UDP alone, {OVER_TCP}" if partly else "can't resolve names"
        yield f"WARNING  {sources_of(group)} {what}: {why}", group


def sources_of(group: Sequence[LookupResult]) -> str:
    """Who asks, the first few by name."""
    return in_brief(list(dict.fromkeys(each.cell.source for each in group)), SHOWN)


def _ports(group: Sequence[LookupResult]) -> str:
    return ", ".join(dict.fromkeys(f"{each.cell.protocol}/53" for each in group))


def pair_line(each: PairsLost) -> str:
    """That one of two questions gets lost, and what to do."""
    return (
        f"LOST  on node {each.node}, {each.lost} of {pluralize(each.pairs, 'pair')} of questions that went out from "
        f"one socket at once lost one of the two. {PAIR_ADVICE}"
    )


def without_verdict(results: Sequence[LookupResult], what: str = "lookup") -> Iterator[str]:
    """A line for each reason why there is no verdict."""
    for reason, group in by_reason(results).items():
        yield f"no verdict on {pluralize(len(group), what)}: {in_words(reason)} ({group[0].cell})"


def lookups_item(seen: DnsSeen) -> dict[str, Any]:
    """What the report for programs says of it."""
    return {
        "name": seen.name,
        "lookups": [lookup_item(each) for each in seen.results],
        "pairs_lost": [{"node": each.node, "pairs": each.pairs, "lost": each.lost} for each in seen.pairs_lost],
        "warnings": [line.removeprefix("WARNING  ") for line in cut_off_lines(seen)],
    }


def lookup_item(each: LookupResult) -> dict[str, Any]:
    """A lookup, or connection, for programs."""
    cell, expected = each.cell, each.expectation
    return {
        "source": cell.source,
        "server": cell.address,
        "service": expected.server,
        "protocol": cell.protocol,
        "family": str(cell.family),
        "expected": expected.verdict,
        "observed": each.observation.verdict,
        "outcome": each.observation.outcome,
        "attempts": each.observation.attempts,
        "result": each.result,
        **({"denied_by": expected.why} if expected.why else {}),
        **({"left_open": expected.left_open} if expected.left_open else {}),
    }
