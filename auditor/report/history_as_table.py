"""A history for people: a line for each run, then the course of each finding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.text import Text

from auditor.history.trend import Course, NightInBrief, Trend
from auditor.model.words import pluralize
from auditor.report.console import open_console, print_line, print_paragraph
from auditor.report.headline import percent
from auditor.report.lines import what_json_has

COLUMNS = ("run begun", "conclusion", "leaks", "outages", "other", "coverage", "new", "gone", "unseen")
WIDTHS = (-20, -12, 6, 8, 6, 9, 5, 5, 7)
MOST_FINDINGS = 20
MOST_NIGHTS = 40


def render(trend: Trend, stream: TextIO) -> None:
    """Write ``trend`` to ``stream``."""
    console = open_console(stream)
    print_line(console, in_columns(COLUMNS, WIDTHS))
    for night in trend.nights:
        print_line(console, in_columns(night_in_words(night), WIDTHS))
    if not trend.findings:
        print_paragraph(console, "No finding in any of these runs.")
        return
    print_paragraph(console)
    print_paragraph(console, Text("Findings, the oldest run first: + found, - as expected, ? not checked", "bold"))
    for each in trend.findings[:MOST_FINDINGS]:
        print_paragraph(console, f"{each.course[-MOST_NIGHTS:]}  {state(each)}: {each.kind}: {each.title}", 2, 4)
    for line in what_json_has(trend.findings, MOST_FINDINGS):
        print_paragraph(console, line, 2)


def in_columns(texts: Sequence[str], widths: Sequence[int]) -> str:
    """``texts`` in columns of ``widths`` characters, to the left where that is negative, else to the right."""
    cells = zip(texts, widths, strict=True)
    return " ".join(text.ljust(-width) if width < 0 else text.rjust(width) for text, width in cells).rstrip()


def night_in_words(night: NightInBrief) -> tuple[str, ...]:
    """A run, by ``COLUMNS``."""
    counts = night.counts
    other = counts.get("unstable", 0) + counts.get("misdelivered", 0) + counts.get("beside", 0)
    numbers = (counts.get("leaks", 0), counts.get("outages", 0), other)
    ages = (night.new, night.gone, night.incomparable)
    began = night.began.replace("T", " ").removesuffix("Z") or night.run
    told = (f"{number:,}" if number else "-" for number in (*numbers, *ages))
    leaks, outages, others, new, gone, unlike = told
    return began, night.conclusion, leaks, outages, others, percent(night.coverage), new, gone, unlike


def state(each: Course) -> str:
    """How long a finding has stood, or that it is gone."""
    flaps = ", comes and goes" if each.flaps else ""
    if each.stands:
        return f"stands since {each.since[:10]} ({pluralize(each.nights, 'run')}){flaps}"
    return f"gone{flaps}"
