"""The expected matrix as a page that lets people explore it."""

from __future__ import annotations

from dataclasses import replace
from typing import TextIO

from auditor.model.verdict import Conclusion
from auditor.policy.exposure import view_exposures
from auditor.policy.matrix import MatrixView
from auditor.report.expected_as_table import MEANINGS, headline, mark, ports_text
from auditor.report.expected_parties import cells_of, pairs_in_doubt, parties_of
from auditor.report.explorable import Explorable, Square, words_of
from auditor.report.html_page import Page, Section, write_page
from auditor.report.marks import Mark

WORDS = {
    Mark.INCONCLUSIVE: "in doubt: a policy that can't be read, or labels that the input does not tell, decide",
    Mark.ALLOWED: "every port is allowed",
    Mark.SOME: "some ports are allowed",
    Mark.DENIED: "no port is allowed",
}


def render(view: MatrixView, stream: TextIO) -> None:
    """Write what ``view`` shows to ``stream``."""
    snapshot = view.matrix.snapshot
    doubts = [f"policy {policy.full_name} {policy.why}" for policy in snapshot.unknown]
    exposed = [
        (each.peer, each.direction.value.lower(), ", ".join(each.pods), " ".join(map(str, each.ports)) or "every port")
        for each in view_exposures(view)
    ]
    page = Page(
        title="who should reach whom",
        conclusion=Conclusion.INCONCLUSIVE if doubts else "expected",
        headline=headline(view),
        before=[Section("In doubt", doubts)],
        explorable=explorable(view),
        matrix_title="Expected, from rows to columns",
        after=[
            Section(
                "Open to pods that are not in the input, if nothing forbids it on their side",
                columns=("peer", "direction", "pods", "ports"),
                rows=exposed,
            ),
            Section("What the notes mean", [f"({note.value}): {meaning}" for note, meaning in MEANINGS.items()]),
        ],
    )
    write_page(page, stream)


def explorable(view: MatrixView) -> Explorable:
    """The matrix of what ``view`` shows, endpoint by endpoint."""
    whole = replace(view, expand=True)
    parties = parties_of(whole)
    cells = cells_of(whole, parties)
    doubted = pairs_in_doubt(view.matrix, parties, cells)
    known: dict[int, Square] = {}
    squares = {}
    for pair, same in cells.items():
        if id(same) not in known:
            known[id(same)] = Square(mark(same), (ports_text(same),))
        square = known[id(same)]
        squares[pair] = replace(square, mark=Mark.INCONCLUSIVE) if pair in doubted else square
    words = words_of((square.mark for square in squares.values()), WORDS)
    return Explorable(tuple(party.example for party in parties), squares, words)
