"""What an audit comes to in one word: the verdict line, the JSON and the exit code all ask here, so that they can't disagree."""

from __future__ import annotations

from enum import StrEnum

from auditor.model.report import Report


class Conclusion(StrEnum):
    """The audit as a whole."""

    PASS = "pass"  # noqa: S105 - no password
    """Every cell that got a verdict is as expected, and enough of them did."""
    FAIL = "fail"
    """At least one fault. One that was found stays one, whatever else could not be measured."""
    INCONCLUSIVE = "inconclusive"
    """No fault, but a cell without a verdict for a reason that is not its own, or too many without one."""


CONCLUSION_STYLES = {Conclusion.PASS: "bold green", Conclusion.FAIL: "bold red", Conclusion.INCONCLUSIVE: "bold yellow"}
"""How each is shown on a terminal."""


def conclude(report: Report) -> Conclusion:
    """The conclusion of ``report``.

    Skipped cells count against coverage only; a report in which not a single cell got a verdict is never a pass.
    """
    summary = report.summary
    if summary.faults or report.intent:
        return Conclusion.FAIL
    if summary.inconclusive or summary.coverage < report.min_coverage or not has_verdicts(report):
        return Conclusion.INCONCLUSIVE
    return Conclusion.PASS


def has_verdicts(report: Report) -> bool:
    """Whether any cell at all got a verdict."""
    summary = report.summary
    return summary.cells > summary.inconclusive + summary.skipped
