"""What is said of the policies that a run audits, whoever enforces them: what lint finds, and where they are not what
was meant.
"""

from __future__ import annotations

from collections.abc import Collection

from auditor.intent import check_intent
from auditor.lint import lint
from auditor.model.intent import Intent, IntentFinding
from auditor.model.lint import Severity
from auditor.model.report import PolicyRemark
from auditor.model.snapshot import Snapshot
from auditor.policy.evaluator import evaluate


def remarks_on(
    snapshot: Snapshot, namespaces: Collection[str] = (), *, complete: bool = True
) -> tuple[PolicyRemark, ...]:
    """The warnings and errors about policies in ``namespaces`` (none: all), the gravest first. ``complete`` as for
    ``lint``.
    """
    return tuple(
        PolicyRemark(finding.check, finding.severity, str(finding.place), finding.message)
        for finding in lint(snapshot, complete=complete)
        if finding.severity.reaches(Severity.WARNING) and (not namespaces or finding.place.namespace in namespaces)
    )


def against_intent(snapshot: Snapshot, intent: Intent | None) -> tuple[IntentFinding, ...]:
    """Where the policies of ``snapshot`` differ from ``intent``; nothing without one. Raises UsageError or InputError
    for a wrong one.
    """
    return () if intent is None else check_intent(evaluate(intent.with_hosts(snapshot)), intent)
