"""A comparison for programs: ``audit.comparison/v1``, described by ``auditor/schemas/comparison.schema.json``."""

from __future__ import annotations

from typing import Any, TextIO

import msgspec

from auditor.model.night import Night
from auditor.model.standing import ComparedRuns
from auditor.report.as_json import comparison_item
from auditor.report.documents import write_json_value

SCHEMA = "audit.comparison/v1"


def render(runs: ComparedRuns, stream: TextIO) -> None:
    """Write ``runs`` to ``stream``."""
    document = {
        "schema": SCHEMA,
        "conclusion": runs.conclusion,
        "old": _run(runs.old),
        "new": _run(runs.new),
        **msgspec.to_builtins(comparison_item(runs.comparison)),
    }
    write_json_value(document, stream)


def _run(night: Night) -> dict[str, Any]:
    return {"run": night.run, "began": night.began, "subject": night.subject, "conclusion": night.conclusion}
