"""The sections of what an audit tried beside the matrix, in the order in which every report for people has them."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.model.report import Report
from auditor.report.lookups import lookup_lines
from auditor.report.reached import reached_lines
from auditor.report.services import service_lines


def sections_beside(report: Report) -> Iterator[Iterator[str]]:
    """For each part a heading with the numbers, what differs and what has no verdict; nothing of one that was not asked
    for.
    """
    yield service_lines(report.services)
    yield lookup_lines(report.dns)
    yield reached_lines(report.reached)
