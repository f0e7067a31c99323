"""The scorecard for a person: what the enforcer behaves like, then each feature, then the scenarios that did not
conform.
"""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.text import Text

from auditor.model.scorecard import Convergence, FeatureScore, Score, Scorecard
from auditor.model.words import pluralize
from auditor.report.cause import cause_lines
from auditor.report.console import open_console, print_paragraph, print_section
from auditor.report.headline import origin, scorecard_headline, told
from auditor.report.lines import what_json_has
from auditor.report.standing import comparison_lines

STYLES = {Score.CONFORMS: "green", Score.DEPARTS: "bold red", Score.INCONCLUSIVE: "bold yellow", Score.SKIPPED: "dim"}
SCORE_WIDTH = 13
MOST_CELLS = 3
SHORTEST = 0.05
"""Seconds below which it is said only that a change came into force at once: trying takes longer."""


def render(card: Scorecard, stream: TextIO) -> None:
    """Write ``card`` to ``stream``."""
    console = open_console(stream)
    print_paragraph(console, Text.assemble((card.score.upper(), STYLES[card.score]), f"  {card.behaviour}"))
    print_paragraph(console, scorecard_headline(card))
    print_paragraph(console, Text(card.subject, style="dim"))
    _print_cause(console, card)
    if card.comparison is not None:
        print_section(console, comparison_lines(card.comparison))
    _print_features(console, card)
    _print_scenarios(console, card)
    for convergence in card.convergence:
        print_paragraph(console, convergence_text(convergence))
    print_paragraph(console)
    for fact in card.facts:
        print_paragraph(console, fact)
    print_paragraph(console, Text(_timing(card), style="dim"))
    print_paragraph(console, Text(origin(card.run_id, card.began), style="dim"))


def _print_cause(console: Console, card: Scorecard) -> None:
    if card.diagnosis is not None:
        print_paragraph(console)
        for label, text in cause_lines(card.diagnosis):
            print_paragraph(console, Text.assemble((f"{label:<13}", "bold"), text), 2, 15)


def _print_features(console: Console, card: Scorecard) -> None:
    """In columns where the longest line has room for them."""
    width = max((len(feature.title) for feature in card.features), default=0)
    widest = max((len(feature_counts(feature)) for feature in card.features), default=0)
    if SCORE_WIDTH + width + 2 + widest > console.width:
        width = 0
    print_paragraph(console)
    for feature in card.features:
        score = (f"{feature.score:<{SCORE_WIDTH}}", STYLES[feature.score])
        print_paragraph(
            console, Text.assemble(score, f"{feature.title:<{width}}  {feature_counts(feature)}"), 0, SCORE_WIDTH + 2
        )
    if card.diagnosis is not None and sum(feature.score is Score.DEPARTS for feature in card.features) > 1:
        print_paragraph(
            console, "A connection counts for every feature that it shows; the cause says which of them is at fault."
        )
    print_paragraph(console)


def feature_counts(feature: FeatureScore) -> str:
    """``5 of 5 connections in 1 scenario``, and what they were where they were not as expected."""
    summary = feature.summary
    good = summary.cells - summary.faults - summary.inconclusive - summary.skipped
    wrong = ", ".join(told(summary))
    return f"{good} of {pluralize(summary.cells, 'connection')} in {pluralize(len(feature.scenarios), 'scenario')}" + (
        f": {wrong}" if wrong else ""
    )


def _print_scenarios(console: Console, card: Scorecard) -> None:
    for scenario in card.scenarios:
        if scenario.score is Score.CONFORMS:
            continue
        why = "; ".join(filter(None, [", ".join(told(scenario.summary)), scenario.reason]))
        print_paragraph(
            console, Text.assemble((f"{scenario.score:<13}", STYLES[scenario.score]), f"{scenario.name}: {why}"), 0, 13
        )
        for each in scenario.departures[:MOST_CELLS]:
            print_paragraph(console, f"{each.result}: {each.cell}", 15, 17)
        for line in what_json_has(scenario.departures, MOST_CELLS):
            print_paragraph(console, line, 15)
    if any(scenario.score is not Score.CONFORMS for scenario in card.scenarios):
        print_paragraph(console)


def convergence_text(convergence: Convergence) -> str:
    """``pod relabelled: in force within 0.4 s, at most, in 4 scenarios``."""
    parts = []
    if convergence.seconds:
        longest = max(convergence.seconds.values())
        within = f"within {longest:.1f} s at most" if longest >= SHORTEST else "at once"
        parts.append(f"in force {within} in {pluralize(len(convergence.seconds), 'scenario')}")
    if convergence.late:
        parts.append(f"not as it ought to be when the settle time was over in {', '.join(convergence.late)}")
    return f"{convergence.change}: {'; '.join(parts)}"


def _timing(card: Scorecard) -> str:
    phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in card.seconds.items() if seconds >= SHORTEST)
    requests = f"; {card.api['calls']:,} API requests" if card.api else ""
    return (
        f"{pluralize(card.attempts, 'attempt')} in {sum(card.seconds.values()):.1f} s"
        + (f" ({phases})" if phases else "")
        + requests
    )
