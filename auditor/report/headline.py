"""The numbers of a report as one sentence, and where it comes from as another."""

from __future__ import annotations

from auditor import __version__
from auditor.model.report import Report, Summary
from auditor.model.words import counted
from auditor.report.conclusion import Conclusion, conclude

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


def headline(report: Report) -> str:
    """``324 cells: 160 allowed, 164 denied, all as expected``, or with what was wrong: ``12 leaks, 3 outages; 324 cells: …``."""
    summary = report.summary
    cells = f"{counted(summary.cells, 'cell')}: {summary.allowed:,} allowed, {summary.denied:,} denied"
    counts = told(summary)
    if report.intent:
        counts.append(f"{counted(len(report.intent), 'finding')} of the intent")
    conclusion = conclude(report)
    if conclusion is Conclusion.PASS:
        return f"{cells}, all as expected" + (f" ({', '.join(counts)})" if counts else "")
    if summary.coverage < report.min_coverage:
        counts.append(f"coverage {percent(summary.coverage)} is below the {percent(report.min_coverage)} asked for")
    if not summary.cells:
        return "nothing was probed"
    return "; ".join(filter(None, [", ".join(counts), cells]))


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
