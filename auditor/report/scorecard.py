"""The scorecard of a conformance run, for a person, for programs and for CI systems: an interface and a registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TextIO, TypeAlias

from auditor.model.scorecard import Score, Scorecard
from auditor.model.words import pluralize
from auditor.report.headline import told

Renderer: TypeAlias = Callable[[Scorecard, TextIO], None]

RENDERERS: Mapping[str, str] = {
    "table": "auditor.report.scorecard_as_table",
    "json": "auditor.report.scorecard_as_json",
    "junit": "auditor.report.scorecard_as_junit",
}

SEVERAL = {Score.CONFORMS: "conform", Score.DEPARTS: "depart"}


def scorecard_renderer(name: str) -> Renderer:
    """The renderer called ``name``, a key of ``RENDERERS``; imported only now."""
    render: Renderer = import_module(RENDERERS[name]).render
    return render


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
