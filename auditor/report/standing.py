"""How findings stand against earlier runs, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.model.report import Report
from auditor.model.standing import Age, Comparison, Departed, Standing
from auditor.model.words import pluralize
from auditor.report.lines import what_json_has

MOST_TOLD = 10
IN_FULL = (Age.NEW, Age.EXPIRED, Age.INCOMPARABLE)
WORDS = {
    Age.NEW: "NEW",
    Age.EXPIRED: "NO LONGER ACCEPTED",
    Age.INCOMPARABLE: "NOT LOOKED AT BEFORE",
    Age.KNOWN: "known",
    Age.ACCEPTED: "accepted",
}


def borne(report: Report) -> list[Age | None]:
    """For each finding of a run, but for those of its intent, why it does not make the run fail: it is known, say, or
    accepted. None where it does.
    """
    told = report.comparison
    if told is None:
        return [None] * len(report.findings)
    standings = told.standings[: len(report.findings)]  # then come those beside the matrix, and the intent's
    return [None if each.fails(told.fail_on) else each.age for each in standings]


def borne_by_id(report: Report) -> dict[str, Age]:
    """The findings that do not make a run fail, whatever they are of, and why not."""
    told = report.comparison
    return {} if told is None else {each.id: each.age for each in told.standings if not each.fails(told.fail_on)}


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """A heading and what there is to tell below it, the gravest first; details are indented."""
    if not (comparison.standings or comparison.departed or comparison.unused):
        return
    yield f"Compared with {comparison.against}:"
    standings = sorted(comparison.standings, key=lambda each: list(Age).index(each.age))
    for standing in standings[:MOST_TOLD]:
        yield from standing_lines(standing)
    yield from what_json_has(standings, MOST_TOLD)
    for departed in comparison.departed[:MOST_TOLD]:
        yield from departed_lines(departed)
    yield from what_json_has(comparison.departed, MOST_TOLD)
    yield from (f"expired: {each}" for each in comparison.expired)
    yield from (f"suppresses nothing, remove it: {each}" for each in comparison.unused)


def standing_lines(each: Standing) -> Iterator[str]:
    """A finding of this run, and what is new in it."""
    since = f", since {each.since[:10]} ({pluralize(each.nights, 'run')})" if each.since and each.nights > 1 else ""
    yield f"{WORDS[each.age]}{since}: {each.kind}: {each.title}"
    unknown = sum(count for age, count in each.connections.items() if age in IN_FULL)
    if unknown:
        known = each.connections.get(Age.KNOWN, 0)
        more = f" beside {known:,} known" if known else ""
        listed = ", ".join(each.examples) + (" and others" if unknown > len(each.examples) else "")
        yield f"  {pluralize(unknown, 'connection')}{more}: {listed}"
    yield from (f"  accepted: {line}" for line in each.accepted)
    yield from (f"  changed since: {line}" for line in each.changes)


def departed_lines(each: Departed) -> Iterator[str]:
    """A finding that is no more, or of which nobody can say so."""
    seen = f", last seen {each.began[:10]}" if each.began else ""
    if each.age is Age.GONE:
        yield f"gone{seen}: {each.kind}: {each.title}"
    else:
        yield f"not looked at again{seen}: {each.kind}: {each.title}"
        yield f"  {'; '.join(each.reasons)}"
    yield from (f"  changed since: {line}" for line in each.changes)
