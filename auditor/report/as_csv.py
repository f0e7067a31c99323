"""The connections of a run as comma-separated values, a line for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from auditor.model.report import Report
from auditor.report.documents import write_rows
from auditor.report.grouping import in_words

COLUMNS = (
    "source",
    "destination",
    "protocol",
    "port",
    "family",
    "expected",
    "observed",
    "result",
    "outcome",
    "tries",
    "milliseconds",
    "notes",
)


def render(report: Report, stream: TextIO) -> None:
    """Write the connections of ``report`` to ``stream``."""
    write_rows(COLUMNS, _rows(report), stream)


def _rows(report: Report) -> Iterator[tuple[object, ...]]:
    for each in report.cells:
        cell, seen = each.cell, each.observation
        yield (
            cell.source,
            cell.destination,
            cell.protocol.value,
            cell.port,
            str(cell.family),
            each.expected.value,
            seen.verdict.value,
            each.result.value,
            in_words(seen.outcome),
            len(seen.history),
            "" if seen.milliseconds is None else round(seen.milliseconds, 3),
            " ".join(note.value for note in each.notes),
        )
