"""The findings of lint, for a person, for programs and for CI systems: what they are told of."""

from __future__ import annotations

from dataclasses import dataclass

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
