"""The expected matrix as a page that lets people explore it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TextIO

from auditor.model.ports import EVERY_PORT
from auditor.model.verdict import Conclusion
from auditor.policy.exposure import view_exposures
from auditor.policy.matrix import MatrixView
from auditor.policy.patterns import ExpectedCell
from auditor.report.expected_as_table import EXPOSED, MEANINGS, allowed_lines, headline, not_considered, ports_text
from auditor.report.expected_graph import graph_of
from auditor.report.expected_grid import mark
from auditor.report.expected_parties import doubts_of, pairs_of, parties_of
from auditor.report.explorable import Explorable, Square, words_of
from auditor.report.html_page import Page, Section, write_page
from auditor.report.marks import Mark
from auditor.report.pictures import draw_graph

MOST_SHOWN = 1_000
"""Above so many endpoints classes are shown. A browser takes a million squares, and a reader far fewer."""
MOST_READ = 200
"""Rows of a table that somebody may read."""
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
    exposures = view_exposures(view)
    exposed = [
        (each.peer, each.direction.value.lower(), ", ".join(each.pods), " ".join(map(str, each.ports)) or EVERY_PORT)
        for each in exposures
    ]
    matrix = explorable(view)
    remarks = (
        [] if matrix is not None else ["Too many groups of endpoints for a matrix: choose some with --from and --to."]
    )
    page = Page(
        title="who should reach whom",
        conclusion=Conclusion.INCONCLUSIVE if doubts else "expected",
        headline=headline(view),
        before=[Section("In doubt", doubts)],
        remarks=remarks,
        explorable=matrix,
        matrix_title="Expected, from rows to columns",
        after=[
            *(_allowed(view) if matrix is not None else ()),
            Section(
                EXPOSED,
                list(not_considered(exposures)),
                columns=("peer", "direction", "pods", "ports"),
                rows=exposed,
            ),
            Section("What the notes mean", [f"({note.value}): {meaning}" for note, meaning in MEANINGS.items()]),
        ],
    )
    write_page(page, stream)


def _allowed(view: MatrixView) -> Iterator[Section]:
    """Who may reach whom, for those who look at a picture and for those who read a table. It goes through all pairs of
    groups, so it is for what isn't too much for a matrix either.
    """
    yield Section("Who may reach whom", picture=draw_graph(graph_of(view)))
    grouped = replace(view, expand=False)
    parties = parties_of(grouped)
    if len(parties) > MOST_READ:
        return
    doubted = doubts_of(view.matrix, parties)
    cells = {pair: same for pair, same in pairs_of(grouped, parties) if not doubted(pair)}
    rows = list(allowed_lines(parties, cells))
    more = [f"and {len(rows) - MOST_READ:,} more; -o json has each"] if len(rows) > MOST_READ else []
    yield Section("Allowed", more, ("from", "to", "ports"), rows[:MOST_READ])


def explorable(view: MatrixView) -> Explorable | None:
    """The matrix of what ``view`` shows: endpoint by endpoint or, of too many, class by class; None of too many
    classes.
    """
    shown = replace(view, expand=len(view.sources) <= MOST_SHOWN and len(view.destinations) <= MOST_SHOWN)
    parties = parties_of(shown)
    if len(parties) > 2 * MOST_SHOWN:
        return None
    in_doubt = doubts_of(view.matrix, parties)
    known: dict[tuple[ExpectedCell, ...], Square] = {}
    squares = {}
    for pair, same in pairs_of(shown, parties):
        if same not in known:
            known[same] = Square(mark(same), (ports_text(same),))
        square = known[same]
        squares[pair] = replace(square, mark=Mark.INCONCLUSIVE) if in_doubt(pair) else square
    words = words_of((square.mark for square in squares.values()), WORDS)
    return Explorable(tuple(replace(party.example, name=party.label) for party in parties), squares, words)
