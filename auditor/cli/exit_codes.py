"""The exit codes, which scripts and CI systems rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from auditor.model.report import Report
    from auditor.model.verdict import Conclusion

AS_EXPECTED: Final = 0
FINDINGS: Final = 1
WRONG_INPUT: Final = 2
INCONCLUSIVE: Final = 3
ENVIRONMENT: Final = 4
INTERRUPTED: Final = 130


def of_report(report: Report) -> int:
    """The exit code that tells the conclusion of ``report``."""
    from auditor.report.conclusion import conclude

    return of_conclusion(conclude(report))


def of_conclusion(conclusion: Conclusion) -> int:
    """The exit code that tells ``conclusion``."""
    from auditor.model.verdict import Conclusion

    return {Conclusion.PASS: AS_EXPECTED, Conclusion.FAIL: FINDINGS, Conclusion.INCONCLUSIVE: INCONCLUSIVE}[conclusion]
