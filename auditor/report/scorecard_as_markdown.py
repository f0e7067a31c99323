"""The scorecard as Markdown: what the enforcer behaves like, then its features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from auditor.model.scorecard import Score, Scorecard
from auditor.report.headline import scorecard_headline, told
from auditor.report.lines import headed
from auditor.report.markdown import heading, section, table, text, write_markdown
from auditor.report.standing import comparison_lines


def render(card: Scorecard, stream: TextIO) -> None:
    """Write ``card`` to ``stream``."""
    write_markdown(_lines(card), stream)


def _lines(card: Scorecard) -> Iterator[str]:
    yield heading(card.score, card.behaviour)
    yield from ("", text(card.subject), "", text(scorecard_headline(card)))
    rows = [
        (text(each.score), text(each.title), text(", ".join(told(each.summary)) or "all as expected"))
        for each in card.features
    ]
    if card.comparison is not None:
        yield from section(*headed(comparison_lines(card.comparison)))
    yield from table(("score", "feature", "connections"), rows)
    departing = [
        f"{each.name}: {', '.join(told(each.summary))}" for each in card.scenarios if each.score is Score.DEPARTS
    ]
    yield from section("Scenarios that depart", departing)
    yield from section("Facts", card.facts)
