"""What a report's matrix shows: its rows, columns and marks, or groups of endpoints where there are too many."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from auditor.model.report import CellResult, Report
from auditor.model.snapshot import Endpoint
from auditor.report.marks import Mark, mark
from auditor.report.matrix import Grid, Matrix, namespace_of

MOST_ENDPOINTS = 30


def matrix_of(report: Report) -> Matrix:
    """The matrix of ``report``: of endpoints, of those that findings touch most, of workloads or of namespaces."""
    known = {endpoint.name: endpoint for endpoint in report.endpoints}
    involved = {name for each in report.cells for name in (each.cell.source, each.cell.destination)}
    names = by_workload(involved, known)
    if len(names) <= MOST_ENDPOINTS:
        return Matrix(_grid(report.cells, names, str, _nodes(names, known)) if names else None)
    telling = [each.cell for each in report.cells if mark([each]).is_finding]
    if telling:
        counts = Counter(name for cell in telling for name in (cell.source, cell.destination))
        order = {name: number for number, name in enumerate(names)}
        most = set(sorted(counts, key=lambda name: (-counts[name], order[name]))[:MOST_ENDPOINTS])
        shown = [name for name in names if name in most]
        left = len(counts) - len(shown)
        more = f" most ({left} more)." if left else "."
        remark = f"Only the {len(shown)} of {len(names)} endpoints that findings touch{more}"
        return Matrix(_grid(report.cells, shown, str, _nodes(shown, known)), remark)
    for group_of, word in ((_workloads(known), "workload"), (namespace_of, "namespace")):
        groups = list(dict.fromkeys(map(group_of, names)))
        if len(groups) <= MOST_ENDPOINTS:
            return Matrix(_grid(report.cells, groups, group_of), f"{len(names)} endpoints, by {word}.")
    return Matrix(
        None,
        f"{len(names)} endpoints in {len(groups)} namespaces: too many for a matrix; -o json has every connection.",
    )


def by_workload(names: Iterable[str], known: Mapping[str, Endpoint]) -> list[str]:
    """``names`` in the order of ``known``, but that those of a namespace, and in it of a workload, stand together."""
    position = {name: number for number, name in enumerate(known)}
    ordered = sorted(names, key=lambda name: (position.get(name, len(position)), name))
    workload = _workloads(known)
    places: dict[str, int] = {}
    for name in ordered:
        places.setdefault(namespace_of(name), len(places))
        places.setdefault(workload(name), len(places))
    return sorted(ordered, key=lambda name: (places[namespace_of(name)], places[workload(name)]))


def _workloads(known: Mapping[str, Endpoint]) -> Callable[[str], str]:
    """What names the workload of an endpoint, given by name; the endpoint itself where it has none."""

    def workload_of(name: str) -> str:
        endpoint = known.get(name)
        if endpoint is None or not endpoint.workload:
            return name
        return f"{endpoint.namespace}/{endpoint.workload.rpartition('/')[2]}/*"

    return workload_of


def _nodes(names: Sequence[str], known: Mapping[str, Endpoint]) -> list[str]:
    """The node of each of ``names``; nothing where all are on one."""
    nodes = [known[name].node if name in known else "" for name in names]
    return nodes if len(set(filter(None, nodes))) > 1 else []


def _grid(
    cells: Iterable[CellResult], names: Sequence[str], label: Callable[[str], str], beside: Sequence[str] = ()
) -> Grid:
    position = {name: number for number, name in enumerate(names)}
    pairs: defaultdict[tuple[int, int], list[CellResult]] = defaultdict(list)
    for each in cells:
        row, column = position.get(label(each.cell.source)), position.get(label(each.cell.destination))
        if row is not None and column is not None:
            pairs[row, column].append(each)
    marks = {pair: mark(together) for pair, together in pairs.items()}
    rows, columns = ({pair[side] for pair in marks} for side in (0, 1))
    return Grid(
        names,
        lambda row, column: marks.get((row, column), Mark.NONE),
        sorted(rows),
        sorted(columns),
        beside,
    )
