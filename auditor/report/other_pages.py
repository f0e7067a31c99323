"""Lint, a scorecard, a comparison and histories as pages: tables and lists, without a script."""

from __future__ import annotations

from typing import TextIO

from auditor.history.conformance import ConformanceTrend
from auditor.history.trend import Trend
from auditor.model.lint import LintReport
from auditor.model.scorecard import Scorecard
from auditor.model.standing import ComparedRuns
from auditor.model.verdict import Conclusion
from auditor.model.words import pluralize
from auditor.report import comparison_as_table, conformance_history_as_table, lint_as_table
from auditor.report.cause import cause_lines
from auditor.report.headline import origin, scorecard_headline, told
from auditor.report.history_as_table import COLUMNS, night_in_words, state
from auditor.report.html_page import Page, Section, write_page
from auditor.report.pictures import draw_trend
from auditor.report.run_as_page import section_of
from auditor.report.standing import comparison_lines


def render_lint(report: LintReport, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    rows = []
    for each in report.sorted.findings:
        more = f" and {len(each.others):,} more" if each.others else ""
        rows.append((each.severity.value, each.check, f"{each.place}{more}", each.message, each.instead))
    page = Page(
        title=report.subject,
        conclusion=report.conclusion,
        headline=lint_as_table.headline(report),
        before=[
            Section("Findings", columns=("severity", "check", "where", "finding", "instead"), rows=rows),
            Section("Suppressions that no longer hold", list(map(str, report.sorted.expired))),
            Section("Suppressions that suppress nothing", list(map(str, report.sorted.unused))),
            Section("In doubt", report.doubts),
            Section("Not checked", report.not_checked),
        ],
    )
    write_page(page, stream)


def render_scorecard(card: Scorecard, stream: TextIO) -> None:
    """Write ``card`` to ``stream``."""
    features = [
        (each.score.value, each.title, ", ".join(told(each.summary)) or "all as expected") for each in card.features
    ]
    scenarios = [
        (each.score.value, each.name, each.title, each.reason or ", ".join(told(each.summary)) or "all as expected")
        for each in card.scenarios
    ]
    page = Page(
        title=card.subject,
        conclusion=card.score,
        headline=card.behaviour,
        remarks=[card.subject, scorecard_headline(card)],
        labelled=list(cause_lines(card.diagnosis)) if card.diagnosis is not None else (),
        before=[
            *([] if card.comparison is None else [section_of(comparison_lines(card.comparison))]),
            Section("Features", columns=("score", "feature", "connections"), rows=features),
            Section("Scenarios", columns=("score", "scenario", "what it shows", "connections"), rows=scenarios),
            Section("Facts", card.facts),
        ],
        origin=origin(card.run_id, card.began),
    )
    write_page(page, stream)


def render_comparison(runs: ComparedRuns, stream: TextIO) -> None:
    """Write ``runs`` to ``stream``."""
    page = Page(
        title="two runs compared",
        conclusion=runs.conclusion,
        headline=comparison_as_table.headline(runs),
        before=[
            section_of(comparison_lines(runs.comparison)),
            Section("What else is different", runs.comparison.changes),
        ],
    )
    write_page(page, stream)


def render_history(trend: Trend, stream: TextIO) -> None:
    """Write ``trend`` to ``stream``."""
    last = trend.nights[-1].conclusion if trend.nights else Conclusion.INCONCLUSIVE
    findings = [(each.course, state(each), each.kind, each.title) for each in trend.findings]
    page = Page(
        title="history",
        conclusion=last,
        headline=f"{pluralize(len(trend.nights), 'run')}, {pluralize(len(trend.findings), 'finding')}",
        before=[
            Section("Trend", picture=draw_trend(trend.nights)),
            Section("Runs, the latest first", columns=COLUMNS, rows=[night_in_words(night) for night in trend.nights]),
            Section(
                "Findings: + there, - as expected, ? nobody looked",
                columns=("course, the oldest run first", "state", "kind", "finding"),
                rows=findings,
            ),
        ],
    )
    write_page(page, stream)


def render_conformance_history(trend: ConformanceTrend, stream: TextIO) -> None:
    """Write ``trend`` to ``stream``."""
    table = conformance_history_as_table
    features = [(each.course, state(each), each.title) for each in trend.features]
    page = Page(
        title="history of conformance",
        conclusion=trend.runs[0].conclusion,
        headline=table.behaviour_of(trend),
        before=[
            Section(
                "Runs, the latest first",
                columns=table.COLUMNS,
                rows=[tuple(table.run_in_words(run)) for run in trend.runs],
            ),
            Section(
                "Features: + departs, - as expected, ? not checked",
                columns=("course, the oldest run first", "state", "feature"),
                rows=features,
            ),
        ],
    )
    write_page(page, stream)
