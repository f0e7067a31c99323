"""What a run would do, for a person or a program, without doing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from auditor.model.verdict import Verdict
from auditor.policy.matrix import ExpectedMatrix, MatrixView
from auditor.probing.plan import ProbePlan
from auditor.report import expected_as_json, expected_as_table
from auditor.report.console import open_console, print_paragraph


def render_table(planned: tuple[ExpectedMatrix, ProbePlan], stream: TextIO) -> None:
    """Write how much would be probed, and the part of the expected matrix that would be, to ``stream``."""
    _render(planned, stream, expected_as_table.render)


def render_wide(planned: tuple[ExpectedMatrix, ProbePlan], stream: TextIO) -> None:
    """The same with everything listed that it otherwise counts only."""
    _render(planned, stream, expected_as_table.render_wide)


def _render(
    planned: tuple[ExpectedMatrix, ProbePlan], stream: TextIO, show: Callable[[MatrixView, TextIO], None]
) -> None:
    matrix, probes = planned
    console = open_console(stream)
    verdicts = list(probes.expected(matrix).values())
    allowed = verdicts.count(Verdict.ALLOWED)
    cells = (
        f"{len(verdicts):,} connections to try, each at least once: {allowed:,} should be allowed, "
        f"{len(verdicts) - allowed:,} denied"
    )
    print_paragraph(console, f"DRY RUN  {cells}")
    print_paragraph(console, f"Ports: {' '.join(map(str, probes.ports))}", 0, 7)
    print_paragraph(console)
    show(_view(matrix, probes), stream)


def render_json(planned: tuple[ExpectedMatrix, ProbePlan], stream: TextIO) -> None:
    """Write the part of the expected matrix that would be probed to ``stream``."""
    expected_as_json.render(_view(*planned), stream)


def _view(matrix: ExpectedMatrix, probes: ProbePlan) -> MatrixView:
    pairs: dict[str, dict[str, None]] = {}
    for cell in probes.cells:
        pairs.setdefault(cell.source, {})[cell.destination] = None
    destinations = {cell.destination for cell in probes.cells}
    endpoints = matrix.snapshot.endpoints
    return MatrixView(
        matrix,
        tuple(endpoint for endpoint in endpoints if endpoint.name in pairs),
        tuple(endpoint for endpoint in endpoints if endpoint.name in destinations),
        probes.ports,
        expand=True,
        pairs=pairs,
    )
