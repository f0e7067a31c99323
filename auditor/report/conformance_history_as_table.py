"""The history of conformance for people: a line for each run, then the course of each feature that departs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.text import Text

from auditor.history.conformance import ConformanceInBrief, ConformanceTrend
from auditor.report.console import open_console, print_line, print_paragraph
from auditor.report.history_as_table import MOST_FINDINGS, MOST_NIGHTS, in_columns, state
from auditor.report.lines import what_json_has

COLUMNS = ("run begun", "conclusion", "conform", "depart", "no verdict", "new", "gone", "unseen")
WIDTHS = (-20, -12, 8, 7, 11, 5, 5, 7)


def render(trend: ConformanceTrend, stream: TextIO) -> None:
    """Write ``trend`` to ``stream``."""
    console = open_console(stream)
    print_line(console, in_columns(COLUMNS, WIDTHS))
    for run in trend.runs:
        print_line(console, in_columns(run_in_words(run), WIDTHS))
    print_paragraph(console)
    print_paragraph(console, behaviour_of(trend))
    if not trend.features:
        print_paragraph(console, "No feature departs in any of these runs.")
        return
    print_paragraph(console)
    heading = "Features that depart, the oldest run first: + departs, - as expected, ? not checked"
    print_paragraph(console, Text(heading, "bold"))
    for each in trend.features[:MOST_FINDINGS]:
        print_paragraph(console, f"{each.course[-MOST_NIGHTS:]}  {state(each)}: {each.title}", 2, 4)
    for line in what_json_has(trend.features, MOST_FINDINGS):
        print_paragraph(console, line, 2)


def run_in_words(run: ConformanceInBrief) -> Sequence[str]:
    """A run, by ``COLUMNS``."""
    numbers = (*run.features.values(), run.new, run.gone, run.incomparable)
    began = run.began.replace("T", " ").removesuffix("Z") or run.run
    return began, run.conclusion, *(f"{number:,}" if number else "-" for number in numbers)


def behaviour_of(trend: ConformanceTrend) -> str:
    """What the latest run says of the enforcer, and the one before that where it said something else."""
    now, *before = (run.behaviour for run in trend.runs)
    other = next((each for each in before if each != now), "")
    return f"Latest: {now}." + (f" Before: {other}." if other else "")
