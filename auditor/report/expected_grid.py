"""The matrix of an expectation: of its parties and of the pods that are not in the input, or of namespaces where these
are too many.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from auditor.model.policy import Direction
from auditor.model.snapshot import EndpointKind
from auditor.model.verdict import Note, Verdict
from auditor.policy.absent_cells import absent_cells
from auditor.policy.exposure import view_exposures
from auditor.policy.matrix import MatrixView
from auditor.policy.patterns import ExpectedCell
from auditor.report.expected_parties import Cells, Party
from auditor.report.marks import Mark
from auditor.report.matrix import Grid, Matrix, namespace_of

MOST_ROWS = 30


def expected_grid(
    view: MatrixView, parties: Sequence[Party], cells: Cells, doubted: Collection[tuple[int, int]]
) -> Matrix:
    """The matrix of ``parties``, and of the pods that are not in the input where there is room for them; of namespaces
    where the parties are too many, and none where these are.
    """
    if len(parties) <= MOST_ROWS:
        labels = [party.label for party in parties]
        absent = dict.fromkeys(each.peer for each in view_exposures(view))
        if not absent or len(parties) + len(absent) > MOST_ROWS:
            return Matrix(_grid(labels, range(len(labels)), cells, doubted))
        more, in_doubt = _absent(view, parties, {name: len(labels) + place for place, name in enumerate(absent)})
        names = [*labels, *absent]
        return Matrix(_grid(names, range(len(names)), {**cells, **more}, {*doubted, *in_doubt}))
    groups = [_group(party) for party in parties]
    names = list(dict.fromkeys(groups))
    if 1 < len(names) <= MOST_ROWS:
        numbers = [names.index(group) for group in groups]
        return Matrix(_grid(names, numbers, cells, doubted), f"{len(parties)} rows are too many: by namespace.")
    return Matrix(None, f"{len(parties)} rows are too many for a matrix; --from and --to choose some.")


def _absent(
    view: MatrixView, parties: Sequence[Party], places: Mapping[str, int]
) -> tuple[Cells, set[tuple[int, int]]]:
    """What is expected between ``parties`` and the pods that are not in the input, which have ``places`` by their
    names, and the pairs that are in doubt.
    """
    rows: dict[int, list[int]] = {}
    for row, party in enumerate(parties):
        if party.example.selectable:
            rows.setdefault(view.matrix.class_of(party.example.name), []).append(row)
    cells: dict[tuple[int, int], list[ExpectedCell]] = {}
    in_doubt: set[tuple[int, int]] = set()
    for each in absent_cells(view):
        cell = ExpectedCell(each.ports.protocol, each.ports.first, each.ports.last, each.verdict, ())
        name = str(each.peer)
        for row in rows.get(each.number, ()) if name in places else ():
            ends = (places[name], row)
            pair = ends if each.direction is Direction.INGRESS else ends[::-1]
            cells.setdefault(pair, []).append(cell)
            if each.in_doubt:
                in_doubt.add(pair)
    return {pair: tuple(same) for pair, same in cells.items()}, in_doubt


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
