"""A history for programs: ``audit.history/v1``, described by ``auditor/schemas/history.schema.json``."""

from __future__ import annotations

from typing import TextIO

import msgspec

from auditor.history.trend import Trend
from auditor.report.documents import write_json_value

SCHEMA = "audit.history/v1"


def render(trend: Trend, stream: TextIO) -> None:
    """Write ``trend`` to ``stream``."""
    findings = [{**msgspec.to_builtins(each), "stands": each.stands, "flaps": each.flaps} for each in trend.findings]
    document = {"schema": SCHEMA, "nights": msgspec.to_builtins(trend.nights), "findings": findings}
    write_json_value(document, stream)
