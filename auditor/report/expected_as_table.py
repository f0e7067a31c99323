"""The expected matrix for a person: who is who, a symbol for each pair, then the ports that are allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TextIO

from rich.console import Console

from auditor.model.policy import Direction
from auditor.model.ports import EVERY_PORT, FIRST_PORT, LAST_PORT, Protocol, numbers_in_words
from auditor.model.verdict import Note, Verdict
from auditor.model.words import in_brief, pluralize
from auditor.policy.exposure import Exposure, view_exposures
from auditor.policy.matrix import MatrixView
from auditor.policy.patterns import ExpectedCell
from auditor.report.console import can_write, open_console, print_line, print_paragraph
from auditor.report.expected_grid import expected_grid
from auditor.report.expected_parties import Cells, Party, cells_of, pairs_in_doubt, parties_of
from auditor.report.marks import EVERY_SYMBOL, Mark, Symbols
from auditor.report.matrix import Matrix, grid_lines, legend_lines
from auditor.report.skipped import ignored_line
from auditor.report.ways_in import way_in_lines

EXPOSED = "Opened by rules to pods that are not in the input, if nothing forbids it on their side"
MOST_NAMES = 20
MOST_EXPOSURES = 10
MOST_LINES, MOST_BRIEF_LINES = 25, 18
FEW_NAMES = 5
NO_PORT = "no port"
ITSELF = "itself"
ONLY_ITSELF = f"({Note.SELF_ALLOWED.value})"
MEANINGS = {
    Note.CNI_DEPENDENT: "allowed by an ipBlock for an address inside the cluster, which is up to the CNI",
    Note.UNDEFINED: "undefined for hostNetwork pods, and where policies with one priority differ",
    Note.LABELS_UNKNOWN: "depends on labels that are not in the input: of namespaces without a Namespace object, "
    "or given by controllers",
    Note.ADDRESS_UNKNOWN: "denied, unless an ipBlock covers the address, which is not known",
    Note.SELF_ALLOWED: "denied between the members of a group; each still reaches itself",
    Note.OWN_NODE_ALLOWED: "denied between this node and the group; its pods on this node are still allowed",
}
"""What the notes in brackets mean; the name of the family says that of FAMILY_DEPENDENT."""


def render(view: MatrixView, stream: TextIO) -> None:
    """Write what ``view`` shows to ``stream``."""
    _render(view, stream, wide=False)


def render_wide(view: MatrixView, stream: TextIO) -> None:
    """Write what ``view`` shows to ``stream`` with everything listed that it otherwise counts only."""
    _render(view, stream, wide=True)


def _render(view: MatrixView, stream: TextIO, *, wide: bool) -> None:
    matrix = view.matrix
    console = open_console(stream)
    symbols = Symbols(plain=not can_write(stream, EVERY_SYMBOL))

    def tell(text: str, hang: int = 4) -> None:
        print_paragraph(console, text, 0, hang)

    parties = parties_of(view)
    cells = cells_of(view, parties)
    if not cells and parties:
        tell(f"{headline(view)}; no NetworkPolicy has a say between these", 0)
        return
    doubted = pairs_in_doubt(matrix, parties, cells)
    tell(headline(view), 0)
    for policy in matrix.snapshot.unknown:
        tell(f"In doubt: policy {policy.full_name} {policy.why}")
    for line in _members(parties, wide=wide):
        tell(line)
    tell("")
    grid = expected_grid(view, parties, cells, doubted)
    _print_grid(grid, console, symbols)
    cells = {pair: same for pair, same in cells.items() if pair not in doubted}
    for line in _allowed(parties, cells, symbols, wide=wide):
        tell(line)
    occurring = {note for same in _distinct(cells) for cell in same for note in cell.notes}
    for note, meaning in MEANINGS.items():
        if note in occurring:
            tell(f"({note.value}): {meaning}")
    _print_exposures(view, parties, tell, symbols, None if wide else MOST_EXPOSURES)
    for line in way_in_lines(view.entry, None if wide else MOST_EXPOSURES):
        tell(line)
    tell(f"{_about_the_rest(view, doubted=bool(doubted) or _shows_doubt(grid))}; -o json has every connection.", 0)


def _print_grid(shown: Matrix, console: Console, symbols: Symbols) -> None:
    if shown.remark:
        print_paragraph(console, shown.remark)
    if shown.grid is not None:
        print_paragraph(console, "Expected, from rows to columns:")
        for line in grid_lines(shown.grid, symbols, console.width):
            print_line(console, line)
        for line in legend_lines(shown.grid, symbols, console.width):
            print_paragraph(console, line)
    print_paragraph(console)


def _shows_doubt(shown: Matrix) -> bool:
    """Whether any mark says that something is in doubt, such as of pods that are not in the input."""
    grid = shown.grid
    return grid is not None and any(
        grid.mark_of(row, column) is Mark.INCONCLUSIVE for row in grid.shown_rows for column in grid.shown_columns
    )


def _allowed(parties: Sequence[Party], cells: Cells, symbols: Symbols, *, wide: bool) -> Iterator[str]:
    """What is allowed, in as many lines as somebody reads, or in all."""
    lines = list(allowed_lines(parties, cells))
    more = 0
    if not wide and len(lines) > MOST_LINES:
        lines = list(brief_lines(parties, cells))
        more = max(len(lines) - MOST_BRIEF_LINES, 0)
    for sources, destinations, ports in lines[: len(lines) - more]:
        yield f"{sources} {symbols.arrow} {destinations}  {ports}"
    if more:
        yield f"and {more:,} more lines; -v shows them"


def _about_the_rest(view: MatrixView, *, doubted: bool) -> str:
    """What holds for all that is not listed as allowed."""
    if view.pairs is not None:
        return f"Whatever else would be tried{', and is not in doubt,' if doubted else ''} is denied"
    return f"Whatever is {'neither allowed here nor in doubt' if doubted else 'not allowed here'} is denied"


def _print_exposures(
    view: MatrixView, parties: Sequence[Party], tell: Callable[[str, int], None], symbols: Symbols, most: int | None
) -> None:
    """What rules open to pods that are not in the input, the same peers and ports in one line."""
    labels = {name: party.label for party in parties for name in party.members}
    found = view_exposures(view)
    if not found:
        return
    tell(f"{EXPOSED}:", 0)
    together: dict[tuple[Direction, tuple[str, ...], str], list[str]] = {}
    for each in found:
        ports = " ".join(map(str, each.ports)) or EVERY_PORT
        pods = tuple(dict.fromkeys(labels[name] for name in each.pods))
        together.setdefault((each.direction, pods, ports), []).append(each.peer)
    for (direction, pods, ports), peers in list(together.items())[:most]:
        ends = [listed(list(dict.fromkeys(peers))), listed(pods)]
        tell(f"  {f' {symbols.arrow} '.join(ends if direction is Direction.INGRESS else ends[::-1])}  {ports}", 4)
    if most and len(together) > most:
        tell(f"  and {len(together) - most:,} more; -v lists them", 4)
    for line in not_considered(found):
        tell(f"  {line}", 4)


def not_considered(found: Iterable[Exposure]) -> Iterator[str]:
    """The policies that decide before the rules by which ``found`` is open, if there are any."""
    before = dict.fromkeys(name for each in found for name in each.before)
    if before:
        yield (
            f"not considered in this: {listed(list(before))}, which {'come' if len(before) > 1 else 'comes'} before "
            "these rules for some of the pods"
        )


def headline(view: MatrixView) -> str:
    """How much there is, and what plays no part."""
    matrix = view.matrix
    shown = {endpoint.name: endpoint for endpoint in (*view.sources, *view.destinations)}
    inside = [name for name, endpoint in shown.items() if not endpoint.ranges]
    groups = pluralize(len({matrix.class_of(name) for name in inside}), "group")
    policies = pluralize(matrix.snapshot.number_of_policies, "policy", "policies")
    counts = f"{pluralize(len(inside), 'endpoint')} in {groups}, {policies}"
    ignored = ignored_line(matrix.snapshot.left_out)
    return f"{counts}; ignored: {ignored}" if ignored else counts


def _members(parties: Iterable[Party], *, wide: bool) -> Iterator[str]:
    """Which endpoints no policy tells apart: how many groups, or each with its members."""
    groups = [party for party in parties if len(party.members) > 1]
    if not groups:
        return
    if not wide:
        many = len(groups) > 1
        yield (
            f"{pluralize(len(groups), 'group')} that no policy tells apart {'are' if many else 'is'} shown by one "
            f"member, as {groups[0].label}; -v lists the others"
        )
        return
    yield "Not told apart by any policy:"
    for party in groups:
        yield f"  {party.label}: {', '.join(party.members)}"


def _distinct(cells: Cells) -> Iterable[tuple[ExpectedCell, ...]]:
    """Each value of ``cells`` once: equal ones are mostly the same object."""
    return {id(same): same for same in cells.values()}.values()


def allowed_lines(parties: Sequence[Party], cells: Cells) -> Iterator[tuple[str, str, str]]:
    """Sources, destinations and allowed ports of everything that is allowed; sources with the same destinations share
    lines.
    """
    by_lines: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for source, lines in _by_source(parties, cells):
        by_lines.setdefault(tuple((listed(names), ports) for names, ports in lines), []).append(source)
    for told, sources in by_lines.items():
        for destinations, ports in told:
            yield listed(sources), destinations, ports


def brief_lines(parties: Sequence[Party], cells: Cells) -> Iterator[tuple[str, str, str]]:
    """The same in fewer lines: sources share a line for each set of destinations that they reach on the same ports."""
    by_line: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for source, lines in _by_source(parties, cells):
        for names, ports in lines:
            alone = [source] if source in names and ports == ONLY_ITSELF else []
            others = tuple(name for name in names if name not in alone)
            if alone:
                by_line.setdefault(((ITSELF,), ports), []).append(source)
            if others:
                by_line.setdefault((others, ports), []).append(source)
    for (others, ports), sources in by_line.items():
        yield in_brief(sources, FEW_NAMES), in_brief(others, FEW_NAMES), ports


def _by_source(parties: Sequence[Party], cells: Cells) -> Iterator[tuple[str, list[tuple[list[str], str]]]]:
    """Each source with the destinations that it reaches on the same ports; nothing of those that reach nobody."""
    texts = {id(same): ports_text(same) for same in _distinct(cells)}
    by_row: dict[int, list[int]] = {}
    for row, column in cells:
        by_row.setdefault(row, []).append(column)
    for row, columns in sorted(by_row.items()):
        source = parties[row]
        by_ports: dict[str, list[str]] = {}
        for column in sorted(columns):
            ports = texts[id(cells[row, column])]
            if ports != NO_PORT:
                by_ports.setdefault(ports, []).append(
                    ITSELF if row == column and len(source.members) == 1 else parties[column].label
                )
        if by_ports:
            yield source.label, [(names, ports) for ports, names in by_ports.items()]


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
