"""What all formats of the scorecard of a conformance run say of it."""

from __future__ import annotations

from auditor.model.scorecard import Score, Scorecard
from auditor.model.words import pluralize
from auditor.report.headline import told

SEVERAL = {Score.CONFORMS: "conform", Score.DEPARTS: "depart"}


def headline(card: Scorecard) -> str:
    """The counts: ``62 scenarios, 1 of them departs; 3,074 cells: 5 outages``."""
    scores = [scenario.score for scenario in card.scenarios]
    parts = [
        f"{scores.count(score)} {score if scores.count(score) == 1 else SEVERAL.get(score, score)}"
        for score in dict.fromkeys(scores)
    ]
    cells = ", ".join(told(card.summary)) or "all as expected"
    return (
        f"{pluralize(len(scores), 'scenario')} ({', '.join(parts)}), {pluralize(card.summary.cells, 'cell')}: {cells}"
    )
