"""A comparison of two runs as Markdown: what it comes to, each finding, and what else is different."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from auditor.model.standing import ComparedRuns
from auditor.report.comparison_as_table import headline
from auditor.report.lines import headed
from auditor.report.markdown import heading, section, write_markdown
from auditor.report.standing import comparison_lines


def render(runs: ComparedRuns, stream: TextIO) -> None:
    """Write ``runs`` to ``stream``."""
    write_markdown(_lines(runs), stream)


def _lines(runs: ComparedRuns) -> Iterator[str]:
    yield heading(runs.conclusion, headline(runs))
    yield from section(*headed(comparison_lines(runs.comparison)))
    yield from section("What else is different", runs.comparison.changes)
