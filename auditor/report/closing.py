"""The last lines of a report that is longer than the terminal: what it comes to, why, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.model.report import Report
from auditor.model.verdict import Conclusion
from auditor.report.cause import labelled_lines
from auditor.report.conclusion import conclude
from auditor.report.headline import headline

NARROWEST = 20


def closing_lines(report: Report, width: int, ellipsis: str) -> Iterator[tuple[str, str]]:
    """At most three lines of up to ``width`` columns: each its first words, which say what it is, and the rest.

    They repeat the beginning of the report, cut where the line ends: on a small terminal nobody sees that.
    """
    conclusion = conclude(report)
    yield conclusion.upper(), _cut(headline(report), width - len(conclusion) - 2, ellipsis)
    if conclusion is Conclusion.PASS:
        return
    lines = labelled_lines(report)
    cause = next(((label, text) for label, text in lines if label and label != "advice"), None)
    advice = next((text for label, text in lines if label == "advice"), "")
    advice = advice or next((finding.advice for finding in report.findings if finding.advice), "")
    for label, text in (cause, ("to do", advice)) if cause else (("to do", advice),):
        if text:
            yield label, _cut(text, width - len(label) - 2, ellipsis)


def _cut(text: str, width: int, ellipsis: str) -> str:
    """``text`` on one line of ``width`` columns, ending with a whole word."""
    width = max(width, NARROWEST)
    if len(text) <= width:
        return text
    kept = text[: width - len(ellipsis)]
    return (kept.rpartition(" ")[0] or kept).rstrip(",;: ") + ellipsis
