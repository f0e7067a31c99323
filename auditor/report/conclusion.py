"""What an audit comes to in one word: the verdict line, the JSON and the exit code all ask here, so that they can't
disagree.
"""

from __future__ import annotations

from auditor.model.report import Report
from auditor.model.verdict import Conclusion

CONCLUSION_STYLES = {Conclusion.PASS: "bold green", Conclusion.FAIL: "bold red", Conclusion.INCONCLUSIVE: "bold yellow"}
"""How each is shown on a terminal."""


def conclude(report: Report) -> Conclusion:
    """The conclusion of ``report``.

    Findings that are known or accepted don't count where somebody has said so. Skipped cells count against coverage; a
    report in which not a single cell got a verdict is never a pass. Neither is one in which nothing tells whether a
    policy in scope is enforced, unless that was accepted by the policy's name.
    """
    summary = report.summary
    too_little = summary.coverage < report.min_coverage or not has_verdicts(report)
    too_little = too_little or (report.noticing is not None and report.noticing.falls_short_of(report.min_coverage))
    if has_failing(report):
        return Conclusion.FAIL
    unheard = any(part.is_unheard for part in report.beside)
    if summary.inconclusive or unheard or too_little or report.policies.open or report.policies.unfinished:
        return Conclusion.INCONCLUSIVE
    return Conclusion.PASS


def has_failing(report: Report) -> bool:
    """Whether any finding makes the audit fail: held against earlier runs, not each of them does."""
    if report.comparison is not None:
        return bool(report.comparison.failing)
    return has_findings(report)


def has_findings(report: Report) -> bool:
    """Whether anything differs, or is not as it was meant, whatever earlier runs found."""
    return bool(report.summary.faults or report.intent or any(part.is_faulty for part in report.beside))


def has_verdicts(report: Report) -> bool:
    """Whether any cell at all got a verdict."""
    summary = report.summary
    return summary.cells > summary.inconclusive + summary.skipped
