"""The expected matrix as comma-separated values: for each pair of endpoints a line for each range of ports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TextIO

from auditor.policy.matrix import MatrixView
from auditor.report.documents import write_rows
from auditor.report.expected_parties import cells_of, pairs_in_doubt, parties_of

COLUMNS = ("source", "destination", "protocol", "port", "end_port", "family", "verdict", "notes", "in_doubt")


def render(view: MatrixView, stream: TextIO) -> None:
    """Write what ``view`` shows to ``stream``."""
    write_rows(COLUMNS, _rows(view), stream)


def _rows(view: MatrixView) -> Iterator[tuple[object, ...]]:
    parties = parties_of(replace(view, expand=True))
    cells = cells_of(replace(view, expand=True), parties)
    doubted = pairs_in_doubt(view.matrix, parties, cells)
    for (row, column), same in cells.items():
        for cell in same:
            notes = " ".join(note.value for note in cell.notes)
            verdicts = [(str(family), verdict) for family, verdict in cell.families] or [("", cell.verdict)]
            for family, verdict in verdicts:
                yield (
                    parties[row].label,
                    parties[column].label,
                    cell.protocol.value,
                    cell.port,
                    cell.end_port,
                    family,
                    verdict.value,
                    notes,
                    "yes" if (row, column) in doubted else "no",
                )
