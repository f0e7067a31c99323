"""The history of conformance for programs: ``audit.conformance-history/v1``, described by
``auditor/schemas/conformance-history.schema.json``.
"""

from __future__ import annotations

from typing import TextIO

import msgspec

from auditor.history.conformance import ConformanceTrend
from auditor.report.documents import write_json_value

SCHEMA = "audit.conformance-history/v1"


def render(trend: ConformanceTrend, stream: TextIO) -> None:
    """Write ``trend`` to ``stream``."""
    features = [{**msgspec.to_builtins(each), "stands": each.stands, "flaps": each.flaps} for each in trend.features]
    write_json_value({"schema": SCHEMA, "runs": msgspec.to_builtins(trend.runs), "features": features}, stream)
