"""The findings of lint, for a person, for programs and for CI systems: an interface and a registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TextIO, TypeAlias

from auditor.lint.finding import Severity
from auditor.lint.suppressions import Sorted
from auditor.report.conclusion import Conclusion


@dataclass(frozen=True, slots=True)
class LintReport:
    """What lint says of ``subject``, which has ``policies`` policies; findings that reach ``fail_on`` make it fail."""

    subject: str
    policies: int
    sorted: Sorted
    fail_on: Severity

    @property
    def failed(self) -> bool:
        return any(finding.severity.reaches(self.fail_on) for finding in self.sorted.findings)

    @property
    def conclusion(self) -> Conclusion:
        """Pass or fail; what lint can't know it says nothing about."""
        return Conclusion.FAIL if self.failed else Conclusion.PASS

    def count(self, severity: Severity) -> int:
        """How many findings have ``severity``."""
        return sum(finding.severity is severity for finding in self.sorted.findings)


Renderer: TypeAlias = Callable[[LintReport, TextIO], None]

RENDERERS: Mapping[str, str] = {
    "table": "auditor.report.lint_as_table",
    "json": "auditor.report.lint_as_json",
    "junit": "auditor.report.lint_as_junit",
}


def lint_renderer(name: str) -> Renderer:
    """The renderer called ``name``, a key of ``RENDERERS``; imported only now."""
    render: Renderer = import_module(RENDERERS[name]).render
    return render
