"""The numbers of a report as one sentence, and where it comes from as another."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from auditor import __version__
from auditor.model.report import PolicyTests, Report, Summary
from auditor.model.scorecard import Score, Scorecard
from auditor.model.standing import Age, Comparison
from auditor.model.verdict import Conclusion
from auditor.model.words import in_brief, pluralize
from auditor.report.conclusion import conclude, has_findings
from auditor.report.lookups import lookups_headline, wrong_in_lookups
from auditor.report.reached import reached_headline, wrong_at_services
from auditor.report.services import services_headline, wrong_through_services

COUNTS = (
    ("leaks", "leak", "leaks"),
    ("outages", "outage", "outages"),
    ("misdelivered", "misdelivered", "misdelivered"),
    ("unstable", "unstable", "unstable"),
    ("inconclusive", "inconclusive", "inconclusive"),
    ("skipped", "skipped", "skipped"),
    ("cni_dependent", "up to the CNI", "up to the CNI"),
    ("undefined", "undefined by the specification", "undefined by the specification"),
)
"""Fields of Summary with their words for one and for several, in the order in which they are told."""


AGES = {
    Age.NEW: "new",
    Age.EXPIRED: "no longer accepted",
    Age.INCOMPARABLE: "not looked at before",
    Age.KNOWN: "known",
    Age.ACCEPTED: "accepted",
    Age.GONE: "gone",
}
"""Each age in the words that follow a number."""

MOST_POLICIES = 3
SEVERAL = {Score.CONFORMS: "conform", Score.DEPARTS: "depart"}


def headline(report: Report) -> str:
    """The report in one sentence, the gravest first.

    ``324 connections: 160 allowed, 164 denied, all as expected``; ``12 leaks, 3 outages; 324 connections: …``;
    ``nothing tells whether 1 of 3 policies is enforced: prod/db (ingress): …``. A pass says what it leaves untested.
    """
    summary, accepted = report.summary, _accepted(report.policies)
    conclusion = conclude(report)
    through = _joined(
        "" if report.services is None else services_headline(report.services),
        "" if report.dns is None else lookups_headline(report.dns),
        "" if report.reached is None else reached_headline(report.reached),
    )
    put_up_with = conclusion is not Conclusion.FAIL and has_findings(report)
    if conclusion is Conclusion.PASS and not put_up_with:
        return _joined(_as_expected(summary), through, accepted, _deciding_nothing(report.policies))
    wrong, unproven = ", ".join(_wrong(report)), _unproven(report.policies)
    if report.comparison is not None and report.comparison.standings:
        wrong = f"{wrong} ({ages_in_words(report.comparison)})"
    gravest = (wrong, unproven) if conclusion is Conclusion.FAIL or put_up_with else (unproven, wrong)
    return _joined(*gravest, accepted, _verdicts(summary), through)


def ages_in_words(comparison: Comparison) -> str:
    """How many findings are of which age: ``2 findings: 1 new, 1 known``."""
    ages = Counter(each.age for each in comparison.standings)
    told = ", ".join(f"{ages[age]:,} {AGES[age]}" for age in Age if ages[age])
    return f"{pluralize(len(comparison.standings), 'finding')}: {told}"


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def _as_expected(summary: Summary) -> str:
    others = ", ".join(told(replace(summary, skipped=0)))
    everything = f"{_verdicts(summary)}, all as expected" + (f" ({others})" if others else "")
    return _joined(everything, f"{summary.skipped:,} {_were(summary.skipped)} not tested" if summary.skipped else "")


def _verdicts(summary: Summary) -> str:
    if not summary.cells:
        return "nothing was probed"
    tested = summary.cells - summary.inconclusive - summary.skipped
    connections = pluralize(summary.cells, "connection")
    if not tested:
        return f"none of {connections} was tested"
    how_many = connections if tested == summary.cells else f"{tested:,} of {connections} tested"
    return f"{how_many}: {summary.allowed:,} allowed, {summary.denied:,} denied"


def _wrong(report: Report) -> list[str]:
    counts, summary = [*told(report.summary), *wrong_through_services(report.services)], report.summary
    counts += [*wrong_in_lookups(report.dns), *wrong_at_services(report.reached)]
    if report.intent:
        counts.append(f"{pluralize(len(report.intent), 'finding')} about the intent")
    if summary.coverage < report.min_coverage:
        counts.append(f"coverage {percent(summary.coverage)} is below the {percent(report.min_coverage)} asked for")
    if report.noticing is not None and report.noticing.falls_short_of(report.min_coverage):
        share = percent(report.noticing.share)
        counts.append(f"it {report.noticing}: {share}, below the {percent(report.min_coverage)} asked for")
    return counts


def _unproven(policies: PolicyTests) -> str:
    """Which policies make the report inconclusive, and why where that is one reason; empty where none does."""
    untested = policies.open
    if not untested:
        return policies.unfinished
    number = len({each.policy for each in untested})
    reasons = {each.reasons[:1] for each in untested}
    why = "".join(f": {reason}" for reason in (reasons.pop() if len(reasons) == 1 else ()))
    which = (
        f"{number:,} of {pluralize(policies.in_scope, 'policy', 'policies')} {'is' if number == 1 else 'are'} enforced"
    )
    return f"nothing shows whether {which}: {in_brief(untested, MOST_POLICIES)}{why}"


def _accepted(policies: PolicyTests) -> str:
    names = policies.accepted
    if not names:
        return ""
    named = in_brief(names, MOST_POLICIES)
    return f"{pluralize(len(names), 'policy', 'policies')} accepted as untested: {named}"


def _deciding_nothing(policies: PolicyTests) -> str:
    """The policies that have no say in anything that was to be tried; empty where there is none."""
    number = len({name for name, _ in policies.deciding_nothing})
    if not number:
        return ""
    named = in_brief([f"{name} ({direction.lower()})" for name, direction in policies.deciding_nothing], MOST_POLICIES)
    return f"{pluralize(number, 'policy decides', 'policies decide')} none of them: {named}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def origin(run_id: str, began: str) -> str:
    """Which run of which version a report is of, and when it began."""
    time = f", begun {began.replace('T', ' ').replace('Z', ' UTC')}" if began else ""
    return f"run {run_id} of audit {__version__}{time}"


def told(summary: Summary) -> list[str]:
    """The counts, in words, of everything that is neither a match nor zero."""
    found = [(getattr(summary, name), one, several) for name, one, several in COUNTS]
    return [f"{number:,} {one if number == 1 else several}" for number, one, several in found if number]


def percent(share: float) -> str:
    """A share as a percentage, cut off and not rounded: 100 % means all."""
    tenths = int(share * 1000 + 1e-9) / 10
    return f"{tenths:g} %"


def scorecard_headline(card: Scorecard) -> str:
    """The counts: ``62 scenarios, 1 of them departs; 3,074 connections: 5 outages``."""
    scores = [scenario.score for scenario in card.scenarios]
    parts = [
        f"{scores.count(score)} {score if scores.count(score) == 1 else SEVERAL.get(score, score)}"
        for score in dict.fromkeys(scores)
    ]
    came_out = ", ".join(told(card.summary)) or "all as expected"
    connections = pluralize(card.summary.cells, "connection")
    return f"{pluralize(len(scores), 'scenario')} ({', '.join(parts)}), {connections}: {came_out}"
