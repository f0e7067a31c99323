"""The expected matrix for a person: who is who, a symbol for each pair, then the ports that are allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TextIO

from auditor.model.policy import Direction
from auditor.model.ports import EVERY_PORT, FIRST_PORT, LAST_PORT, Protocol, numbers_in_words
from auditor.model.verdict import Note, Verdict
from auditor.model.words import in_brief, pluralize
from auditor.policy.exposure import view_exposures
from auditor.policy.matrix import MatrixView
from auditor.policy.patterns import ExpectedCell
from auditor.report.console import can_write, open_console, print_line, print_paragraph
from auditor.report.expected_parties import Cells, Party, cells_of, pairs_in_doubt, parties_of
from auditor.report.marks import EVERY_SYMBOL, Mark, Symbols
from auditor.report.matrix import Grid, grid_lines, legend_lines
from auditor.report.skipped import ignored_line

MOST_ROWS = 30
MOST_MEMBERS = 10
MOST_NAMES = 20
MOST_EXPOSURES = 30
NO_PORT = "no port"
MEANINGS = {
    Note.CNI_DEPENDENT: "allowed by an ipBlock for an address inside the cluster, which is up to the CNI",
    Note.UNDEFINED: "a hostNetwork pod takes part, for which the specification defines nothing",
    Note.LABELS_UNKNOWN: "depends on labels that are not in the input: of namespaces without a Namespace object, "
    "or given by controllers",
    Note.ADDRESS_UNKNOWN: "denied, unless an ipBlock covers the address, which is not known",
    Note.SELF_ALLOWED: "denied between the members of a group; each still reaches itself",
    Note.OWN_NODE_ALLOWED: "denied between this node and the group; its pods on this node are still allowed",
}
"""What the notes in brackets mean; the name of the family says that of FAMILY_DEPENDENT."""


def render(view: MatrixView, stream: TextIO) -> None:
    """Write what ``view`` shows to ``stream``."""
    matrix = view.matrix
    console = open_console(stream)
    symbols = Symbols(plain=not can_write(stream, EVERY_SYMBOL))
    parties = parties_of(view)
    cells = cells_of(view, parties)
    doubted = pairs_in_doubt(matrix, parties, cells)
    print_paragraph(console, headline(view))
    for policy in matrix.snapshot.unknown:
        print_paragraph(console, f"In doubt: policy {policy.full_name} {policy.why}", 0, 4)
    _print_members(parties, lambda text, hang: print_paragraph(console, text, 0, hang), symbols)
    print_paragraph(console)
    if len(parties) <= MOST_ROWS:

        def mark_of(pair: tuple[int, int]) -> Mark:
            return Mark.INCONCLUSIVE if pair in doubted else mark(cells.get(pair, ()))

        grid = Grid([party.label for party in parties], lambda row, column: mark_of((row, column)))
        print_paragraph(console, "Expected, from rows to columns:")
        for line in grid_lines(grid, symbols, console.width):
            print_line(console, line)
        for line in legend_lines(grid.marks(), symbols, console.width):
            print_paragraph(console, line)
    else:
        print_paragraph(console, f"{len(parties)} rows are too many for a matrix; --from and --to choose some.")
    print_paragraph(console)
    cells = {pair: same for pair, same in cells.items() if pair not in doubted}
    for sources, destinations, ports in allowed_lines(parties, cells):
        print_paragraph(console, f"{sources} {symbols.arrow} {destinations}  {ports}", 0, 4)
    occurring = {note for same in _distinct(cells) for cell in same for note in cell.notes}
    for note, meaning in MEANINGS.items():
        if note in occurring:
            print_paragraph(console, f"({note.value}): {meaning}", 0, 4)
    _print_exposures(view, lambda text, hang: print_paragraph(console, text, 0, hang), symbols)
    print_paragraph(console, f"{_about_the_rest(view, doubted=bool(doubted))}; -o json has every connection.")


def _about_the_rest(view: MatrixView, *, doubted: bool) -> str:
    """What holds for all that is not listed as allowed."""
    if view.pairs is not None:
        return f"Whatever else would be tried{', and is not in doubt,' if doubted else ''} is denied"
    return f"Whatever is {'neither allowed here nor in doubt' if doubted else 'not allowed here'} is denied"


def _print_exposures(view: MatrixView, tell: Callable[[str, int], None], symbols: Symbols) -> None:
    """What rules open to pods that are not in the input, the same peers and ports in one line."""
    found = view_exposures(view)
    if not found:
        return
    tell("Open to pods that are not in the input, if nothing forbids it on their side:", 0)
    together: dict[tuple[Direction, tuple[str, ...], str], list[str]] = {}
    for each in found:
        ports = " ".join(map(str, each.ports)) or EVERY_PORT
        together.setdefault((each.direction, each.pods, ports), []).append(each.peer)
    for (direction, pods, ports), peers in list(together.items())[:MOST_EXPOSURES]:
        ends = [listed(list(dict.fromkeys(peers))), listed(pods)]
        tell(f"  {f' {symbols.arrow} '.join(ends if direction is Direction.INGRESS else ends[::-1])}  {ports}", 4)
    if len(together) > MOST_EXPOSURES:
        tell(f"  and {len(together) - MOST_EXPOSURES:,} more; -o json has them all", 4)


def headline(view: MatrixView) -> str:
    """How much there is, and what plays no part."""
    matrix = view.matrix
    shown = {endpoint.name: endpoint for endpoint in (*view.sources, *view.destinations)}
    inside = [name for name, endpoint in shown.items() if not endpoint.ranges]
    groups = pluralize(len({matrix.class_of(name) for name in inside}), "group")
    policies = pluralize(len(matrix.snapshot.policies), "policy", "policies")
    counts = f"{pluralize(len(inside), 'endpoint')} in {groups}, {policies}"
    ignored = ignored_line(matrix.snapshot.left_out)
    return f"{counts}; ignored: {ignored}" if ignored else counts


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


def _print_members(parties: Iterable[Party], tell: Callable[[str, int], None], symbols: Symbols) -> None:
    classes = [party for party in parties if len(party.members) > 1]
    if classes:
        tell("Not told apart by any policy:", 0)
    for party in classes:
        left = len(party.members) - MOST_MEMBERS
        names = ", ".join(party.members[:MOST_MEMBERS]) + (f" {symbols.ellipsis} {left} more" if left > 0 else "")
        tell(f"  {party.label}: {names}", 4)


def _distinct(cells: Cells) -> Iterable[tuple[ExpectedCell, ...]]:
    """Each value of ``cells`` once: equal ones are mostly the same object."""
    return {id(same): same for same in cells.values()}.values()


def allowed_lines(parties: Sequence[Party], cells: Cells) -> Iterator[tuple[str, str, str]]:
    """Sources, destinations and allowed ports of everything that is allowed; sources with the same destinations share
    lines.
    """
    texts = {id(same): ports_text(same) for same in _distinct(cells)}
    by_lines: dict[tuple[tuple[str, str], ...], list[str]] = {}
    by_row: dict[int, list[int]] = {}
    for row, column in cells:
        by_row.setdefault(row, []).append(column)
    for row, columns in sorted(by_row.items()):
        source = parties[row]
        by_ports: dict[str, list[str]] = {}
        for column, destination in ((column, parties[column]) for column in sorted(columns)):
            ports = texts[id(cells[row, column])]
            if ports != NO_PORT:
                by_ports.setdefault(ports, []).append(
                    "itself" if row == column and len(source.members) == 1 else destination.label
                )
        lines = tuple((listed(destinations), ports) for ports, destinations in by_ports.items())
        if lines:
            by_lines.setdefault(lines, []).append(source.label)
    for lines, sources in by_lines.items():
        for destinations, ports in lines:
            yield listed(sources), destinations, ports


def listed(names: Sequence[str]) -> str:
    """``names`` in one line, the first of them where there are too many to read."""
    return in_brief(names, MOST_NAMES)


def ports_text(cells: Iterable[ExpectedCell]) -> str:
    """The allowed ports of one pair, such as ``TCP/80,8000-8080 UDP/53 (cni-dependent)``; ``others`` are ports that are
    denied with a note.
    """
    parts: dict[tuple[Protocol, str], list[tuple[int, int]]] = {}
    denied_notes: set[Note] = set()
    for cell in cells:
        families = [str(family) for family, verdict in cell.families if verdict is Verdict.ALLOWED]
        if cell.verdict is Verdict.ALLOWED or families:
            notes = [note.value for note in cell.notes if note is not Note.FAMILY_DEPENDENT]
            parts.setdefault((cell.protocol, ", ".join(notes + families)), []).append((cell.port, cell.end_port))
        else:
            denied_notes.update(cell.notes)
    if sum(ranges == [(FIRST_PORT, LAST_PORT)] for (_, remark), ranges in parts.items() if not remark) == len(Protocol):
        return EVERY_PORT
    words = [
        f"{protocol}/{_ranges_text(ranges)}" + (f" ({remark})" if remark else "")
        for (protocol, remark), ranges in parts.items()
    ]
    others = "others " if words else ""
    words += [f"{others}({note.value})" for note in Note if note in denied_notes]
    return " ".join(words) or NO_PORT


def _ranges_text(ranges: Iterable[tuple[int, int]]) -> str:
    return ",".join(numbers_in_words(first, last) for first, last in sorted(ranges))
