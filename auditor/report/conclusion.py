"""What an audit comes to in one word: the verdict line, the JSON and the exit code all ask here, so that
they can't disagree.
"""

from __future__ import annotations

from enum import StrEnum

from auditor.model.report import Report


class Conclusion(StrEnum):
    """The audit as a whole."""

    PASS = "pass"  # noqa: S105 - no password
    """Every cell that got a verdict is as expected, enough of them did, and each policy in scope was tested."""
    FAIL = "fail"
    """At least one fault. One that was found stays one, whatever else could not be measured."""
    INCONCLUSIVE = "inconclusive"
    """No fault, but a cell without a verdict for a reason that is not its own, too many of them, or an
    untested policy.
    """


CONCLUSION_STYLES = {Conclusion.PASS: "bold green", Conclusion.FAIL: "bold red", Conclusion.INCONCLUSIVE: "bold yellow"}
"""How each is shown on a terminal."""


def conclude(report: Report) -> Conclusion:
    """The conclusion of ``report``.

    Skipped cells count against coverage; a report in which not a single cell got a verdict is never a pass. Neither is
    one in which nothing tells whether a policy in scope is enforced, unless that was accepted by the policy's name.
    """
    summary = report.summary
    too_little = summary.coverage < report.min_coverage or not has_verdicts(report)
    if summary.faults or report.intent:
        return Conclusion.FAIL
    if summary.inconclusive or too_little or report.policies.open or report.policies.unfinished:
        return Conclusion.INCONCLUSIVE
    return Conclusion.PASS


def has_verdicts(report: Report) -> bool:
    """Whether any cell at all got a verdict."""
    summary = report.summary
    return summary.cells > summary.inconclusive + summary.skipped
