"""Ways to tell the result of an audit: one renderer per module, found here by the name that a person types after
``-o``.

Renderers are imported when they are asked for: a run that writes JSON needs no table.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, TextIO, cast

from auditor.model.report import Report


class Renderer(Protocol):
    """Writes a whole report to a text stream. Raises what the stream raises (OSError)."""

    def __call__(self, report: Report, stream: TextIO) -> None: ...


RENDERERS: Mapping[str, str] = {
    "table": "auditor.report.as_table",
    "json": "auditor.report.as_json",
    "junit": "auditor.report.as_junit",
}
"""The name of each renderer with the module whose ``render`` it is."""


def renderer(name: str) -> Renderer:
    """The renderer called ``name``; KeyError when there is none."""
    return cast("Renderer", import_module(RENDERERS[name]).render)
