"""The expected matrix as comma-separated values: for each pair of endpoints a line for each range of ports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TextIO

from auditor.policy.matrix import MatrixView
from auditor.report.documents import write_rows
from auditor.report.expected_parties import doubts_of, pairs_of, parties_of

COLUMNS = ("source", "destination", "protocol", "port", "end_port", "family", "verdict", "notes", "in_doubt")


def render(view: MatrixView, stream: TextIO) -> None:
    """Write what ``view`` shows to ``stream``."""
    write_rows(COLUMNS, _rows(view), stream)


def _rows(view: MatrixView) -> Iterator[tuple[object, ...]]:
    whole = replace(view, expand=True)
    parties = parties_of(whole)
    in_doubt = doubts_of(view.matrix, parties)
    for (row, column), same in pairs_of(whole, parties):
        doubt = "yes" if in_doubt((row, column)) else "no"
        for cell in same:
            notes = " ".join(note.value for note in cell.notes)
            for family, verdict in [(str(family), verdict) for family, verdict in cell.families] or [
                ("", cell.verdict)
            ]:
                yield (
                    parties[row].label,
                    parties[column].label,
                    cell.protocol.value,
                    cell.port,
                    cell.end_port,
                    family,
                    verdict.value,
                    notes,
                    doubt,
                )
