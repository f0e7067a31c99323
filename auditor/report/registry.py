"""The documents that commands write, and the formats of each: a new format is a function and a line here.

``-o`` and ``--help`` of every command offer what stands here. Renderers are imported when they are asked for: a run
that writes JSON needs no table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TextIO, TypeAlias, TypeVar, cast

if TYPE_CHECKING:
    from auditor.history.conformance import ConformanceTrend
    from auditor.history.trend import Trend
    from auditor.model.checks import ChecksReport
    from auditor.model.intent import IntentReport
    from auditor.model.lint import LintReport
    from auditor.model.report import Report
    from auditor.model.scorecard import Scorecard
    from auditor.model.standing import ComparedRuns
    from auditor.policy.matrix import ExpectedMatrix, MatrixView
    from auditor.probing.plan import ProbePlan
    from auditor.report.difference import ComparedClusters
    from auditor.run.explanation import Explanation
    from auditor.run.live import Outlook

Value = TypeVar("Value")
Renderer: TypeAlias = Callable[[Value, TextIO], None]
"""Writes the whole of a document to a text stream. Raises what the stream raises (OSError)."""


@dataclass(frozen=True, slots=True)
class Document(Generic[Value]):
    """What a command writes, made of a ``Value``, under the name that messages use."""

    name: str


RUN: Document[Report] = Document("report")
DRY_RUN: Document[tuple[ExpectedMatrix, ProbePlan]] = Document("dry run")
EXPLAIN: Document[Explanation] = Document("explanation")
PREFLIGHT: Document[Outlook] = Document("preflight report")
EXPECT: Document[MatrixView] = Document("expected matrix")
INTENT: Document[IntentReport] = Document("intent report")
LINT: Document[LintReport] = Document("lint report")
CONFORMANCE: Document[Scorecard] = Document("scorecard")
COMPARE: Document[ComparedRuns] = Document("comparison")
HISTORY: Document[Trend] = Document("history")
CONFORMANCE_HISTORY: Document[ConformanceTrend] = Document("history of conformance")
DIFF: Document[ComparedClusters] = Document("difference")
TEST: Document[ChecksReport] = Document("test report")

DEFAULT_FORMAT, WIDE = "table", "wide"
JSON, YAML = "json", "yaml"
FORMATS: Mapping[tuple[Document[Any], str], str] = {
    (RUN, "table"): "as_table:render",
    (RUN, "wide"): "as_table:render_wide",
    (RUN, "json"): "as_json:render",
    (RUN, "junit"): "as_junit:render",
    (RUN, "metrics"): "as_metrics:render",
    (RUN, "markdown"): "as_markdown:render",
    (RUN, "github"): "as_annotations:render",
    (RUN, "sarif"): "as_sarif:render",
    (RUN, "csv"): "as_csv:render",
    (RUN, "html"): "run_as_page:render",
    (DRY_RUN, "table"): "dry_run:render_table",
    (DRY_RUN, "wide"): "dry_run:render_wide",
    (DRY_RUN, "json"): "dry_run:render_json",
    (EXPECT, "table"): "expected_as_table:render",
    (EXPECT, "wide"): "expected_as_table:render_wide",
    (EXPECT, "json"): "expected_as_json:render",
    (EXPECT, "csv"): "expected_as_csv:render",
    (EXPECT, "dot"): "expected_as_graph:render_dot",
    (EXPECT, "mermaid"): "expected_as_graph:render_mermaid",
    (EXPECT, "html"): "expected_as_page:render",
    (EXPLAIN, "table"): "explanation_as_table:render",
    (EXPLAIN, "json"): "explanation_as_json:render",
    (PREFLIGHT, "table"): "preflight_as_table:render",
    (INTENT, "table"): "intent_as_table:render",
    (INTENT, "json"): "intent_as_json:render",
    (INTENT, "markdown"): "intent_as_markdown:render",
    (INTENT, "github"): "as_annotations:render",
    (INTENT, "sarif"): "as_sarif:render",
    (INTENT, "html"): "intent_as_page:render",
    (LINT, "table"): "lint_as_table:render",
    (LINT, "json"): "lint_as_json:render",
    (LINT, "junit"): "lint_as_junit:render",
    (LINT, "markdown"): "lint_as_markdown:render",
    (LINT, "github"): "as_annotations:render",
    (LINT, "sarif"): "as_sarif:render",
    (LINT, "html"): "other_pages:render_lint",
    (COMPARE, "table"): "comparison_as_table:render",
    (COMPARE, "json"): "comparison_as_json:render",
    (COMPARE, "markdown"): "comparison_as_markdown:render",
    (COMPARE, "html"): "other_pages:render_comparison",
    (HISTORY, "table"): "history_as_table:render",
    (HISTORY, "json"): "history_as_json:render",
    (HISTORY, "html"): "other_pages:render_history",
    (CONFORMANCE_HISTORY, "table"): "conformance_history_as_table:render",
    (CONFORMANCE_HISTORY, "json"): "conformance_history_as_json:render",
    (CONFORMANCE_HISTORY, "html"): "other_pages:render_conformance_history",
    (DIFF, "table"): "difference_as_table:render",
    (DIFF, "json"): "difference_as_json:render",
    (DIFF, "markdown"): "difference_as_markdown:render",
    (TEST, "table"): "checks_as_table:render",
    (TEST, "tap"): "checks_as_tap:render",
    (TEST, "junit"): "checks_as_junit:render",
    (CONFORMANCE, "table"): "scorecard_as_table:render",
    (CONFORMANCE, "json"): "scorecard_as_json:render",
    (CONFORMANCE, "junit"): "scorecard_as_junit:render",
    (CONFORMANCE, "metrics"): "scorecard_as_metrics:render",
    (CONFORMANCE, "markdown"): "scorecard_as_markdown:render",
    (CONFORMANCE, "html"): "other_pages:render_scorecard",
}
"""The renderer of each document in each format, as ``MODULE:FUNCTION`` in this package. What has JSON has YAML."""


def formats_of(document: Document[Any]) -> tuple[str, ...]:
    """The names of the formats of ``document``, in the order in which help lists them."""
    names = [name for known, name in FORMATS if known == document]
    if JSON in names:
        names.insert(names.index(JSON) + 1, YAML)
    return tuple(names)


def all_formats() -> frozenset[str]:
    """The names of the formats of any document."""
    return frozenset({YAML, *(name for _, name in FORMATS)})


def renderer(document: Document[Value], name: str) -> Renderer[Value]:
    """What writes ``document`` in the format ``name``; KeyError when it has no such format."""
    if name == YAML:
        as_yaml = import_module(f"{__package__}.as_yaml").as_yaml
        return cast("Renderer[Value]", partial(as_yaml, renderer(document, JSON)))
    module, _, function = FORMATS[document, name].partition(":")
    return cast("Renderer[Value]", getattr(import_module(f"{__package__}.{module}"), function))
