"""The matrix of an expectation: of its parties, or of namespaces where these are too many."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from auditor.model.snapshot import EndpointKind
from auditor.model.verdict import Note, Verdict
from auditor.policy.patterns import ExpectedCell
from auditor.report.expected_parties import Cells, Party
from auditor.report.marks import Mark
from auditor.report.matrix import Grid, Matrix, namespace_of

MOST_ROWS = 30


def expected_grid(parties: Sequence[Party], cells: Cells, doubted: Collection[tuple[int, int]]) -> Matrix:
    """The matrix of ``parties``; of namespaces where they are too many, and none where these are."""
    if len(parties) <= MOST_ROWS:
        return Matrix(_grid([party.label for party in parties], range(len(parties)), cells, doubted))
    groups = [_group(party) for party in parties]
    names = list(dict.fromkeys(groups))
    if 1 < len(names) <= MOST_ROWS:
        numbers = [names.index(group) for group in groups]
        return Matrix(_grid(names, numbers, cells, doubted), f"{len(parties)} rows are too many: by namespace.")
    return Matrix(None, f"{len(parties)} rows are too many for a matrix; --from and --to choose some.")


def _grid(
    names: Sequence[str], numbers: Sequence[int], cells: Cells, doubted: Collection[tuple[int, int]]
) -> Grid | None:
    """``names`` with the parties that each stands for, whose numbers are ``numbers``."""
    together: dict[tuple[int, int], dict[int, tuple[ExpectedCell, ...]]] = {}
    unsure = {(numbers[row], numbers[column]) for row, column in doubted}
    for (row, column), same in cells.items():
        together.setdefault((numbers[row], numbers[column]), {})[id(same)] = same
    marks = {
        pair: Mark.INCONCLUSIVE if pair in unsure else mark([cell for each in kinds.values() for cell in each])
        for pair, kinds in together.items()
    }
    if not marks:
        return None
    rows, columns = ({pair[side] for pair in marks} for side in (0, 1))
    return Grid(names, lambda row, column: marks.get((row, column), Mark.NONE), sorted(rows), sorted(columns))


def _group(party: Party) -> str:
    if party.example.kind is EndpointKind.HOST and party.example.ranges:
        return "outside"
    return namespace_of(party.label)


def mark(cells: Sequence[ExpectedCell]) -> Mark:
    """The symbol for all that is expected between two parties."""
    if not cells:
        return Mark.NONE
    if any(Note.LABELS_UNKNOWN in cell.notes for cell in cells):
        return Mark.INCONCLUSIVE
    if any(note in (Note.CNI_DEPENDENT, Note.UNDEFINED) for cell in cells for note in cell.notes):
        return Mark.UNDECIDED
    verdicts = {verdict for cell in cells for verdict in (cell.verdict, *(verdict for _, verdict in cell.families))}
    if len(verdicts) > 1:
        return Mark.SOME
    return Mark.ALLOWED if Verdict.ALLOWED in verdicts else Mark.DENIED
