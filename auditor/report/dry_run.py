"""What a run would do, for a person or a program, without doing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TextIO, TypeAlias

from auditor.model.errors import UsageError
from auditor.model.verdict import Verdict
from auditor.policy.matrix import ExpectedMatrix
from auditor.probing.plan import ProbePlan
from auditor.report import expected_as_table as expected_table
from auditor.report.console import open_console, print_paragraph
from auditor.report.documents import write_json
from auditor.report.expected_as_json import expected_json
from auditor.report.expected_as_table import ExpectedRequest

DryRunRenderer: TypeAlias = Callable[[ExpectedMatrix, ProbePlan, TextIO], None]


def renderer(name: str) -> DryRunRenderer:
    """The renderer called ``name``; UsageError when a dry run can't be told in that format."""
    if name not in RENDERERS:
        raise UsageError(f"--output {name}: a dry run has no results; use one of {', '.join(RENDERERS)}")
    return RENDERERS[name]


def _table(matrix: ExpectedMatrix, probes: ProbePlan, stream: TextIO) -> None:
    console = open_console(stream)
    verdicts = list(probes.expected(matrix).values())
    allowed = verdicts.count(Verdict.ALLOWED)
    cells = (
        f"{len(verdicts):,} cells, an attempt each at least: {allowed:,} should be allowed, "
        f"{len(verdicts) - allowed:,} denied"
    )
    print_paragraph(console, f"DRY RUN  {cells}")
    print_paragraph(console, f"Ports: {' '.join(map(str, probes.ports))}", 0, 7)
    print_paragraph(console)
    expected_table.render(matrix, _request(matrix, probes), stream)


def _json(matrix: ExpectedMatrix, probes: ProbePlan, stream: TextIO) -> None:
    request = _request(matrix, probes)
    names = ({endpoint.name for endpoint in endpoints} for endpoints in (request.sources, request.destinations))
    write_json(expected_json(matrix, *names, ports=request.ports, expand=True), stream)


def _request(matrix: ExpectedMatrix, probes: ProbePlan) -> ExpectedRequest:
    sources = {cell.source for cell in probes.cells}
    destinations = {cell.destination for cell in probes.cells}
    endpoints = matrix.snapshot.endpoints
    return ExpectedRequest(
        tuple(endpoint for endpoint in endpoints if endpoint.name in sources),
        tuple(endpoint for endpoint in endpoints if endpoint.name in destinations),
        probes.ports,
        expand=True,
    )


RENDERERS: Mapping[str, DryRunRenderer] = {"table": _table, "json": _json}
